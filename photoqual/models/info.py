"""model.json: what a model folder says about itself. A folder holds model.json, model.onnx and model.keras."""

from pathlib import Path

from pydantic import ValidationError

from photoqual import files
from photoqual.config import Strict
from photoqual.errors import ModelError

INFO = "model.json"
ONNX = "model.onnx"
KERAS = "model.keras"
TRAINED_ON = "trained_on.parquet"
"""Column `photo_id`: the training and validation photos, so that a leak into a frozen test set can be found."""
AGREEMENT = 1e-4
"""Largest difference between the Keras and the ONNX score of one photo that is accepted."""


class ModelInfo(Strict):
    """What is needed to rate with a model and to say where it comes from."""

    kind: str
    head: str
    image_width: int
    enlarge: bool = True
    """Smaller photos are enlarged to `image_width`; otherwise they are rated as they are."""
    labels: tuple[str, str] = ("bad", "good")
    threshold: float
    """Scores at or above it are labelled good."""
    sure_margin: float | None
    """A rating is sure when its score is at least this far from the threshold; None: validation could not tell."""
    parameters: int
    """Trained parameters."""
    train_photos: int
    validation_photos: int
    best_epoch: int
    validation_auc: float
    seed: int
    good_ranges: dict[str, tuple[float, float]]
    """By measure (photos/measures.py): where 90 % of the good training photos lie."""
    outputs: tuple[str, ...] = ("score",)
    """Names of the model's outputs in their order (models/heads.py): `score` first, `features` last."""
    defects: tuple[str, ...] = ()
    """Names of the defects, in the order of the output `defects`."""
    backbone: str | None = None
    """Of kind `transfer`: which pretrained network, with what pooling and how many trained blocks."""
    calibration: str = "platt"


def read_info(folder: Path) -> ModelInfo:
    """Read model.json of `folder`. Raise ModelError when it is missing or foreign."""
    try:
        return ModelInfo.model_validate_json((folder / INFO).read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is not a model folder: it has no {INFO}.",
            next_step="Train one with `photoqual train` (or `dvc repro`).",
        ) from None
    except ValidationError as error:
        raise ModelError(
            f"{folder / INFO} is not of this version: {error.error_count()} problem(s), first at {error.errors()[0]['loc']}.",
            next_step="Train the model again.",
        ) from None


def write_info(folder: Path, info: ModelInfo) -> None:
    """Write model.json into `folder`."""
    files.write_json(folder / INFO, info.model_dump(mode="json"))

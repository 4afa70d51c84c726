"""The ladder: every kind of model by its name in params. All take pixels 0 to 255 and end in the layer `score`."""

from typing import TYPE_CHECKING

from photoqual.config import ModelParams
from photoqual.models import gap_cnn, logistic

if TYPE_CHECKING:
    import keras

SCORE_LAYER = "score"
BUILDERS = {"logistic": logistic.build, "gap_cnn": gap_cnn.build}


def build(params: ModelParams, seed: int) -> "keras.Model":
    """Return a new model of `params.kind` with weights drawn from `seed`."""
    return BUILDERS[params.kind](seed)

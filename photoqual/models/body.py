"""What every rung of the ladder gives: a body that turns pixels into features, and how its heads are to begin."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Body:
    """`model`: float32 pixels (batch, height, width, 3) in 0 to 255 → features (batch, d).

    `frozen`: nothing in it is trained, so that features need computing only once per photo. `standardise`: heads see
    the features with mean 0 and deviation 1 over the training photos. `dropout` and `l2` are those of the heads;
    `zeros` starts them at nothing, for a convex problem.
    """

    model: "keras.Model"
    frozen: bool = False
    standardise: bool = False
    dropout: float = 0.0
    l2: float = 0.0
    zeros: bool = False

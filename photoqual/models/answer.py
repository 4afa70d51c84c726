"""From a score to an answer for a person: stars, label, sure or not. The one place of this rule."""

import math

from photoqual.models.info import ModelInfo

STARS = 5


def stars(score: float) -> int:
    """Return 1 to 5 stars for a score in 0 to 1: each star is a fifth of the scale."""
    return min(STARS, 1 + math.floor(score * STARS))


def label(score: float, info: ModelInfo) -> str:
    """Return the name of the class: that of good photos from the model's threshold on."""
    return info.labels[1] if score >= info.threshold else info.labels[0]


def sure(score: float, info: ModelInfo) -> bool:
    """Tell whether the score lies far enough from the threshold to be relied on; never where validation could not
    say how far that is.
    """
    return info.sure_margin is not None and abs(score - info.threshold) >= info.sure_margin

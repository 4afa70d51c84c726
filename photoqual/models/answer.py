"""From a score to an answer for a person: stars, label, sure or not, likely defects. The one place of these rules."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from photoqual.models.heads import DEFECTS, FEATURES, SCORE
from photoqual.models.info import ModelInfo
from photoqual.models.scorer import Scorer

STARS = 5
LIKELY = 0.5
"""From this probability on a defect is worth telling."""


def stars(score: float) -> int:
    """Return 1 to 5 stars for a score in 0 to 1: each star is a fifth of the scale."""
    return min(STARS, 1 + math.floor(score * STARS))


def label(score: float, info: ModelInfo) -> str:
    """Return the name of the class: that of good photos from the model's threshold on."""
    return info.labels[1] if score >= info.threshold else info.labels[0]


def sure(score: float, info: ModelInfo, familiar: bool | None = None) -> bool:
    """Tell whether the score lies far enough from the threshold to be relied on; never where validation could not
    say how far that is, nor for a photo that is not familiar (None: the model cannot tell).
    """
    return familiar is not False and info.sure_margin is not None and abs(score - info.threshold) >= info.sure_margin


def likely(defects: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the defects that a photo more likely has than not, with their probabilities; the likeliest first."""
    return sorted(((name, value) for name, value in defects.items() if value >= LIKELY), key=lambda pair: -pair[1])


@dataclass(frozen=True)
class Answer:
    """What a model says of one photo. `familiar` is None for a model without a gate; `defects` are probabilities by
    name, none for a model that was not trained on defects.
    """

    score: float
    stars: int
    sure: bool
    label: str
    familiar: bool | None
    defects: dict[str, float]


def answers(scorer: Scorer, photos: Sequence[np.ndarray], *, digits: int | None = None) -> list[Answer]:
    """Return the answer for each of `photos` (see `Scorer.score`). With `digits` score and probabilities are rounded to
    so many, before stars, label and sure follow from the score.
    """
    info = scorer.info
    given = scorer.answers_of(photos)
    unfamiliar = scorer.gate.unfamiliar(given[FEATURES]) if scorer.gate is not None and len(photos) else None

    def number(value: float) -> float:
        return float(value) if digits is None else round(float(value), digits)

    found = []
    for index, raw in enumerate(given[SCORE].ravel()):
        score = number(raw)
        familiar = None if unfamiliar is None else not unfamiliar[index]
        named = zip(info.defects, given[DEFECTS][index], strict=True) if DEFECTS in given else ()
        defects = {name: number(value) for name, value in named}
        found.append(Answer(score, stars(score), sure(score, info, familiar), label(score, info), familiar, defects))
    return found

"""The label rules: pure functions from judgements to labels: 1 good, 0 bad, −1 neither.

Means are compared in stars, 1 to 5, whatever the scale of the source. Rules of votes do not look at hints, and those of
hints not at votes.
"""

from collections.abc import Callable

import numpy as np

from photoqual.config import LabelsParams
from photoqual.labels.rules.judgements import STARS, Judgements

Rule = Callable[[Judgements, LabelsParams], np.ndarray]


def extremes(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label the extremes: good when the mean, rounded to whole stars, is at least `good_at_least`; bad when it is at
    most `bad_at_most`; the middle stays out. Halves round up, as sites that show whole stars do.
    """
    whole = np.floor(judged.stars + 0.5)
    return _labels(whole >= params.good_at_least, whole <= params.bad_at_most)


def threshold(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label by the mean vote in stars itself: good at or over `good_at_least`, bad at or under `bad_at_most`."""
    return _labels(judged.stars >= params.good_at_least, judged.stars <= params.bad_at_most)


def ordinal(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label by the class that the mean falls into, as `levels` tells: good where the class, in stars, is at least
    `good_at_least`, bad below: no photo stays out.
    """
    step = (STARS[1] - STARS[0]) / (params.ordinal_levels - 1)
    of_class = STARS[0] + step * (levels(judged, params) - 1)
    return _labels(of_class >= params.good_at_least - 1e-9, of_class < params.good_at_least - 1e-9)


def distribution(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label by the mean of the vote histogram, in stars: good at or over `good_at_least`, bad below. Photos without a
    histogram stay out.
    """
    mean = STARS[0] + (STARS[1] - STARS[0]) * judged.histograms.moments()[0]
    return _labels(mean >= params.good_at_least - 1e-9, mean < params.good_at_least - 1e-9)


def folders(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label by the folder that a person put the photo in; good wins where there are two."""
    return _labels(judged.hinted_good, judged.hinted_bad)


def defects(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Label by the defects that a person named: bad with any, or with a plain `bad`; good where there is none. A named
    defect wins over a hint `good`: the photo has it.
    """
    named = judged.defects.bins > 0
    return _labels(judged.hinted_good & ~named, judged.hinted_bad)


RULES: dict[str, Rule] = {
    "extremes": extremes,
    "threshold": threshold,
    "ordinal": ordinal,
    "distribution": distribution,
    "folders": folders,
    "defects": defects,
}
BY_HINTS = frozenset({"folders", "defects"})
"""Rules that need no votes."""


def levels(judged: Judgements, params: LabelsParams) -> np.ndarray:
    """Return the class of each photo, 1 to `ordinal_levels`, halves up; NaN without votes. Classes lie evenly on the
    scale: four of a source that rates 0 to 3 are its own grades.
    """
    place = (judged.stars - STARS[0]) / (STARS[1] - STARS[0])
    return np.floor(1 + (params.ordinal_levels - 1) * place + 0.5 + 1e-9)


def _labels(good: np.ndarray, bad: np.ndarray) -> np.ndarray:
    return np.where(good, 1, np.where(bad, 0, -1)).astype(np.int8)

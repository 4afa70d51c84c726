"""How sure a ROC curve and a reliability diagram can be. Pure functions; `good` is 1 for good photos and 0 for bad ones.

The ROC band comes from the Bayesian bootstrap (Rubin, 1981; for ROC curves Gu, Ghosal and Roy, 2008): each draw weighs
every group, all its photos alike, by an exponential variate. A resampled curve knows no photo beyond the best and the
worst of the set, so its band closes where the curve meets a corner and the truth need not. Here each class gets one
more photo of a group's size, which no model saw: for the lower edge a bad one above all others and a good one below
all others, for the upper edge the reverse. At a fixed threshold and one photo a group the edges are then those of
Clopper and Pearson (1934). A simultaneous band takes the edges so far out that the stated share of draws lies inside
them along the whole curve (Mandel and Betensky, 2008).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from photoqual.evaluation.groups import group_codes
from photoqual.evaluation.metrics import CALIBRATION_BINS, checked

DRAWS = 1000
SEED = 21
POINTS = 201
_CELLS = 1_000_000
"""Photos times draws that are held in memory at once."""


@dataclass(frozen=True)
class Band:
    """True positive rates over `false_positive_rates`, all (POINTS,): the curve and the edges of its band."""

    false_positive_rates: np.ndarray
    curve: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Bin:
    """Photos whose score lies from `start` up to `end`: how many, their mean score, the share that is good and the
    bounds of that share.
    """

    start: float
    end: float
    photos: int
    mean_score: float
    good_share: float
    low: float
    high: float


def roc_band(
    good: ArrayLike,
    scores: ArrayLike,
    confidence: float,
    *,
    groups: ArrayLike | None = None,
    simultaneous: bool = True,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Band:
    """Return the ROC curve with its band. `simultaneous`: the band holds the whole true curve at `confidence`, else
    each single point of it. Photos without a group (None, or no `groups` at all) stand alone. Equal arguments give
    equal bands. Raise DataError when there is nothing to judge.
    """
    truth, rows = checked(good, scores)
    order = np.argsort(-rows[0], kind="stable")
    falling, truth = rows[0][order], truth[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    codes = group_codes(groups, len(truth))[order]
    at = np.linspace(0, 1, POINTS)
    curve = _heights(*_cumulated(np.ones((1, len(truth))), truth, last), at)[0]

    drawer = np.random.default_rng(seed)
    unseen_good, unseen_bad = (of_class.sum() / len(np.unique(codes[of_class])) for of_class in (truth, ~truth))
    lower, upper = [], []
    at_once = max(1, _CELLS // len(truth))
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        alarms, hits = _cumulated(drawer.exponential(size=(size, codes.max() + 1))[:, codes], truth, last)
        more_good, more_bad = drawer.exponential(size=(2, size, 1)) * [[[unseen_good]], [[unseen_bad]]]
        lower.append(_heights(_with_first(alarms, more_bad), _with_last(hits, more_good), at))
        upper.append(_heights(_with_last(alarms, more_bad), _with_first(hits, more_good), at))
    low, high = _edges(np.concatenate(lower), np.concatenate(upper), confidence, simultaneous)
    return Band(at, curve, np.minimum(low, curve), np.maximum(high, curve))


def reliability(
    good: ArrayLike,
    scores: ArrayLike,
    confidence: float,
    *,
    groups: ArrayLike | None = None,
    bins: int = CALIBRATION_BINS,
) -> list[Bin]:
    """Return the reliability table over `bins` equal widths of the score, those of `metrics.calibration_error`; bins
    without photos are left out. Bounds are Wilson's (1927), two-sided. Where photos of a group agree, they are those of
    the number of independent photos that would say as much (Kish's design effect, 1965).
    """
    truth, rows = checked(good, scores)
    place = np.clip((rows[0] * bins).astype(int), 0, bins - 1)
    codes = group_codes(groups, len(truth))
    table = []
    for number in np.unique(place):
        inside = place == number
        share = float(truth[inside].mean())
        low, high = _wilson(share, _worth(truth[inside], codes[inside]), confidence)
        table.append(
            Bin(
                number / bins,
                (number + 1) / bins,
                int(inside.sum()),
                float(rows[0][inside].mean()),
                share,
                low,
                high,
            )
        )
    return table


def _cumulated(weights: np.ndarray, truth: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of bad and of good photos at or above each distinct score, from 0 on; `weights` is (draws, n)
    in the order of falling scores.
    """
    start = np.zeros((len(weights), 1))
    hits = np.cumsum(weights * truth, axis=1)[:, last]
    alarms = np.cumsum(weights * ~truth, axis=1)[:, last]
    return np.hstack([start, alarms]), np.hstack([start, hits])


def _with_first(cumulated: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Add a photo above all others: it counts at every threshold but the one above it."""
    return np.hstack([cumulated[:, :1], cumulated + weight, cumulated[:, -1:] + weight])


def _with_last(cumulated: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Add a photo below all others; as long as what `_with_first` gives."""
    return np.hstack([cumulated[:, :1], cumulated, cumulated[:, -1:] + weight])


def _heights(alarms: np.ndarray, hits: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the true positive rate, (draws, points), where the false positive rate is `at`: the upper end of a
    vertical step, a point between on a slope that ties make.
    """
    rates, heights = alarms / alarms[:, -1:], hits / hits[:, -1:]
    draws, length = rates.shape
    offset = 2.0 * np.arange(draws)[:, None]
    places = np.searchsorted((rates + offset).ravel(), (at + 1e-9 + offset).ravel(), side="right") - 1
    here = np.minimum(places.reshape(draws, -1) - length * np.arange(draws)[:, None], length - 2)
    left, right = np.take_along_axis(rates, here, 1), np.take_along_axis(rates, here + 1, 1)
    below, above = np.take_along_axis(heights, here, 1), np.take_along_axis(heights, here + 1, 1)
    width = right - left
    part = np.divide(at - left, width, out=np.ones_like(width), where=width > 0)
    return below + np.clip(part, 0, 1) * (above - below)


def _edges(
    lower: np.ndarray, upper: np.ndarray, confidence: float, simultaneous: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges, each (points,), of curves that are (draws, points): the k-th lowest and the k-th highest."""
    draws = len(lower)
    if simultaneous:
        from_below = stats.rankdata(lower, method="max", axis=0)
        from_above = stats.rankdata(-upper, method="max", axis=0)
        depths = np.sort(np.minimum(from_below, from_above).min(axis=1))
        k = int(depths[int((1 - confidence) * draws)])
    else:
        k = max(1, int((1 - confidence) / 2 * draws))
    return np.sort(lower, axis=0)[k - 1], np.sort(upper, axis=0)[draws - k]


def _worth(truth: np.ndarray, codes: np.ndarray) -> float:
    """Return how many independent photos say as much about the share of good ones as these."""
    size, share = len(truth), truth.mean()
    _, numbers = np.unique(codes, return_inverse=True)
    groups = int(numbers.max()) + 1
    if groups in (1, size) or share in (0, 1):
        return float(groups)
    apart = np.bincount(numbers, weights=truth - share)
    variance = float((apart**2).sum()) / size**2 * groups / (groups - 1)
    return float(min(size, share * (1 - share) / variance)) if variance > 0 else float(size)


def _wilson(share: float, size: float, confidence: float) -> tuple[float, float]:
    z = float(stats.norm.ppf((1 + confidence) / 2))
    middle = (share + z**2 / (2 * size)) / (1 + z**2 / size)
    reach = z / (1 + z**2 / size) * float(np.sqrt(share * (1 - share) / size + z**2 / (4 * size**2)))
    return max(0.0, middle - reach), min(1.0, middle + reach)

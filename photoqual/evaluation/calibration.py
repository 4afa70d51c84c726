"""How sure a calibration error can be. Pure."""

import numpy as np
from numpy.typing import ArrayLike

from photoqual.evaluation.groups import group_codes
from photoqual.evaluation.metrics import CALIBRATION_BINS, calibration_error, checked

DRAWS = 1000
SEED = 20
_CELLS = 4_000_000
"""Groups times draws that are held in memory at once."""


def calibration_interval(
    good: ArrayLike, scores: ArrayLike, groups: ArrayLike, confidence: float
) -> tuple[float, float, float]:
    """Return the calibration error, and bounds that hold the true one at `confidence` or more.

    Chance moves the bins of the score apart and so only ever adds to the error of a sample, which a plain bootstrap
    would add once more. By the triangle inequality the true error lies at most as far from that of the sample as the
    bins' true means lie from the sample's, all added up: the quantile of this sum over groups drawn with replacement
    is the half width. A bin with one class alone never varies in the draws; what its share can be all the same is
    taken from the exact binomial over its groups.
    """
    truth, rows = checked(good, scores)
    value = calibration_error(truth, rows[0])
    codes = group_codes(groups, len(truth))
    units = int(codes.max()) + 1
    place = np.clip((rows[0] * CALIBRATION_BINS).astype(int), 0, CALIBRATION_BINS - 1)
    apart = np.zeros((units, CALIBRATION_BINS))
    np.add.at(apart, (codes, place), rows[0] - truth)
    sizes = np.bincount(codes, minlength=units)
    middle = apart.sum(axis=0) / len(truth)
    drawer = np.random.default_rng(SEED)
    moved: list[np.ndarray] = []
    at_once = max(1, _CELLS // units)
    for start in range(0, DRAWS, at_once):
        draws = min(at_once, DRAWS - start)
        picks = drawer.integers(units, size=(draws, units)) + np.arange(draws)[:, None] * units
        times = np.bincount(picks.ravel(), minlength=draws * units).reshape(draws, units).astype(float)
        moved.append(np.abs(times @ apart / (times @ sizes)[:, None] - middle).sum(axis=1))
    reach = float(np.quantile(np.concatenate(moved), confidence))
    reach = max(reach, _reach_of_pure_bins(truth, place, codes, confidence))
    return value, max(0.0, value - reach), min(1.0, value + reach)


def _reach_of_pure_bins(truth: np.ndarray, place: np.ndarray, codes: np.ndarray, confidence: float) -> float:
    """Return how far the error can be off because of bins whose photos are all good or all bad."""
    inside = [place == which for which in np.unique(place)]
    pure = [mask for mask in inside if truth[mask].all() or not truth[mask].any()]
    tail = (1 - confidence) / max(1, len(pure))
    return float(sum(mask.mean() * (1 - tail ** (1 / len(np.unique(codes[mask])))) for mask in pure))

"""How sure an AUC, and the difference of two AUCs on the same photos, can be. Pure functions; docs/promotion.md.

DeLong's covariance (DeLong, DeLong and Clarke-Pearson, 1988) by the midranks of Sun and Xu (2014), O(n log n), with
Student's t and Satterthwaite's degrees of freedom as Brunner and Munzel (2000) use them for the same statistic: on
large sets that is the normal interval, on small ones it is wider. Bootstrap of whole groups (Field and Welsh, 2007)
where photos of one group are alike, with expanded percentiles (Hesterberg, 2015) where groups are few; beyond what
the draws resolve, Student's t on their standard error.

When an estimated variance is zero it says nothing: perfect scores and equal scores then get a bound from the number
of independent pairs of a good and a bad photo (exact binomial for a perfect AUC, Hoeffding else). Rankings that agree
entirely are a tie: difference, bounds and z are 0, p is 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from photoqual.evaluation.groups import draw_weights, group_codes, group_strata
from photoqual.evaluation.metrics import auc, checked

DRAWS = 2000
SEED = 20
_NO_VARIANCE = 1e-14
_CELLS = 4_000_000
"""Photos times draws that are held in memory at once."""
_FEWEST_BEYOND = 20
"""A percentile is read off the draws only where at least so many lie beyond it."""


@dataclass(frozen=True)
class Difference:
    """AUC of the second minus the first. `low` and `high` are one-sided bounds, each at the stated confidence;
    `p_value` is one-sided, for a difference of zero or less. `tie`: the two rank every pair alike.
    """

    delta: float
    low: float
    high: float
    z: float
    p_value: float
    method: str
    tie: bool = False


def placements(good: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return, per row of scores, the share of bad photos each good one beats (k, goods) and the share of good ones
    that beat each bad one (k, bads); ties count half. The mean of either is the AUC.
    """
    truth, rows = checked(good, *scores)
    above, below = rows[:, truth], rows[:, ~truth]
    overall = stats.rankdata(rows, axis=1)
    beaten = (overall[:, truth] - stats.rankdata(above, axis=1)) / below.shape[1]
    beating = 1 - (overall[:, ~truth] - stats.rankdata(below, axis=1)) / above.shape[1]
    return beaten, beating


def delong(good: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the AUCs (k,) and their covariance (k, k); NaN covariance with fewer than two photos of a class."""
    beaten, beating = placements(good, *scores)
    aucs = beaten.mean(axis=1)
    if min(beaten.shape[1], beating.shape[1]) < 2:
        return aucs, np.full((len(aucs), len(aucs)), np.nan)
    return aucs, np.atleast_2d(np.cov(beaten)) / beaten.shape[1] + np.atleast_2d(np.cov(beating)) / beating.shape[1]


def auc_interval(good: ArrayLike, scores: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the two-sided interval of the AUC by DeLong on the logit scale, so that it never leaves 0 to 1."""
    tail = (1 - confidence) / 2
    beaten, beating = placements(good, scores)
    value = float(beaten.mean())
    if _pairs(good) < 2:
        return 0.0, 1.0
    error, freedom = _error(beaten[0], beating[0])
    if error**2 <= _NO_VARIANCE or not 0 < value < 1:
        return _interval_without_variance(value, _pairs(good), tail)
    reach = float(stats.t.ppf(1 - tail, freedom)) * error / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return _expit(middle - reach), _expit(middle + reach)


def paired_difference(good: ArrayLike, a: ArrayLike, b: ArrayLike, confidence: float) -> Difference:
    """Return AUC(b) - AUC(a) on the same photos by DeLong, with one-sided bounds at `confidence`."""
    beaten, beating = placements(good, a, b)
    gained, lost = beaten[1] - beaten[0], beating[1] - beating[0]
    delta = float(gained.mean())
    if not gained.any() and not lost.any():
        return Difference(0.0, 0.0, 0.0, 0.0, 1.0, "tie", tie=True)
    pairs = _pairs(good)
    if pairs < 2:
        return Difference(delta, -1.0, 1.0, 0.0, 1.0, "too few photos")
    error, freedom = _error(gained, lost)
    if error**2 <= _NO_VARIANCE:
        return _difference_without_variance(delta, pairs, confidence)
    reach = float(stats.t.ppf(confidence, freedom)) * error
    z = delta / error
    return Difference(
        delta, max(-1.0, delta - reach), min(1.0, delta + reach), z, float(stats.t.sf(z, freedom)), "DeLong"
    )


def _error(of_good: np.ndarray, of_bad: np.ndarray) -> tuple[float, float]:
    """Return the standard error of a difference of placements and Satterthwaite's degrees of freedom."""
    parts = np.array([of_good.var(ddof=1) / len(of_good), of_bad.var(ddof=1) / len(of_bad)])
    variance = float(parts.sum())
    if variance <= 0:
        return 0.0, 1.0
    return math.sqrt(variance), float(variance**2 / (parts**2 / (np.array([len(of_good), len(of_bad)]) - 1)).sum())


def bootstrap_aucs(
    good: ArrayLike, *scores: ArrayLike, groups: ArrayLike | None = None, draws: int = DRAWS, seed: int = SEED
) -> np.ndarray:
    """Return AUCs (k, draws) of resampled photos; whole groups are drawn together, each photo its own without `groups`.

    Groups are drawn within strata: only good, only bad, mixed. When a stratum has a single group, all are drawn from
    one pool instead, and draws without both classes are left out. Equal arguments give equal draws.
    """
    truth, rows = checked(good, *scores)
    codes = group_codes(groups, len(truth))
    drawer = np.random.default_rng(seed)
    order = np.argsort(rows, axis=1, kind="stable")
    ties = [_tie_ends(row[places]) for row, places in zip(rows, order, strict=True)]
    strata = group_strata(truth, codes)
    found: list[np.ndarray] = []
    at_once = max(1, _CELLS // len(truth))
    for start in range(0, draws, at_once):
        weights = draw_weights(strata, codes, min(at_once, draws - start), drawer)
        both = (weights[:, truth].sum(axis=1) > 0) & (weights[:, ~truth].sum(axis=1) > 0)
        weights = weights[both]
        found.append(
            np.stack(
                [
                    _weighted_auc(truth[places], weights[:, places], *ends)
                    for places, ends in zip(order, ties, strict=True)
                ]
            )
        )
    return np.concatenate(found, axis=1)


def _tie_ends(rising: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, per place in `rising`, where its run of equal values starts and ends (exclusive)."""
    starts = np.flatnonzero(np.concatenate([[True], np.diff(rising) > 0]))
    ends = np.append(starts[1:], len(rising))
    run = np.repeat(np.arange(len(starts)), ends - starts)
    return starts[run], ends[run]


def _weighted_auc(truth: np.ndarray, weights: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the AUC of each row of `weights` (draws, n); columns are in the order of rising scores."""
    bad = np.zeros((len(weights), len(truth) + 1))
    np.cumsum(np.where(truth, 0.0, weights), axis=1, out=bad[:, 1:])
    of_good = weights[:, truth].astype(float)
    below = (bad[:, starts[truth]] + bad[:, ends[truth]]) / 2
    return np.einsum("ij,ij->i", of_good, below) / (of_good.sum(axis=1) * bad[:, -1])


def bootstrap_difference(
    good: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    confidence: float,
    *,
    groups: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Difference:
    """Return AUC(b) - AUC(a) with bounds from resampled groups; photos without `groups` are resampled alone."""
    beaten, beating = placements(good, a, b)
    delta = float((beaten[1] - beaten[0]).mean())
    if np.array_equal(*beaten) and np.array_equal(*beating):
        return Difference(0.0, 0.0, 0.0, 0.0, 1.0, "tie", tie=True)
    pairs = _pairs(good, groups)
    if pairs < 2:
        return Difference(delta, -1.0, 1.0, 0.0, 1.0, "too few groups")
    first, second = bootstrap_aucs(good, a, b, groups=groups, draws=draws, seed=seed)
    differences = second - first
    error = float(differences.std(ddof=1))
    if error**2 <= _NO_VARIANCE:
        return _difference_without_variance(delta, pairs, confidence)
    units = _units(good, groups)
    low, high = _drawn_bounds(differences, delta, 1 - confidence, units)
    return Difference(
        delta,
        max(-1.0, low),
        min(1.0, high),
        delta / error,
        _drawn_p_value(differences, delta, units),
        "group bootstrap",
    )


def bootstrap_interval(
    good: ArrayLike,
    scores: ArrayLike,
    confidence: float,
    *,
    groups: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[float, float]:
    """Return the two-sided interval of the AUC from resampled groups."""
    tail = (1 - confidence) / 2
    pairs = _pairs(good, groups)
    if pairs < 2:
        return 0.0, 1.0
    values = bootstrap_aucs(good, scores, groups=groups, draws=draws, seed=seed)[0]
    if values.var() <= _NO_VARIANCE:
        return _interval_without_variance(float(values[0]), pairs, tail)
    low, high = _drawn_bounds(values, auc(good, scores), tail, _units(good, groups))
    return max(0.0, low), min(1.0, high)


def careful_interval(good: ArrayLike, scores: ArrayLike, confidence: float, groups: ArrayLike) -> tuple[float, float]:
    """Return DeLong's interval, widened to that of the group bootstrap where a group has more than one photo."""
    low, high = auc_interval(good, scores, confidence)
    if not has_groups(groups):
        return low, high
    other_low, other_high = bootstrap_interval(good, scores, confidence, groups=groups)
    return min(low, other_low), max(high, other_high)


def careful_difference(good: ArrayLike, a: ArrayLike, b: ArrayLike, confidence: float, groups: ArrayLike) -> Difference:
    """Return what the gate judges by: of DeLong and, where a group has more than one photo, the group bootstrap, the
    one with the smaller lower bound.
    """
    by_photo = paired_difference(good, a, b, confidence)
    if by_photo.tie or not has_groups(groups):
        return by_photo
    by_group = bootstrap_difference(good, a, b, confidence, groups=groups)
    return min(by_photo, by_group, key=lambda difference: difference.low)


def has_groups(groups: ArrayLike) -> bool:
    """Tell whether any group has more than one photo."""
    codes = group_codes(groups, len(np.asarray(groups, dtype=object)))
    return len(np.unique(codes)) < len(codes)


def _pairs(good: ArrayLike, groups: ArrayLike | None = None) -> int:
    """Return how many pairs of a good and a bad photo can be formed that share no photo and no group."""
    truth, _ = checked(good)
    codes = group_codes(groups, len(truth))
    return min(len(np.unique(codes[truth])), len(np.unique(codes[~truth])), len(np.unique(codes)) // 2)


def _units(good: ArrayLike, groups: ArrayLike | None) -> int:
    """Return how many groups the class with fewer of them has."""
    truth, _ = checked(good)
    codes = group_codes(groups, len(truth))
    return min(len(np.unique(codes[truth])), len(np.unique(codes[~truth])))


def _drawn_bounds(values: np.ndarray, estimate: float, tail: float, units: int) -> tuple[float, float]:
    """Return the lower and the upper bound at `tail` each, from draws of `estimate` over `units` groups."""
    return _drawn_low(values, estimate, tail, units), -_drawn_low(-values, -estimate, tail, units)


def _drawn_low(values: np.ndarray, estimate: float, tail: float, units: int) -> float:
    """Return the percentile of the draws, expanded so that few units keep the stated confidence; where too few draws
    lie beyond it, the estimate minus t times the standard error, which is the same for draws that are normal.
    """
    wanted = expanded_tail(tail, units)
    if wanted >= _resolved(values):
        return float(np.quantile(values, wanted))
    return estimate - _expanded_quantile(tail, units) * _far_error(values, estimate)


def _drawn_p_value(values: np.ndarray, estimate: float, units: int) -> float:
    """Return the tail at which the lower bound of `_drawn_low` is zero."""
    share = float((values <= 0).mean())
    z = float(stats.norm.isf(share)) if share >= _resolved(values) else estimate / _far_error(values, estimate)
    return float(stats.t.sf(z / _expansion(units), units - 1))


def _far_error(values: np.ndarray, estimate: float) -> float:
    """Return the standard error for bounds beyond the draws: that of the draws, or the larger one that their outermost
    percentile with enough draws beyond it tells of. Bounds therefore never come closer as the tail gets smaller.
    """
    seen = _resolved(values)
    outermost = (estimate - float(np.quantile(values, seen))) / float(stats.norm.isf(seen))
    return max(float(values.std(ddof=1)), outermost)


def _resolved(values: np.ndarray) -> float:
    """Return the smallest tail that is read off the draws."""
    return min(_FEWEST_BEYOND / len(values), 0.1)


def expanded_tail(tail: float, units: int) -> float:
    """Return the smaller tail at which percentiles of a bootstrap over `units` groups keep the stated confidence."""
    return float(stats.norm.sf(_expanded_quantile(tail, units)))


def _expanded_quantile(tail: float, units: int) -> float:
    return _expansion(units) * float(stats.t.isf(tail, units - 1))


def _expansion(units: int) -> float:
    return math.sqrt(units / (units - 1))


def _interval_without_variance(value: float, pairs: int, tail: float) -> tuple[float, float]:
    reach = tail ** (1 / pairs)
    if value >= 1:
        return reach, 1.0
    if value <= 0:
        return 0.0, 1 - reach
    half = math.sqrt(math.log(1 / tail) / (2 * pairs))
    return max(0.0, value - half), min(1.0, value + half)


def _difference_without_variance(delta: float, pairs: int, confidence: float) -> Difference:
    """Hoeffding's bound over independent pairs, each of which moves the difference by -1 to 1."""
    reach = 2 * math.sqrt(math.log(1 / (1 - confidence)) / (2 * pairs))
    p_value = math.exp(-pairs * delta**2 / 2) if delta > 0 else 1.0
    return Difference(delta, max(-1.0, delta - reach), min(1.0, delta + reach), 0.0, p_value, "Hoeffding")


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))

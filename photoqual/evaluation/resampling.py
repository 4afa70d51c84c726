"""Two-sided intervals of any statistic from resampled groups: the cluster bootstrap for what has no formula.

Groups are drawn with replacement from one pool, each with all its photos, so the share of good photos varies between
draws as it would between galleries. Percentiles are expanded for few groups (Hesterberg, 2015).
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike

from photoqual.evaluation.groups import draw_weights, group_codes
from photoqual.evaluation.significance import DRAWS, SEED, expanded_tail

Statistic = Callable[[np.ndarray], np.ndarray]
"""From how often each photo was drawn, (draws, n), to a value per draw, (draws,); NaN where a draw has none."""
_CELLS = 4_000_000
"""Photos times draws that are held in memory at once."""
_LEAST_DRAWN = 0.9
"""Share of the draws that must have a value."""
_FEWEST_GROUPS = 5


def group_interval(
    statistic: Statistic,
    groups: ArrayLike,
    confidence: float,
    *,
    counted: np.ndarray | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> tuple[float, float] | str:
    """Return the interval of `statistic` at `confidence`, or why there is none; a photo whose group is missing is
    drawn alone.

    `counted`: booleans (n,), the photos that carry the statistic; the fewer groups they lie in, the wider the
    interval. Equal arguments give equal intervals.
    """
    codes = group_codes(groups, len(np.asarray(groups, dtype=object)))
    units = len(np.unique(codes if counted is None else codes[counted]))
    if units < _FEWEST_GROUPS:
        return f"too few groups to resample: {units}"
    values = np.concatenate([statistic(weights) for weights in _resampled(codes, draws, seed)])
    values = values[np.isfinite(values)]
    if len(values) < _LEAST_DRAWN * draws or np.ptp(values) < 1e-12:
        return "resampled groups do not vary"
    tail = expanded_tail((1 - confidence) / 2, units)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _resampled(codes: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each photo was drawn, (some draws, n), until there are `draws` of them."""
    drawer = np.random.default_rng(seed)
    pool = [np.arange(codes.max() + 1)]
    at_once = max(1, _CELLS // len(codes))
    for start in range(0, draws, at_once):
        yield draw_weights(pool, codes, min(at_once, draws - start), drawer).astype(float)

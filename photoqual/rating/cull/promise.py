"""The promise of a first pass: of the best m photos of a gallery at least a share s stays, with confidence c.

Of a frozen test set the K best photos, by the people who rated them, got the model's scores s₁ ≤ … ≤ s_K. Are the best m
photos of a gallery of the same kind as these, then how many of their scores lie under s_r follows a beta-binomial law
with (m; r, K − r + 1), whatever the scores are distributed like: every order of the K + m scores is equally likely. All
photos that score under s_r may be dropped for the largest r with P(at most ⌊(1 − s)·m⌋ of them lie under s_r) ≥ c.

Source: Wilks 1942, who bounds what order statistics of one sample say of the next.
"""

import math
from dataclasses import dataclass

import numpy as np

DECIMALS = 4
"""Of scores in ratings; a threshold is rounded down to as many, so that rounding never drops a photo."""
_MOST_TIED = 2.0
"""Times the share asked for that those who are tied with the best may make up."""


@dataclass(frozen=True)
class Truth:
    """What people said of the photos of a frozen test set, (n,), higher is better, their groups (None: alone), and what the
    model scored them.
    """

    worth: np.ndarray
    groups: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Promise:
    """Photos that score under `threshold` may be dropped: of the `best` photos of the gallery at least `stay` stay with the
    confidence asked for. `lost` of the `top` best frozen photos lie under it. `confidence` is what holds exactly.
    """

    threshold: float
    best: int
    stay: int
    top: int
    lost: int
    confidence: float


def promise(truth: Truth, photos: int, *, top: float, stay: float, confidence: float) -> Promise | str:
    """Return the promise that `truth` supports for a gallery of `photos`, or why it supports none.

    `top`: the share of the gallery that counts as its best; `stay`: the share of these that has to stay.
    """
    scores = top_scores(truth, top)
    if isinstance(scores, str):
        return scores
    best = max(1, math.ceil(top * photos - 1e-9))
    may_go = math.floor((1 - stay) * best + 1e-9)
    rank = _largest_rank(len(scores), best, may_go, confidence)
    if rank == 0:
        needed = _needed(best, may_go, confidence)
        return (
            f"for {stay:.0%} of the best {best} with {confidence:.0%} confidence the frozen test set would need {needed} "
            f"groups with a photo among its best {top:.0%}, and it has {len(scores)}"
        )
    threshold = math.floor(scores[rank - 1] * 10**DECIMALS) / 10**DECIMALS
    lost = int((scores < threshold).sum())
    return Promise(threshold, best, best - may_go, len(scores), lost, _holds(len(scores), rank, best, may_go))


def top_scores(truth: Truth, top: float) -> np.ndarray | str:
    """Return the scores of the best photos of a frozen test set, lowest first, or why they cannot be told. Of each group
    the lowest counts, since photos of one group are no independent evidence. Photos tied with the last are of the best.
    """
    count = max(1, math.ceil(top * len(truth.worth) - 1e-9))
    cut = np.sort(truth.worth)[::-1][count - 1]
    among = truth.worth >= cut
    if among.sum() > _MOST_TIED * count:
        return (
            f"the people's ratings cannot tell the best {top:.0%} of the frozen test set apart: {among.mean():.0%} of it "
            "share the highest ones"
        )
    lowest: dict[object, float] = {}
    for place in np.flatnonzero(among):
        key = place if truth.groups[place] is None else ("group", truth.groups[place])
        lowest[key] = min(lowest.get(key, math.inf), float(truth.scores[place]))
    return np.sort(list(lowest.values()))


def _largest_rank(top: int, best: int, may_go: int, confidence: float) -> int:
    """Return the largest r for which the promise holds, 0 where none does; the probability falls with r."""
    low, high = 0, top
    while low < high:
        middle = (low + high + 1) // 2
        if _holds(top, middle, best, may_go) >= confidence:
            low = middle
        else:
            high = middle - 1
    return low


def _holds(top: int, rank: int, best: int, may_go: int) -> float:
    from scipy.stats import betabinom

    return float(betabinom.cdf(may_go, best, rank, top - rank + 1))


def _needed(best: int, may_go: int, confidence: float) -> int:
    low, high = 1, 1
    while _holds(high, 1, best, may_go) < confidence:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _holds(middle, 1, best, may_go) >= confidence else (middle + 1, high)
    return high

"""Measures against the votes themselves: correlation with vote means, distance to vote distributions. Pure functions.

Votes are on a scale of 1 to 5 stars. A vote distribution holds the share of votes at each of k evenly spaced levels
from 1 to 5 stars, lowest first; sets may mix sites with different k.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from photoqual.errors import DataError
from photoqual.evaluation.resampling import group_interval

LOWEST, HIGHEST = 1.0, 5.0
_FEWEST = 10
"""Photos with votes below which a correlation says too little."""
NO_DISTRIBUTION = "no photo has a vote distribution"

Distribution = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Correlation:
    """A correlation of scores with vote means, and its bounds or why there are none (a perfect one does not vary)."""

    value: float
    bounds: tuple[float, float] | str


@dataclass(frozen=True)
class VoteDistance:
    """Mean earth mover's distance to the votes, in stars: of the model, of the best prediction that is the same for
    all photos, and of the best one that has the model's form (0 for distributions, not for points).
    """

    photos: int
    model: float
    constant: float
    attainable: float


def pearson(scores: ArrayLike, stars: ArrayLike, groups: ArrayLike, confidence: float) -> Correlation | str:
    """Return the linear correlation over the photos with votes, or why there is none. `stars`: (n,), NaN without."""
    return _correlation(scores, stars, groups, confidence, ranked=False)


def spearman(scores: ArrayLike, stars: ArrayLike, groups: ArrayLike, confidence: float) -> Correlation | str:
    """Return the correlation of midranks over the photos with votes, or why there is none."""
    return _correlation(scores, stars, groups, confidence, ranked=True)


def _correlation(
    scores: ArrayLike, stars: ArrayLike, groups: ArrayLike, confidence: float, *, ranked: bool
) -> Correlation | str:
    votes = np.asarray(stars, dtype=float)
    voted = np.isfinite(votes)
    x, y = np.asarray(scores, dtype=float)[voted], votes[voted]
    if len(x) < _FEWEST:
        return f"{len(x)} photos have a vote mean; a correlation needs {_FEWEST}"
    for name, values in (("score", x), ("vote mean", y)):
        if np.ptp(values) == 0:
            return f"all {len(x)} photos have the same {name}"

    def statistic(weights: np.ndarray) -> np.ndarray:
        if ranked:
            return _weighted_pearson(weights, _weighted_ranks(weights, x), _weighted_ranks(weights, y))
        return _weighted_pearson(weights, np.broadcast_to(x, weights.shape), np.broadcast_to(y, weights.shape))

    value = float(statistic(np.ones((1, len(x))))[0])
    return Correlation(value, group_interval(statistic, np.asarray(groups, dtype=object)[voted], confidence))


def _weighted_ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the midrank of each photo, (draws, n), when photo j counts weights[:, j] times."""
    order = np.argsort(values, kind="stable")
    rising = values[order]
    starts = np.flatnonzero(np.concatenate([[True], np.diff(rising) > 0]))
    ends = np.append(starts[1:], len(rising))
    run = np.repeat(np.arange(len(starts)), ends - starts)
    below = np.zeros((len(weights), len(values) + 1))
    np.cumsum(weights[:, order], axis=1, out=below[:, 1:])
    ranks = np.empty(weights.shape)
    ranks[:, order] = ((below[:, starts] + below[:, ends] + 1) / 2)[:, run]
    return ranks


def _weighted_pearson(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x**2).sum(axis=1) * (weights * y**2).sum(axis=1))
    known = spread > 1e-12 * total[:, 0]
    return np.where(known, (weights * x * y).sum(axis=1) / np.where(known, spread, 1), np.nan)


def points_to_votes(points: ArrayLike, votes: Sequence[Distribution | None]) -> VoteDistance | str:
    """Return how far one number per photo, `points` (n,) in stars, lies from the votes, or why that is unknown.

    The distance is Wasserstein's of order 1: the mean distance of the votes from the point. Photos without a vote
    distribution (None) are left out. Raise DataError for what is no distribution.
    """
    known = _known(votes)
    if not known:
        return NO_DISTRIBUTION
    levels, cumulated = _cumulated([_checked(votes[index]) for index in known])
    shares = np.diff(cumulated, axis=1, prepend=0)

    def mean_distance(at: np.ndarray) -> float:
        return float((shares * np.abs(levels - at[:, None])).sum(axis=1).mean())

    return VoteDistance(
        len(known),
        model=mean_distance(np.asarray(points, dtype=float)[known]),
        constant=mean_distance(np.full(len(known), _median(levels, cumulated.mean(axis=0)))),
        attainable=mean_distance(_median(levels, cumulated)),
    )


def distributions_to_votes(
    predicted: Sequence[Distribution], votes: Sequence[Distribution | None]
) -> VoteDistance | str:
    """Return how far predicted distributions lie from those of the votes, likewise; numbers of levels may differ."""
    known = _known(votes)
    if not known:
        return NO_DISTRIBUTION
    levels, cumulated = _cumulated([_checked(rows[index]) for rows in (votes, predicted) for index in known])
    of_votes, of_model = cumulated[: len(known), :-1], cumulated[len(known) :, :-1]
    gaps = np.diff(levels)
    return VoteDistance(
        len(known),
        model=float((np.abs(of_votes - of_model) @ gaps).mean()),
        constant=float((np.abs(of_votes - np.median(of_votes, axis=0)) @ gaps).mean()),
        attainable=0.0,
    )


def _known(votes: Sequence[Distribution | None]) -> list[int]:
    return [index for index, shares in enumerate(votes) if shares is not None]


def _median(levels: np.ndarray, cumulated: np.ndarray) -> np.ndarray:
    """Return the level at which half of the votes are reached, for each row of `cumulated`."""
    return levels[np.argmax(cumulated >= 0.5 - 1e-12, axis=-1)]


def _checked(shares: Distribution | None) -> np.ndarray:
    """Return `shares` as floats. Raise DataError unless they are two or more, not negative, and sum to 1."""
    values = np.asarray(shares, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not (values >= 0).all() or abs(values.sum() - 1) > 1e-6:
        raise DataError(
            f"{np.array2string(values, threshold=10, precision=3)} is no vote distribution: expected two or more shares that sum to 1.",
            next_step="Mend the source's histogram, then run `photoqual label` again.",
        )
    return values


def _cumulated(distributions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return all levels that occur, (l,), rising, and the share of votes at or below each, (n, l)."""
    scales = {size: np.linspace(LOWEST, HIGHEST, size) for size in {len(shares) for shares in distributions}}
    levels = np.unique(np.round(np.concatenate(list(scales.values())), 9))
    cumulated = np.zeros((len(distributions), len(levels)))
    for row, shares in zip(cumulated, distributions, strict=True):
        row[np.searchsorted(levels, np.round(scales[len(shares)], 9))] = shares
    return levels, np.cumsum(cumulated, axis=1)

"""What a score is worth to a person with a gallery: how much need not be looked at, and who is found on top.

Pure functions over n photos: `good` is 1 or 0, `scores` are any numbers (higher is better). Photos of equal score are
treated alike: a place that some of them share counts as its average over every order of them, and a gallery is never
cut between them. docs/how-to/measures.md has the formulas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from photoqual.config import EvaluateParams
from photoqual.evaluation.metrics import checked
from photoqual.evaluation.resampling import group_interval
from photoqual.evaluation.votes import (
    HIGHEST,
    LOWEST,
    Correlation,
    Distribution,
    VoteDistance,
    pearson,
    points_to_votes,
    spearman,
)

PLACES = (10, 50, 100)
"""The k of precision at k; the first tenth of the gallery comes beside them."""
_LEAST_TO_LOSE = 1
"""Good photos that may be lost at least, for resampling to say how sure the reduction is."""


@dataclass(frozen=True)
class Truth:
    """What people said of n photos: class, group (None: alone), mean vote in stars (NaN: none), vote distribution."""

    good: np.ndarray
    groups: np.ndarray
    stars: np.ndarray
    distributions: Sequence[Distribution | None]


@dataclass(frozen=True)
class Measures:
    """Each measure by name, and those that could not be computed with the reason; a name is in one of the two."""

    figures: dict[str, float]
    unknown: dict[str, str]


@dataclass(frozen=True)
class Keepers:
    """In how many groups photos differ, how often the photo with the highest score is a best-voted one, and how often
    a photo drawn blindly is.
    """

    groups: int
    accuracy: float
    chance: float


Measure = float | str
"""A number, or why there is none."""


def usefulness(truth: Truth, scores: ArrayLike, params: EvaluateParams) -> Measures:
    """Return every measure of `scores` (0 to 1) by `truth`. Raise DataError for one class only or a score that is no
    number.
    """
    good, rows = checked(truth.good, scores)
    values = rows[0]
    pace = 1000 * params.seconds_per_photo / 3600
    reduction = gallery_reduction(good, values, params.keep_share)
    bounds = reduction_interval(good, values, truth.groups, params.keep_share, params.confidence)
    gains, graded = gains_of(good, truth.stars)
    measures: dict[str, Measure] = {
        "gallery_reduction": reduction,
        **_bounds("gallery_reduction", bounds),
        "hours_saved_per_1000": pace * reduction,
        **_bounds("hours_saved_per_1000", bounds, pace),
        **{f"precision_at_{places}": precision_at(good, values, places) for places in PLACES},
        "precision_at_10_percent": precision_at(good, values, math.ceil(len(good) / 10)),
        "ndcg": ndcg(gains, values),
        "ndcg_chance": ndcg(gains, np.zeros(len(gains))),
        "ndcg_graded": graded,
        **_keepers(keeper_accuracy(good, truth.stars, truth.groups, values)),
        "photos_with_votes": int(np.isfinite(truth.stars).sum()),
        **_correlation("spearman", spearman(values, truth.stars, truth.groups, params.confidence)),
        **_correlation("pearson", pearson(values, truth.stars, truth.groups, params.confidence)),
        **_distance(points_to_votes(LOWEST + (HIGHEST - LOWEST) * values, truth.distributions)),
    }
    return Measures(
        {name: found for name, found in measures.items() if not isinstance(found, str)},
        {name: found for name, found in measures.items() if isinstance(found, str)},
    )


def _bounds(name: str, found: tuple[float, float] | str, factor: float = 1.0) -> dict[str, Measure]:
    low, high = (found, found) if isinstance(found, str) else (factor * found[0], factor * found[1])
    return {f"{name}_low": low, f"{name}_high": high}


def _keepers(found: Keepers | str) -> dict[str, Measure]:
    if isinstance(found, str):
        return {"keeper_accuracy": found, "keeper_accuracy_chance": found, "keeper_groups": 0}
    return {
        "keeper_accuracy": found.accuracy,
        "keeper_accuracy_chance": found.chance,
        "keeper_groups": found.groups,
    }


def _correlation(name: str, found: Correlation | str) -> dict[str, Measure]:
    if isinstance(found, str):
        return {name: found, **_bounds(name, found)}
    return {name: found.value, **_bounds(name, found.bounds)}


def _distance(found: VoteDistance | str) -> dict[str, Measure]:
    names = ("vote_distance", "vote_distance_constant", "vote_distance_attainable")
    if isinstance(found, str):
        return {**dict.fromkeys(names, found), "photos_with_distribution": 0}
    values = (found.model, found.constant, found.attainable)
    return {**dict(zip(names, values, strict=True)), "photos_with_distribution": found.photos}


def reduction_curve(good: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return what share of the gallery is left out and what share of the good photos stays, from nothing left out to
    all; one point per distinct score, lowest first.
    """
    truth, rows = checked(good, scores)
    rising, counts = np.unique(rows[0], return_counts=True)
    goods = np.bincount(np.searchsorted(rising, rows[0]), weights=truth, minlength=len(rising))
    out = np.concatenate([[0], np.cumsum(counts)]) / len(truth)
    return out, 1 - np.concatenate([[0], np.cumsum(goods)]) / goods.sum()


def gallery_reduction(good: ArrayLike, scores: ArrayLike, keep_share: float) -> float:
    """Return the largest share of the gallery, lowest scores first, that can be left out while at least `keep_share`
    of the good photos stays.
    """
    truth, rows = checked(good, scores)
    return float(_reductions(np.ones((1, len(truth))), truth, rows[0], keep_share)[0])


def reduction_interval(
    good: ArrayLike, scores: ArrayLike, groups: ArrayLike, keep_share: float, confidence: float
) -> tuple[float, float] | str:
    """Return the two-sided interval of the gallery reduction from resampled groups, or why there is none."""
    truth, rows = checked(good, scores)
    if truth.sum() * (1 - keep_share) < _LEAST_TO_LOSE - 1e-9:
        return f"of {int(truth.sum())} good photos none may be lost, so resampling says nothing"
    return group_interval(
        lambda weights: _reductions(weights, truth, rows[0], keep_share), groups, confidence, counted=truth
    )


def _reductions(weights: np.ndarray, truth: np.ndarray, scores: np.ndarray, keep_share: float) -> np.ndarray:
    """Return the reduction when photo j is there weights[:, j] times, (draws,); NaN without a good photo."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    photos = np.cumsum(weights[:, order], axis=1)[:, ends]
    goods = np.cumsum(weights[:, order] * truth[order], axis=1)[:, ends]
    enough = goods >= keep_share * goods[:, -1:] * (1 - 1e-9)
    kept = photos[np.arange(len(weights)), enough.argmax(axis=1)]
    return np.where(goods[:, -1] > 0, 1 - kept / photos[:, -1], np.nan)


def precision_at(good: ArrayLike, scores: ArrayLike, places: int) -> Measure:
    """Return the share of good photos among the `places` highest scores, or why there is none: fewer photos."""
    truth, rows = checked(good, scores)
    if places > len(truth):
        return f"there are {len(truth)} photos"
    return float(_averaged(truth.astype(float), rows[0])[:places].mean())


def gains_of(good: np.ndarray, stars: np.ndarray) -> tuple[np.ndarray, int]:
    """Return what each photo is worth, (n,), and 1 where that is its mean vote above one star, 0 where it is 1 for good
    and 0 for bad, because a vote mean is missing.
    """
    if np.isfinite(stars).all() and np.ptp(stars) > 0:
        return stars - LOWEST, 1
    return good.astype(float), 0


def ndcg(gains: ArrayLike, scores: ArrayLike) -> float:
    """Return the normalised discounted cumulative gain over the whole ranking, 0 to 1. No gain is negative, one is
    above 0.
    """
    worth = np.asarray(gains, dtype=float)
    discounts = 1 / np.log2(np.arange(2, len(worth) + 2))
    best = np.sort(worth)[::-1] @ discounts
    return float(_averaged(worth, np.asarray(scores, dtype=float)) @ discounts / best)


def _averaged(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return `values` in the order of falling scores, each replaced by the mean over those of equal score."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    runs = np.cumsum(np.concatenate([[0], np.diff(falling) != 0])).astype(int)
    return (np.bincount(runs, weights=values[order]) / np.bincount(runs))[runs]


def keeper_accuracy(good: ArrayLike, stars: ArrayLike, groups: ArrayLike, scores: ArrayLike) -> Keepers | str:
    """Return how often the best photo of a group is found, over groups whose photos differ, or why that is unknown.

    A group is judged by vote means where each of its photos has one, else by good and bad.
    """
    frame = pd.DataFrame(
        {
            "group": np.asarray(groups, dtype=object),
            "good": np.asarray(good, dtype=float),
            "stars": np.asarray(stars, dtype=float).round(9),
            "score": np.asarray(scores, dtype=float),
        }
    ).dropna(subset=["group"])
    by_group = frame.groupby("group", sort=False)
    unvoted = frame["stars"].isna().groupby(frame["group"]).transform("any")
    frame["worth"] = frame["good"].where(unvoted, frame["stars"])
    frame["best"] = frame["worth"] == by_group["worth"].transform("max")
    frame = frame[by_group["worth"].transform("nunique") > 1]
    if frame.empty:
        return "no group has two photos that people judged differently"
    top = frame[frame["score"] == frame.groupby("group")["score"].transform("max")]
    found = top.groupby("group")["best"].mean()
    return Keepers(len(found), float(found.mean()), float(frame.groupby("group")["best"].mean().mean()))

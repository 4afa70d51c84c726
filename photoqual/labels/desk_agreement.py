"""How far labellers agree: Krippendorff's alpha, and split-half agreement of the mean votes. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from photoqual.labels.tournament import Mode
from photoqual.sources import _raters

RELIABLE, TENTATIVE = 0.8, 0.667
"""Krippendorff's own limits: from the first on conclusions may be drawn, from the second on tentative ones."""


@dataclass(frozen=True)
class Agreement:
    """`photos` that two or more labelled, out of how many votes; `alpha`: 1 is perfect, 0 is chance; None where nothing
    can be said. `split_half`: how far other labellers would repeat the mean votes. `pairs`: alpha of each two.
    """

    photos: int
    votes: int
    alpha: float | None
    split_half: float | None
    pairs: dict[tuple[str, str], float | None]


def agreement(votes: Mapping[str, Mapping[str, int]], mode: Mode) -> Agreement:
    """Return how far the labellers in `votes` (by name the value of each photo) agree."""
    photo, vote = _coded(votes, list(votes))
    shared = np.bincount(photo) >= 2
    in_shared = shared[photo] if len(photo) else np.zeros(0, dtype=bool)
    ordinal = mode != "good"
    pairs = {}
    for left, right in combinations(sorted(votes), 2):
        codes, values = _coded(votes, [left, right])
        pairs[left, right] = alpha(codes, values, ordinal=ordinal)
    return Agreement(
        photos=int(shared.sum()),
        votes=int(in_shared.sum()),
        alpha=alpha(photo, vote, ordinal=ordinal),
        split_half=_raters.agreement(photo, vote),
        pairs=pairs,
    )


def alpha(photo: np.ndarray, vote: np.ndarray, *, ordinal: bool) -> float | None:
    """Return Krippendorff's alpha of votes: `photo` (codes from 0) and `vote` have a value per vote, at most one of each
    labeller and photo. None where no photo has two votes, or all votes are alike.

    α = 1 − D_observed / D_expected over the coincidences of values within photos; the difference of two values is 1, or
    ordinal: the square of how many votes lie from the one to the other, those at either end counted half.
    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011.
    """
    grades, grade = np.unique(vote, return_inverse=True)
    if not len(grades):
        return None
    table = np.zeros((int(photo.max()) + 1, len(grades)))
    np.add.at(table, (photo, grade), 1)
    table = table[table.sum(axis=1) >= 2]
    pairable = table.sum(axis=1, keepdims=True)
    weighed = table / np.maximum(pairable - 1, 1)
    coincidences = weighed.T @ table - np.diag(weighed.sum(axis=0))
    totals = coincidences.sum(axis=1)
    difference = 1.0 - np.eye(len(grades))
    if ordinal:
        reached = np.cumsum(totals)
        middle = reached - totals / 2
        difference = (middle[:, None] - middle[None, :]) ** 2
    expected = (np.outer(totals, totals) * difference).sum()
    if expected <= 0:
        return None
    return float(1 - (totals.sum() - 1) * (coincidences * difference).sum() / expected)


def in_words(value: float | None) -> str:
    """Return what an alpha means."""
    if value is None:
        return "cannot be told yet"
    if value >= RELIABLE:
        return "reliable"
    return "good enough for tentative conclusions" if value >= TENTATIVE else "too low to rely on"


def _coded(votes: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the photo, as a code from 0, and the value of each vote of the labellers `names`."""
    codes: dict[str, int] = {}
    rows = [(codes.setdefault(photo, len(codes)), value) for name in names for photo, value in votes[name].items()]
    table = np.array(rows, dtype=int).reshape(-1, 2)
    return table[:, 0], table[:, 1].astype(float)

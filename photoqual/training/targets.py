"""What each head is to answer for each photo, from the columns of data/labels.parquet; a label may be missing."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from photoqual.config import TrainParams
from photoqual.defects.damage import NAMES
from photoqual.errors import TooFewPhotos
from photoqual.labels.rules import STARS
from photoqual.models.heads import BINARY, DEFECTS, DISTRIBUTION, LINEAR, ORDINAL, SOFTMAX, Answers

log = logging.getLogger(__name__)

FROM_LABELS = {LINEAR, ORDINAL, DISTRIBUTION, DEFECTS}
"""Heads that need more of data/labels.parquet than what the splits tell."""
_BROUGHT_BY = {
    LINEAR: "Train on a source with votes, under a label rule of votes, such as `threshold`",
    ORDINAL: "Train on a source with votes, under a label rule of votes, such as `ordinal`",
    DISTRIBUTION: "Train on a source that tells how many votes each number of stars got (a histogram)",
    DEFECTS: "Train on a folder source with a folder per defect, under label rule `defects`, or raise train.damage",
}


@dataclass(frozen=True)
class Targets:
    """By head, `values` (n, units) float32 and `weights` (n,) float32, 0 where a photo has no label for it."""

    values: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]

    def scaled(self, factors: np.ndarray) -> "Targets":
        """Return the same with every photo's weights multiplied by its factor; `factors` is (n,)."""
        return Targets(
            self.values, {head: (weight * factors).astype(np.float32) for head, weight in self.weights.items()}
        )

    def of(self, indices: np.ndarray) -> "Targets":
        """Return the targets of the photos `indices` (b,)."""
        return Targets(
            {head: values[indices] for head, values in self.values.items()},
            {head: weights[indices] for head, weights in self.weights.items()},
        )

    def average(self) -> dict[str, np.ndarray]:
        """Return by head the raw output (units,) that is best for all photos alike, over those that have a label.

        Heads that begin there need not learn it first, nor through their features. `ordinal` has thresholds of its own.
        """
        found = {}
        for head, values in self.values.items():
            weights = self.weights[head]
            if head == ORDINAL or not weights.any():
                continue
            mean = np.average(values, axis=0, weights=weights)
            share = np.clip(mean, 1e-3, 1 - 1e-3)
            if head == LINEAR:
                found[head] = mean
            elif head in (BINARY, DEFECTS):
                found[head] = np.log(share / (1 - share))
            else:
                found[head] = np.log(share)
        return found

    def followed_by(self, others: "Targets") -> "Targets":
        """Return the targets of these photos and, after them, of `others`, for the same heads."""
        return Targets(
            {head: np.concatenate([values, others.values[head]]) for head, values in self.values.items()},
            {head: np.concatenate([weights, others.weights[head]]) for head, weights in self.weights.items()},
        )


def answers_of(labels: pd.DataFrame, *, damaged: bool = False) -> Answers:
    """Return what there is to answer in `labels`: names of defects, the commonest number of bins of vote shares, and
    the classes of label rule `ordinal`; under other rules they are stars.

    `damaged`: synthetic defects are trained on as well, so their names belong to it.
    """
    found = {str(name) for names in labels.get("defects", pd.Series(dtype=object)) for name in _listed(names)}
    counted = [len(shares) for shares in labels.get("vote_distribution", pd.Series(dtype=object)) if _listed(shares)]
    bins = int(pd.Series(counted).mode().max()) if counted else Answers.bins
    return Answers(tuple(sorted(found | (set(NAMES) if damaged else set()))), bins, _levels(labels))


def targets_of(rows: pd.DataFrame, heads: Sequence[str], answers: Answers) -> Targets:
    """Return the targets of `rows` for `heads`; weights are 1, or 0 where the label is missing."""
    made = {head: TARGETS[head](rows, answers) for head in heads}
    values = {head: np.nan_to_num(value).astype(np.float32) for head, (value, _) in made.items()}
    return Targets(values, {head: known.astype(np.float32) for head, (_, known) in made.items()})


def require_labels(targets: Targets, answers: Answers, *, damaged: bool = False) -> None:
    """Raise TooFewPhotos for a head that no training photo has a label for."""
    for head, weights in targets.weights.items():
        labelled, nameless = int((weights > 0).sum()), head == DEFECTS and not answers.defects
        if nameless or not (labelled or (damaged and head == DEFECTS)):
            raise TooFewPhotos(
                f"No training photo has a label for head `{head}`.",
                next_step=f"{_BROUGHT_BY.get(head, 'Label photos as good and bad')}; or choose another model.head.",
            )
        if labelled < len(weights):
            log.info("Head %s: %d of %d training photos have a label", head, labelled, len(weights))


def class_factors(good: np.ndarray, params: TrainParams) -> np.ndarray:
    """Return (n,) factors of weights, with mean 1: those that make both classes count alike under
    `params.class_weights`. `good` is 0 or 1, (n,).
    """
    if not params.class_weights:
        return np.ones(len(good))
    if params.oversample:
        log.info("train.class_weights has no effect: train.oversample shows both classes equally often.")
        return np.ones(len(good))
    counts = np.bincount(good.astype(int), minlength=2)
    return (len(good) / (2 * np.maximum(counts, 1)))[good.astype(int)]


def _binary(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    good = _numbers(rows, "good")
    return good[:, None], np.isfinite(good)


def _softmax(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    good = _numbers(rows, "good")
    return np.stack([1 - good, good], axis=1), np.isfinite(good)


def _linear(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Stars, 1 to 5, as 0 to 1."""
    stars = _numbers(rows, "stars")
    return ((stars - STARS[0]) / (STARS[1] - STARS[0]))[:, None], np.isfinite(stars)


def _ordinal(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Whole stars, halves up, or classes, as one number per threshold k: 1 where the level is above k."""
    stars = _numbers(rows, "ordinal")
    levels = np.clip(np.floor(stars + 0.5), 1, answers.levels)
    return (levels[:, None] > np.arange(1, answers.levels)).astype(float), np.isfinite(stars)


def _distribution(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the votes; those of sites with other bins are spread over ours, as if even within each bin."""
    values = np.full((len(rows), answers.bins), np.nan)
    for place, shares in enumerate(rows["vote_distribution"]):
        given = np.asarray(_listed(shares), dtype=float)
        if given.sum() > 0 and np.isfinite(given).all():
            reached = np.concatenate([[0.0], np.cumsum(given) / given.sum()])
            bounds = np.linspace(0, 1, answers.bins + 1)
            values[place] = np.diff(np.interp(bounds, np.linspace(0, 1, len(reached)), reached))
    return values, np.isfinite(values).all(axis=1)


def _defects(rows: pd.DataFrame, answers: Answers) -> tuple[np.ndarray, np.ndarray]:
    """Which defects a photo has. A good photo without any named has none; of a bad one nothing is known then, nor of a
    photo whose named defects are all others than those of `answers`.
    """
    named = [{str(name) for name in _listed(names)} for names in rows["defects"]]
    values = np.array([[name in names for name in answers.defects] for names in named], dtype=float)
    unnamed = np.array([not names for names in named], dtype=bool)
    answered = np.array([not names.isdisjoint(answers.defects) for names in named], dtype=bool)
    if foreign := int((~unnamed & ~answered).sum()):
        others = ", ".join(sorted(set().union(*named) - set(answers.defects)))
        log.warning(
            "Head %s: %d photos count for nothing, no training photo has their defects: %s", DEFECTS, foreign, others
        )
    known = answered | (unnamed & (_numbers(rows, "good") == 1))
    return values.reshape(len(rows), len(answers.defects)), known


TARGETS: dict[str, Callable[[pd.DataFrame, Answers], tuple[np.ndarray, np.ndarray]]] = {
    BINARY: _binary,
    SOFTMAX: _softmax,
    LINEAR: _linear,
    ORDINAL: _ordinal,
    DISTRIBUTION: _distribution,
    DEFECTS: _defects,
}
"""By head: rows of labels → values (n, units), NaN where missing, and which are known (n,)."""


def _numbers(rows: pd.DataFrame, column: str) -> np.ndarray:
    return rows[column].to_numpy(dtype=float, na_value=np.nan)


def _levels(labels: pd.DataFrame) -> int:
    """Return the number of classes: as many as the highest that occurs under label rule `ordinal`, at least two."""
    if "rule" not in labels or not (labels["rule"] == ORDINAL).any():
        return Answers.levels
    classes = _numbers(labels[labels["rule"] == ORDINAL], "ordinal")
    return max(2, int(np.nanmax(classes))) if np.isfinite(classes).any() else Answers.levels


def _listed(value: object) -> list[object]:
    """Return what a list column of Parquet holds as a list; nothing for null."""
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []

"""Measures of a binary score against the truth. Pure functions; `good` is 1 for good photos and 0 for bad ones.

The AUC is exact, from ranks with ties counted half. Good is the positive class throughout.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from photoqual.errors import DataError

CALIBRATION_BINS = 10
_CLIP = 1e-7


@dataclass(frozen=True)
class Confusion:
    """How many photos fell where: `false_good` counts bad photos labelled good, `false_bad` good ones labelled bad."""

    true_good: int
    false_good: int
    true_bad: int
    false_bad: int


def checked(good: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return `good` as booleans (n,) and `scores` as floats (k, n).

    Raise DataError when lengths differ, a label is not 0 or 1, a class is missing, or a score is not finite.
    """
    truth = np.asarray(good)
    rows = [np.asarray(row, dtype=float) for row in scores]
    if truth.ndim != 1 or any(row.shape != truth.shape for row in rows):
        shapes = ", ".join(str(row.shape) for row in rows)
        raise DataError(
            f"Labels have shape {truth.shape}, scores {shapes}; expected one of each per photo.",
            next_step="Score the same photos that the labels are of.",
        )
    if not np.isin(truth, (0, 1)).all():
        raise DataError(
            "A label is neither 1 (good) nor 0 (bad).", next_step="Leave out photos without a label before judging."
        )
    count = int(truth.sum())
    if count == 0 or count == len(truth):
        raise DataError(
            f"{len(truth)} photos, {count} of them good: one class only cannot be judged.",
            next_step="Judge on photos of both classes; see the label rule in params.yaml.",
        )
    stacked = np.stack(rows) if rows else np.empty((0, len(truth)))
    if not np.isfinite(stacked).all():
        bad = int((~np.isfinite(stacked)).any(axis=0).sum())
        raise DataError(
            f"{bad} of {len(truth)} photos have a score that is not a number.",
            next_step="Train the model again; a lower learning rate avoids this.",
        )
    return truth.astype(bool), stacked


def auc(good: ArrayLike, scores: ArrayLike) -> float:
    """Return the probability that a good photo scores above a bad one, ties counted half."""
    truth, rows = checked(good, scores)
    positives = int(truth.sum())
    ranks = rankdata(rows[0])[truth].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives)))


def confusion(good: ArrayLike, labelled_good: ArrayLike) -> Confusion:
    """Count truth against label; both are (n,) of booleans or 0 and 1."""
    truth, rows = checked(good, labelled_good)
    said = rows[0] > 0
    return Confusion(
        int((truth & said).sum()), int((~truth & said).sum()), int((~truth & ~said).sum()), int((truth & ~said).sum())
    )


def ratio(part: int, whole: int) -> float:
    """Return part / whole, 0 when there is nothing to share (no photo was given that label)."""
    return part / whole if whole else 0.0


def f_score(counts: Confusion, beta: float) -> float:
    """Return F-beta of the good class; beta 2 weighs recall (good photos kept) over precision."""
    weighted = (1 + beta**2) * counts.true_good
    return weighted / (weighted + beta**2 * counts.false_bad + counts.false_good) if weighted else 0.0


def brier(good: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean squared distance of the score from the truth."""
    truth, rows = checked(good, scores)
    return float(np.mean((rows[0] - truth) ** 2))


def log_loss(good: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean negative log-likelihood, scores kept 1e-7 away from 0 and 1."""
    truth, rows = checked(good, scores)
    likelihood = np.where(truth, rows[0], 1 - rows[0])
    return float(-np.mean(np.log(np.clip(likelihood, _CLIP, 1))))


def calibration_error(good: ArrayLike, scores: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """Return the expected calibration error: over `bins` equal widths of the score, the mean distance between
    average score and share of good photos, weighted by photos.
    """
    truth, rows = checked(good, scores)
    place = np.clip((rows[0] * bins).astype(int), 0, bins - 1)
    apart = np.bincount(place, weights=rows[0] - truth, minlength=bins)
    return float(np.abs(apart).sum() / len(truth))


def roc_points(good: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false positive rates, true positive rates and thresholds (score >= threshold), thresholds falling.

    Starts at (0, 0) with a threshold above every score, ends at (1, 1); points within a straight piece are left out.
    """
    truth, rows = checked(good, scores)
    thresholds, hits, alarms = _counts_by_threshold(truth, rows[0])
    thresholds = np.insert(thresholds, 0, np.nextafter(thresholds[0], np.inf))
    hits, alarms = np.insert(hits, 0, 0), np.insert(alarms, 0, 0)
    rise, run = np.diff(hits), np.diff(alarms)
    corner = np.ones(len(hits), dtype=bool)
    corner[1:-1] = rise[:-1] * run[1:] != rise[1:] * run[:-1]
    return alarms[corner] / alarms[-1], hits[corner] / hits[-1], thresholds[corner]


def precision_recall_points(good: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recalls, precisions and thresholds (score >= threshold), thresholds falling, one per distinct score."""
    truth, rows = checked(good, scores)
    thresholds, hits, alarms = _counts_by_threshold(truth, rows[0])
    return hits / hits[-1], hits / (hits + alarms), thresholds


def _counts_by_threshold(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct scores, falling, and how many good and bad photos score at or above each."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    hits = np.cumsum(truth[order])[last]
    return falling[last], hits, last + 1 - hits


def summary(good: ArrayLike, scores: ArrayLike, threshold: float) -> dict[str, Any]:
    """Return every measure of metrics.json but the interval, by name; scores from `threshold` on are labelled good."""
    truth, rows = checked(good, scores)
    counts = confusion(truth, rows[0] >= threshold)
    return {
        "photos": len(truth),
        "auc": auc(truth, rows[0]),
        "accuracy": (counts.true_good + counts.true_bad) / len(truth),
        "precision_good": ratio(counts.true_good, counts.true_good + counts.false_good),
        "recall_good": ratio(counts.true_good, counts.true_good + counts.false_bad),
        "precision_bad": ratio(counts.true_bad, counts.true_bad + counts.false_bad),
        "recall_bad": ratio(counts.true_bad, counts.true_bad + counts.false_good),
        "f2": f_score(counts, 2),
        "brier": brier(truth, rows[0]),
        "log_loss": log_loss(truth, rows[0]),
        "calibration_error": calibration_error(truth, rows[0]),
        **asdict(counts),
    }

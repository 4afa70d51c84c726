"""Fit the head: ridge logistic regressions on standardised features, cross-validated over base photographs.

There are more features than photos. A ridge solution lies in the span of the photos, so the regressions run on the
photos' principal coordinates, which gives the same weights (Hastie and Tibshirani, Biostatistics 5 (2004), 329-340).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from photoqual.starter.head import REACH, Head, evidence

FOLDS = 5
COORDINATES = 1200
"""Principal coordinates that are kept."""
_LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class Photos:
    """Training photos: `features` (n, d); `damage` (n, kinds) is 1 where a photo has that kind; `groups` (n,) names the
    base photographs.
    """

    features: np.ndarray
    damage: np.ndarray
    groups: np.ndarray

    @property
    def good(self) -> np.ndarray:
        """Return 1 for each photo without damage, (n,)."""
        return (self.damage.sum(axis=1) == 0).astype(int)


@dataclass(frozen=True)
class Span:
    """`coordinates` (n, c) of the photos, and what turns weights on them into weights on standardised features."""

    mean: np.ndarray
    scale: np.ndarray
    coordinates: np.ndarray
    back: np.ndarray


def cross_validated(span: Span, photos: Photos, strength: float, seed: int) -> np.ndarray:
    """Return logits (n, kinds), each photo's from regressions that never saw its base photograph.

    `strength` is the inverse weight of the ridge penalty.
    """
    weight = _even(photos.good)
    logits = np.zeros(photos.damage.shape)
    for train in _folds(photos.groups, seed):
        weights, bias = _regressions(span.coordinates[train], photos.damage[train], strength, weight[train])
        logits[~train] = span.coordinates[~train] @ weights + bias
    return logits


def platt(logits: np.ndarray, truth: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Return slope and shift that make cross-validated `logits` (n,) of `truth` the best calibrated, as for a set of
    which half is good. Source: Platt 1999.
    """
    weights, bias = _regressions(logits[:, None], truth[:, None], 1e6, _even(good))
    return float(weights[0, 0]), float(bias[0])


def fit(span: Span, photos: Photos, strength: float, held_out: np.ndarray) -> tuple[Head, np.ndarray]:
    """Return the head fitted on all `photos` and calibrated on the cross-validated logits `held_out`, and what it made
    of those: the log odds that each photo is good, (n,).
    """
    good = photos.good
    weights, bias = _regressions(span.coordinates, photos.damage, strength, _even(good))
    lines = [platt(column, truth, good) for column, truth in zip(held_out.T, photos.damage.T, strict=True)]
    slopes, shifts = np.array(lines).T
    seen = evidence(held_out * slopes + shifts)
    slope, shift = platt(seen, good, good)
    head = Head(span.mean, span.scale, (span.back @ weights) * slopes, bias * slopes + shifts, slope, shift)
    return head, seen * slope + shift


def span_of(features: np.ndarray) -> Span:
    """Return the span of photos by their `features` (n, d)."""
    from scipy.linalg import eigh

    mean = features.mean(axis=0).astype(np.float16).astype(np.float32)
    scale = (1 / np.maximum(features.std(axis=0), _LEAST_DEVIATION)).astype(np.float16).astype(np.float32)
    standard = np.clip((features - mean) * scale, -REACH, REACH)
    standard /= np.sqrt(np.float32(standard.shape[1]))
    photos = len(standard)
    values, vectors = eigh(standard @ standard.T, subset_by_index=[max(0, photos - COORDINATES), photos - 1])
    kept = values > 1e-6 * values[-1]
    roots = np.sqrt(values[kept])
    back = standard.T @ (vectors[:, kept] / roots) / np.sqrt(standard.shape[1])
    return Span(mean, scale, vectors[:, kept] * roots, back)


def _regressions(
    coordinates: np.ndarray, truth: np.ndarray, strength: float, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (c, columns) and bias (columns,) of a ridge logistic regression for each column of `truth`; one
    minimisation does them all, so that each step reads the coordinates once.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    weight = weight[:, None]
    shape = coordinates.shape[1] + 1, truth.shape[1]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        slopes, bias = np.split(values.reshape(shape), [-1])
        z = coordinates @ slopes + bias
        value = (weight * (np.logaddexp(0, z) - truth * z)).sum() + (slopes**2).sum() / (2 * strength)
        wrong = weight * (expit(z) - truth)
        gradient = np.vstack([coordinates.T @ wrong + slopes / strength, wrong.sum(axis=0)])
        return float(value), gradient.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found.reshape(shape)[:-1], found.reshape(shape)[-1]


def _even(good: np.ndarray) -> np.ndarray:
    """Return weights by which good and damaged photos count alike; their mean is 1."""
    share = good.mean()
    return np.where(good == 1, 0.5 / share, 0.5 / (1 - share))


def _folds(groups: np.ndarray, seed: int) -> Iterator[np.ndarray]:
    """Yield which photos to train on, (n,) bool; a base photograph is held out whole."""
    names, number = np.unique(groups, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    for index in range(FOLDS):
        yield fold[number] != index

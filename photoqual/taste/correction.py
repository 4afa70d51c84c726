"""What is learned of one person: a small correction of the champion, or a head of its own. Pure functions.

A rating is a target from −1 (one star) to 1 (five stars). Ridge regression in its dual form, so that the work grows
with the ratings and hardly with the features, explains the targets by an offset, by the champion's logit where it is
used, and by features whose share is held small. How small, and whether the champion is used, is what predicts the
ratings of left-out groups best; leaving a group out has a closed form (Rasmussen and Williams 2006, section 5.4.2,
for groups). Platt scaling on the same predictions makes a probability of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from photoqual.training import calibrate

GOOD, BAD = 0.5, -0.5
"""Targets from GOOD on (four stars) are of good photos, those up to BAD (two stars) of bad ones."""
STRENGTHS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Variance that features may add to a target, as multiples of the noise; 0 leaves the champion's order as it is."""
CLIP = 1e-5
"""Champion's scores are kept this far from 0 and 1."""
REACH = 6.0
"""Standardised features are clipped to this many deviations: one odd photo must not decide alone."""
_WIDE = 100.0
"""Variance of offset and slope, as multiples of the noise: as good as free."""
_FLOOR = 0.1
"""Smallest deviation of a feature, as a share of its root mean square: what hardly varied must not decide later."""
_TO_LOGIT = 4.0
"""From targets to logits, as the head `linear` has it."""


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each feature, (d,). They tell nothing of ratings, so they may come from all photos."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Standard":
        """Return those of `features` (n, d)."""
        mean = features.mean(axis=0, dtype=np.float64)
        size = np.sqrt(np.mean(np.square(features, dtype=np.float64), axis=0))
        deviation = np.maximum(features.std(axis=0, dtype=np.float64), _FLOOR * size)
        return cls(mean.astype(np.float32), np.maximum(deviation, 1e-6).astype(np.float32))

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return `features` (n, d) as clipped deviations from the mean."""
        return np.clip((features - self.mean) / self.deviation, -REACH, REACH)


@dataclass(frozen=True)
class Dual:
    """A correction as shares of the rated photos: logit = slope · champion's logit + kernel · shares + offset."""

    slope: float
    offset: float
    shares: np.ndarray
    strength: float

    def logits(self, kernel: np.ndarray, champion: np.ndarray) -> np.ndarray:
        """Return logits (m,) of photos by `kernel` (m, n), theirs with the rated ones, and `champion` logits (m,)."""
        return self.slope * champion + kernel @ self.shares + self.offset


@dataclass(frozen=True)
class Correction:
    """score = expit(slope · champion's logit + standardised features · weights + offset); `weights` is (d,)."""

    slope: float
    offset: float
    standard: Standard
    weights: np.ndarray
    strength: float

    def logits(self, features: np.ndarray, champion: np.ndarray) -> np.ndarray:
        """Return the logit of each photo, (n,), from `features` (n, d) and `champion` logits (n,)."""
        return self.slope * champion + self.standard.apply(features) @ self.weights + self.offset


def champion_logits(scores: np.ndarray) -> np.ndarray:
    """Return the champion's logits, bounded as the model of the profile bounds them."""
    return logit(np.clip(np.asarray(scores, dtype=float), CLIP, 1 - CLIP))


def judged(targets: np.ndarray) -> np.ndarray:
    """Tell which targets are of good or bad photos; the middle teaches and is not judged."""
    return (targets >= GOOD) | (targets <= BAD)


def kernel_of(standardised: np.ndarray) -> np.ndarray:
    """Return how alike the photos are, (n, n), from standardised features (n, d)."""
    return (standardised @ standardised.T).astype(float) / standardised.shape[1]


def fit_correction(features: np.ndarray, champion: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Correction:
    """Return the correction that `targets` (n,) in −1 to 1 teach. `features` is (n, d), `champion` its logits (n,),
    `groups` an integer per photo: photos of one group are left out together.
    """
    standard = Standard.of(features)
    z = standard.apply(features)
    dual = fit_dual(kernel_of(z), champion, targets, groups)
    return Correction(dual.slope, dual.offset, standard, z.T @ dual.shares / z.shape[1], dual.strength)


def fit_dual(kernel: np.ndarray, champion: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Dual:
    """Return the same from the `kernel` (n, n) of the photos."""
    centre, spread = float(champion.mean()), max(float(champion.std()), 1e-3)
    line = (champion - centre) / spread
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    least, uses, strength = np.inf, True, 0.0
    shares = missed = np.zeros(len(targets))
    for with_champion, tried in _candidates():
        prior = _WIDE * (1 + with_champion * np.outer(line, line)) + tried * kernel
        inverse = np.linalg.inv(np.eye(len(targets)) + prior)
        weight = inverse @ targets
        errors = left_out_errors(inverse, weight, members)
        if np.mean(errors**2) < least:
            least, uses, strength, shares, missed = np.mean(errors**2), with_champion, tried, weight, errors
    told = judged(targets)
    curve = calibrate.fit("platt", (targets[told] >= GOOD).astype(int), _TO_LOGIT * (targets - missed)[told])
    grown = curve.slope * _TO_LOGIT
    slope = grown * _WIDE * uses * float(line @ shares) / spread
    offset = grown * _WIDE * float(shares.sum()) + curve.offset - slope * centre
    return Dual(slope, offset, grown * strength * shares, strength)


def left_out_errors(inverse: np.ndarray, shares: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    """Return target minus prediction of every photo, (n,), as if its group had not been there. `inverse` is that of
    noise plus prior, (n, n), `shares` its product with the targets.
    """
    errors = shares / np.diag(inverse)
    for group in members:
        if len(group) > 1:
            errors[group] = np.linalg.solve(inverse[np.ix_(group, group)], shares[group])
    return errors


def fit_calibration(champion: np.ndarray, targets: np.ndarray) -> calibrate.Curve:
    """Return the curve that moves the champion's logits (n,) to where this person parts good from bad."""
    told = judged(targets)
    return calibrate.fit("platt", (targets[told] >= GOOD).astype(int), champion[told])


def _candidates() -> Iterator[tuple[bool, float]]:
    for strength in STRENGTHS:
        yield True, strength
        if strength:
            yield False, strength

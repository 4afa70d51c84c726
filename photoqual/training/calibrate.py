"""Calibration on the validation photos: from evidence to the probability that a photo is good. Pure functions.

Probabilities are calibrated for classes that are equally frequent, so that 0.5 divides good from bad whatever the share
of good photos was, and training with oversampling agrees with it.
"""

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import beta

from photoqual.models.keras_files import quiet_keras

log = logging.getLogger(__name__)

Kind = Literal["platt", "temperature", "isotonic"]
KINDS: tuple[Kind, ...] = ("platt", "temperature", "isotonic")
SIGMOID = "calibration"
"""Name of the Keras layer whose kernel is the slope and whose bias is the offset."""
SURE_ERROR_RATE = 0.1
"""Share of errors that is accepted among the photos called sure."""
SURE_CONFIDENCE = 0.9
"""In what share of trainings that error rate is to be kept."""
FOLDS = 5
_BINS = 10
_KNOTS = 16
_MIN_OF_A_CLASS = 50
"""Validation photos of each class that isotonic calibration needs."""
_SIGMOID_SHARE = 0.02


@dataclass(frozen=True)
class Curve:
    """expit(slope · evidence + offset); with `knots` (evidence, probability), rising in both, 0.02 of
    that plus 0.98 of the line through the knots, level beyond the outer ones. It rises everywhere: ranks stay.
    """

    kind: Kind
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()

    def apply(self, evidence: np.ndarray) -> np.ndarray:
        """Return the probability of good for `evidence` (n,), real numbers; (n,)."""
        smooth = expit(self.slope * evidence + self.offset)
        if not self.knots:
            return smooth
        places, probabilities = zip(*self.knots, strict=True)
        return _SIGMOID_SHARE * smooth + (1 - _SIGMOID_SHARE) * np.interp(evidence, places, probabilities)

    def layers(self, evidence: Any) -> Any:
        """Do the same to the Keras tensor `evidence` (batch, 1) with standard layers, which safe mode loads."""
        keras = quiet_keras()
        smooth = _dense(SIGMOID, evidence, [[self.slope]], [self.offset], activation="sigmoid")
        if not self.knots:
            return smooth
        places, probabilities = np.array(self.knots).T
        widths, rises = np.diff(places), np.diff(probabilities)
        x = _dense("calibration_places", evidence, [1 / widths], -places[:-1] / widths)
        passed = keras.layers.ReLU(max_value=1.0, name="calibration_passed")(x)
        parts = keras.layers.Concatenate(name="calibration_parts")([smooth, passed])
        rises = (1 - _SIGMOID_SHARE) * rises
        start = (1 - _SIGMOID_SHARE) * probabilities[0]
        return _dense("calibration_sum", parts, np.array([[_SIGMOID_SHARE, *rises]]).T, [start])


def _dense(name: str, x: Any, kernel: Any, bias: Any, activation: str | None = None) -> Any:
    layer = quiet_keras().layers.Dense(len(bias), activation=activation, name=name, dtype="float32", trainable=False)
    result = layer(x)
    layer.set_weights([np.asarray(kernel, np.float32), np.asarray(bias, np.float32)])
    return result


def fit(kind: Kind, good: np.ndarray, evidence: np.ndarray) -> Curve:
    """Return the curve that calibrates `evidence` (n,) best for `good` (n,), 0 or 1. Both classes count alike.

    `platt` fits slope and offset, `temperature` the slope alone, both with a pull to (1, 0) that fades with n;
    `isotonic` any rising line, and becomes `platt`, with a line in the log, where a class has under 50 photos.
    Sources: Platt 1999; Guo et al. 2017; Zadrozny and Elkan 2002.
    """
    curve = _fit(kind, np.asarray(good), np.asarray(evidence, dtype=float))
    if curve.kind != kind:
        log.warning("%d validation photos are too few for %s calibration: %s is used", len(good), kind, curve.kind)
    return curve


def _fit(kind: Kind, good: np.ndarray, evidence: np.ndarray) -> Curve:
    slope, offset = _sigmoid(good, evidence, with_offset=kind != "temperature")
    if kind != "isotonic":
        return Curve(kind, slope, offset)
    few = min((good == 1).sum(), (good == 0).sum()) < _MIN_OF_A_CLASS
    knots = () if few else _knots(good, evidence)
    return Curve("isotonic", slope, offset, knots) if len(knots) > 1 else Curve("platt", slope, offset)


def _weights(good: np.ndarray) -> np.ndarray:
    """Return weights (n,) that add up to 1, half of it for each class."""
    return np.where(good == 1, 0.5 / max(1, int((good == 1).sum())), 0.5 / max(1, int((good == 0).sum())))


def _sigmoid(good: np.ndarray, evidence: np.ndarray, *, with_offset: bool) -> tuple[float, float]:
    """Return slope and offset of least cross entropy. The pull is a prior: logarithm of the slope and offset normal
    around 0 with variance 1/2.
    """
    weight = _weights(good)

    def loss(values: np.ndarray) -> float:
        z = np.exp(values[0]) * evidence + (values[1] if with_offset else 0.0)
        return float((weight * (np.logaddexp(0, z) - good * z)).sum() + (values**2).sum() / len(good))

    best = minimize(loss, np.zeros(2 if with_offset else 1), method="BFGS").x
    return float(np.exp(best[0])), float(best[1]) if with_offset else 0.0


def _knots(good: np.ndarray, evidence: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Return at most 16 knots: isotonic regression on quantile bins of the evidence, each run of equal values shrunk to
    its centre. Source: centred isotonic regression, Oron and Flournoy 2017.
    """
    from sklearn.isotonic import IsotonicRegression

    weight = _weights(good)
    cuts = np.unique(np.quantile(evidence, np.linspace(0, 1, _KNOTS + 1)[1:-1]))
    _, place = np.unique(np.digitize(evidence, cuts), return_inverse=True)
    total = np.bincount(place, weight)
    middle = np.bincount(place, weight * evidence) / total
    share = np.bincount(place, weight * good) / total
    level = IsotonicRegression().fit_transform(middle, share, sample_weight=total)
    _, run = np.unique(level, return_inverse=True)
    mass = np.bincount(run, total)
    places = np.bincount(run, total * middle) / mass
    least = 1 / (len(good) / _KNOTS + 2)  # what one photo more in an outer bin could have shown
    values = np.clip(np.bincount(run, total * level) / mass, least, 1 - least)
    apart = np.concatenate([[True], np.diff(places) > 1e-3 * np.ptp(evidence)])
    return tuple((float(place), float(value)) for place, value in zip(places[apart], values[apart], strict=True))


def cross_fitted(kind: Kind, good: np.ndarray, evidence: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """Return the probability of each photo (n,) by a curve fitted on the others: five folds, both classes in each.

    Photos of one of `groups` (n,) share a fold. NaN throughout where a class has one photo, or one group, only.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    good, evidence = np.asarray(good), np.asarray(evidence, dtype=float)
    groups = np.arange(len(good)) if groups is None else np.asarray(groups)
    folds = min(FOLDS, *(len(np.unique(groups[good == value])) for value in (0, 1)))
    found = np.full(len(good), np.nan)
    if folds < 2:
        return found
    for train, held in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(evidence, good, groups):
        if len(np.unique(good[train])) == 2:
            found[held] = _fit(kind, good[train], evidence[train]).apply(evidence[held])
    return found


def expected_error(good: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error: over ten equal bins, the distance of the mean probability and the share of
    good photos, weighted; both classes count alike. Source: Naeini et al. 2015.
    """
    weight = _weights(good)
    place = np.clip((probabilities * _BINS).astype(int), 0, _BINS - 1)
    return float(np.abs(np.bincount(place, weight * (probabilities - good))).sum())


def errors(
    kind: Kind, good: np.ndarray, evidence: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, float | None]:
    """Return the expected calibration error of plain expit(evidence) and of curves that were fitted on other photos
    than they are judged on (None where there are too few), by the names of the training summary; log both.
    """
    before = expected_error(np.asarray(good), expit(np.asarray(evidence, dtype=float)))
    held_out = cross_fitted(kind, good, evidence, groups)
    after = None if np.isnan(held_out).any() else expected_error(np.asarray(good), held_out)
    told = "unknown: too few photos" if after is None else f"{after:.3f}"
    log.info("Expected calibration error on validation: %.3f before, %s after %s calibration", before, told, kind)
    return {"calibration_error_before": before, "calibration_error_after": after}


def sure_margin(good: np.ndarray, scores: np.ndarray, threshold: float) -> float | None:
    """Return the smallest distance from `threshold` at and beyond which at most 10 % of photos like these are labelled
    wrongly; None when there is none. Give it scores of curves that were fitted on other photos (`cross_fitted`).

    Going in from the furthest photo, it is the last place at which the upper 90 % bound of the error rate (exact,
    binomial) lies within 10 %: 22 photos without an error, or 38 with one, and so on. Sources: Clopper and Pearson
    1934; docs/how-to/ratings.md has how often it held in simulations.
    """
    distance = np.abs(scores - threshold)
    wrong = (scores >= threshold) != (good == 1)
    order = np.argsort(-distance, kind="stable")
    count = np.arange(1, len(order) + 1)
    mistakes = np.cumsum(wrong[order])
    bound = beta.ppf(SURE_CONFIDENCE, mistakes + 1, count - mistakes)
    last_of_equals = np.append(np.diff(distance[order]) < 0, True)
    allowed = np.flatnonzero((bound <= SURE_ERROR_RATE) & last_of_equals)
    return float(distance[order][allowed[-1]]) if len(allowed) else None

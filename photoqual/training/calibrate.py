"""Calibration on the validation photos: pure functions from labels and scores to two numbers each.

Scores are calibrated for classes that are equally frequent, so that 0.5 divides good from bad whatever the share of
good photos was, and training with oversampling agrees with it.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

SURE_ERROR_RATE = 0.1
"""Share of errors that is accepted among the validation photos called sure."""
_MIN_SURE = 20
_RIDGE = 1e-2


def platt(good: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Return (a, b) that make expit(a · logit(score) + b) best calibrated: Platt scaling with a weak pull to (1, 0).

    Both classes count alike. `good` is 0 or 1, `scores` within 0 to 1; both (n,). Source: Platt 1999.
    """
    logits = logit(np.clip(scores.astype(float), 1e-6, 1 - 1e-6))
    weight = np.where(good == 1, 0.5 / max(1, int((good == 1).sum())), 0.5 / max(1, int((good == 0).sum())))

    def loss(values: np.ndarray) -> float:
        z = np.exp(values[0]) * logits + values[1]
        return float((weight * (np.logaddexp(0, z) - good * z)).sum() + _RIDGE * (values**2).sum())

    best = minimize(loss, np.zeros(2), method="BFGS").x
    return float(np.exp(best[0])), float(best[1])


def apply(scores: np.ndarray, a: float, b: float) -> np.ndarray:
    """Return the scores after Platt scaling by (a, b)."""
    return expit(a * logit(np.clip(scores.astype(float), 1e-6, 1 - 1e-6)) + b)


def sure_margin(good: np.ndarray, scores: np.ndarray, threshold: float) -> float | None:
    """Return the smallest distance from `threshold` at and beyond which at most 10 % of the photos are labelled
    wrongly, over at least 20 of them; None when there is none.
    """
    distance = np.abs(scores - threshold)
    wrong = (scores >= threshold) != (good == 1)
    order = np.argsort(-distance)
    rate = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
    allowed = np.flatnonzero((rate <= SURE_ERROR_RATE) & (np.arange(1, len(order) + 1) >= _MIN_SURE))
    return float(distance[order][allowed[-1]]) if len(allowed) else None

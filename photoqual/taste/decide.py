"""Is a person's correction of the champion worth keeping? One pure decision; the rule stands in docs/how-to/taste.md."""

from dataclasses import dataclass

import numpy as np

from photoqual.evaluation.metrics import auc
from photoqual.evaluation.resampling import group_interval
from photoqual.evaluation.significance import careful_difference
from photoqual.taste.held_out import HeldOut

HEAD, CALIBRATION = "head", "calibration"
CONFIDENCE = 0.95
"""Of both questions together: how sure it has to be that what is kept is better."""
_SHARE = 4
"""Each question is given this part of the error that is allowed: half for there being two, and half of that because
scores from five folds of one set of ratings vary more than their spread tells (measured: docs/how-to/taste.md).
"""
FEW = 60
"""Under so many judged ratings only a large gain can be told from chance."""


@dataclass(frozen=True)
class Decision:
    """`kept`: `head`, `calibration` or None. `numbers` are those on the held-out ratings that `reason` speaks of."""

    kept: str | None
    reason: str
    numbers: dict[str, float]


def decide(held: HeldOut, threshold: float, confidence: float = CONFIDENCE) -> Decision:
    """Return what is kept. `threshold` is the score from which the champion labels a photo good.

    The correction is kept when its AUC is better beyond chance and its log loss is no worse than that of the
    calibrated champion. Else the calibrated champion is kept when it labels more ratings right beyond chance and its
    log loss is no worse than the champion's. Each question has a quarter of the error that `confidence` allows.
    """
    each = 1 - (1 - confidence) / _SHARE
    better = careful_difference(held.good, held.champion, held.corrected, each, held.groups)
    weights = class_weights(held.good)
    losses = {
        name: float(weights @ _losses(held.good, scores))
        for name, scores in (
            ("champion", held.champion),
            ("calibrated", held.calibrated),
            ("corrected", held.corrected),
        )
    }
    right = {
        "champion": (held.champion >= threshold) == (held.good == 1),
        "calibrated": (held.calibrated >= 0.5) == (held.good == 1),
        "corrected": (held.corrected >= 0.5) == (held.good == 1),
    }
    gain_low = _gain_low(held, right["calibrated"].astype(float) - right["champion"], 2 * each - 1)
    numbers = {
        "judged": float(len(held.good)),
        "auc_champion": auc(held.good, held.champion),
        "auc": auc(held.good, held.corrected),
        "auc_gain": better.delta,
        "auc_gain_low": better.low,
        "accuracy_gain_low": gain_low,
        **{f"log_loss_{name}": loss for name, loss in losses.items()},
        **{f"accuracy_{name}": float(weights @ told) for name, told in right.items()},
    }
    ranks = (
        f"AUC {numbers['auc']:.3f} against the champion's {numbers['auc_champion']:.3f} on {len(held.good)} held-out "
        f"ratings: difference {better.delta:+.3f}, lower bound {better.low:+.3f} at {each:.2%}"
    )
    labels = (
        f"calibrated to these ratings it labels {numbers['accuracy_calibrated']:.1%} right, as it is "
        f"{numbers['accuracy_champion']:.1%}, lower bound of the gain {gain_low:+.1%}"
    )
    if better.low > 0 and losses["corrected"] <= losses["calibrated"]:
        return Decision(
            HEAD, f"{ranks}; log loss {losses['corrected']:.3f} against {losses['calibrated']:.3f}.", numbers
        )
    if gain_low > 0 and losses["calibrated"] <= losses["champion"]:
        return Decision(CALIBRATION, f"The champion's order stays ({ranks}); {labels}.", numbers)
    if better.low > 0:
        ranks += f", but log loss {losses['corrected']:.3f} against {losses['calibrated']:.3f} is worse"
    few = f" {len(held.good)} ratings can show only a large gain; more of them may." if len(held.good) < FEW else ""
    return Decision(None, f"No gain beyond chance. {ranks}; {labels}.{few}", numbers)


def class_weights(good: np.ndarray) -> np.ndarray:
    """Return a weight per rating, (n,), of sum 1, such that both classes count alike."""
    return np.where(good == 1, 0.5 / max(1, int((good == 1).sum())), 0.5 / max(1, int((good == 0).sum())))


def _losses(good: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the negative log likelihood of each rating; scores are kept 1e-5 away from 0 and 1."""
    return -np.log(np.clip(np.where(good == 1, scores, 1 - scores), 1e-5, 1))


def _gain_low(held: HeldOut, gained: np.ndarray, confidence: float) -> float:
    """Return the lower bound of the gain in accuracy, both classes alike, from resampled groups; −1 where the groups
    are too few or too equal to tell. `gained` is −1, 0 or 1 per rating.
    """

    def gain(weights: np.ndarray) -> np.ndarray:
        parts = []
        for kind in (held.good == 1, held.good == 0):
            count = weights[:, kind].sum(axis=1)
            parts.append(
                np.divide(weights[:, kind] @ gained[kind], count, out=np.full(len(count), np.nan), where=count > 0)
            )
        return (parts[0] + parts[1]) / 2

    found = group_interval(gain, held.groups.astype(str), confidence)
    return -1.0 if isinstance(found, str) else found[0]

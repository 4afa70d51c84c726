"""Are the newest photos still like those the champion learned from, and does it still rank them as well?

Pure. Each finding has its effect against a threshold and its evidence beyond chance; an alarm needs both. What tells
two samples apart comes from `two_samples.py`, intervals of the AUC from `significance.py`; docs/how-to/watching.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from photoqual.config import WatchParams
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.significance import careful_interval
from photoqual.evaluation.two_samples import DRAWS, Separation, Shift, separation, shift


@dataclass(frozen=True)
class Sample:
    """Photos of one time. `groups`: (n,), equal for photos that are alike, each its own where None. `scores`: (n,) of
    the champion. `measures`: by name (n,). `good`: (n,) of 1 and 0. What is not needed may be left out.
    """

    groups: ArrayLike
    scores: ArrayLike | None = None
    measures: Mapping[str, ArrayLike] = field(default_factory=dict)
    good: ArrayLike | None = None


@dataclass(frozen=True)
class Finding:
    """One number against its threshold. `crossed`: it is over the threshold and beyond chance. `value` is None where
    it could not be found. `p_value`: one-sided, for no change; `low`: one-sided bound of `value`.
    """

    name: str
    value: float | None
    threshold: float
    crossed: bool
    text: str
    p_value: float | None = None
    low: float | None = None


@dataclass(frozen=True)
class Loss:
    """AUC then minus AUC now, of different photos, and its one-sided lower bound."""

    then: float
    now: float
    low: float

    @property
    def value(self) -> float:
        return self.then - self.now


def auc_loss(then: Sample, now: Sample, confidence: float) -> Loss:
    """Return how much lower the AUC of `now` is than that of `then`; both have `scores` and `good` of both classes.

    The samples share no photo, so the bound comes from the two intervals (Zou and Donner, 2008), each of them
    widened for groups.
    """
    bounds = []
    for sample in (then, now):
        value = auc(_given(sample.good), _given(sample.scores))
        low, high = careful_interval(
            _given(sample.good), _given(sample.scores), 2 * confidence - 1, np.asarray(sample.groups, dtype=object)
        )
        bounds.append((value, low, high))
    (before, before_low, _), (after, _, after_high) = bounds
    return Loss(before, after, before - after - math.hypot(before - before_low, after_high - after))


def assess(
    *, newest: Sample, judged: Sample, frozen: Sample, training: Sample, policy: WatchParams, draws: int = DRAWS
) -> list[Finding]:
    """Return every finding about the `newest` photos.

    `judged`: those of them that the AUC is taken over. `frozen`: the frozen test set, which
    scores are compared with, because a model scores photos it was trained on more extremely than others. `training`:
    a sample of the training photos, which measures are compared with. The confidence of `policy` holds for all
    findings together: each is given an equal part of the chance of error.
    """
    names = sorted(set(newest.measures) & set(training.measures))
    each = (1 - policy.confidence) / (2 + len(names) + bool(names))
    found = [_judge_auc(frozen, judged, policy, each)]
    scored = shift(
        _given(frozen.scores),
        _given(newest.scores),
        reference_groups=frozen.groups,
        current_groups=newest.groups,
        draws=draws,
    )
    found.append(_moved("psi.score", "score", "frozen photos", scored, policy, each))
    for name in names:
        moved = shift(
            training.measures[name],
            newest.measures[name],
            reference_groups=training.groups,
            current_groups=newest.groups,
            draws=draws,
        )
        found.append(_moved(f"psi.{name}", name.replace("_", " "), "training photos", moved, policy, each))
    if names:
        told = separation(
            _table(training, names),
            _table(newest, names),
            reference_groups=training.groups,
            current_groups=newest.groups,
            draws=draws,
        )
        found.append(_told_apart(told, policy, each))
    return found


def _table(sample: Sample, names: list[str]) -> np.ndarray:
    return np.stack([np.asarray(sample.measures[name], dtype=float) for name in names], axis=1)


def _judge_auc(frozen: Sample, judged: Sample, policy: WatchParams, each: float) -> Finding:
    good = np.asarray(_given(judged.good))
    if good.sum() in (0, len(good)):
        text = f"Not judged: of {len(good)} new photos {int(good.sum())} are good; it takes good and bad ones."
        return Finding("auc_loss", None, policy.max_auc_loss, False, text)
    loss = auc_loss(frozen, judged, 1 - each)
    crossed = loss.value > policy.max_auc_loss and loss.low > 0
    text = f"AUC {loss.now:.3f} on {len(good)} new photos, {loss.then:.3f} on the frozen ones; " + (
        "lower beyond chance." if loss.low > 0 else "chance could do that."
    )
    return Finding("auc_loss", loss.value, policy.max_auc_loss, crossed, text, low=loss.low)


def _moved(name: str, what: str, reference: str, found: Shift, policy: WatchParams, each: float) -> Finding:
    crossed = found.excess > policy.max_psi and found.p_value <= each
    text = (
        f"Against {reference}: stability index of the {what} {found.psi:.3f}, of which chance gives {found.by_chance:.3f}; "
        f"Kolmogorov-Smirnov distance {found.ks:.3f} (p {found.ks_p_value:.2g})."
    )
    return Finding(name, found.excess, policy.max_psi, crossed, text, found.p_value)


def _told_apart(found: Separation, policy: WatchParams, each: float) -> Finding:
    crossed = found.auc > policy.max_two_sample_auc and found.p_value <= each
    text = f"A classifier on all measures tells new from training photos with AUC {found.auc:.3f} where it was not fitted; 0.5 would be not at all."
    return Finding("two_sample_auc", found.auc, policy.max_two_sample_auc, crossed, text, found.p_value)


def _given(values: ArrayLike | None) -> ArrayLike:
    return np.empty(0) if values is None else values

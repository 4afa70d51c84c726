"""Does the challenger replace the champion? A pure function of what both scored on the same frozen photos.

The mathematics and its sources are in docs/promotion.md.
"""

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from photoqual.config import PromoteParams
from photoqual.errors import DataError
from photoqual.evaluation.metrics import auc, checked
from photoqual.evaluation.significance import Difference, careful_difference, careful_interval

CHANCE = 0.5

Outcome = Literal["promote", "refuse", "not_evaluable"]


@dataclass(frozen=True)
class Evidence:
    """What one model did on the frozen photos: `good` and `scores` are (n,), `groups` the group of each photo.

    `frozen_in_training` counts frozen photos the model was trained on; None: it does not say what it was trained on.
    `problem` says why it could not be scored at all, in words.
    """

    version: str
    frozen_test_digest: str
    good: np.ndarray = field(default_factory=lambda: np.empty(0))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    frozen_in_training: int | None = 0
    problem: str | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why in words, and the numbers it rests on. `outcome` tells a refusal on the evidence from
    one for want of it.
    """

    promote: bool
    outcome: Outcome
    reason: str
    numbers: dict[str, float | int | str]


def decide(champion: Evidence | None, challenger: Evidence, policy: PromoteParams) -> Decision:
    """Promote only when the lower bound of the paired AUC difference is over `policy.min_delta_auc`; a first champion
    when the lower bound of its own AUC is over chance. Ties and missing evidence never promote.
    """
    for who, evidence, remedy in (
        ("challenger", challenger, "Train it again on the present split."),
        (
            "champion",
            champion,
            "Go back to an earlier champion with `photoqual rollback`, or judge both on a new frozen test set.",
        ),
    ):
        if evidence is None:
            continue
        flaw = _flaw(evidence)
        if flaw:
            return Decision(
                False,
                "not_evaluable",
                f"The {who} (version {evidence.version}) is not evaluable: {flaw}. {remedy}",
                {"frozen_in_training": evidence.frozen_in_training or 0},
            )
    if champion is None:
        return _decide_first(challenger, policy)
    if not _same_photos(champion, challenger):
        return Decision(
            False,
            "not_evaluable",
            "Champion and challenger were not scored on the same frozen photos. Score both in one run.",
            {},
        )
    return _decide_paired(champion, challenger, policy)


def _flaw(evidence: Evidence) -> str | None:
    """Return why `evidence` cannot be judged, None when it can."""
    if evidence.problem:
        return evidence.problem
    if evidence.frozen_in_training is None:
        return "it does not say which photos it was trained on"
    if evidence.frozen_in_training:
        return f"{evidence.frozen_in_training} frozen photo(s) were among those it was trained on"
    if len(evidence.groups) != len(evidence.good):
        return "photos and groups do not match"
    try:
        checked(evidence.good, evidence.scores)
    except DataError as error:
        return error.message.rstrip(".")
    return None


def _same_photos(champion: Evidence, challenger: Evidence) -> bool:
    return champion.frozen_test_digest == challenger.frozen_test_digest and np.array_equal(
        champion.good, challenger.good
    )


def _decide_first(challenger: Evidence, policy: PromoteParams) -> Decision:
    """Judge a challenger that has no champion to beat. Its one-sided bound is that of a two-sided interval with twice
    the tail.
    """
    value = auc(challenger.good, challenger.scores)
    low, _ = careful_interval(challenger.good, challenger.scores, 2 * policy.confidence - 1, challenger.groups)
    promote = math.isfinite(low) and low > CHANCE
    numbers = _common(challenger, policy) | {"challenger_auc": value, "challenger_auc_low": low}
    sentence = (
        f"AUC {value:.4f} on {len(challenger.good)} frozen photos, lower bound {low:.4f} at {policy.confidence:.0%}"
    )
    reason = (
        f"First champion: {sentence}, is over chance."
        if promote
        else f"No champion yet, and this is not shown to beat chance: {sentence}, is not over {CHANCE}."
    )
    return Decision(promote, "promote" if promote else "refuse", reason, numbers)


def _decide_paired(champion: Evidence, challenger: Evidence, policy: PromoteParams) -> Decision:
    found = careful_difference(
        challenger.good, champion.scores, challenger.scores, policy.confidence, challenger.groups
    )
    numbers = _common(challenger, policy) | {
        "champion_auc": auc(champion.good, champion.scores),
        "challenger_auc": auc(challenger.good, challenger.scores),
        **_figures(found),
        "min_delta_auc": policy.min_delta_auc,
    }
    pair = f"AUC {numbers['challenger_auc']:.4f} against {numbers['champion_auc']:.4f} on the same {len(challenger.good)} frozen photos"
    if found.tie:
        return Decision(False, "refuse", f"A tie: both rank every good and bad photo alike ({pair}).", numbers)
    bound = f"difference {found.delta:+.4f}, lower bound {found.low:+.4f} at {policy.confidence:.0%} ({found.method})"
    promote = math.isfinite(found.low) and found.low > policy.min_delta_auc
    verb = "is over" if promote else "is not over"
    return Decision(
        promote, "promote" if promote else "refuse", f"{pair}: {bound}, {verb} {policy.min_delta_auc:g}.", numbers
    )


def _figures(found: Difference) -> dict[str, float | int | str]:
    return {
        "delta_auc": found.delta,
        "delta_auc_low": found.low,
        "delta_auc_high": found.high,
        "z": found.z,
        "p_value": found.p_value,
        "method": found.method,
    }


def _common(challenger: Evidence, policy: PromoteParams) -> dict[str, float | int | str]:
    return {
        "photos": len(challenger.good),
        "good_photos": int(np.sum(challenger.good)),
        "groups": len(np.unique(challenger.groups.astype(str))),
        "confidence": policy.confidence,
    }

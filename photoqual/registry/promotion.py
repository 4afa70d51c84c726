"""Does the challenger replace the champion? A pure function of what both scored on the same frozen photos.

The mathematics and its sources are in docs/promotion.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from photoqual.config import PromoteParams
from photoqual.errors import DataError
from photoqual.evaluation import guardrails as rails
from photoqual.evaluation.guardrails import Behaviour, Guardrail
from photoqual.evaluation.metrics import auc, checked
from photoqual.evaluation.significance import Difference, careful_difference, careful_interval
from photoqual.evaluation.wear import confidence_at, left, level

CHANCE = 0.5

Outcome = Literal["promote", "refuse", "not_evaluable"]
Numbers = dict[str, float | int | str]


@dataclass(frozen=True)
class Evidence:
    """What one model did on the frozen photos: `good` and `scores` are (n,), `groups` the group of each photo.

    `frozen_in_training` counts frozen photos the model was trained on; None: it does not say what it was trained on.
    `answers` says what goes into the model and what its answers mean. `problem` says why it could not be scored at
    all, in words.
    """

    version: str
    frozen_test_digest: str
    good: np.ndarray = field(default_factory=lambda: np.empty(0))
    scores: np.ndarray = field(default_factory=lambda: np.empty(0))
    groups: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))
    slices: Mapping[str, np.ndarray] = field(default_factory=dict)
    behaviour: Behaviour | None = None
    frozen_in_training: int | None = 0
    answers: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class Decision:
    """Whether to promote, why in words, and the numbers and guardrails it rests on. `outcome` tells a refusal on the
    evidence from one for want of it.
    """

    promote: bool
    outcome: Outcome
    reason: str
    numbers: Numbers
    guardrails: tuple[Guardrail, ...] = ()


def decide(champion: Evidence | None, challenger: Evidence, policy: PromoteParams, *, look: int = 1) -> Decision:
    """Promote only when the lower bound of the paired AUC difference is over `policy.min_delta_auc` (a first champion:
    when the lower bound of its own AUC is over chance) and every guardrail holds. Ties and missing evidence never
    promote.

    `look`: the number of this verdict on this frozen test set; each is given a smaller part of what may go wrong.
    """
    flaw = flaw_of(champion, challenger)
    if flaw:
        return Decision(False, "not_evaluable", flaw, {"frozen_in_training": _frozen_in_training(champion, challenger)})
    by_auc = (
        _decide_first(challenger, policy, look)
        if champion is None
        else _decide_paired(champion, challenger, policy, look)
    )
    return _guarded(by_auc, champion, challenger, policy)


def flaw_of(champion: Evidence | None, challenger: Evidence) -> str | None:
    """Return why the two cannot be judged, None when they can. Nothing is learnt of the frozen photos by asking."""
    for evidence in (challenger, champion):
        if evidence is not None and not evidence.problem and (flaw := _flaw_of_set(evidence.good)):
            return flaw
    for who, evidence, remedy in (
        ("challenger", challenger, "Train it again on the present split."),
        (
            "champion",
            champion,
            "Go back to an earlier champion with `photoqual rollback`, or judge both on a new frozen test set "
            "(`photoqual freeze --next`).",
        ),
    ):
        if evidence is not None and (flaw := _flaw(evidence)):
            return f"The {who} (version {evidence.version}) is not evaluable: {flaw}. {remedy}"
    if champion is None:
        return None
    if not _same_photos(champion, challenger):
        return "Champion and challenger were not scored on the same frozen photos. Score both in one run."
    if champion.answers != challenger.answers:
        return (
            f"The champion (version {champion.version}) answers another question than the challenger: "
            f"{champion.answers} against {challenger.answers}. Train a challenger with the champion's labels and inputs."
        )
    return None


def _flaw_of_set(good: np.ndarray) -> str | None:
    if 0 < np.sum(good) < len(good):
        return None
    return (
        f"The frozen test set cannot be judged on: {len(good)} photos, {int(np.sum(good))} of them good; it needs more "
        "than one class. Restore it with `dvc checkout data/frozen_test.parquet`, or start the next one with "
        "`photoqual freeze --next`."
    )


def _frozen_in_training(*judged: Evidence | None) -> int:
    return max(evidence.frozen_in_training or 0 for evidence in judged if evidence is not None)


def _guarded(by_auc: Decision, champion: Evidence | None, challenger: Evidence, policy: PromoteParams) -> Decision:
    """Let the guardrails have their say; they are reported with a refusal too."""
    if challenger.behaviour is None or (champion is not None and champion.behaviour is None):
        reason = f"{by_auc.reason} The guardrails were not measured."
        return Decision(False, "not_evaluable", reason, by_auc.numbers) if by_auc.promote else by_auc
    found = rails.judge(
        challenger.good,
        challenger.groups,
        challenger.scores,
        champion.scores if champion else None,
        challenger.behaviour,
        champion.behaviour if champion else None,
        challenger.slices,
        policy.guardrails,
        policy.confidence,
    )
    broken = [rail for rail in found if rail.outcome == "broken"]
    unknown = [rail for rail in found if rail.outcome == "not_evaluable"]
    outcome: Outcome = by_auc.outcome
    if by_auc.promote and (broken or unknown):
        outcome = "refuse" if broken else "not_evaluable"
    told = [f"{rail.name}: {rail.text}" for rail in broken or (unknown if by_auc.promote else [])]
    count = "1 guardrail is" if len(told) == 1 else f"{len(told)} guardrails are"
    of_rails = f"{count} {'broken' if broken else 'not evaluable'}: {' '.join(told)}"
    reason = by_auc.reason
    if told:
        reason = f"{of_rails} But for that: {reason}" if by_auc.promote else f"{reason} Besides, {of_rails}"
    return Decision(outcome == "promote", outcome, reason, by_auc.numbers, found)


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


def _decide_first(challenger: Evidence, policy: PromoteParams, look: int) -> Decision:
    """Judge a challenger that has no champion to beat. Its one-sided bound is that of a two-sided interval with twice
    the tail.
    """
    value = auc(challenger.good, challenger.scores)
    confidence = confidence_at(look, policy.confidence)
    low, _ = careful_interval(challenger.good, challenger.scores, 2 * confidence - 1, challenger.groups)
    promote = math.isfinite(low) and low > CHANCE
    numbers = _common(challenger, policy, look) | {"challenger_auc": value, "challenger_auc_low": low}
    sentence = (
        f"AUC {value:.4f} on {len(challenger.good)} frozen photos, lower bound {low:.4f} at {_percent(confidence)}"
    )
    reason = (
        f"First champion: {sentence}, is over chance."
        if promote
        else f"No champion yet, and this is not shown to beat chance: {sentence}, is not over {CHANCE}. The frozen "
        f"photos lie in {numbers['groups']} groups; rated photos of more groups would tell more."
    )
    return Decision(promote, "promote" if promote else "refuse", reason, numbers)


def _decide_paired(champion: Evidence, challenger: Evidence, policy: PromoteParams, look: int) -> Decision:
    confidence = confidence_at(look, policy.confidence)
    found = careful_difference(challenger.good, champion.scores, challenger.scores, confidence, challenger.groups)
    numbers = _common(challenger, policy, look) | {
        "champion_auc": auc(champion.good, champion.scores),
        "challenger_auc": auc(challenger.good, challenger.scores),
        **_figures(found),
        "min_delta_auc": policy.min_delta_auc,
    }
    pair = f"AUC {numbers['challenger_auc']:.4f} against {numbers['champion_auc']:.4f} on the same {len(challenger.good)} frozen photos"
    if found.tie:
        return Decision(False, "refuse", f"A tie: both rank every good and bad photo alike ({pair}).", numbers)
    bound = f"difference {found.delta:+.4f}, lower bound {found.low:+.4f} at {_percent(confidence)} ({found.method})"
    promote = math.isfinite(found.low) and found.low > policy.min_delta_auc
    verb = "is over" if promote else "is not over"
    return Decision(
        promote, "promote" if promote else "refuse", f"{pair}: {bound}, {verb} {policy.min_delta_auc:g}.", numbers
    )


def _figures(found: Difference) -> Numbers:
    return {
        "delta_auc": found.delta,
        "delta_auc_low": found.low,
        "delta_auc_high": found.high,
        "z": found.z,
        "p_value": found.p_value,
        "method": found.method,
    }


def _common(challenger: Evidence, policy: PromoteParams, look: int) -> Numbers:
    return {
        "photos": len(challenger.good),
        "good_photos": int(np.sum(challenger.good)),
        "groups": len(np.unique(challenger.groups.astype(str))),
        "confidence": policy.confidence,
        "look": look,
        "level": level(look, policy.confidence),
        "alpha_left": left(look),
    }


def _percent(confidence: float) -> str:
    """Write a confidence with as many digits as tell it from 100 %."""
    digits = max(0, math.ceil(-math.log10(1 - confidence)) - 2) + (1 if confidence != round(confidence, 2) else 0)
    return f"{confidence:.{digits}%}"

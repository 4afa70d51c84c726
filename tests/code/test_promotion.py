"""The decision to promote, as a table of evidence and outcome."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from photoqual.config import GuardrailParams, PromoteParams
from photoqual.evaluation.guardrails import Behaviour
from photoqual.registry.promotion import Evidence, decide, flaw_of

GOOD = np.arange(120) % 2
_NOISE = np.random.default_rng(5).normal(size=(2, 120))
CHECKS = ("darkened", "blurred", "compressed", "noisy", "black", "flipped", "cropped")
BEHAVED = Behaviour(np.ones(120, dtype=bool), 50.0, 1_000_000, {name: np.zeros(60) for name in CHECKS})
RAILS = GuardrailParams(max_calibration_error=1.0)
POLICY = PromoteParams(guardrails=RAILS)


def evidence(strength: float, *, noise: int = 0, **changes: Any) -> Evidence:
    """Return what a model of this strength did: higher is better, 0 is chance."""
    scores = 1 / (1 + np.exp(-(strength * GOOD + _NOISE[noise])))
    alone = np.arange(120).astype(str).astype(object)
    slices = dict.fromkeys(("source", "category", "upload_year", "orientation", "brightness"), np.full(120, "a"))
    found = Evidence("7", "digest", GOOD, scores, alone, slices, BEHAVED, answers="bad/good")
    return replace(found, **changes)


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome", "says"),
    [
        (evidence(0.5), evidence(2.5), "promote", "is over 0"),
        (evidence(2.5), evidence(0.5), "refuse", "is not over 0"),
        (evidence(1.5), evidence(1.5), "refuse", "tie"),
        (evidence(1.5), evidence(1.55, noise=1), "refuse", "is not over 0"),
        (None, evidence(1.5), "promote", "First champion"),
        (None, evidence(0.0), "refuse", "not shown to beat chance"),
        (None, evidence(-2.0), "refuse", "not shown to beat chance"),
        (evidence(0.5), evidence(2.5, frozen_in_training=3), "not_evaluable", r"challenger .* 3 frozen photo\(s\)"),
        (evidence(0.5, frozen_in_training=1), evidence(2.5), "not_evaluable", "champion .* rollback"),
        (evidence(0.5, frozen_in_training=None), evidence(2.5), "not_evaluable", "does not say"),
        (evidence(0.5), evidence(2.5, scores=np.full(120, np.nan)), "not_evaluable", "not a number"),
        (evidence(0.5), evidence(2.5, scores=np.zeros(3)), "not_evaluable", "shape"),
        (
            evidence(0.5, problem="model.onnx does not exist"),
            evidence(2.5),
            "not_evaluable",
            "model.onnx does not exist",
        ),
        (None, evidence(2.5, good=np.ones(120)), "not_evaluable", "one class"),
        (None, Evidence("7", "digest"), "not_evaluable", "one class"),
        (evidence(0.5, frozen_test_digest="other"), evidence(2.5), "not_evaluable", "same frozen photos"),
        (evidence(0.5, good=1 - GOOD), evidence(2.5), "not_evaluable", "same frozen photos"),
        (evidence(0.5), evidence(2.5, groups=np.array(["a"])), "not_evaluable", "groups do not match"),
        (evidence(0.5, answers="dull/sharp"), evidence(2.5), "not_evaluable", "another question .* dull/sharp"),
        (evidence(0.5), evidence(2.5, behaviour=None), "not_evaluable", "guardrails were not measured"),
        (evidence(0.5, behaviour=None), evidence(2.5), "not_evaluable", "guardrails were not measured"),
        (None, evidence(1.5, behaviour=None), "not_evaluable", "guardrails were not measured"),
        (
            evidence(0.5),
            evidence(2.5, behaviour=replace(BEHAVED, photos_per_second=0.1)),
            "refuse",
            "2 guardrails are broken.* slow.* But for that",
        ),
        (
            evidence(0.5),
            evidence(2.5, behaviour=replace(BEHAVED, changes={**BEHAVED.changes, "black": np.ones(60)})),
            "refuse",
            "^1 guardrail is broken: damage black: 60 of 60.* But for that",
        ),
        (
            evidence(0.5),
            evidence(2.5, behaviour=replace(BEHAVED, changes={**BEHAVED.changes, "noisy": np.full(60, np.nan)})),
            "not_evaluable",
            "^1 guardrail is not evaluable: damage noisy",
        ),
        (
            evidence(2.5),
            evidence(0.5, behaviour=replace(BEHAVED, model_bytes=10**9)),
            "refuse",
            "is not over 0. Besides, 1 guardrail is broken: model size",
        ),
    ],
)
def test_decision(champion: Evidence | None, challenger: Evidence, outcome: str, says: str) -> None:
    import re

    decision = decide(champion, challenger, POLICY)
    assert decision.outcome == outcome
    assert decision.promote == (outcome == "promote")
    assert re.search(says, decision.reason)


def test_the_numbers_behind_it_are_kept() -> None:
    numbers = decide(evidence(0.5), evidence(2.5), POLICY).numbers
    assert numbers["photos"] == 120
    assert numbers["good_photos"] == 60
    assert numbers["groups"] == 120
    assert numbers["challenger_auc"] - numbers["champion_auc"] == pytest.approx(numbers["delta_auc"])
    assert 0 < numbers["delta_auc_low"] < numbers["delta_auc"] < numbers["delta_auc_high"]
    assert numbers["method"] == "DeLong"
    assert numbers["p_value"] < 0.001


def test_the_margin_and_the_confidence_asked_for_are_kept() -> None:
    better = decide(evidence(0.5), evidence(2.5), POLICY).numbers["delta_auc_low"]
    assert isinstance(better, float)
    assert not decide(evidence(0.5), evidence(2.5), PromoteParams(min_delta_auc=better, guardrails=RAILS)).promote
    assert decide(evidence(0.5), evidence(2.5), PromoteParams(min_delta_auc=better - 1e-6, guardrails=RAILS)).promote
    stricter = decide(evidence(0.5), evidence(2.5), PromoteParams(confidence=0.999, guardrails=RAILS)).numbers[
        "delta_auc_low"
    ]
    assert stricter < better


@pytest.mark.parametrize("margin", [-0.05, float("-inf"), float("nan"), 1.0])
def test_a_margin_that_would_let_worse_models_pass_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="min_delta_auc"):
        PromoteParams(min_delta_auc=margin)


def test_photos_of_one_group_count_less() -> None:
    groups = (np.arange(120) // 2 // 10).astype(str).astype(object)
    alone = decide(evidence(1.0), evidence(1.6), POLICY)
    together = decide(evidence(1.0, groups=groups), evidence(1.6, groups=groups), POLICY)
    assert together.numbers["groups"] == 6
    assert together.numbers["delta_auc_low"] <= alone.numbers["delta_auc_low"]


def test_each_verdict_on_a_frozen_set_asks_for_more() -> None:
    looks = [decide(evidence(0.9), evidence(2.0, noise=1), POLICY, look=look) for look in (1, 2, 10, 200)]
    lows = [decision.numbers["delta_auc_low"] for decision in looks]
    assert lows == sorted(lows, reverse=True)
    assert [decision.promote for decision in looks] == [True, True, False, False]
    assert [decision.numbers["level"] for decision in looks] == pytest.approx([0.05 / n for n in (2, 6, 110, 40200)])
    assert "at 97.5%" in looks[0].reason
    assert "at 99.99988%" in looks[-1].reason


def test_guardrails_are_told_with_every_verdict_that_could_be_judged() -> None:
    for champion in (None, evidence(2.0)):
        names = [rail.name for rail in decide(champion, evidence(1.0), POLICY).guardrails]
        assert {"calibration error", "damage black", "change flipped"} <= set(names)
    assert decide(None, evidence(2.5, frozen_in_training=1), POLICY).guardrails == ()


def test_asking_for_a_flaw_does_not_need_a_policy() -> None:
    assert flaw_of(evidence(1.0), evidence(2.0)) is None
    assert "same frozen photos" in str(flaw_of(evidence(1.0, good=1 - GOOD), evidence(2.0)))

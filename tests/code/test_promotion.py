"""The decision to promote, as a table of evidence and outcome."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from photoqual.config import PromoteParams
from photoqual.registry.promotion import Evidence, decide

GOOD = np.arange(120) % 2
_NOISE = np.random.default_rng(5).normal(size=(2, 120))
POLICY = PromoteParams()


def evidence(strength: float, *, noise: int = 0, **changes: Any) -> Evidence:
    """Return what a model of this strength did: higher is better, 0 is chance."""
    found = Evidence("7", "digest", GOOD, strength * GOOD + _NOISE[noise], np.arange(120).astype(str).astype(object))
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
    assert not decide(evidence(0.5), evidence(2.5), PromoteParams(min_delta_auc=better)).promote
    assert decide(evidence(0.5), evidence(2.5), PromoteParams(min_delta_auc=better - 1e-6)).promote
    stricter = decide(evidence(0.5), evidence(2.5), PromoteParams(confidence=0.999)).numbers["delta_auc_low"]
    assert stricter < better


def test_a_tie_is_refused_even_where_a_little_worse_would_do() -> None:
    assert not decide(evidence(1.5), evidence(1.5), PromoteParams(min_delta_auc=-0.05)).promote


def test_photos_of_one_group_count_less() -> None:
    groups = (np.arange(120) // 2 // 10).astype(str).astype(object)
    alone = decide(evidence(1.0), evidence(1.6), POLICY)
    together = decide(evidence(1.0, groups=groups), evidence(1.6, groups=groups), POLICY)
    assert together.numbers["groups"] == 6
    assert together.numbers["delta_auc_low"] <= alone.numbers["delta_auc_low"]

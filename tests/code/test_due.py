"""Whether a retrain is worth it, as a table; and what counts as a change of labels and params."""

from typing import Any

import pandas as pd
import pytest
import yaml

from photoqual.config import RetrainParams
from photoqual.pipeline.changes import changed_params, label_changes
from photoqual.registry.due import Changes, due
from tests.conftest import PROJECT

POLICY = RetrainParams(min_new_labels=20, max_age_days=30.0)
ALARM = "The watch of 2026-11-02 raised an alarm: psi.score."


@pytest.mark.parametrize(
    ("changes", "policy", "retrain", "says"),
    [
        (Changes(None), POLICY, True, ["There is no champion yet."]),
        (Changes("3"), POLICY, False, ["No new or changed labels", "0.0 of 30 days", "Code and params are those"]),
        (Changes("3", new_labels=19), POLICY, False, ["19 new or changed labels since version 3; 20 make"]),
        (Changes("3", new_labels=20), POLICY, True, ["20 new or changed labels since version 3"]),
        (Changes("3", new_labels=8, changed_labels=7, removed_labels=5), POLICY, True, ["20 new or changed labels"]),
        (Changes("3", new_labels=1), RetrainParams(min_new_labels=1), True, ["1 new or changed label since"]),
        (Changes("3", code=["photoqual/training"]), POLICY, True, ["Code changed since version 3: photoqual/training"]),
        (
            Changes("3", code=["photoqual/training"]),
            RetrainParams(on_code_change=False),
            False,
            ["Code changed (photoqual/training), which `retrain.on_code_change` passes over."],
        ),
        (Changes("3", params=["train.epochs"]), POLICY, True, ["differ from those of version 3: train.epochs"]),
        (
            Changes("3", params=["train.epochs"]),
            RetrainParams(on_params_change=False),
            False,
            ["`retrain.on_params_change` passes over"],
        ),
        (Changes("3", age_days=30.0), POLICY, False, ["30.0 of 30 days old"]),
        (Changes("3", age_days=30.6), POLICY, True, ["Version 3 is 31 days old, more than 30."]),
        (Changes("3", alarm=ALARM), POLICY, True, [ALARM]),
        (Changes("3", forgotten=2), POLICY, True, ["Photos were forgotten since version 3: 2."]),
        (Changes("3", unknown="its revision is gone"), POLICY, True, ["cannot be told: its revision is gone."]),
        (
            Changes("3", new_labels=50, code=["photoqual/models"], params=["model.kind"], age_days=99, alarm=ALARM),
            POLICY,
            True,
            ["50 new", "Code changed", "model.kind", "99 days", ALARM],
        ),
    ],
)
def test_decision(changes: Changes, policy: RetrainParams, retrain: bool, says: list[str]) -> None:
    found = due(changes, policy)
    assert found.retrain is retrain
    for words in says:
        assert words in " ".join(found.reasons)
    assert not retrain or len(found.reasons) == len(says)


def test_labels_are_compared_photo_by_photo() -> None:
    def labels(**good: Any) -> pd.DataFrame:
        return pd.DataFrame({"photo_id": list(good), "good": pd.array(list(good.values()), dtype="Int8")})

    before = labels(kept=1, turned=0, lost=1, gone=0, unrated=None)
    after = labels(kept=1, turned=1, lost=None, unrated=0, new=1, middle=None)
    assert label_changes(before, after) == {"new_labels": 2, "changed_labels": 1, "removed_labels": 2}


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({}, []),
        ({"train": {"epochs": 3}}, ["train.epochs"]),
        ({"model": {"kind": "logistic"}, "split": {"seed": 1}}, ["model.kind", "split.seed"]),
        ({"train": {"optimizer": {"learning_rate": 0.5}}}, ["train.optimizer.learning_rate"]),
        ({"labels": {"exclude_categories": []}}, ["labels.exclude_categories"]),
        ({"promote": {"confidence": 0.9}, "watch": {"max_psi": 1.0}}, []),
        ({"train": {"a_key_of_another_version": 1}}, ["train.a_key_of_another_version"]),
    ],
)
def test_params_that_make_another_model_are_compared(
    change: dict[str, Any], differs: list[str], make_params: Any
) -> None:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    for section, keys in change.items():
        values[section] = values[section] | keys
    assert changed_params(yaml.safe_dump(values), make_params()) == differs


def test_a_key_that_was_left_out_equals_its_default(make_params: Any) -> None:
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    del values["split"]["near_duplicate_bits"]
    assert changed_params(yaml.safe_dump(values), make_params()) == []

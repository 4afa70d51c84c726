"""Targets of every head from rows of labels, with and without a label; all numbers by hand."""

import numpy as np
import pandas as pd
import pytest

from photoqual.config import TrainParams
from photoqual.defects.damage import NAMES
from photoqual.errors import TooFewPhotos
from photoqual.models.heads import Answers
from photoqual.training.targets import FROM_LABELS, Targets, answers_of, class_factors, require_labels, targets_of

ANSWERS = Answers(defects=("blur", "dark"), bins=5, levels=5)
ROWS = pd.DataFrame(
    {
        "good": pd.array([1, 0, 0, None], dtype="Int8"),
        "stars": [5.0, 2.0, 1.49, np.nan],
        "ordinal": [5.0, 2.5, 1.49, np.nan],
        "vote_distribution": [
            np.array([0, 0, 0, 0.2, 0.8]),
            np.array([0.5, 0.5]),  # another site's bins
            None,
            np.zeros(5),
        ],
        "defects": [np.array([], dtype=object), np.array(["dark"], dtype=object), np.array([], dtype=object), None],
    }
)


@pytest.mark.parametrize(
    ("head", "values", "weights"),
    [
        ("binary", [[1], [0], [0], [0]], [1, 1, 1, 0]),
        ("softmax", [[0, 1], [1, 0], [1, 0], [0, 0]], [1, 1, 1, 0]),
        ("linear", [[1], [0.25], [0.1225], [0]], [1, 1, 1, 0]),
        ("ordinal", [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], [1, 1, 1, 0]),
        ("distribution", [[0, 0, 0, 0.2, 0.8], [0.2] * 5, [0] * 5, [0] * 5], [1, 1, 0, 0]),
        ("defects", [[0, 0], [0, 1], [0, 0], [0, 0]], [1, 1, 0, 0]),
    ],
)
def test_targets_of_each_head(head: str, values: list[list[float]], weights: list[float]) -> None:
    targets = targets_of(ROWS, [head], ANSWERS)
    np.testing.assert_allclose(targets.values[head], values, atol=1e-6)
    assert targets.weights[head].tolist() == weights
    assert targets.values[head].dtype == targets.weights[head].dtype == np.float32


def test_ten_bins_become_five_by_adding_pairs() -> None:
    rows = pd.DataFrame({"vote_distribution": [np.array([0.1, 0, 0.2, 0.1, 0, 0, 0.3, 0.1, 0.2, 0])]})
    np.testing.assert_allclose(
        targets_of(rows, ["distribution"], ANSWERS).values["distribution"], [[0.1, 0.3, 0, 0.4, 0.2]], atol=1e-6
    )


def test_answers_come_from_the_labels() -> None:
    assert answers_of(ROWS) == Answers(defects=("dark",), bins=5)
    ten = pd.DataFrame({"vote_distribution": [np.full(10, 0.1), np.full(10, 0.1), np.full(5, 0.2)]})
    assert answers_of(ten).bins == 10
    assert set(answers_of(ROWS, damaged=True).defects) == {"dark", *NAMES}
    assert answers_of(pd.DataFrame({"good": [1]})) == Answers()


def test_classes_of_rule_ordinal_are_the_levels_and_the_first_one_is_above_none() -> None:
    rows = pd.DataFrame({"ordinal": [1.0, 2.0, 4.0, np.nan], "rule": "ordinal"})
    answers = answers_of(rows)
    assert answers.levels == 4
    targets = targets_of(rows, ["ordinal"], answers)
    assert targets.values["ordinal"].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert targets.weights["ordinal"].tolist() == [1, 1, 1, 0]
    assert answers_of(rows.assign(rule="threshold")).levels == Answers.levels
    assert answers_of(rows.iloc[3:]).levels == Answers.levels


@pytest.mark.parametrize("head", sorted(FROM_LABELS))
def test_a_head_without_any_label_is_refused_by_name(head: str) -> None:
    rows = ROWS.iloc[3:]
    answers = answers_of(rows)
    with pytest.raises(TooFewPhotos, match=f"head `{head}`.*Train on a") as told:
        require_labels(targets_of(rows, [head], answers), answers)
    assert "model.head" in told.value.next_step


def test_synthetic_defects_are_labels_of_defects() -> None:
    answers = answers_of(ROWS.iloc[3:], damaged=True)
    targets = targets_of(ROWS.iloc[3:], ["defects"], answers)
    require_labels(targets, answers, damaged=True)
    with pytest.raises(TooFewPhotos):
        require_labels(targets, answers)


def test_scaling_keeps_what_is_missing_missing() -> None:
    scaled = targets_of(ROWS, ["defects"], ANSWERS).scaled(np.array([0.5, 2, 3, 4]))
    assert scaled.weights["defects"].tolist() == [0.5, 2, 0, 0]


def test_a_defect_that_no_training_photo_has_is_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    rows = pd.DataFrame({"good": [0, 0, 1, 1], "defects": [["tilt"], ["tilt", "dark"], ["tilt"], []]})
    targets = targets_of(rows, ["defects"], ANSWERS)
    assert targets.weights["defects"].tolist() == [0, 1, 0, 1]
    assert targets.values["defects"][1].tolist() == [0, 1]
    assert "2 photos count for nothing" in caplog.text
    assert caplog.text.rstrip().endswith("tilt")


def test_targets_of_some_photos() -> None:
    some = targets_of(ROWS, ["linear"], ANSWERS).of(np.array([3, 0]))
    assert some.values["linear"][:, 0].tolist() == [0, 1]
    assert some.weights["linear"].tolist() == [0, 1]


def test_class_factors_even_the_classes_out() -> None:
    good = np.array([1, 0, 0, 0])
    even = TrainParams(class_weights=True, oversample=False)
    factors = class_factors(good, even)
    np.testing.assert_allclose(factors, [2, 2 / 3, 2 / 3, 2 / 3])
    assert factors[good == 1].sum() == pytest.approx(factors[good == 0].sum())
    assert np.isfinite(class_factors(np.array([1, 1]), even)).all()
    for without in (TrainParams(oversample=False), TrainParams(class_weights=True, oversample=True)):
        np.testing.assert_array_equal(class_factors(good, without), 1)


def test_the_average_answer_is_a_raw_output_over_the_photos_that_have_a_label() -> None:
    targets = Targets(
        {
            "binary": np.array([[1.0], [0.0], [0.0], [0.0]]),
            "linear": np.array([[0.25], [0.75], [9.0], [0.5]]),
            "distribution": np.array([[0.5, 0.5], [0.7, 0.3], [0.0, 0.0], [0.6, 0.4]]),
            "ordinal": np.ones((4, 2)),
        },
        {
            "binary": np.ones(4),
            "linear": np.array([1.0, 1.0, 0.0, 2.0]),
            "distribution": np.array([1.0, 1.0, 0.0, 1.0]),
            "ordinal": np.ones(4),
        },
    )
    found = targets.average()
    assert set(found) == {"binary", "linear", "distribution"}
    np.testing.assert_allclose(found["binary"], np.log(1 / 3))
    np.testing.assert_allclose(found["linear"], 0.5)
    np.testing.assert_allclose(np.exp(found["distribution"]), [0.6, 0.4])

"""Measures against scikit-learn and against counting by hand; input that cannot be judged is refused."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from photoqual.errors import DataError
from photoqual.evaluation import metrics


def sample(seed: int, photos: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and rounded scores, so that there are ties within and between the classes."""
    draw = np.random.default_rng(seed)
    good = (draw.random(photos) < 0.4).astype(int)
    return good, np.round(np.clip(draw.normal(0.4 + 0.2 * good, 0.2), 0, 1), 2)


@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn(seed: int) -> None:
    good, scores = sample(seed)
    found = metrics.summary(good, scores, 0.5)
    said = (scores >= 0.5).astype(int)
    assert found["auc"] == pytest.approx(reference.roc_auc_score(good, scores), abs=1e-12)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(good, said))
    assert found["precision_good"] == pytest.approx(reference.precision_score(good, said))
    assert found["recall_bad"] == pytest.approx(reference.recall_score(good, said, pos_label=0))
    assert found["precision_bad"] == pytest.approx(reference.precision_score(good, said, pos_label=0))
    assert found["f2"] == pytest.approx(reference.fbeta_score(good, said, beta=2))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(good, scores))
    assert found["log_loss"] == pytest.approx(reference.log_loss(good, np.clip(scores, 1e-7, 1 - 1e-7)))
    true_bad, false_good, false_bad, true_good = reference.confusion_matrix(good, said).ravel()
    assert (found["true_good"], found["false_good"], found["true_bad"], found["false_bad"]) == (
        true_good,
        false_good,
        true_bad,
        false_bad,
    )


def test_curves_are_those_of_scikit_learn_and_hold_the_auc() -> None:
    good, scores = sample(1)
    false_positives, true_positives, thresholds = metrics.roc_points(good, scores)
    theirs = reference.roc_curve(good, scores, drop_intermediate=False)
    assert (false_positives[0], true_positives[0], false_positives[-1], true_positives[-1]) == (0, 0, 1, 1)
    assert np.interp(theirs[0], false_positives, true_positives).max() == 1
    assert np.trapezoid(true_positives, false_positives) == pytest.approx(reference.roc_auc_score(good, scores))
    assert thresholds[0] > scores.max()
    assert (np.diff(thresholds) < 0).all()
    at = int(np.flatnonzero(theirs[2] == thresholds[3])[0])
    assert (false_positives[3], true_positives[3]) == (theirs[0][at], theirs[1][at])
    recalls, precisions, cuts = metrics.precision_recall_points(good, scores)
    their_precisions, their_recalls, their_cuts = reference.precision_recall_curve(good, scores)
    np.testing.assert_allclose(precisions[::-1], their_precisions[:-1])
    np.testing.assert_allclose(recalls[::-1], their_recalls[:-1])
    np.testing.assert_allclose(cuts[::-1], their_cuts)


def test_roc_leaves_out_points_within_a_straight_piece() -> None:
    false_positives, true_positives, _ = metrics.roc_points([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.7, 0.8, 0.9])
    assert list(zip(false_positives, true_positives, strict=True)) == [(0, 0), (0, 1), (1, 1)]


def test_calibration_error_by_hand() -> None:
    good = [1, 0, 1, 1]
    scores = [0.25, 0.25, 0.95, 0.75]
    assert metrics.calibration_error(good, scores) == pytest.approx((2 * 0.25 + 0.05 + 0.25) / 4)
    assert metrics.calibration_error([0, 1], [0.0, 1.0]) == 0


def test_nothing_labelled_good_is_no_division_by_zero() -> None:
    found = metrics.summary([1, 0], [0.1, 0.2], 0.5)
    assert (found["precision_good"], found["recall_good"], found["f2"], found["recall_bad"]) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("good", "scores", "says"),
    [
        ([1, 0], [0.5], "shape"),
        ([1, 1], [0.5, 0.6], "one class"),
        ([], [], "one class"),
        ([1, 0], [0.5, float("nan")], "not a number"),
        ([1, 0], [0.5, float("inf")], "not a number"),
        ([1, 2], [0.5, 0.5], "neither"),
        ([[1, 0]], [[0.5, 0.5]], "shape"),
    ],
)
def test_what_cannot_be_judged_is_refused(good: Any, scores: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        metrics.auc(good, scores)
    assert caught.value.next_step

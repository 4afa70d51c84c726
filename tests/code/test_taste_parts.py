"""The mathematics of taste on made numbers: leaving groups out in closed form, folds, the decision."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from photoqual.taste.correction import fit_calibration, fit_correction, fit_dual, kernel_of, left_out_errors
from photoqual.taste.decide import CALIBRATION, HEAD, decide
from photoqual.taste.held_out import HeldOut, group_folds, held_out
from photoqual.taste.seen import grouped


def test_leaving_a_group_out_in_closed_form_is_leaving_it_out() -> None:
    draw = np.random.default_rng(1)
    z, targets, groups = (
        draw.normal(size=(12, 30)),
        draw.normal(size=12),
        np.array([0, 0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8]),
    )
    prior = 100.0 + kernel_of(z)
    inverse = np.linalg.inv(np.eye(12) + prior)
    found = left_out_errors(inverse, inverse @ targets, [np.flatnonzero(groups == group) for group in range(9)])
    for group in range(9):
        out, rest = groups == group, groups != group
        shares = np.linalg.solve(np.eye(rest.sum()) + prior[np.ix_(rest, rest)], targets[rest])
        np.testing.assert_allclose(found[out], targets[out] - prior[np.ix_(out, rest)] @ shares, atol=1e-9)


def test_the_dual_and_the_weights_say_the_same_of_new_photos() -> None:
    draw = np.random.default_rng(2)
    features, champion = draw.normal(3, 2, (60, 200)), draw.normal(size=60)
    targets = np.sign(features[:, :40].sum(axis=1) - 120 + champion)
    learned = fit_correction(features, champion, targets, np.arange(60))
    assert learned.strength > 0
    z = learned.standard.apply(features)
    dual = fit_dual(kernel_of(z), champion, targets, np.arange(60))
    new, said = draw.normal(3, 2, (5, 200)), draw.normal(size=5)
    kernel = learned.standard.apply(new) @ z.T / 200
    np.testing.assert_allclose(learned.logits(new, said), dual.logits(kernel, said), atol=1e-6)


def test_a_champion_that_explains_all_is_left_in_its_order() -> None:
    draw = np.random.default_rng(3)
    champion = draw.normal(size=80)
    learned = fit_correction(draw.normal(size=(80, 50)), champion, np.tanh(champion), np.arange(80))
    assert learned.slope > 0
    assert np.corrcoef(learned.logits(draw.normal(size=(80, 50)), champion), champion)[0, 1] > 0.99
    assert fit_calibration(champion + 3, np.sign(champion)).offset < 0


def test_folds_keep_groups_whole_and_both_classes_spread() -> None:
    draw = np.random.default_rng(4)
    groups, good = draw.integers(0, 30, 100), draw.random(100) < 0.3
    folds = group_folds(groups, good, 5, np.random.default_rng(0))
    assert all(len(np.unique(folds[groups == group])) == 1 for group in np.unique(groups))
    assert all(2 <= good[folds == fold].sum() <= 10 for fold in range(5))
    assert (np.bincount(folds) >= 12).all()


def held(champion: np.ndarray, calibrated: np.ndarray, corrected: np.ndarray, good: np.ndarray) -> HeldOut:
    return HeldOut(good, np.arange(len(good)), champion, calibrated, corrected)


GOOD = np.tile([0, 1], 50)
NOISE = np.random.default_rng(5).normal(0, 1, 100)


def scores(gain: float, offset: float = 0.0) -> np.ndarray:
    return 1 / (1 + np.exp(-(gain * (2 * GOOD - 1) + NOISE + offset)))


@pytest.mark.parametrize(
    ("champion", "calibrated", "corrected", "kept"),
    [
        (scores(0.3), scores(0.3), scores(2), HEAD),
        (scores(2), scores(2), scores(0.3), None),
        (scores(1), scores(1), scores(1), None),
        (scores(2, -3), scores(2), scores(2), CALIBRATION),
        (scores(2), scores(2, -3), scores(2), None),
        (scores(0.3), scores(0.3), 0.98 + 0.02 * scores(2), None),  # ranks better, and its probabilities are useless
    ],
)
def test_the_decision(champion: np.ndarray, calibrated: np.ndarray, corrected: np.ndarray, kept: str | None) -> None:
    decision = decide(held(champion, calibrated, corrected, GOOD), 0.5)
    assert decision.kept == kept, decision.reason
    assert f"{decision.numbers['auc']:.3f}" in decision.reason


def test_few_ratings_are_told_to_be_few() -> None:
    few = slice(0, 20)
    other = 1 / (1 + np.exp(-(2 * GOOD - 1 + NOISE[::-1])))
    decision = decide(held(scores(1)[few], scores(1)[few], other[few], GOOD[few]), 0.5)
    assert decision.kept is None
    assert "20 ratings can show only a large gain" in decision.reason


def test_out_of_fold_answers_know_nothing_of_their_own_ratings() -> None:
    draw = np.random.default_rng(6)
    features, groups = draw.normal(size=(80, 400)), np.repeat(np.arange(20), 4)
    targets = np.repeat(draw.choice([-1.0, 1.0], 20), 4)
    features += np.repeat(draw.normal(0, 3, (20, 400)), 4, axis=0)  # photos of a group are alike, and rated alike
    found = held_out(features, np.full(80, 0.5), targets, groups)
    decision = decide(found, 0.5)
    assert decision.kept is None
    assert decision.numbers["auc"] < 0.75


MIDNIGHT = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("names", "step", "grouping", "groups"),
    [
        (["a", "a", "b", None] * 10, timedelta(days=1), "group", 12),
        ([None] * 40, timedelta(hours=12), "day", 20),
        ([None] * 40, timedelta(minutes=30), "hour", 20),
        ([None] * 40, timedelta(seconds=30), "minute", 20),
        ([None] * 40, timedelta(seconds=1), "minute", 1),
        ([None] * 40, None, "near duplicates", 40),
    ],
)
def test_photos_of_a_day_belong_together_and_of_one_event_those_of_an_hour_or_minute(
    names: list[str | None], step: timedelta | None, grouping: str, groups: int
) -> None:
    draw = np.random.default_rng(7)
    hashes = [f"{int(value):016x}" for value in draw.integers(0, 2**63, 40)]
    times = [None if step is None else MIDNIGHT + index * step for index in range(40)]
    found, told = grouped([str(index) for index in range(40)], names, times, hashes)
    assert (told, len(np.unique(found))) == (grouping, groups)
    hashes[39] = hashes[0]
    again, _ = grouped([str(index) for index in range(40)], names, times, hashes)
    assert again[39] == again[0]

"""Intervals and differences of AUCs: against brute force, against a published table, and by simulation."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.promotion_statistics import Model, promoted
from benchmarks.simulated_models import FrozenSet, Setting
from photoqual.errors import DataError
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.significance import (
    Difference,
    auc_interval,
    bootstrap_aucs,
    bootstrap_difference,
    bootstrap_interval,
    careful_difference,
    careful_interval,
    delong,
    paired_difference,
    placements,
)
from photoqual.evaluation.wear import confidence_at

Sample = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def pair(
    draw: np.random.Generator, photos: int, *, gain: float = 0.0, per_group: int = 1, spread: float = 0.0
) -> Sample:
    """Return labels, two correlated scores and groups. Both models are of equal quality but for `gain`; with `spread`
    photos of one group (all good or all bad) share part of each score.
    """
    groups = np.repeat(np.arange(photos // per_group), per_group)
    good = np.repeat(draw.permutation(np.arange(photos // per_group) % 5 < 2), per_group)
    shared = draw.normal(size=photos)

    def score(strength: float) -> np.ndarray:
        of_group = np.repeat(draw.normal(size=photos // per_group), per_group)
        return strength * good + 0.8 * shared + 0.6 * draw.normal(size=photos) + spread * of_group

    return good.astype(int), score(1.5), score(1.5 + gain), groups


def brute_force(good: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return AUCs and DeLong's covariance from every pair of a good and a bad photo."""
    wins = []
    for row in scores:
        above, below = row[good == 1][:, None], row[good == 0][None]
        wins.append((above > below) + 0.5 * (above == below))
    beaten = np.stack([won.mean(axis=1) for won in wins])
    beating = np.stack([won.mean(axis=0) for won in wins])
    return beaten.mean(axis=1), np.cov(beaten) / beaten.shape[1] + np.cov(beating) / beating.shape[1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("digits", [0, 1, 9])
def test_delong_is_that_of_every_pair(seed: int, digits: int) -> None:
    good, a, b, _ = pair(np.random.default_rng(seed), 60, gain=0.3)
    a, b = a.round(digits), b.round(digits)
    aucs, covariance = delong(good, a, b)
    expected_aucs, expected = brute_force(good, a, b)
    np.testing.assert_allclose(aucs, expected_aucs, atol=1e-12)
    np.testing.assert_allclose(covariance, expected, atol=1e-12)
    found = paired_difference(good, a, b, 0.95)
    error = np.sqrt(expected[0, 0] + expected[1, 1] - 2 * expected[0, 1])
    assert found.delta == pytest.approx(expected_aucs[1] - expected_aucs[0])
    assert found.z == pytest.approx(found.delta / error)
    assert found.low < found.delta - 1.64 * error < found.delta < found.high


def test_the_rating_table_of_hanley_and_mcneil_1982() -> None:
    """Radiologist's ratings 1 to 5 of 58 normal and 51 abnormal CT images: area .893, standard error about .03."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.concatenate([np.repeat(np.arange(1, 6), counts) for counts in (normal, abnormal)])
    good = np.repeat([0, 1], [58, 51])
    aucs, covariance = delong(good, ratings)
    assert aucs[0] == pytest.approx(0.893, abs=5e-4)
    assert np.sqrt(covariance[0, 0]) == pytest.approx(0.031, abs=1.5e-3)
    low, high = auc_interval(good, ratings, 0.95)
    assert 0.80 < low < 0.893 - 0.06 < 0.893 < high < 0.96


PATIENTS_OF_DELONG_1988 = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1
3.7 6.7 6 1   3.2 5.4 4 1  3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0   3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1
4.3 6.5 4 1   3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0   2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
"""Albumin, total protein, K-G score (lower is better) and outcome of the 43 complete of the 49 patients with ovarian
cancer on whom DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988) show their method."""


def test_the_patients_of_delong_1988() -> None:
    """Areas, standard errors and contrasts with the K-G score as SAS/STAT prints them for these patients."""
    albumin, protein, score, benefits = np.array(PATIENTS_OF_DELONG_1988.split(), dtype=float).reshape(-1, 4).T
    aucs, covariance = delong(benefits, albumin, protein, 10 - score)
    np.testing.assert_allclose(aucs, [0.7366, 0.6478, 0.7258], atol=5e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.0927, 0.1000, 0.1028], atol=5e-5)
    for test, delta, error, chi_square in ((albumin, 0.0108, 0.0953, 0.0127), (protein, -0.0780, 0.1046, 0.5554)):
        found = paired_difference(benefits, 10 - score, test, 0.95)
        assert found.delta == pytest.approx(delta, abs=5e-5)
        assert found.delta / found.z == pytest.approx(error, abs=5e-5)
        assert found.z**2 == pytest.approx(chi_square, abs=5e-5)
    contrasts = np.array([[1, 0, -1], [0, 1, -1]])
    differences = contrasts @ aucs
    together = differences @ np.linalg.solve(contrasts @ covariance @ contrasts.T, differences)
    assert together == pytest.approx(2.5340, abs=5e-5)


def test_placements_average_to_the_auc() -> None:
    good, a, b, _ = pair(np.random.default_rng(8), 50)
    beaten, beating = placements(good, a, b)
    np.testing.assert_allclose(beaten.mean(axis=1), beating.mean(axis=1))


def test_models_that_rank_alike_are_a_tie() -> None:
    good, a, _, groups = pair(np.random.default_rng(0), 60, per_group=3)
    for same in (a, 3 * a + 1, np.exp(a)):
        for found in (
            paired_difference(good, a, same, 0.95),
            bootstrap_difference(good, a, same, 0.95, groups=groups),
            careful_difference(good, a, same, 0.95, groups),
        ):
            assert found.tie
            assert (found.delta, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(("photos", "low_over"), [(4, 0.0), (20, 0.6), (200, 0.95)])
def test_a_perfect_auc_is_not_certain(photos: int, low_over: float) -> None:
    good = np.arange(photos) % 2
    low, high = auc_interval(good, good.astype(float), 0.95)
    assert low_over < low < 1 == high
    assert low == pytest.approx(0.025 ** (2 / photos))
    assert auc_interval(good, 1.0 - good, 0.95) == (0.0, pytest.approx(1 - low))


def test_without_variance_few_photos_prove_nothing_and_many_do() -> None:
    def perfect_against_constant(photos: int) -> float:
        good = np.arange(photos) % 2
        return paired_difference(good, np.zeros(photos), good.astype(float), 0.95).low

    assert perfect_against_constant(10) < 0 < perfect_against_constant(200) < 0.5


def test_one_photo_of_a_class_proves_nothing() -> None:
    good = [1, 0, 0, 0]
    found = paired_difference(good, [0.1, 0.2, 0.3, 0.4], [0.9, 0.2, 0.3, 0.4], 0.95)
    assert (found.low, found.high, found.p_value) == (-1, 1, 1)
    assert auc_interval(good, [0.9, 0.2, 0.3, 0.4], 0.95) == (0, 1)
    assert np.isnan(delong(good, [0.9, 0.2, 0.3, 0.4])[1]).all()


def test_one_group_proves_nothing() -> None:
    good, a, b, _ = pair(np.random.default_rng(0), 60, gain=2)
    found = bootstrap_difference(good, a, b, 0.95, groups=np.zeros(60))
    assert (found.low, found.high, found.method) == (-1, 1, "too few groups")


def test_bootstrap_draws_are_aucs_of_whole_groups() -> None:
    """Two groups a class, drawn whole: only the AUCs of those nine combinations can come out."""
    good = np.repeat([0, 1], 4)
    scores = np.array([1, 2, 6, 7, 3, 4, 8, 9], dtype=float)
    groups = np.repeat(["a", "b", "c", "d"], 2)
    drawn = bootstrap_aucs(good, scores, groups=groups, draws=400, seed=1)[0]
    a, b, c, d = (scores[groups == name] for name in "abcd")
    possible = {
        round(float((np.r_[x][:, None] > np.r_[y][None]).mean()), 9)
        for x in ((*c, *c), (*c, *d), (*d, *d))
        for y in ((*a, *a), (*a, *b), (*b, *b))
    }
    assert {round(value, 9) for value in drawn.tolist()} == possible


def test_bootstrap_of_single_photos_agrees_with_delong_and_is_repeatable() -> None:
    good, a, b, _ = pair(np.random.default_rng(4), 400, gain=0.3)
    by_delong = paired_difference(good, a, b, 0.95)
    drawn = bootstrap_difference(good, a, b, 0.95)
    assert drawn.delta == pytest.approx(by_delong.delta)
    assert drawn.low == pytest.approx(by_delong.low, abs=0.004)
    assert drawn == bootstrap_difference(good, a, b, 0.95)
    assert drawn != bootstrap_difference(good, a, b, 0.95, seed=1)


TAILS = (0.05, 0.025, 0.0105, 0.0101, 0.0099, 0.0095, 0.005, 1e-3, 1e-4, 1.2e-6, 1e-9)
"""2,000 draws resolve tails down to about 0.01."""


@pytest.mark.parametrize("options", [{}, {"per_group": 4, "spread": 0.7}, {"per_group": 20}])
def test_bounds_go_on_smoothly_beyond_what_the_draws_resolve(options: dict[str, float]) -> None:
    good, a, b, groups = pair(np.random.default_rng(9), 400, gain=0.3, **options)  # type: ignore[arg-type]
    found = [bootstrap_difference(good, a, b, 1 - tail, groups=groups) for tail in TAILS]
    lows, highs = [each.low for each in found], [each.high for each in found]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    first, second = bootstrap_aucs(good, a, b, groups=groups)
    assert lows[-2] < (second - first).min() < (second - first).max() < highs[-2]
    error = found[0].delta / found[0].z
    steps = -np.diff([*lows[2:6]])
    assert steps.max() < 0.15 * error
    assert {(each.z, each.p_value) for each in found} == {(found[0].z, found[0].p_value)}


def test_far_bounds_of_single_photos_agree_with_delong() -> None:
    good, a, b, _ = pair(np.random.default_rng(4), 600, gain=0.3)
    for tail in (1e-3, 1e-6):
        by_delong, drawn = (judge(good, a, b, 1 - tail) for judge in (paired_difference, bootstrap_difference))
        assert drawn.low == pytest.approx(by_delong.low, abs=0.15 * (by_delong.delta - by_delong.low))
        assert drawn.p_value == pytest.approx(by_delong.p_value, rel=1.0)


@pytest.mark.parametrize("gain", [-0.2, 0.0, 0.15, 0.4, 0.8, 2.0])
@pytest.mark.parametrize("judge", [paired_difference, bootstrap_difference])
def test_p_value_and_lower_bound_say_the_same(judge: Callable[..., Difference], gain: float) -> None:
    good, a, b, _ = pair(np.random.default_rng(12), 300, gain=gain)
    p_value = judge(good, a, b, 0.95).p_value
    for tail in (p_value * 0.9, p_value * 1.1):
        if tail < 0.5:
            assert (judge(good, a, b, 1 - tail).low > 0) == (tail > p_value)


def test_a_much_better_model_is_found_on_a_worn_set_of_groups() -> None:
    """Fewer than one of the 2,000 draws lies in the tail that verdict 200 may use."""
    good, a, b, groups = pair(np.random.default_rng(2), 1200, gain=1.0, per_group=4, spread=0.3)
    found = careful_difference(good, a, b, confidence_at(200, 0.95), groups)
    assert found.method == "group bootstrap"
    assert 0 < found.low < found.delta
    assert 0 < found.p_value < 1e-6


def test_far_interval_of_one_auc_stays_within_0_and_1() -> None:
    good, a, _, groups = pair(np.random.default_rng(1), 60, per_group=3)
    near, far = (bootstrap_interval(good, a, confidence, groups=groups) for confidence in (0.95, 1 - 1e-6))
    assert 0 <= far[0] < near[0] < near[1] < far[1] <= 1


def test_groups_widen_and_missing_groups_are_photos_of_their_own() -> None:
    good, a, _, groups = pair(np.random.default_rng(6), 200, per_group=5, spread=1.0)
    alone = auc_interval(good, a, 0.95)
    together = careful_interval(good, a, 0.95, groups)
    assert together[0] < alone[0] < alone[1] <= together[1]
    assert careful_interval(good, a, 0.95, np.full(200, None, dtype=object)) == alone


def false_promotions(photos: int, pairs: int, **options: float) -> tuple[float, float]:
    """Return how often the gate's bound, and plain `AUC greater`, call equal models different."""
    draw = np.random.default_rng(11)
    careful = greater = 0
    for _ in range(pairs):
        good, a, b, groups = pair(draw, photos, **options)  # type: ignore[arg-type]
        found = careful_difference(good, a, b, 0.95, groups)
        careful += found.low > 0
        greater += found.delta > 0
    return careful / pairs, greater / pairs


def test_equal_models_are_promoted_at_most_as_often_as_stated() -> None:
    careful, greater = false_promotions(200, 500)
    assert careful <= 0.075  # 0.05 and two and a half standard errors
    assert 0.4 < greater < 0.6


def test_far_tails_are_not_too_light() -> None:
    draw = np.random.default_rng(13)
    chances = [paired_difference(*pair(draw, 200)[:3], 0.95).p_value for _ in range(3000)]
    assert np.sum(np.array(chances) < 1e-3) <= 10  # 3 expected


def test_equal_models_are_not_promoted_on_the_strength_of_their_groups() -> None:
    careful, _ = false_promotions(120, 120, per_group=4, spread=1.0)
    assert careful <= 0.10  # DeLong alone: about 0.15


def test_a_better_model_is_found() -> None:
    draw = np.random.default_rng(2)
    samples = [pair(draw, 600, gain=0.5) for _ in range(40)]
    found = [careful_difference(*sample[:3], 0.95, sample[3]).low > 0 for sample in samples]
    assert np.mean(found) > 0.8


@pytest.mark.parametrize("per_group", [1, 4])
def test_the_benchmark_judges_as_the_gate_does(per_group: int) -> None:
    """It leaves out what cannot change the outcome."""
    draw = np.random.default_rng(21)
    outcomes = set()
    for number in range(40):
        frozen = FrozenSet(Setting(160, per_group=per_group), draw)
        champion, challenger = frozen.scores(), frozen.scores(gain=0.04 * (number % 3))
        judged = (Model(scores, auc(frozen.good, scores)) for scores in (champion, challenger))
        found = careful_difference(frozen.good, champion, challenger, 0.9, frozen.groups)
        assert promoted(frozen, *judged, 0.9) == (found.low > 0)
        outcomes.add(found.low > 0)
    assert outcomes == {True, False}


def test_large_sets_are_quick() -> None:
    good, a, b, _ = pair(np.random.default_rng(0), 100_000)
    started = time.monotonic()
    paired_difference(good, a, b, 0.95)
    assert time.monotonic() - started < 5


def test_many_draws_of_many_photos_are_quick() -> None:
    good, a, b, groups = pair(np.random.default_rng(0), 10_000, per_group=4)
    started = time.monotonic()
    bootstrap_difference(good, a, b, 0.95, groups=groups)
    assert time.monotonic() - started < 15


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="not a number"):
        paired_difference([1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], [0.1, np.nan, 0.3, 0.4], 0.95)

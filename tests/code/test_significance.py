"""Intervals and differences of AUCs: against brute force, against a published table, and by simulation."""

import time

import numpy as np
import pytest

from photoqual.errors import DataError
from photoqual.evaluation.significance import (
    auc_interval,
    bootstrap_aucs,
    bootstrap_difference,
    careful_difference,
    careful_interval,
    delong,
    paired_difference,
    placements,
)

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


def test_equal_models_are_not_promoted_on_the_strength_of_their_groups() -> None:
    careful, _ = false_promotions(120, 120, per_group=4, spread=1.0)
    assert careful <= 0.10  # DeLong alone: about 0.15


def test_a_better_model_is_found() -> None:
    draw = np.random.default_rng(2)
    samples = [pair(draw, 600, gain=0.5) for _ in range(40)]
    found = [careful_difference(*sample[:3], 0.95, sample[3]).low > 0 for sample in samples]
    assert np.mean(found) > 0.8


def test_large_sets_are_quick() -> None:
    good, a, b, _ = pair(np.random.default_rng(0), 100_000)
    started = time.monotonic()
    paired_difference(good, a, b, 0.95)
    assert time.monotonic() - started < 5


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="not a number"):
        paired_difference([1, 0, 1, 0], [0.1, 0.2, 0.3, 0.4], [0.1, np.nan, 0.3, 0.4], 0.95)

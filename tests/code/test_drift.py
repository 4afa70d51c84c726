"""Drift: known values, chance under no change, alarms only where something changed."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from photoqual.config import WatchParams
from photoqual.evaluation.drift import Sample, assess, auc_loss
from photoqual.evaluation.two_samples import BINS, population_stability, separation, shift

POLICY = WatchParams()
NAMES = ("brightness", "contrast", "sharpness", "saturation", "clipped_dark", "clipped_bright")
DRAWS = 999


def sample(
    seed: int, size: int, *, per_group: int = 1, move: float = 0.0, spread: float = 1.0, strength: float = 1.5
) -> Sample:
    """Return photos by arithmetic: six measures (one mostly zero, one skewed), scores and labels; a group shares a part."""
    draw = np.random.default_rng(seed)
    group = np.arange(size) // per_group
    shared = draw.normal(size=(group[-1] + 1, 6))[group] * (per_group > 1)
    values = draw.normal(size=(size, 6)) * spread + shared + move
    values[:, 4] = np.maximum(values[:, 4], 0.5)
    values[:, 5] = np.exp(values[:, 5])
    good = draw.integers(0, 2, size)
    scores = strength * good + draw.normal(size=size) + shared[:, 0]
    names = np.array([f"{seed}-{number}" for number in group], dtype=object)
    return Sample(names, scores, dict(zip(NAMES, values.T, strict=True)), good)


def alarms(newest: Sample, seed: int, **options: Any) -> list[str]:
    """Return the names of the crossed thresholds of `newest` against photos of the ordinary kind."""
    training, frozen = sample(seed + 1, 400, **options), sample(seed + 2, 200, **options)
    found = assess(newest=newest, judged=newest, frozen=frozen, training=training, policy=POLICY, draws=DRAWS)
    assert [finding.name for finding in found] == [
        "auc_loss",
        "psi.score",
        *sorted(f"psi.{n}" for n in NAMES),
        "two_sample_auc",
    ]
    return [finding.name for finding in found if finding.crossed]


def test_the_index_of_bins_that_can_be_counted_by_hand() -> None:
    reference = np.arange(1000) % 10 + 0.5  # ten values, 100 of each: one a bin
    assert population_stability(reference, reference[:500]) == pytest.approx(0.0, abs=1e-12)
    current = np.repeat([0.5, 1.5], 500)  # all in the two lowest bins
    both = np.array([600, 600, *[100] * 8]) / 2000
    then, now = (np.array([100] * 10) + 5 * both) / 1005, (np.array([500, 500, *[0] * 8]) + 5 * both) / 1005
    assert population_stability(reference, current) == pytest.approx(float(((now - then) * np.log(now / then)).sum()))


def test_values_that_never_vary_have_not_moved() -> None:
    found = shift(np.zeros(80), np.zeros(60), draws=99)
    assert (found.psi, found.ks, found.excess) == (0.0, 0.0, 0.0)
    assert found.p_value == 1.0


@pytest.mark.parametrize("ties", [False, True])
def test_the_kolmogorov_smirnov_distance_is_scipys(ties: bool) -> None:
    draw = np.random.default_rng(4)
    one, other = draw.normal(size=120), draw.normal(0.4, 1.3, size=75)
    if ties:
        one, other = one.round(), other.round()
    found = shift(one, other, draws=DRAWS)
    expected = stats.ks_2samp(one, other)
    assert found.ks == pytest.approx(expected.statistic)
    if not ties:
        assert found.ks_p_value == pytest.approx(expected.pvalue, abs=0.03)


def test_chance_alone_gives_an_index_that_is_known() -> None:
    draw = np.random.default_rng(5)
    found = [shift(draw.normal(size=400), draw.normal(size=100), draws=199) for _ in range(30)]
    by_formula = (BINS - 1) * (1 / 400 + 1 / 100)
    assert np.mean([each.by_chance for each in found]) == pytest.approx(by_formula, rel=0.15)
    assert np.mean([each.psi for each in found]) == pytest.approx(by_formula, rel=0.25)


@pytest.mark.parametrize("per_group", [1, 8])
def test_p_values_hold_where_nothing_changed(per_group: int) -> None:
    """At most about 5 % lie under 0.05; with groups only because whole groups are permuted."""
    moved, told, ignoring_groups = [], [], []
    for seed in range(80):
        old, new = (sample(2 * seed + side, 96, per_group=per_group) for side in (0, 1))
        groups = {"reference_groups": old.groups, "current_groups": new.groups, "draws": 99}
        name = NAMES[seed % 4]
        moved.append(shift(old.measures[name], new.measures[name], **groups).p_value)  # type: ignore[arg-type]
        ignoring_groups.append(shift(old.measures[name], new.measures[name], draws=99).p_value)
        tables = [np.stack(list(side.measures.values()), axis=1) for side in (old, new)]
        told.append(separation(*tables, **groups).p_value)  # type: ignore[arg-type]
    at_most = stats.binom.ppf(0.995, 80, 0.05) / 80
    assert np.mean(np.array(moved) <= 0.05) <= at_most
    assert np.mean(np.array(told) <= 0.05) <= at_most
    if per_group > 1:
        assert np.mean(np.array(ignoring_groups) <= 0.05) > at_most


@pytest.mark.parametrize(("change", "told"), [({"move": 1.0}, 0.9), ({"spread": 2.5}, 0.75), ({}, 0.5)])
def test_the_classifier_tells_what_can_be_told(change: dict[str, float], told: float) -> None:
    old, new = (np.stack(list(part.measures.values()), axis=1) for part in (sample(1, 400), sample(2, 200, **change)))
    found = separation(old, new, draws=DRAWS)
    assert found.auc == pytest.approx(told, abs=0.1) if told == 0.5 else found.auc > told
    assert (found.p_value <= 0.001) is (told > 0.5)


def test_a_change_in_one_group_alone_is_no_evidence() -> None:
    old, new = sample(1, 300, per_group=3), sample(2, 60, move=2.0)
    values = {"reference": old.measures["contrast"], "current": new.measures["contrast"]}
    assert shift(**values, reference_groups=old.groups, current_groups=new.groups, draws=199).p_value == pytest.approx(
        1 / 200
    )
    one_trip = np.full(60, "one trip", dtype=object)
    assert shift(**values, reference_groups=old.groups, current_groups=one_trip, draws=199).p_value > 0.005


@pytest.mark.parametrize(("size", "per_group"), [(50, 1), (100, 5), (500, 1)])
def test_photos_of_the_same_kind_seldom_raise_an_alarm(size: int, per_group: int) -> None:
    """Nominal: one watch in a hundred."""
    raised = [alarms(sample(seed, size, per_group=per_group), seed, per_group=per_group) for seed in range(0, 50, 10)]
    assert sum(bool(names) for names in raised) <= 1


def test_the_bare_index_of_fifty_photos_cries_wolf() -> None:
    bare = [
        max(
            population_stability(sample(seed + 1, 800).measures[name], sample(seed, 50).measures[name])
            for name in NAMES
        )
        for seed in range(0, 300, 10)
    ]
    assert np.mean(np.array(bare) > POLICY.max_psi) > 0.3


@pytest.mark.parametrize(
    ("change", "crossed"),
    [
        ({"move": 1.0}, {"psi.brightness", "psi.contrast", "two_sample_auc"}),
        ({"spread": 3.0}, {"psi.brightness", "psi.contrast", "two_sample_auc"}),
        ({"strength": 0.0}, {"auc_loss"}),
        ({"strength": -1.5}, {"auc_loss"}),
    ],
)
def test_changes_raise_an_alarm(change: dict[str, float], crossed: set[str]) -> None:
    found = set(alarms(sample(0, 200, **change), 0))
    assert crossed <= found
    assert ("auc_loss" in found) is ("strength" in change)


def test_an_effect_under_its_threshold_is_no_alarm_however_sure() -> None:
    policy = WatchParams(max_psi=9.0, max_two_sample_auc=1.0, max_auc_loss=1.0)
    new = sample(0, 400, move=1.0, strength=0.0)
    found = assess(newest=new, judged=new, frozen=sample(1, 300), training=sample(2, 300), policy=policy, draws=DRAWS)
    assert not any(finding.crossed for finding in found)
    assert min(finding.p_value for finding in found if finding.p_value is not None) == pytest.approx(0.001)


def test_without_both_classes_the_auc_is_not_judged() -> None:
    new = sample(0, 60)
    judged = Sample(new.groups, new.scores, good=np.ones(60, dtype=int))
    found = assess(newest=new, judged=judged, frozen=sample(1, 200), training=sample(2, 300), policy=POLICY, draws=99)
    assert (found[0].value, found[0].crossed) == (None, False)
    assert "60 new photos" in found[0].text


def test_the_bound_of_a_loss_covers_the_truth() -> None:
    """Equal AUCs: a bound at 95 % lies over zero in at most about 5 % of the pairs."""
    over = [auc_loss(sample(seed, 150), sample(seed + 1, 80), 0.95).low > 0 for seed in range(0, 400, 2)]
    assert np.mean(over) <= stats.binom.ppf(0.995, 200, 0.05) / 200

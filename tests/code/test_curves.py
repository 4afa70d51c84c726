"""ROC bands and reliability tables: against brute force, known bounds and simulation."""

import time

import numpy as np
import pytest
from scipy import stats

from photoqual.errors import DataError
from photoqual.evaluation.curves import POINTS, Bin, reliability, roc_band
from photoqual.evaluation.metrics import auc, calibration_error


def made(
    photos: int, apart: float = 1.2, *, seed: int = 0, decimals: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    good = (draw.random(photos) < 0.4).astype(int)
    good[:2] = [0, 1]
    scores = apart * good + draw.normal(size=photos)
    return good, scores if decimals is None else scores.round(decimals)


def slow_height(good: np.ndarray, scores: np.ndarray, at: float) -> float:
    """The height of the ROC curve at a false positive rate, one threshold after the other."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores), reverse=True):
        above = scores >= threshold
        points.append((float(above[good == 0].mean()), float(above[good == 1].mean())))
    before = max(index for index, (rate, _) in enumerate(points) if rate <= at + 1e-9)
    if before == len(points) - 1:
        return 1.0
    (left, low), (right, high) = points[before], points[before + 1]
    return low + (at - left) / (right - left) * (high - low)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_curve_is_that_of_brute_force_ties_included(decimals: int | None) -> None:
    good, scores = made(70, decimals=decimals)
    band = roc_band(good, scores, 0.95, draws=20)
    expected = [slow_height(good, scores, at) for at in band.false_positive_rates]
    assert band.curve == pytest.approx(expected, abs=1e-7)


def test_area_under_the_curve_is_the_auc() -> None:
    good, scores = made(2000, decimals=1)
    band = roc_band(good, scores, 0.95, draws=20)
    assert np.trapezoid(band.curve, band.false_positive_rates) == pytest.approx(auc(good, scores), abs=2 / POINTS)


@pytest.mark.parametrize("simultaneous", [True, False])
def test_edges_rise_from_corner_to_corner_around_the_curve(simultaneous: bool) -> None:
    good, scores = made(150)
    band = roc_band(good, scores, 0.95, simultaneous=simultaneous)
    for edge in (band.low, band.curve, band.high):
        assert len(edge) == POINTS
        assert (np.diff(edge) >= -1e-12).all()
    assert ((band.low <= band.curve) & (band.curve <= band.high)).all()
    assert band.low[0] == 0
    assert band.high[-1] == 1
    assert band.high[0] > 0.05


@pytest.mark.parametrize(("above", "below"), [(18, 12), (30, 0), (3, 27)])
def test_at_one_threshold_the_edges_are_those_of_clopper_and_pearson(above: int, below: int) -> None:
    good = np.r_[np.ones(above + below), np.zeros(60)]
    scores = np.r_[np.full(above, 0.9), np.full(below, 0.1), np.full(60, 0.5)]
    band = roc_band(good, scores, 0.95, simultaneous=False, draws=20_000)
    exact = stats.binomtest(above, above + below).proportion_ci(0.95, method="exact")
    middle = POINTS // 2
    assert (band.low[middle], band.high[middle]) == pytest.approx((exact.low, exact.high), abs=0.012)


def test_the_band_holds_the_whole_true_curve_as_often_as_stated() -> None:
    """Binormal scores; 120 sets of 120 photos at 90 %: fewer than 100 would happen once in 200 at the stated rate."""
    held = 0
    for seed in range(120):
        good, scores = made(120, 1.4, seed=seed)
        band = roc_band(good, scores, 0.9, draws=400)
        true = stats.norm.cdf(1.4 + stats.norm.ppf(band.false_positive_rates))
        held += bool(((band.low <= true + 1e-9) & (true <= band.high + 1e-9)).all())
    assert held >= stats.binom.ppf(0.005, 120, 0.9)


def test_one_point_of_a_pointwise_band_holds_as_often_as_stated() -> None:
    at = POINTS // 4
    held = narrower = 0
    for seed in range(150):
        good, scores = made(200, 1.4, seed=1000 + seed)
        band = roc_band(good, scores, 0.9, draws=300, simultaneous=False)
        true = stats.norm.cdf(1.4 + stats.norm.ppf(band.false_positive_rates[at]))
        held += bool(band.low[at] <= true <= band.high[at])
        narrower += bool(band.high[at] - band.low[at] < 0.45)
    assert stats.binom.ppf(0.005, 150, 0.9) <= held
    assert narrower == 150


def test_copies_of_a_photo_in_one_group_say_no_more_than_the_photo() -> None:
    good, scores = made(120)
    groups = np.arange(120)
    once = roc_band(good, scores, 0.95, groups=groups)
    copied = roc_band(np.tile(good, 5), np.tile(scores, 5), 0.95, groups=np.tile(groups, 5))
    alone = roc_band(np.tile(good, 5), np.tile(scores, 5), 0.95)
    width = [float((band.high - band.low).mean()) for band in (once, copied, alone)]
    assert width[1] == pytest.approx(width[0], rel=0.1)
    assert width[2] < 0.6 * width[0]


def test_photos_without_a_group_stand_alone_and_equal_arguments_give_equal_bands() -> None:
    good, scores = made(80)
    missing = np.array([None] * 80, dtype=object)
    one, other = roc_band(good, scores, 0.95), roc_band(good, scores, 0.95, groups=missing)
    assert np.array_equal(roc_band(good, scores, 0.95).low, one.low)
    assert (other.high - other.low).mean() == pytest.approx((one.high - one.low).mean(), rel=0.1)


def test_two_photos_leave_everything_open() -> None:
    band = roc_band([1, 0], [0.9, 0.1], 0.95)
    assert band.low[POINTS // 2] < 0.1
    assert band.high[POINTS // 2] == 1


@pytest.mark.parametrize(
    ("good", "scores", "said"),
    [([1, 1], [0.2, 0.4], "one class"), ([1, 0], [0.2, np.nan], "not a number"), ([1, 0], [0.2], "shape")],
)
def test_what_cannot_be_judged_is_refused(good: list[int], scores: list[float], said: str) -> None:
    for judge in (roc_band, reliability):
        with pytest.raises(DataError, match=said):
            judge(good, scores, 0.95)


def test_a_thousand_draws_on_ten_thousand_photos_take_seconds() -> None:
    good, scores = made(10_000)
    start = time.perf_counter()
    roc_band(good, scores, 0.95, groups=np.arange(10_000) // 3, draws=1000)
    assert time.perf_counter() - start < 15


def test_reliability_table_adds_up_to_the_calibration_error() -> None:
    good, raw = made(900)
    scores = 1 / (1 + np.exp(-raw))
    table = reliability(good, scores, 0.95)
    assert sum(found.photos for found in table) == 900
    weighted = sum(found.photos * abs(found.mean_score - found.good_share) for found in table) / 900
    assert weighted == pytest.approx(calibration_error(good, scores))
    for found in table:
        assert found.start <= found.mean_score <= found.end
        assert found.low <= found.good_share <= found.high


def test_reliability_leaves_out_empty_bins_and_knows_the_last_one() -> None:
    table = reliability([0, 1, 1, 0], [0.0, 1.0, 0.95, 0.04], 0.95)
    assert [(found.start, found.end, found.photos) for found in table] == [(0.0, 0.1, 2), (0.9, 1.0, 2)]


@pytest.mark.parametrize(("goods", "photos"), [(0, 10), (3, 10), (10, 10), (140, 200)])
def test_bounds_of_a_bin_are_wilsons(goods: int, photos: int) -> None:
    good = np.r_[np.ones(goods), np.zeros(photos - goods), 1, 0]
    scores = np.r_[np.full(photos, 0.35), 0.9, 0.9]
    found = reliability(good, scores, 0.95)[0]
    exact = stats.binomtest(goods, photos).proportion_ci(0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))


def _widths(good: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> float:
    def width(found: Bin) -> float:
        return found.high - found.low

    return float(np.mean([width(found) for found in reliability(good, scores, 0.95, groups=groups)]))


def test_bounds_of_a_bin_count_alike_photos_of_a_group_once() -> None:
    good, raw = made(400)
    scores, groups = 1 / (1 + np.exp(-raw)), np.arange(400)
    once = _widths(good, scores, groups)
    copied = _widths(np.tile(good, 4), np.tile(scores, 4), np.tile(groups, 4))
    alone = _widths(np.tile(good, 4), np.tile(scores, 4), np.arange(1600))
    assert copied == pytest.approx(once, rel=0.05)
    assert alone < 0.75 * once

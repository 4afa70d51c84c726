"""Measures of use to people: counted by hand, against brute force and reference libraries, unchanged by what must not
matter, and intervals that hold what they promise.
"""

import itertools
import math

import numpy as np
import pytest
from scipy import stats as reference
from sklearn.metrics import ndcg_score

from photoqual.config import EvaluateParams
from photoqual.errors import DataError
from photoqual.evaluation import usefulness as use
from photoqual.evaluation.resampling import group_interval
from photoqual.evaluation.votes import distributions_to_votes, pearson, points_to_votes, spearman

PARAMS = EvaluateParams()


def truth(good: np.ndarray, **known: object) -> use.Truth:
    """Return a Truth whose photos stand alone, without votes, but for what `known` says."""
    size = len(good)
    ordinary = {
        "groups": np.full(size, None, dtype=object),
        "stars": np.full(size, np.nan),
        "distributions": [None] * size,
    }
    return use.Truth(**{"good": good, **ordinary, **known})  # type: ignore[arg-type]


def sample(seed: int, photos: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and rounded scores, so that there are ties within and between the classes."""
    draw = np.random.default_rng(seed)
    good = (draw.random(photos) < 0.4).astype(int)
    good[:2] = 0, 1
    return good, np.round(np.clip(draw.normal(0.4 + 0.2 * good, 0.2), 0, 1), 1)


@pytest.mark.parametrize(
    ("good", "scores", "keep", "expected"),
    [
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1.0, 0.5),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], 1.0, 0.0),
        ([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], 1.0, 0.25),
        ([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], 0.5, 0.75),
        ([1, 1, 0, 0], [0.9, 0.3, 0.5, 0.1], 0.51, 0.25),
        ([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5], 0.5, 0.0),  # no cut between equals
        ([1, 1, 0, 0], [0.9, 0.5, 0.5, 0.1], 1.0, 0.25),
        ([1] * 20 + [0] * 20, list(range(40, 0, -1)), 0.95, 21 / 40),  # 0.95 · 20 is 19, rounding aside
        ([1] * 10 + [0] * 10, list(range(20, 0, -1)), 0.7, 13 / 20),
    ],
)
def test_gallery_reduction_by_hand(good: list[int], scores: list[float], keep: float, expected: float) -> None:
    assert use.gallery_reduction(good, scores, keep) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(8))
def test_gallery_reduction_is_the_best_of_all_thresholds(seed: int) -> None:
    good, scores = sample(seed)
    for keep in (0.5, 0.8, 0.95, 1.0):
        kept = [scores >= threshold for threshold in np.unique(scores)]
        enough = [1 - rest.mean() for rest in kept if (good & rest).sum() >= keep * good.sum() - 1e-9]
        assert use.gallery_reduction(good, scores, keep) == pytest.approx(max(enough))
        out, stays = use.reduction_curve(good, scores)
        assert out[stays >= keep - 1e-9].max() == pytest.approx(max(enough))
    assert (out[0], stays[0], out[-1], stays[-1]) == (0, 1, 1, 0)


@pytest.mark.parametrize("seed", range(4))
def test_places_and_ndcg_are_averages_over_the_orders_of_equal_scores(seed: int) -> None:
    draw = np.random.default_rng(seed)
    good, scores = np.array([1, 0, 1, 0, 0, 1]), draw.integers(0, 3, 6) / 2
    orders = [list(order) for order in itertools.permutations(range(6)) if (np.diff(scores[list(order)]) <= 0).all()]
    for places in (1, 2, 4, 6):
        by_hand = np.mean([good[order[:places]].mean() for order in orders])
        assert use.precision_at(good, scores, places) == pytest.approx(by_hand)
    gains = draw.integers(0, 5, 6).astype(float)
    gains[0] += 1
    discounts = 1 / np.log2(np.arange(2, 8))
    by_hand = np.mean([gains[order] @ discounts for order in orders]) / (np.sort(gains)[::-1] @ discounts)
    assert use.ndcg(gains, scores) == pytest.approx(by_hand)
    assert use.ndcg(gains, scores) == pytest.approx(ndcg_score([gains], [scores]))


def test_ndcg_is_graded_only_where_every_photo_has_votes() -> None:
    good, stars = np.array([1, 1, 0, 0]), np.array([5.0, 3.0, 2.0, 1.0])
    gains, graded = use.gains_of(good, stars)
    assert (gains.tolist(), graded) == ([4, 2, 1, 0], 1)
    for missing in (np.array([5, np.nan, 2, 1]), np.full(4, np.nan), np.full(4, 3.0)):
        gains, graded = use.gains_of(good, missing)
        assert (gains.tolist(), graded) == ([1, 1, 0, 0], 0)
    assert use.ndcg(stars - 1, [4, 3, 2, 1]) == 1
    assert use.ndcg(stars - 1, [1, 2, 3, 4]) < use.ndcg(stars - 1, [0, 0, 0, 0]) < 1


@pytest.mark.parametrize(
    ("groups", "stars", "scores", "expected"),
    [
        ("aabb", [5, 1, 1, 5], [0.9, 0.1, 0.8, 0.7], (2, 0.5, 0.5)),
        ("aaab", [5, 4, 1, 5], [0.1, 0.9, 0.2, 0.7], (1, 0.0, 1 / 3)),  # b has one photo
        ("aabb", [3, 3, 1, 5], [0.9, 0.1, 0.1, 0.7], (1, 1.0, 0.5)),  # a's photos are alike
        ("aaaa", [5, 5, 1, 1], [0.2, 0.3, 0.3, 0.1], (1, 0.5, 0.5)),  # one of two on top is among the best
        ("aaaa", [2, 2, 2, 1], [0.5, 0.5, 0.5, 0.5], (1, 0.75, 0.75)),
        ("aabb", [np.nan, 5, 1, 5], [0.9, 0.1, 0.1, 0.7], (2, 1.0, 0.5)),  # a by good and bad: its first is good
    ],
)
def test_keeper_accuracy_by_hand(
    groups: str, stars: list[float], scores: list[float], expected: tuple[int, float, float]
) -> None:
    good = [1, 0, 0, 1]
    found = use.keeper_accuracy(good, stars, list(groups), scores)
    assert isinstance(found, use.Keepers)
    assert (found.groups, found.accuracy, found.chance) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("groups", "stars"), [("abcd", [5, 1, 3, 2]), ("aabb", [4, 4, 2, 2]), ([None] * 4, [1, 2, 3, 4])]
)
def test_without_groups_to_choose_in_there_is_no_keeper_accuracy(groups: str, stars: list[float]) -> None:
    found = use.keeper_accuracy([1, 0, 1, 0], stars, list(groups), [0.1, 0.2, 0.3, 0.4])
    assert found == "no group has two photos that people judged differently"


@pytest.mark.parametrize("seed", range(4))
def test_correlations_are_those_of_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    stars = np.round(draw.uniform(1, 5, 50), 1)
    scores = np.round(stars / 5 + draw.normal(0, 0.3, 50), 1)
    stars[::7] = np.nan
    known = np.isfinite(stars)
    for ours, theirs in ((spearman, reference.spearmanr), (pearson, reference.pearsonr)):
        found = ours(scores, stars, [None] * 50, 0.95)
        assert not isinstance(found, str)
        assert found.value == pytest.approx(theirs(scores[known], stars[known]).statistic)
        assert not isinstance(found.bounds, str)
        assert found.bounds[0] < found.value < found.bounds[1]


def test_a_correlation_that_cannot_be_says_why() -> None:
    stars, alone = np.arange(20) / 4, [None] * 20
    assert spearman(stars, np.where(np.arange(20) < 9, stars, np.nan), alone, 0.95) == (
        "9 photos have a vote mean; a correlation needs 10"
    )
    assert pearson(np.ones(20), stars, alone, 0.95) == "all 20 photos have the same score"
    assert pearson(stars, np.ones(20), alone, 0.95) == "all 20 photos have the same vote mean"
    perfect = spearman(stars, stars, alone, 0.95)
    assert not isinstance(perfect, str)
    assert (perfect.value, perfect.bounds) == (pytest.approx(1), "resampled groups do not vary")


def test_distance_of_points_to_votes_by_hand_and_by_scipy() -> None:
    votes = [[0, 0, 0, 0, 1.0], [0.5, 0, 0, 0, 0.5], None, [0, 0.5, 0.5]]
    found = points_to_votes([4, 3, 99, 3], votes)
    assert not isinstance(found, str)
    assert (found.photos, found.model) == (3, pytest.approx((1 + 2 + 1) / 3))
    assert found.attainable == pytest.approx((0 + 2 + 1) / 3)
    draw = np.random.default_rng(1)
    shares = draw.dirichlet(np.ones(7), 40)
    points = draw.uniform(1, 5, 40)
    levels = np.linspace(1, 5, 7)
    found = points_to_votes(points, list(shares))
    assert not isinstance(found, str)
    theirs = [reference.wasserstein_distance(levels, [x], row) for row, x in zip(shares, points, strict=True)]
    assert found.model == pytest.approx(np.mean(theirs))
    grid = [points_to_votes(np.full(40, x), list(shares)) for x in np.linspace(1, 5, 401)]
    assert found.constant <= min(one.model for one in grid if not isinstance(one, str)) + 1e-9
    assert found.attainable < found.constant


def test_distance_of_distributions_to_votes_by_scipy() -> None:
    draw = np.random.default_rng(2)
    votes = [row for size in (5, 10, 7) for row in draw.dirichlet(np.ones(size), 8)]
    guesses = list(draw.dirichlet(np.ones(5), 24))
    found = distributions_to_votes(guesses, votes)
    assert not isinstance(found, str)
    theirs = [
        reference.wasserstein_distance(np.linspace(1, 5, 5), np.linspace(1, 5, len(vote)), guess, vote)
        for guess, vote in zip(guesses, votes, strict=True)
    ]
    assert found.model == pytest.approx(np.mean(theirs))
    alike = distributions_to_votes(votes, votes)
    assert not isinstance(alike, str)
    assert (alike.model, alike.attainable) == (pytest.approx(0), 0)
    for constant in (*guesses, *votes):
        other = distributions_to_votes([constant] * 24, votes)
        assert not isinstance(other, str)
        assert found.constant <= other.model + 1e-9


@pytest.mark.parametrize("wrong", [[0.5, 0.4], [1.0], [1.5, -0.5], [np.nan, 1.0], [[0.5, 0.5]]])
def test_what_is_no_distribution_is_refused(wrong: list[float]) -> None:
    with pytest.raises(DataError, match="no vote distribution"):
        points_to_votes([3.0], [wrong])
    with pytest.raises(DataError, match="no vote distribution"):
        distributions_to_votes([wrong], [[0.5, 0.5]])


def test_every_measure_is_a_number_or_has_a_reason() -> None:
    good, scores = sample(3)
    bare = use.usefulness(truth(good), scores, PARAMS)
    draw = np.random.default_rng(4)
    full = use.usefulness(
        truth(
            good,
            groups=np.array([f"g{index // 3}" for index in range(60)], dtype=object),
            stars=np.clip(2 + good + draw.normal(0, 0.5, 60), 1, 5),
            distributions=list(draw.dirichlet(np.ones(5), 60)),
        ),
        scores,
        PARAMS,
    )
    for found in (bare, full):
        assert not set(found.figures) & set(found.unknown)
        assert all(type(value) in {int, float} and math.isfinite(value) for value in found.figures.values())
        assert all(found.unknown.values())
    assert set(bare.figures) | set(bare.unknown) == set(full.figures) | set(full.unknown)
    assert set(full.unknown) == {"precision_at_100"}
    assert {"spearman", "pearson_low", "keeper_accuracy", "vote_distance_constant"} <= set(bare.unknown)
    counts = [bare.figures[name] for name in ("photos_with_votes", "photos_with_distribution", "keeper_groups")]
    assert counts == [0, 0, 0]
    assert (bare.figures["ndcg_graded"], full.figures["ndcg_graded"]) == (0, 1)
    reduction = full.figures["gallery_reduction"]
    assert full.figures["gallery_reduction_low"] <= reduction <= full.figures["gallery_reduction_high"]
    assert full.figures["hours_saved_per_1000"] == pytest.approx(reduction * 1000 * 2 / 3600)


def test_order_and_scale_do_not_matter() -> None:
    good, scores = sample(5)
    draw = np.random.default_rng(6)
    groups = np.array([f"g{index // 4}" for index in range(60)], dtype=object)
    stars = np.clip(2 + good + draw.normal(0, 0.5, 60), 1, 5)
    found = use.usefulness(truth(good, groups=groups, stars=stars), scores, PARAMS)
    order = draw.permutation(60)
    again = use.usefulness(truth(good[order], groups=groups[order], stars=stars[order]), scores[order], PARAMS)
    assert again.figures == pytest.approx(found.figures)
    cubed = use.usefulness(truth(good, groups=groups, stars=stars), scores**3, PARAMS)
    ranked = [name for name in found.figures if not name.startswith("pearson")]
    assert {name: cubed.figures[name] for name in ranked} == pytest.approx(
        {name: found.figures[name] for name in ranked}
    )


def test_a_perfect_score_is_perfect_and_a_constant_one_is_chance() -> None:
    good = np.repeat([1, 0], 50)
    stars, groups = 1.0 + 4 * good, np.array([f"g{index % 50}" for index in range(100)], dtype=object)
    known = truth(good, stars=stars, groups=groups)
    best = use.usefulness(known, good * 0.8 + 0.1, PARAMS).figures
    assert (best["gallery_reduction"], best["precision_at_10"], best["precision_at_100"]) == (0.5, 1, 0.5)
    assert (best["ndcg"], best["keeper_accuracy"], best["spearman"]) == pytest.approx((1, 1, 1))
    same = use.usefulness(known, np.full(100, 0.5), PARAMS)
    assert (same.figures["gallery_reduction"], same.figures["precision_at_10"]) == (0, 0.5)
    assert same.figures["ndcg"] == pytest.approx(same.figures["ndcg_chance"])
    assert same.figures["keeper_accuracy"] == pytest.approx(same.figures["keeper_accuracy_chance"]) == 0.5
    assert same.unknown["spearman"] == "all 100 photos have the same score"
    assert same.unknown["gallery_reduction_low"] == "resampled groups do not vary"


def test_one_class_or_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="one class only"):
        use.usefulness(truth(np.ones(5, dtype=int)), np.arange(5) / 5, PARAMS)
    with pytest.raises(DataError, match="not a number"):
        use.usefulness(truth(np.array([0, 1])), [0.5, np.nan], PARAMS)


def test_no_interval_where_resampling_says_nothing() -> None:
    good, scores = np.repeat([1, 0], 15), np.linspace(1, 0, 30)
    alone = [None] * 30
    assert "none may be lost" in str(use.reduction_interval(good, scores, alone, 0.95, 0.95))
    assert isinstance(use.reduction_interval(good, scores, alone, 0.9, 0.95), tuple)
    assert use.reduction_interval(good, scores, ["a"] * 15 + alone[15:], 0.9, 0.95) == ("too few groups to resample: 1")


def test_photos_of_a_group_are_drawn_together() -> None:
    """The mean of m groups of equal photos varies as m photos do, not as all of them."""
    values = np.repeat(np.arange(30) % 2, 10).astype(float)

    def width(groups: list[str] | None) -> float:
        found = group_interval(lambda weights: weights @ values / weights.sum(axis=1), groups or [None] * 300, 0.95)
        assert not isinstance(found, str)
        return found[1] - found[0]

    assert width(None) == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(300), rel=0.1)
    assert width([f"g{index // 10}" for index in range(300)]) == pytest.approx(2 * 2.08 * 0.5 / math.sqrt(30), rel=0.1)


@pytest.mark.parametrize("per_group", [1, 4])
def test_intervals_cover_the_true_values(per_group: int) -> None:
    """Good photos score N(1.2, 1), bad ones N(0, 1), of which groups share half of the variance: 95 % intervals hold
    the true reduction and rank correlation in 95 % of the samples. Under 90 % of 150 has a chance below 1 %.
    """
    draw, photos, share = np.random.default_rng(per_group), 160, 0.4
    reduction = share * 0.1 + (1 - share) * reference.norm.cdf(reference.norm.ppf(0.1, 1.2))
    names = [index // per_group for index in range(photos)]
    covered = np.zeros(2)
    for _ in range(150):
        shared = np.repeat(draw.normal(size=photos // per_group), per_group) * math.sqrt(0.5)
        good = (draw.random(photos) < share).astype(int)
        scores = 1.2 * good + (shared + draw.normal(size=photos) * math.sqrt(0.5))
        found = use.reduction_interval(good, scores, names, 0.9, 0.95)
        assert isinstance(found, tuple)
        votes = scores + draw.normal(size=photos) * math.sqrt(1 + 1.44 * share * (1 - share))
        linear = pearson(scores, votes, names, 0.95)  # the true correlation is the square root of a half
        assert not isinstance(linear, str)
        assert isinstance(linear.bounds, tuple)
        covered += (found[0] <= reduction <= found[1], linear.bounds[0] <= math.sqrt(0.5) <= linear.bounds[1])
    assert (covered / 150 >= 0.9).all(), covered / 150

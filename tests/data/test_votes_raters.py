"""What is found out about raters: those who vote at random weigh next to nothing, the honest keep their say."""

import numpy as np
import pytest

from photoqual.sources._raters import agreement, moments, weights
from tests.data.test_votes_formats import votes


def coded(
    seed: int, photos: int, raters: int, per_photo: int, random_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    frame, truth, at_random = votes(seed, photos, raters, per_photo, random_share)
    photo = frame["image"].str.removesuffix(".jpg").astype(int).to_numpy()
    rater = frame["rater"].str.removeprefix("r").astype(int).to_numpy()
    return photo, rater, frame["vote"].to_numpy(dtype=float), truth, at_random


def error(mean: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square difference once both are brought to one mean and spread."""
    told, true = ((values - values.mean()) / values.std() for values in (mean, truth))
    return float(np.sqrt(((told - true) ** 2).mean()))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_random_raters_weigh_next_to_nothing_and_the_mean_is_nearer_the_truth(share: float) -> None:
    photo, rater, vote, truth, at_random = coded(3, 1000, 40, 8, share)
    found = weights(photo, rater, vote)
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[at_random].mean() < 0.15
    assert found[~at_random].mean() > 0.9
    plain = moments(photo, vote, np.ones(len(vote)), len(truth))[1]
    count, weighed, _ = moments(photo, vote, found[rater], len(truth))
    held = count > 0
    assert held.mean() > 0.99
    assert error(weighed[held], truth[held]) < 0.9 * error(plain[held], truth[held])


@pytest.mark.parametrize(("photos", "raters", "per_photo"), [(1000, 40, 8), (300, 300, 5), (60, 12, 4), (20, 3, 3)])
def test_honest_raters_keep_their_say_however_few_their_votes(photos: int, raters: int, per_photo: int) -> None:
    errors = []
    for seed in range(5):
        photo, rater, vote, truth, _ = coded(seed, photos, raters, per_photo, 0.0)
        found = weights(photo, rater, vote)
        assert found.mean() > 0.8
        plain, weighed = (moments(photo, vote, weight, photos)[1] for weight in (np.ones(len(vote)), found[rater]))
        errors.append((error(plain, truth), error(weighed, truth)))
    plain_error, weighed_error = np.mean(errors, axis=0)
    assert weighed_error < 1.06 * plain_error


def test_who_votes_the_other_way_round_or_always_the_same_is_left_out() -> None:
    photo, rater, vote, _, _ = coded(5, 500, 20, 8, 0.0)
    vote = np.where(rater == 0, 6 - vote, np.where(rater == 1, 5.0, vote))
    found = weights(photo, rater, vote)
    assert found[0] == 0
    assert found[1] < 0.05
    assert found[2:].min() > 0.5


@pytest.mark.parametrize(
    ("photo", "rater", "vote"),
    [
        ([], [], []),
        ([0, 1, 2], [0, 0, 0], [1, 5, 3]),
        ([0, 1, 2], [0, 1, 2], [1, 5, 3]),
        ([0, 0, 1, 1], [0, 1, 0, 1], [3, 3, 3, 3]),
        ([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [1, 5, 5, 1, 1, 5]),
    ],
    ids=["nothing", "one rater", "nothing shared", "all alike", "opposite"],
)
def test_without_evidence_everybody_weighs_one(photo: list[int], rater: list[int], vote: list[float]) -> None:
    found = weights(np.array(photo, dtype=int), np.array(rater, dtype=int), np.array(vote, dtype=float))
    assert found.tolist() == [1.0] * len(set(rater))


def test_agreement_is_the_correlation_with_as_many_votes_of_others() -> None:
    found = {}
    for share in (0.0, 0.5, 1.0):
        photo, _, vote, truth, _ = coded(7, 2000, 80, 10, share)
        found[share] = agreement(photo, vote)
        if share == 0.0:
            others = np.clip(np.round(truth[photo] + np.random.default_rng(1).normal(0, 0.75, len(photo))), 1, 5)
            means = [np.bincount(photo, votes) for votes in (vote, others)]
            assert found[share] == pytest.approx(np.corrcoef(means[0], means[1])[0, 1], abs=0.03)
    assert found[0.0] > 0.9 > found[0.5] > 0.3 > abs(found[1.0])


def test_agreement_by_hand() -> None:
    same = agreement(np.array([0, 0, 1, 1, 2, 2]), np.array([1.0, 1, 2, 2, 3, 3]))
    assert same == pytest.approx(1.0)
    assert agreement(np.array([0, 0, 1, 1, 2]), np.array([1.0, 1, 2, 2, 3])) is None
    assert agreement(np.array([0, 0, 1, 1, 2, 2]), np.full(6, 3.0)) is None
    assert agreement(np.array([], dtype=int), np.array([])) is None


def test_moments_are_weighted_and_know_who_counts() -> None:
    photo, vote = np.array([0, 0, 0, 1, 2]), np.array([1.0, 5, 3, 4, 2])
    count, mean, spread = moments(photo, vote, np.array([1.0, 0.5, 0.0, 1.0, 0.0]), 3)
    assert count.tolist() == [2, 1, 0]
    assert mean[:2] == pytest.approx([7 / 3, 4.0])
    assert spread[0] == pytest.approx(np.sqrt((1 * (1 - 7 / 3) ** 2 + 0.5 * (5 - 7 / 3) ** 2) / 1.5))
    assert np.isnan([mean[2], spread[1], spread[2]]).all()

"""A labelling as values: the tournament's rounds and levels, stars, good or bad, undo, the order, agreement."""

import numpy as np
import pytest

from photoqual.app.label_look import projected
from photoqual.labels import tournament
from photoqual.labels.desk_agreement import agreement, alpha, in_words
from photoqual.labels.desk_order import teaching_order
from photoqual.labels.tournament import Level, Mode, Progress, Step, dealt, interleaved, is_fair, pending, shuffled


def played(mode: Mode, *steps: Step) -> Progress:
    progress = Progress(mode)
    for step in steps:
        progress.apply(step)
    return progress


def deal(photos: str, number: int = 0) -> Step:
    return Step("deal", number, tuple(photos), ("random",) * len(photos))


def toggle(photo: str) -> Step:
    return Step("toggle", photo=photo)


def rate(photo: str, value: int) -> Step:
    return Step("rate", photo=photo, value=value)


ADVANCE, UNDO, SKIP = Step("advance"), Step("undo"), Step("skip")
WON, LOST = [toggle("a"), ADVANCE], [ADVANCE]

TOURNAMENTS = [
    ("nothing judged", [deal("abcd")], 0, "abcdefg", {}),
    ("chosen is not judged", [deal("abcd"), toggle("a")], 0, "abcdefg", {}),
    ("none advanced", [deal("abcd"), ADVANCE], 0, "efg", dict.fromkeys("abcd", Level(0, True))),
    (
        "twice chosen is not chosen",
        [deal("abcd"), toggle("a"), toggle("b"), toggle("a"), ADVANCE],
        0,
        "efg",
        {"a": Level(0, True), "b": Level(1, False), "c": Level(0, True), "d": Level(0, True)},
    ),
    (
        "the next round has those that advanced",
        [deal("abcd"), toggle("a"), toggle("d"), ADVANCE, deal("efg"), toggle("e"), ADVANCE],
        1,
        "ade",
        {**dict.fromkeys("ade", Level(1, False)), **dict.fromkeys("bcfg", Level(0, True))},
    ),
    (
        "level 1 is final when it lost in round 1",
        [deal("abcdefg"), toggle("a"), toggle("d"), ADVANCE, deal("ad", 1), ADVANCE],
        2,
        "",
        {**dict.fromkeys("ad", Level(1, True)), **dict.fromkeys("bcefg", Level(0, True))},
    ),
    (
        "to the top",
        [deal("abcdefg"), *WON, deal("a", 1), *WON, deal("a", 2), *WON],
        2,
        "",
        {"a": Level(3, True), **dict.fromkeys("bcdefg", Level(0, True))},
    ),
    (
        "undo takes back a choice",
        [deal("abcd"), toggle("a"), UNDO, ADVANCE],
        0,
        "efg",
        dict.fromkeys("abcd", Level(0, True)),
    ),
    (
        "undo takes back the judgement with the next deal",
        [deal("abcd"), toggle("a"), ADVANCE, deal("efg"), UNDO],
        0,
        "abcdefg",
        {},
    ),
]


@pytest.mark.parametrize(
    ("steps", "number", "left", "levels"), [row[1:] for row in TOURNAMENTS], ids=[row[0] for row in TOURNAMENTS]
)
def test_tournament(steps: list[Step], number: int, left: str, levels: dict[str, Level]) -> None:
    progress = played("tournament", *steps)
    found, photos = pending(progress, "abcdefg")
    assert ("".join(photos), tournament.levels(progress)) == (left, levels)
    assert found == number
    assert tournament.votes(progress) == {photo: level.value for photo, level in levels.items() if level.final}


def test_undo_brings_back_the_four_as_they_were_and_goes_on() -> None:
    progress = played("tournament", deal("abcd"), toggle("a"), ADVANCE, deal("efg"), toggle("f"), UNDO, UNDO)
    assert progress.deal is not None
    assert progress.deal.photos == tuple("abcd")
    assert progress.chosen == {"a"}
    progress.apply(UNDO)
    assert progress.chosen == frozenset()
    assert not progress.can_undo()
    assert progress.unfit(UNDO)


def test_photos_that_come_late_begin_in_the_first_round_and_gone_ones_wait_for_nobody() -> None:
    progress = played("tournament", deal("abcd"), toggle("a"), toggle("b"), ADVANCE, deal("ab", 1))
    assert pending(progress, "abcdx") == (0, ["x"])
    assert pending(progress, "bcd") == (1, ["b"])


def test_acceptance_is_of_the_photos_seen_in_the_round() -> None:
    progress = played("tournament", deal("abcd"), toggle("a"), ADVANCE, deal("efg"), toggle("e"))
    assert progress.seen(0) == (1, 4)
    assert progress.seen(1) == (0, 0)


def test_stars_and_good_or_bad() -> None:
    stars = played(
        "stars", deal("a"), rate("a", 4), deal("b"), SKIP, deal("c"), rate("c", 1), deal("d"), rate("d", 2), UNDO
    )
    assert tournament.votes(stars) == {"a": 4, "c": 1}
    assert pending(stars, "abcde") == (0, ["d", "e"])
    assert stars.seen(0) == (2, 3)
    good = played("good", deal("a"), rate("a", 1), deal("b"), rate("b", 0), UNDO, rate("b", 1))
    assert tournament.votes(good) == {"a": 1, "b": 1}


UNFIT = [
    ("tournament", [], toggle("a")),
    ("tournament", [deal("abcd")], toggle("x")),
    ("tournament", [deal("abcd")], rate("a", 3)),
    ("tournament", [deal("abcd")], UNDO),
    ("tournament", [], deal("abcd", 3)),
    ("tournament", [], Step("deal", 0, ("a",), ())),
    ("tournament", [deal("abcd")], Step("toggle", photo="a", press="x:one")),
    ("stars", [deal("a")], rate("a", 6)),
    ("stars", [deal("a")], rate("a", 0)),
    ("stars", [deal("a")], Step("rate", photo="a")),
    ("stars", [deal("a")], ADVANCE),
    ("good", [deal("a")], rate("a", 2)),
    ("good", [deal("a"), rate("a", 1)], rate("a", 0)),
]


@pytest.mark.parametrize(("mode", "before", "step"), UNFIT)
def test_a_step_that_does_not_fit_is_refused_and_changes_nothing(mode: Mode, before: list[Step], step: Step) -> None:
    progress = played(mode, *before)
    with pytest.raises(ValueError):  # noqa: PT011 - each has words of its own
        progress.apply(step)
    assert progress == played(mode, *before)


def test_a_shuffle_is_seeded_differs_by_round_and_moves_nothing_when_photos_come() -> None:
    photos = [f"{index:064x}" for index in range(400)]
    first = shuffled(photos, 7, 0)
    assert first == shuffled(reversed(photos), 7, 0)
    assert first != shuffled(photos, 7, 1)
    assert first != shuffled(photos, 8, 0)
    assert [photo for photo in first if photo in photos[:200]] == shuffled(photos[:200], 7, 0)
    assert sum(is_fair(photo, 7) for photo in photos) == pytest.approx(80, abs=25)


@pytest.mark.parametrize(
    ("fair", "others", "start", "expected"),
    [
        ("FG", "abcdefghi", 0, "abcdFefghGi"),
        ("FG", "abc", 3, "aFbcG"),
        ("FG", "", 0, "FG"),
        ("", "ab", 4, "ab"),
    ],
)
def test_every_fifth_photo_is_drawn_at_random(fair: str, others: str, start: int, expected: str) -> None:
    found = list(interleaved(fair, others, "model", start))
    assert "".join(photo for photo, _ in found) == expected
    assert all((how == "random") == photo.isupper() for photo, how in found)


def test_photos_of_one_group_are_not_dealt_together() -> None:
    queue = [(photo, "random") for photo in "aabbcdde"]
    queue = [(f"{photo}{index}", how) for index, (photo, how) in enumerate(queue)]
    groups = {name: name[0] for name, _ in queue if name[0] in "abd"}
    assert [name for name, _ in dealt(queue, groups, 4)] == ["a0", "b2", "c4", "d5"]
    assert [name for name, _ in dealt(queue[:4], groups, 4)] == ["a0", "b2"]
    assert dealt([], groups, 4) == []


def test_what_teaches_most_comes_first_and_near_duplicates_last() -> None:
    features = np.array([[1, 0, 0], [1, 0.001, 0], [0, 1, 0], [0, 0, 1], [-1, -1, 0.5]], float)
    unsure = teaching_order(np.array([0.95, 0.9, 0.5, 0.2, 0.0]), features, 0.5)
    assert unsure[0] == 2
    assert unsure[-1] in (0, 1)
    known = teaching_order(np.full(5, 0.5), features, 0.5, labelled=features[[0, 2]])
    assert set(known[:2]) == {3, 4}
    assert set(known[2:]) == {0, 1, 2}
    strange = teaching_order(np.full(5, 0.5), features, 0.5, strangeness=np.array([0, 1, 0, 9, 0.0]))
    assert strange[0] == 3


@pytest.mark.parametrize("count", [0, 1, 2, 30])
def test_an_order_names_each_photo_once_whatever_the_numbers(count: int) -> None:
    draw = np.random.default_rng(count)
    features = draw.normal(size=(count, 4))
    scores = draw.random(count)
    if count > 1:
        features[0], scores[1] = np.nan, np.nan
    order = teaching_order(scores, features, 0.3, strangeness=draw.random(count), labelled=features[:1], picks=5)
    assert sorted(order.tolist()) == list(range(count))
    alike = teaching_order(scores, np.ones((count, 4)), 0.3)
    assert sorted(alike.tolist()) == list(range(count))


KRIPPENDORFF = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""The data of section C and D of Krippendorff 2011: four observers, twelve units."""


def test_alpha_is_that_of_the_published_example() -> None:
    cells = [
        (unit, float(value))
        for row in KRIPPENDORFF.split("\n")
        for unit, value in enumerate(row.split())
        if value not in ("", ".")
    ]
    unit, value = (np.array(column) for column in zip(*cells, strict=True))
    assert alpha(unit, value, ordinal=False) == pytest.approx(0.743, abs=5e-4)
    assert alpha(unit, value, ordinal=True) == pytest.approx(0.815, abs=5e-4)


AGREEMENTS = [
    ({}, 0, None, "cannot be told yet"),
    ({"anna": {"a": 1, "b": 5}}, 0, None, "cannot be told yet"),
    ({"anna": {"a": 1, "b": 5}, "ben": {"c": 1}}, 0, None, "cannot be told yet"),
    ({"anna": {"a": 3, "b": 3}, "ben": {"a": 3, "b": 3}}, 2, None, "cannot be told yet"),
    ({"anna": {"a": 1, "b": 5, "c": 3}, "ben": {"a": 1, "b": 5, "c": 3}}, 3, 1.0, "reliable"),
    ({"anna": {"a": 1, "b": 5}, "ben": {"a": 5, "b": 1}}, 2, -0.5, "too low to rely on"),
]


@pytest.mark.parametrize(("votes", "photos", "value", "words"), AGREEMENTS)
def test_agreement_of_labellers(votes: dict[str, dict[str, int]], photos: int, value: float | None, words: str) -> None:
    found = agreement(votes, "stars")
    assert found.photos == photos
    assert found.alpha == (None if value is None else pytest.approx(value))
    assert in_words(found.alpha) == words
    assert len(found.pairs) == len(votes) * (len(votes) - 1) // 2


def test_projected_features_keep_their_distances() -> None:
    features = np.random.default_rng(4).normal(size=(30, 3000))
    found = projected(features)
    assert found.shape == (30, 256)

    def distances(values: np.ndarray) -> np.ndarray:
        return np.linalg.norm(values[:, None] - values[None], axis=2)[np.triu_indices(30, 1)]

    assert distances(found) / distances(features) == pytest.approx(1, abs=0.25)
    assert np.array_equal(projected(features[:, :256]), features[:, :256].astype(np.float32))

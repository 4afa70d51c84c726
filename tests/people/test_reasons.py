"""Reasons: what speaks for a photo and against it, how sure, and in one sentence; the estimate of noise behind them."""

from typing import Any

import numpy as np
import pytest

from photoqual.models.answer import Answer
from photoqual.photos.measures import NAMES, WATCHED, measure, noise
from photoqual.rating.explain.levels import brief, named_model, panel, sentence
from photoqual.rating.reasons import all_reasons, how_sure, reasons, strengths, usual
from tests.conftest import scene
from tests.people.rated import a_rating

RANGES = {
    "brightness": (60.0, 160.0),
    "contrast": (30.0, 70.0),
    "sharpness": (5.0, 8.0),
    "saturation": (10.0, 90.0),
    "clipped_dark": (0.0, 0.1),
    "clipped_bright": (0.0, 0.05),
    "noise": (0.5, 4.5),
}
MIDDLE = {
    "brightness": 110.0,
    "contrast": 50.0,
    "sharpness": 7.4,
    "saturation": 50.0,
    "clipped_dark": 0.0,
    "clipped_bright": 0.0,
    "noise": 1.3,
}
PRAISE = ["well exposed", "good contrast", "balanced colour", "sharp", "clean, with little noise"]


@pytest.mark.parametrize(
    ("measured", "defects", "missing"),
    [
        ({}, {}, []),
        ({"brightness": 75.0}, {}, []),
        ({"brightness": 61.0}, {}, ["well exposed"]),
        ({"brightness": 200.0}, {}, ["well exposed"]),
        ({"clipped_bright": 0.2}, {}, ["well exposed"]),
        ({"sharpness": 5.2}, {}, ["sharp"]),
        ({"sharpness": 9.9}, {}, ["sharp"]),
        ({"noise": 4.4}, {}, ["clean, with little noise"]),
        ({"noise": 0.1}, {}, []),
        ({"contrast": 12.0, "saturation": 95.0}, {}, ["good contrast", "balanced colour"]),
        ({}, {"noise": 0.9}, ["sharp", "clean, with little noise"]),
        ({}, {"motion_blur": 0.6, "colour_cast": 0.5}, ["sharp", "balanced colour"]),
        ({}, {"motion_blur": 0.4}, []),
        ({}, {"too_dark": 0.8}, ["well exposed", "good contrast"]),
    ],
)
def test_praise_is_for_what_lies_well_within_and_no_defect_belies(
    measured: dict[str, float], defects: dict[str, float], missing: list[str]
) -> None:
    found = [brief(point) for point in strengths(MIDDLE | measured, RANGES, defects)]
    assert set(found) == set(PRAISE) - set(missing)


def test_the_most_notable_comes_first_and_absent_defects_last() -> None:
    measured = MIDDLE | {"brightness": 110.0, "contrast": 36.0, "saturation": 20.0, "sharpness": 7.9, "noise": 2.0}
    defects = {"noise": 0.01, "jpeg_loss": 0.0, "defocus": 0.02, "motion_blur": 0.03, "lens_flare": 0.3}
    found = strengths(measured, RANGES, defects)
    assert [brief(point) for point in found[:-1]] == [
        "well exposed",
        "sharp",
        "clean, with little noise",
        "good contrast",
        "balanced colour",
    ]
    assert found[0] == "well exposed (brightness 110, theirs 60 to 160)"
    assert found[-1] == "no sign of jpeg loss, noise, defocus and 1 other defect"
    assert strengths({}, {}, {"noise": 0.01, "loss": 0.05}) == ["no sign of noise or loss"]
    assert strengths({}, {}, {"noise": 0.051}) == []


def test_a_model_from_before_there_was_noise_and_one_from_later_say_what_they_know() -> None:
    older = {name: RANGES[name] for name in WATCHED}
    assert [brief(point) for point in strengths(MIDDLE, older, {})] == PRAISE[:-1]
    assert reasons(MIDDLE | {"noise": 50.0}, older) == []
    later = RANGES | {"halation": (0.0, 1.0)}
    assert reasons(MIDDLE, later) == []
    assert [brief(point) for point in reasons(MIDDLE | {"noise": 9.0}, later)] == ["noisier"]


def test_no_photo_is_blamed_for_less_noise_or_less_clipping() -> None:
    ranges = RANGES | {"clipped_dark": (0.01, 0.1)}
    assert reasons(MIDDLE | {"noise": 0.0, "clipped_dark": 0.0}, ranges) == []
    told = {name: usual(name, (MIDDLE | {"noise": 0.0, "contrast": 9.0})[name], ranges) for name in NAMES}
    assert told == dict.fromkeys(NAMES, True) | {"contrast": False}
    assert usual("noise", 1.0, {}) is None


def test_what_speaks_against_begins_with_what_the_score_cannot_be_relied_on_for() -> None:
    answer = Answer(0.2, 2, False, "bad", False, {"noise": 0.7, "loss": 0.9, "dark": 0.1})
    assert all_reasons(answer, MIDDLE | {"contrast": 1.0}, RANGES) == [
        "not the kind of photo this model knows",
        "loss: 0.90",
        "noise: 0.70",
        "flatter in contrast than most good photos (contrast 1, theirs 30 to 70)",
    ]


@pytest.mark.parametrize(
    ("arguments", "known", "begins"),
    [
        ((True, None), True, "sure: at least nine in ten"),
        ((True, True), True, "sure: at least nine in ten"),
        ((False, None), True, "not sure: the score lies near the border"),
        ((False, True), False, "not sure: there were too few validation photos"),
        ((False, False), True, "not sure: not the kind of photo"),
    ],
)
def test_how_sure_in_words(arguments: tuple[bool, bool | None], known: bool, begins: str) -> None:
    assert how_sure(*arguments, margin_known=known).startswith(begins)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reasons": [], "strengths": []}, "4 of 5 stars, good (score 0.75, sure)."),
        (
            {"reasons": ["noise: 0.61"], "strengths": ["sharp (sharpness 7, theirs 5 to 8)", "no sign of loss"]},
            "4 of 5 stars, good (score 0.75, sure): sharp; but noise.",
        ),
        (
            {
                "stars": 1,
                "score": 0.1,
                "label": "bad",
                "sure": False,
                "familiar": False,
                "reasons": [
                    "not the kind of photo this model knows",
                    "darker than most good photos (brightness 4, theirs 60 to 160)",
                    "a: 0.90",
                    "b: 0.80",
                ],
                "strengths": ["sharp (sharpness 7, theirs 5 to 8)"],
            },
            "1 of 5 stars, bad (score 0.10, not sure): darker, a; but sharp. It is not the kind of photo this model knows.",
        ),
    ],
)
def test_a_rating_in_a_sentence(changes: dict[str, Any], said: str) -> None:
    assert sentence(a_rating("a.jpg", **changes)) == said


def test_the_panel_has_it_all_and_no_name_moves_the_cursor() -> None:
    rating = a_rating(
        "trip/\x1b[2J[bold]a.jpg",
        reasons=["noise: 0.61"],
        strengths=["sharp (sharpness 7, theirs 5 to 8)"],
        defects={"noise": 0.61, "loss": 0.02},
        measures={"sharpness": 7.0},
    )
    shown = panel(rating, width=100)
    for part in (
        "★★★★☆",
        "0.750",
        "sure: at least",
        "noise 0.61; the other 1 at most 0.02",
        "+ ",
        "sharp (sharpness 7",
    ):
        assert part in shown
    assert "trip/?[2J[bold]a.jpg" in shown
    assert "noise: 0.61" in shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("models:/photoqual@champion", "models:/photoqual@champion"),
        ("starter", "starter"),
        ("/home/anna/models/mine/", "mine"),
        ("C:\\Users\\anna\\mine", "mine"),
    ],
)
def test_a_page_does_not_tell_where_a_model_lies(name: str, shown: str) -> None:
    assert named_model(name) == shown


@pytest.mark.parametrize("deviation", [2.0, 5.0, 10.0])
def test_noise_that_was_added_is_found(deviation: float) -> None:
    draw = np.random.default_rng(3)
    luma = np.asarray(scene(5, (320, 240)).convert("L"), np.float32) * 0.6 + 50
    assert noise(luma) < 0.5
    assert noise(luma + draw.normal(0, deviation, luma.shape)) == pytest.approx(deviation, rel=0.12)


@pytest.mark.parametrize("shape", [(1, 1), (2, 40), (3, 3), (16, 16), (17, 400)])
def test_every_size_has_all_measures(shape: tuple[int, int]) -> None:
    for value in (0, 128, 255):
        found = measure(np.full((*shape, 3), value, np.uint8))
        assert tuple(sorted(found)) == tuple(sorted(NAMES))
        assert all(np.isfinite(list(found.values())))
        assert found["noise"] == 0

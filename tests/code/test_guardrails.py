"""Guardrails: each number against its limit, slices with their intervals, and what cannot be judged."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from photoqual.config import GuardrailParams
from photoqual.evaluation import checks
from photoqual.evaluation.calibration import calibration_interval
from photoqual.evaluation.guardrails import Behaviour, Guardrail, judge
from photoqual.evaluation.metrics import calibration_error
from photoqual.evaluation.slices import slices
from tests.conftest import NOW

PHOTOS = 400
RANDOM = np.random.default_rng(5)
GOOD = np.arange(PHOTOS) % 2
GROUPS = np.array([f"g{index}" for index in range(PHOTOS)], dtype=object)
SCORES = np.clip(0.25 + 0.5 * GOOD + RANDOM.normal(0, 0.2, PHOTOS), 0, 1)
FINE = {name: np.full(50, -0.3) for name in checks.DAMAGES} | {name: np.full(50, 0.01) for name in checks.HARMLESS}
SANE = Behaviour(np.ones(PHOTOS, dtype=bool), 100.0, 2_000_000, FINE)
PARTS = {
    "source": np.full(PHOTOS, "site", dtype=object),
    "category": np.where(np.arange(PHOTOS) < 200, "indoor", "outdoor").astype(object),
    "upload_year": np.full(PHOTOS, "unknown", dtype=object),
    "orientation": np.full(PHOTOS, "landscape", dtype=object),
    "brightness": np.full(PHOTOS, "medium", dtype=object),
}


def judged(**changes: Any) -> dict[str, Guardrail]:
    """Judge a sane challenger against itself, with `changes` of the arguments; return the guardrails by name."""
    arguments: dict[str, Any] = {
        "good": GOOD,
        "groups": GROUPS,
        "challenger_scores": SCORES,
        "champion_scores": SCORES,
        "challenger": SANE,
        "champion": SANE,
        "slices": PARTS,
        "params": GuardrailParams(),
        "confidence": 0.95,
    }
    found = judge(**(arguments | changes))
    assert len({rail.name for rail in found}) == len(found)
    return {rail.name: rail for rail in found}


def with_changes(name: str, changes: np.ndarray) -> Behaviour:
    return replace(SANE, changes=FINE | {name: changes})


def test_a_sane_challenger_breaks_nothing_and_the_order_is_stable() -> None:
    found = judged()
    assert [rail.name for rail in found.values() if rail.blocks] == []
    assert list(found) == [
        "calibration error",
        "unsure share",
        "photos per second",
        "slowdown",
        "model size",
        "slices by source",
        "slice category=indoor",
        "slice category=outdoor",
        "slices by upload_year",
        "slices by orientation",
        "slices by brightness",
        *(f"damage {name}" for name in ("darkened", "blurred", "compressed", "noisy", "black")),
        *(f"change {name}" for name in ("flipped", "cropped")),
    ]


@pytest.mark.parametrize(
    ("name", "behaviour", "limit", "value"),
    [
        ("unsure share", replace(SANE, sure=np.arange(PHOTOS) < 100), {"max_unsure_share": 0.7}, 0.75),
        ("photos per second", replace(SANE, photos_per_second=60.0), {"min_photos_per_second": 80.0}, 60.0),
        ("slowdown", replace(SANE, photos_per_second=20.0), {"max_slowdown": 4.5}, 5.0),
        ("model size", replace(SANE, model_bytes=300_000_000), {}, 300.0),
        ("damage darkened", with_changes("darkened", np.repeat([0.1, -0.1], [11, 39])), {}, 0.22),
        ("damage black", with_changes("black", np.repeat([0.1, -0.1], [3, 47])), {}, 0.06),
        ("change flipped", with_changes("flipped", np.repeat([-0.5, 0.0], [10, 40])), {}, 0.5),
        ("change cropped", with_changes("cropped", np.repeat([0.4, -0.4], 25)), {}, 0.4),
    ],
)
def test_a_number_over_its_limit_breaks_that_guardrail_alone(
    name: str, behaviour: Behaviour, limit: dict[str, float], value: float
) -> None:
    params = GuardrailParams(
        **{"max_rises": {"darkened": 0.2, "black": 0.05}, "max_changes": {"flipped": 0.3, "cropped": 0.3}, **limit}
    )
    found = judged(challenger=behaviour, params=params)
    assert [rail.name for rail in found.values() if rail.blocks] == [name]
    assert found[name].outcome == "broken"
    assert found[name].value == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "behaviour"),
    [
        ("unsure share", replace(SANE, sure=np.arange(PHOTOS) < 100)),
        ("damage darkened", with_changes("darkened", np.repeat([0.1, -0.1], [10, 40]))),
        ("change flipped", with_changes("flipped", np.full(50, -0.3))),
    ],
)
def test_a_number_at_its_limit_holds(name: str, behaviour: Behaviour) -> None:
    params = GuardrailParams(
        max_unsure_share=0.75,
        max_rises={"darkened": 0.2},  # type: ignore[arg-type]
        max_changes={"flipped": 0.3},  # type: ignore[arg-type]
    )
    assert judged(challenger=behaviour, params=params)[name].outcome == "holds"


def test_an_equal_score_is_no_rise() -> None:
    assert judged(challenger=with_changes("black", np.zeros(50)))["damage black"].value == 0


@pytest.mark.parametrize(
    ("name", "behaviour", "told"),
    [
        ("damage blurred", with_changes("blurred", np.empty(0)), "no photo"),
        ("damage blurred", replace(SANE, changes={k: v for k, v in FINE.items() if k != "blurred"}), "no photo"),
        ("damage noisy", with_changes("noisy", np.repeat([np.nan, -0.1], [2, 48])), "2 of 50"),
        ("change cropped", with_changes("cropped", np.full(50, np.inf)), "50 of 50"),
        ("photos per second", replace(SANE, photos_per_second=np.nan), "could not be measured"),
    ],
)
def test_a_number_that_cannot_be_had_blocks(name: str, behaviour: Behaviour, told: str) -> None:
    found = judged(challenger=behaviour)
    assert (found[name].outcome, found[name].value, found[name].blocks) == ("not_evaluable", None, True)
    assert told in found[name].text


def test_a_champion_without_a_speed_leaves_the_slowdown_open() -> None:
    assert judged(champion=replace(SANE, photos_per_second=np.nan))["slowdown"].outcome == "not_evaluable"


def test_scores_that_promise_too_much_break_calibration() -> None:
    found = judged(challenger_scores=SCORES**0.1)["calibration error"]
    assert found.outcome == "broken"
    assert found.value == pytest.approx(calibration_error(GOOD, SCORES**0.1))
    assert found.low is not None
    assert found.low > found.limit


@pytest.mark.parametrize("bias", [0.0, 0.1])
def test_the_interval_of_the_calibration_error_holds_the_true_one(bias: float) -> None:
    draw = np.random.default_rng(2)
    held, values, widths = 0, [], {}
    for photos in (200, 800):
        for _ in range(50):
            scores = draw.uniform(0.2, 1, photos)
            good = draw.uniform(0, 1, photos) < scores - bias
            value, low, high = calibration_interval(good, scores, np.arange(photos), 0.95)
            held += low <= bias <= high
            values.append(value)
            widths[photos] = high - low
    assert held >= 90  # 95 expected at least; 90 is more than two standard errors below
    assert np.mean(values) > bias  # chance only adds
    assert widths[800] < widths[200]


def test_photos_of_one_group_widen_the_interval_of_the_calibration_error() -> None:
    _, low, high = calibration_interval(GOOD, SCORES, GROUPS, 0.95)
    _, low_by_group, high_by_group = calibration_interval(GOOD, SCORES, np.arange(PHOTOS) // 2 % 10 * 2 + GOOD, 0.95)
    assert high_by_group - low_by_group > high - low


def test_harm_in_one_slice_is_found_though_the_whole_is_no_worse() -> None:
    indoor = PARTS["category"] == "indoor"
    worse_indoors = np.where(indoor, RANDOM.uniform(0, 1, PHOTOS), 0.1 + 0.8 * GOOD)
    found = judged(challenger_scores=worse_indoors)
    rail = found["slice category=indoor"]
    assert rail.outcome == "broken"
    assert rail.value is not None
    assert rail.high is not None
    assert rail.low is not None
    assert rail.low < rail.value < rail.high < 0
    assert rail.limit == -0.05
    assert found["slice category=outdoor"].outcome == "holds"
    assert "200 photos, 100 of them good" in rail.text


@pytest.mark.parametrize(
    ("noise", "margin", "indoor", "shown"),
    [
        (0.25, 0.5, 380, True),  # beyond chance, and smaller than the margin
        (0.2, 0.02, 40, False),  # larger than the margin, and chance may have done it
    ],
)
def test_a_loss_counts_when_it_is_over_the_margin_and_beyond_chance(
    noise: float, margin: float, indoor: int, shown: bool
) -> None:
    inside = np.arange(PHOTOS) < indoor
    category = np.where(inside, "indoor", "outdoor").astype(object)
    worse = (SCORES + inside * np.random.default_rng(3).normal(0, noise, PHOTOS) + 2) / 5
    params = GuardrailParams(max_slice_loss=margin)
    rail = judged(challenger_scores=worse, slices={**PARTS, "category": category}, params=params)[
        "slice category=indoor"
    ]
    assert rail.outcome == "holds"
    assert rail.value is not None
    assert rail.high is not None
    assert (rail.high < 0) == shown
    assert (rail.value < -margin) == (not shown)


def test_an_equal_model_breaks_a_slice_by_chance_in_at_most_one_of_twenty_verdicts() -> None:
    draw = np.random.default_rng(11)
    parts = {"category": np.array([f"c{index % 5}" for index in range(300)], dtype=object)}
    params = GuardrailParams(slices=["category"], max_slice_loss=0.0)
    good, broken = draw.permutation(300) % 2, 0
    for _ in range(60):
        shared = good + draw.normal(0, 1, 300)
        one, other = ((shared + draw.normal(0, 0.6, 300) + 6) / 13 for _ in range(2))
        found = judge(good, np.arange(300), one, other, SANE, SANE, parts, params, 0.95)
        broken += any(rail.outcome == "broken" for rail in found if rail.name.startswith("slice "))
    assert broken <= 8  # 3 expected at most; 8 is beyond three standard errors


def test_small_slices_are_counted_and_do_not_block() -> None:
    names = np.array(["indoor"] * 300 + ["night"] * 29 + ["snow"] * 71, dtype=object)
    good = np.where(names == "snow", 1, GOOD)
    good[-4:] = 0
    scores = np.where(names == "indoor", SCORES, 1 - SCORES)
    found = judged(good=good, challenger_scores=scores, slices={**PARTS, "category": names})
    assert [name for name in found if name.startswith("slice category=")] == ["slice category=indoor"]
    rest = found["slices by category"]
    assert (rest.outcome, rest.value, rest.blocks) == ("reported", 100.0, False)
    assert "night (29), snow (71)" in rest.text


def test_a_slicing_without_any_slice_to_judge_says_so() -> None:
    years = np.array([f"{2000 + index // 20}" for index in range(PHOTOS)], dtype=object)
    found = judged(slices={**PARTS, "upload_year": years})
    assert found["slices by upload_year"].text.startswith("No slice can be judged.")
    assert "and 14 more" in found["slices by upload_year"].text
    assert "nothing to compare" in found["slices by source"].text


def test_only_the_slices_that_params_name_are_judged() -> None:
    found = judged(params=GuardrailParams(slices=["orientation"]))
    assert [name for name in found if name.startswith("slice")] == ["slices by orientation"]


def test_without_a_champion_slices_are_reported_and_nothing_is_compared() -> None:
    found = judged(champion_scores=None, champion=None)
    assert "slowdown" not in found
    rail = found["slice category=indoor"]
    assert (rail.outcome, rail.limit, rail.blocks) == ("reported", None, False)
    assert rail.value is not None
    assert rail.low is not None
    assert rail.low < rail.value


def test_slices_of_a_frozen_set() -> None:
    frozen = pd.DataFrame(
        {
            "source": ["site", "site", None],
            "category": pd.array(["indoor", None, ""], dtype="string"),
            "uploaded_at": pd.to_datetime([NOW, None, "2019-12-31T23:59:59Z"], utc=True),
            "width": [600, 400, 500],
            "height": [400, 600, 500],
        }
    )
    found = slices(frozen, np.array([10.0, 200.0, 90.0]))
    assert {name: list(values) for name, values in found.items()} == {
        "source": ["site", "site", "unknown"],
        "category": ["indoor", "unknown", "unknown"],
        "upload_year": ["2026", "unknown", "2019"],
        "orientation": ["landscape", "portrait", "square"],
        "brightness": ["dark", "bright", "medium"],
    }
    assert all(isinstance(name, str) for values in found.values() for name in values)


def test_slices_of_unknown_sizes_and_of_one_brightness() -> None:
    frozen = pd.DataFrame(
        {
            "source": ["a"] * 3,
            "category": ["b"] * 3,
            "uploaded_at": pd.Series([pd.NaT] * 3, dtype="datetime64[us, UTC]"),
            "width": pd.array([600, None, 5], dtype="Int64"),
            "height": pd.array([400, 600, None], dtype="Int64"),
        }
    )
    found = slices(frozen, np.array([80.0, 80.0, np.nan]))
    assert list(found["orientation"]) == ["landscape", "unknown", "unknown"]
    assert list(found["brightness"]) == ["medium", "medium", "unknown"]
    assert set(found["upload_year"]) == {"unknown"}

"""The report: pictures of what was compared, the rows that break a rule, and hostile text that stays text."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from photoqual.errors import ConfigError, ValidationFailed
from photoqual.layout import Layout
from photoqual.validation.plots import bars, lines
from photoqual.validation.rules import RULES, bounds
from photoqual.validation.validate import validate
from photoqual.validation.words import printable
from tests.code.test_pages import HOSTILE, Seen
from tests.data.test_validation import SEEN, catalog_rows, params, project

LOOK = {"brightness": 100.0, "sharpness": 6.5, "red": 120, "green": 90, "blue": 60}


def measured(photos: int = 400) -> pd.DataFrame:
    """Rows of photos whose look was measured: the better, the brighter."""
    rows = catalog_rows(photos).astype({"category": object}).assign(**LOOK)
    rows["category"] = "sea"
    rows["brightness"] = 40.0 * rows["votes_mean"].astype(float).clip(1, 5) + 20
    return rows


def test_a_page_shows_pictures_and_hostile_rows_as_text(tmp_path: Path) -> None:
    rows = measured()
    layout = project(tmp_path, rows)
    validate(layout, params())
    rows.loc[20:25, "source_key"] = [f"{HOSTILE}\u202e\x1b[31m{'x' * 4000}{number}" for number in range(6)]
    rows.loc[20:25, "votes_count"] = -1
    rows.loc[200:, "category"] = HOSTILE
    rows.loc[100:, "brightness"] = 250.0
    project(tmp_path, rows)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    assert "\x1b" not in refused.value.message
    assert [item["name"] for item in refused.value.details["failed"]] == [
        "votes_count",
        "category_distribution",
        "brightness_distribution",
    ]
    page = (layout.validation / "index.html").read_text()
    seen = Seen(page)
    assert seen.open == []
    assert not {"script", "link", "iframe", "img"} & set(seen.tags)
    assert [name for name, _ in seen.attributes if name.startswith("on")] == []
    assert {value for name, value in seen.attributes if name in ("href", "src")} == {
        "data_docs/index.html",
        "summary.json",
    }
    assert "alert(1)" in seen.text
    assert "\\u202e\\u001b[31mxxx" in seen.text
    assert "\u202e" not in page
    assert len(page) < 200_000
    assert page.count("<svg") == 7 + 4
    assert "chi-square" in seen.text
    assert "6 row(s)" in seen.text
    told = json.loads((layout.validation / "summary.json").read_text())
    assert told["offending"]["votes_count"]["rows"][0]["values"] == [["votes_count", "-1"]]
    assert told["looks"]["photos"] == {"bad": 160, "good": 80} or sum(told["looks"]["photos"].values()) > 200


def test_good_and_bad_photos_are_counted_apart_by_their_looks(tmp_path: Path) -> None:
    layout = project(tmp_path, measured())
    validate(layout, params())
    told = json.loads((layout.validation / "summary.json").read_text())["looks"]
    brightness = told["histograms"]["brightness"]
    assert sum(brightness["good"]) == told["photos"]["good"]
    assert brightness["good"][220 // 8] == told["photos"]["good"]
    assert brightness["bad"][60 // 8] + brightness["bad"][100 // 8] == told["photos"]["bad"]
    assert told["histograms"]["blue"]["bad"][60 // 8] == told["photos"]["bad"]


def test_without_measures_the_page_says_so(tmp_path: Path) -> None:
    layout = project(tmp_path, catalog_rows())
    validate(layout, params())
    assert "No labelled photo has been measured yet" in (layout.validation / "index.html").read_text()


def test_rules_may_be_told_to_warn_alone(tmp_path: Path) -> None:
    rows = catalog_rows()
    layout = project(tmp_path, rows)
    rows.loc[5, "original_width"] = 0
    layout = project(tmp_path, rows)
    result = validate(layout, params(only_warn=["original_width"]))
    assert "[original_width]" in result["warnings"][0]
    with pytest.raises(ConfigError, match=r"names no rule: nonsense.*original_height"):
        validate(Layout(tmp_path), params(only_warn=["nonsense"]))


def test_every_rule_can_be_stated() -> None:
    known = bounds(params().validation, SEEN)
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        for bound in (rule.low, rule.high):
            assert not isinstance(bound, str) or bound in known
        assert rule.check in ("rows",) or rule.columns


PRINTED = [
    (None, "none"),
    (float("nan"), "none"),
    (pd.NaT, "none"),
    (3.0, "3"),
    ([1, -1], "1, -1"),
    (pd.Timestamp("2071-01-01", tz="UTC"), "2071-01-01 00:00:00"),
    ("a\x00b\nc", "a\\u0000b\\u000ac"),
    ("x" * 500, "x" * 119 + "…"),
]


@pytest.mark.parametrize(("value", "expected"), PRINTED)
def test_values_are_made_safe_to_read(value: object, expected: str) -> None:
    assert printable(value) == expected


def test_pictures_keep_within_their_frame() -> None:
    from photoqual.validation.drift import Comparison
    from photoqual.validation.looks import Looks

    names = {f"c{number:03d}": 1000 - number for number in range(40)}
    drawn = bars(Comparison("categories", "category_distribution", "Categories", names, {"c001": 5}))
    assert len(drawn.rows) == 14
    assert drawn.rows[-1].name == "27 others"
    assert max(max(bar.now, bar.before or 0) for bar in drawn.rows) == 250
    shown = lines(Looks(2, {"good": 1, "bad": 0}, {"red": {"good": [0] * 31 + [1], "bad": [0] * 32}}))
    points = [tuple(map(float, point.split(","))) for point in re.split(r"\s", shown[0].good)]
    assert {y for _, y in points} == {0.0, 170.0}
    assert max(x for x, _ in points) == 520

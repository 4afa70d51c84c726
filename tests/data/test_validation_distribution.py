"""Distributions: what is counted, how far two of them are apart, and what the last accepted one may look like."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from photoqual.config import ValidationParams
from photoqual.config.data import DivergenceParams
from photoqual.errors import DataError
from photoqual.photos.catalog import read_catalog, write_catalog
from photoqual.validation import frames
from photoqual.validation.distribution import (
    SHAPES,
    Counts,
    Distribution,
    brightness_steps,
    distribution,
    parse_accepted,
    sharpness_steps,
    size_steps,
    vote_steps,
    whole_stars,
)
from photoqual.validation.drift import chi_square, compare, kl_divergence
from tests.data.test_validation import SEEN, catalog_rows

NAN = math.nan
STEPS = [
    (vote_steps, [0, 1, 2, 3, 4, 1023, 1024, 10**6, NAN], ["0", "1", "2 to 3", "2 to 3", "4 to 7"]),
    (size_steps, [1, 160, 161, 10240, 10241, NAN], ["up to 160", "up to 160", "161 to 320", "5121 to 10240"]),
    (brightness_steps, [0, 31.9, 32, 255, NAN], ["0 to 31", "0 to 31", "32 to 63", "224 to 255", None]),
    (sharpness_steps, [0, 1.99, 2, 8.99, 9, 20, NAN], ["under 2", "under 2", "2 to 3", "8 to 9", "9 or more"]),
]


@pytest.mark.parametrize(("steps", "values", "expected"), STEPS, ids=lambda value: getattr(value, "__name__", ""))
def test_numbers_fall_into_steps(steps: object, values: list[float], expected: list[str | None]) -> None:
    found = steps(np.array(values)).tolist()  # type: ignore[operator]
    assert found[: len(expected)] == expected
    assert found[-1] is None
    assert set(found) - {None} <= {name for shape in SHAPES for name in shape.names}


@pytest.mark.parametrize(
    ("observed", "reference", "expected"),
    [
        ({"good": 50, "bad": 50}, {"good": 10, "bad": 10}, 0.0),
        ({"good": 90, "bad": 10}, {"good": 50, "bad": 50}, 0.9 * math.log(1.8) + 0.1 * math.log(0.2)),
        ({"5": 10}, {"1": 10}, math.log(100)),
        ({"5": 5, "1": 5}, {"1": 10, "5": 0}, 0.5 * math.log(0.5 / 0.99) + 0.5 * math.log(0.5 / 0.01)),
    ],
)
def test_divergence(observed: dict[str, int], reference: dict[str, int], expected: float) -> None:
    assert kl_divergence(observed, reference) == pytest.approx(expected)


def test_divergence_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="photos on both sides"):
        kl_divergence({"good": 0}, {"good": 1})


def test_whole_stars_round_halves_up_and_keep_gaps() -> None:
    stars = pd.Series([1.0, 1.49, 1.5, 4.5, 5.0, float("nan")])
    assert whole_stars(stars).tolist() == ["1", "1", "2", "5", "5", None]


def counted(rows: pd.DataFrame, tmp_path: Path) -> Distribution:
    write_catalog(tmp_path / "c.parquet", rows)
    catalog = read_catalog(tmp_path / "c.parquet", frames.CATALOG_COLUMNS)
    labels = pd.DataFrame(
        {
            "photo_id": pd.array(["a", "b", "c", "d"], dtype="string"),
            "good": pd.array([1, 0, None, 1], dtype="Int8"),
            "stars": [5.0, 1.0, 3.2, float("nan")],
        }
    )
    return distribution(
        {"catalog": frames.catalog_frame(catalog, SEEN), "labels": frames.labels_frame(labels, catalog)}
    )


def test_photos_are_counted_once_whatever_their_order(tmp_path: Path) -> None:
    rows = catalog_rows().astype({"category": object})
    rows.loc[2:41, "category"] = "Sky"
    rows.loc[42:80, "category"] = "\u202eevil\x1b[31m"
    rows.loc[100, "photo_id"] = rows.loc[99, "photo_id"]
    rows["brightness"], rows["sharpness"] = 100.0, 5.5
    found = counted(rows, tmp_path)
    assert found == counted(rows.iloc[::-1], tmp_path)
    assert found.classes == {"bad": 1, "good": 2}
    assert found.stars == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}
    assert found.categories == {"(none)": 39, "Sky": 40, "\\u202eevil\\u001b[31m": 39}
    assert (found.votes or {})["2 to 3"] == 117
    assert found.brightness == dict.fromkeys(SHAPES[5].names, 0) | {"96 to 127": 118}
    assert parse_accepted(json.loads(found.model_dump_json()), origin="x") == found


def test_many_categories_are_counted_as_forty_and_the_others(tmp_path: Path) -> None:
    rows = catalog_rows()
    rows["category"] = [f"c{number % 60:02d}" for number in range(len(rows))]
    found = counted(rows, tmp_path).categories or {}
    assert len(found) == 41
    assert found["(other)"] == len(rows) - 1 - sum(count for name, count in found.items() if name != "(other)")


OLD = {"format": 1, "classes": {"bad": 1, "good": 2}, "stars": None}


def test_a_file_of_format_1_is_read_and_compares_what_it_has() -> None:
    old = parse_accepted(OLD, origin="x")
    assert (old.classes, old.stars, old.votes) == ({"bad": 1, "good": 2}, None, None)
    now = old.model_copy(update={"votes": {"0": 5}})
    notes = {found.kind: found.note for found in compare(now, old, ValidationParams())}
    assert notes["classes"] == ""
    assert notes["votes"] == "no photo has votes in the last accepted data"


FOREIGN = {
    "format 3": OLD | {"format": 3},
    "a kind of format 2": OLD | {"votes": None},
    "another class": OLD | {"classes": {"ugly": 1}},
    "a negative number": OLD | {"classes": {"bad": -1, "good": 2}},
    "a list": [],
}


@pytest.mark.parametrize("values", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_references_say_what_to_do(values: object) -> None:
    with pytest.raises(DataError, match="dvc checkout"):
        parse_accepted(values, origin="x")


@pytest.mark.parametrize(
    ("now", "before"),
    [({"a": 12, "b": 30}, {"a": 20, "b": 20}), ({"a": 5, "c": 9}, {"a": 7, "b": 3, "c": 1}), ({"a": 5}, {"b": 5})],
)
def test_chi_square_is_that_of_scipy(now: dict[str, int], before: dict[str, int]) -> None:
    names = sorted({*now, *before})
    expected = chi2_contingency([[side.get(name, 0) for name in names] for side in (before, now)], correction=False)
    assert chi_square(now, before) == pytest.approx((expected.statistic, expected.dof, expected.pvalue))


def test_chi_square_of_one_category_says_nothing() -> None:
    assert chi_square({"a": 5}, {"a": 9}) == (0.0, 0, 1.0)


def told(**kinds: Counts | None) -> Distribution:
    nothing = {shape.kind: None for shape in SHAPES}
    return Distribution.model_validate({**nothing, "classes": {"bad": 50, "good": 50}, **kinds})


def test_each_kind_has_its_own_limit_and_null_lets_everything_pass() -> None:
    params = ValidationParams(max_kl_divergence=DivergenceParams(categories=None, votes=0.01))
    before = told(categories={"sea": 400}, votes={"0": 300, "1": 100})
    now = told(categories={"sky": 400}, votes={"0": 100, "1": 300})
    found = {of.kind: of for of in compare(now, before, params)}
    assert found["categories"].divergence == pytest.approx(math.log(100))
    assert found["categories"].holds
    assert not found["votes"].holds
    assert found["votes"].p_value == pytest.approx(0.0, abs=1e-20)


def test_few_photos_are_not_compared_but_by_class() -> None:
    found = {
        of.kind: of
        for of in compare(told(sizes={"up to 160": 199}), told(sizes={"over 10240": 500}), ValidationParams())
    }
    assert found["sizes"].note == "only 199 photos on one side, fewer than validation.min_compared = 200"
    assert found["sizes"].holds
    assert found["classes"].divergence == 0.0


def test_new_categories_count_as_other_where_there_were_others() -> None:
    before = told(categories={"sea": 300, "(other)": 100})
    found = {of.kind: of for of in compare(told(categories={"sea": 300, "sky": 100}), before, ValidationParams())}
    assert found["categories"].now == {"sea": 300, "(other)": 100}
    assert found["categories"].divergence == pytest.approx(0.0)


def test_one_number_is_the_limit_of_classes_and_stars() -> None:
    params = ValidationParams.model_validate({"max_kl_divergence": 0.3}).max_kl_divergence
    assert (params.classes, params.stars, params.votes) == (0.3, 0.3, DivergenceParams().votes)

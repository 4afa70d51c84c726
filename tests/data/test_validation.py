"""Validation: a sound catalog passes, each kind of broken one is refused by name, and nothing wrong gets accepted."""

import hashlib
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoqual.config import Params, parse_params
from photoqual.errors import DataError, MissingData, ValidationFailed
from photoqual.labels import rules
from photoqual.layout import Layout
from photoqual.photos.catalog import SCHEMA, read_catalog, write_catalog
from photoqual.validation.distribution import distribution, kl_divergence, parse_accepted, whole_stars
from photoqual.validation.suites import catalog_frame
from photoqual.validation.validate import validate

PHOTOS = 120
SEEN = datetime(2026, 11, 1, tzinfo=UTC)


def params(**validation: object) -> Params:
    return parse_params(
        {
            "sources": {"demo": {"kind": "demo"}},
            "photos": {},
            "labels": {},
            "validation": validation,
            "split": {},
            "model": {},
            "train": {},
            "evaluate": {},
            "promote": {},
        }
    )


def catalog_rows(photos: int = PHOTOS) -> pd.DataFrame:
    """A sound catalog with whole stars 1 to 5 in turn, one quarantined photo, and one that nobody voted on."""
    numbers = np.arange(photos)
    rows = pd.DataFrame(
        {
            "source": "site",
            "source_key": [f"photo-{number:07d}" for number in numbers],
            "photo_id": [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
            "group": [f"trip-{number // 4}" for number in numbers],
            "uploaded_at": SEEN - timedelta(days=30),
            "taken_at": SEEN - timedelta(days=60),
            "original_width": 4000,
            "original_height": 3000,
            "votes_count": 3,
            "votes_mean": (numbers % 5 + 1).astype(float),
            "votes_histogram": [[0, 1, 1, 1, 0]] * photos,
            "rating_min": 1.0,
            "rating_max": 5.0,
            "shard": "site/2026-11/00000.parquet",
            "row": numbers,
            "first_seen": SEEN,
            "last_checked": SEEN,
            "status": "ok",
        }
    )
    rows = rows.reindex(columns=SCHEMA.names).astype(
        {
            "votes_count": object,
            "row": object,
            "original_width": object,
            "original_height": object,
            "votes_histogram": object,
        }
    )
    rows.loc[0, ["photo_id", "shard", "row", "original_width", "original_height", "status"]] = [
        None,
        None,
        None,
        None,
        None,
        "truncated",
    ]
    rows.loc[1, ["votes_count", "votes_mean"]] = [0, 0.0]
    rows.at[1, "votes_histogram"] = None
    return rows


def project(root: Path, rows: pd.DataFrame) -> Layout:
    """Write the catalog and let the label stage label it."""
    layout = Layout(root)
    write_catalog(layout.catalog, rows)
    rules.label(layout, params())
    return layout


def change(column: str, value: object, places: slice = slice(10, 13)) -> Callable[[pd.DataFrame], None]:
    """Return an edit that sets `column` to `value` in some rows."""

    def edit(rows: pd.DataFrame) -> None:
        for place in rows.index[places]:
            rows.at[place, column] = value

    return edit


def too_many_quarantined(rows: pd.DataFrame) -> None:
    rows.loc[rows.index[:40], "status"] = "not_an_image"


BROKEN_CATALOGS = {
    "two rows of one key": (change("source_key", "photo-0000009"), "keys_unique", "4 of 120 otherwise"),
    "a photo id that is no hash": (change("photo_id", "../../etc/passwd"), "photo_id_form", "etc/passwd"),
    "a mean over the scale": (change("votes_mean", 7.0), "votes_not_over_scale", "3 of 120 otherwise"),
    "a mean under the scale": (change("votes_mean", -1.0), "votes_not_under_scale", "3 of 120 otherwise"),
    "a scale upside down": (change("rating_max", 0.0), "rating_scale", "3 of 120 otherwise"),
    "a negative number of votes": (change("votes_count", -2), "votes_count", "for example -2"),
    "votes without a mean": (change("votes_mean", None), "votes_mean_given", "3 of 120 otherwise"),
    "a negative histogram": (change("votes_histogram", [1, -1, 0, 0, 3]), "votes_histogram", "3 of 120 otherwise"),
    "a photo without width": (change("original_width", 0), "original_width", "for example 0"),
    "a photo of a million rows": (change("original_height", 1_000_000), "original_height", "for example 1e+06"),
    "an upload in the future": (
        change("uploaded_at", datetime(2071, 1, 1, tzinfo=UTC)),
        "uploaded_at_not_in_future",
        "2071-01-01",
    ),
    "a sighting in the future": (
        change("last_checked", datetime(2071, 1, 1, tzinfo=UTC)),
        "last_checked_not_in_future",
        "2071-01-01",
    ),
    "a photo in no shard": (change("shard", None), "photo_stored", "3 of 120 otherwise"),
    "a quarantine too full": (too_many_quarantined, "quarantined_share", "observed 0.3333, expected at most 0.2"),
}


@pytest.mark.parametrize(("edit", "name", "observed"), BROKEN_CATALOGS.values(), ids=BROKEN_CATALOGS.keys())
def test_a_broken_catalog_is_refused_by_name(
    tmp_path: Path, edit: Callable[[pd.DataFrame], None], name: str, observed: str
) -> None:
    rows = catalog_rows()
    layout = project(tmp_path, rows)
    edit(rows)
    write_catalog(layout.catalog, rows)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    failed = {item["name"]: item for item in refused.value.details["failed"]}
    assert name in failed
    assert not any(item["broken"] for item in failed.values())
    assert f"[{name}]" in refused.value.message
    assert observed in refused.value.message
    assert not layout.accepted.exists()


def only(value: float) -> Callable[[pd.DataFrame], None]:
    def edit(rows: pd.DataFrame) -> None:
        rows.loc[rows["votes_count"].astype(int) > 0, "votes_mean"] = value

    return edit


def few(rows: pd.DataFrame) -> None:
    rows.loc[rows.index[60:], "votes_count"] = 0


def mostly_good(rows: pd.DataFrame) -> None:
    rows.loc[rows.index[8:], "votes_mean"] = 5.0


BROKEN_LABELS = {
    "poisoned: every mean is 5": (
        only(5.0),
        ["both_classes", "good_share"],
        "observed no bad, expected bad and good; share of good photos [good_share]: observed 1, expected 0.15 to 0.85",
    ),
    "every mean is 1": (only(1.0), ["both_classes", "good_share"], "observed 0, expected 0.15 to 0.85"),
    "fewer labels than wanted": (few, ["labelled_photos"], "observed 34, expected at least 50"),
    "nearly all good": (mostly_good, ["good_share"], "expected 0.15 to 0.85"),
}


@pytest.mark.parametrize(("edit", "names", "observed"), BROKEN_LABELS.values(), ids=BROKEN_LABELS.keys())
def test_broken_labels_are_refused_by_name(
    tmp_path: Path, edit: Callable[[pd.DataFrame], None], names: list[str], observed: str
) -> None:
    rows = catalog_rows()
    edit(rows)
    layout = project(tmp_path, rows)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    assert [item["name"] for item in refused.value.details["failed"]] == names
    assert observed in refused.value.message


def test_labels_of_unknown_photos_are_refused(tmp_path: Path) -> None:
    layout = project(tmp_path, catalog_rows())
    labels = pq.read_table(layout.labels).to_pandas()
    labels.loc[0, "photo_id"] = "0" * 64
    labels.loc[2, "photo_id"] = labels.loc[1, "photo_id"]
    pq.write_table(pa.Table.from_pandas(labels, schema=rules.SCHEMA, preserve_index=False), layout.labels)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    assert [item["name"] for item in refused.value.details["failed"]] == ["label_photo_id_unique", "label_in_catalog"]


def test_poisoned_votes_after_an_accepted_run_leave_it_as_it_was(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = catalog_rows()
    layout = project(tmp_path, rows)
    result = validate(layout, params())
    accepted = layout.accepted.read_bytes()
    assert result["labelled"] == 70
    assert json.loads(accepted)["stars"]["5"] == 24
    assert (layout.validation / "data_docs/index.html").is_file()
    assert json.loads((layout.validation / "summary.json").read_text())["ok"] is True

    validate(layout, params())
    assert layout.accepted.read_bytes() == accepted
    assert capfd.readouterr().err == ""

    rows.loc[rows.index[2:], "votes_mean"] = 5.0
    project(tmp_path, rows)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    assert [item["name"] for item in refused.value.details["failed"]] == [
        "both_classes",
        "good_share",
        "class_distribution",
        "star_distribution",
    ]
    assert "good 1 (was 0.3429)" in refused.value.message
    assert "params.yaml" in refused.value.next_step
    assert layout.accepted.read_bytes() == accepted

    summary = json.loads((layout.validation / "summary.json").read_text())
    assert summary["ok"] is False
    assert {"name", "column", "observed", "expected", "ok"} <= summary["expectations"][0].keys()
    pages = list((layout.validation / "data_docs").rglob("*.html"))
    assert sum("validations" in page.parts for page in pages) == 2
    assert "Refused: 4 of" in (layout.validation / "index.html").read_text()
    assert sorted(path.name for path in layout.validation.parent.iterdir()) == ["validation"]


def test_a_star_that_was_never_seen_is_a_finite_change(tmp_path: Path) -> None:
    rows = catalog_rows()
    rows.loc[rows["votes_mean"] == 3.0, "votes_mean"] = 4.0
    layout = project(tmp_path, rows)
    validate(layout, params())
    accepted = layout.accepted.read_bytes()
    rows.loc[20:26, "votes_mean"] = 3.0
    project(tmp_path, rows)
    assert "star_distribution" not in str(validate(layout, params(max_kl_divergence=0.2))["notes"])
    assert layout.accepted.read_bytes() != accepted
    layout.accepted.write_bytes(accepted)
    with pytest.raises(
        ValidationFailed, match=r"\[star_distribution\]: observed 0\.\d+ \(1 .*3 0\.05932 \(was 0\.01\)"
    ):
        validate(layout, params(max_kl_divergence=0.05))


def test_folders_without_votes_are_compared_by_class_alone(tmp_path: Path) -> None:
    rows = catalog_rows().assign(
        votes_count=None, votes_mean=None, votes_histogram=None, rating_min=None, rating_max=None
    )
    rows["label_hint"] = np.where(np.arange(len(rows)) % 2, "good", "bad:dark")
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, rows)
    by_folder = params().model_copy(update={"labels": params().labels.model_copy(update={"rule": "folders"})})
    rules.label(layout, by_folder)
    validate(layout, by_folder)
    assert json.loads(layout.accepted.read_text()) == {"classes": {"bad": 59, "good": 60}, "format": 1, "stars": None}
    assert validate(layout, by_folder)["notes"] == ["Stars were not compared: no photo has votes now."]
    rows.loc[:, "label_hint"] = np.where(np.arange(len(rows)) % 6, "good", "bad:dark")
    write_catalog(layout.catalog, rows)
    rules.label(layout, by_folder)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, by_folder)
    assert [item["name"] for item in refused.value.details["failed"]] == ["class_distribution"]


def test_an_empty_catalog_is_refused(tmp_path: Path) -> None:
    layout = project(tmp_path, catalog_rows())
    write_catalog(layout.catalog, catalog_rows().iloc[:0])
    pq.write_table(rules.SCHEMA.empty_table(), layout.labels)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    names = {item["name"] for item in refused.value.details["failed"]}
    assert {"catalog_rows", "labelled_photos", "both_classes"} <= names
    assert "[catalog_rows]: observed 0, expected at least 1" in refused.value.message


def test_a_camera_clock_ahead_of_time_only_warns(tmp_path: Path) -> None:
    rows = catalog_rows()
    rows.loc[5, "taken_at"] = datetime(2071, 1, 1, tzinfo=UTC)
    result = validate(project(tmp_path, rows), params())
    assert len(result["warnings"]) == 1
    assert "[taken_at_not_in_future]" in result["warnings"][0]


def test_an_expectation_that_breaks_is_not_called_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from photoqual.validation import suites

    monkeypatch.setattr(
        suites,
        "labels_frame",
        lambda labels, catalog: pd.DataFrame({"photo_id": labels["photo_id"].to_numpy(dtype=object)}),
    )
    layout = project(tmp_path, catalog_rows())
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    assert "could not be checked" in refused.value.message
    assert "the check itself broke" in refused.value.next_step
    assert all(item["broken"] for item in refused.value.details["failed"])


def test_missing_files_and_foreign_references_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="photoqual refresh"):
        validate(Layout(tmp_path), params())
    layout = project(tmp_path, catalog_rows())
    for content in (
        "{",
        "[]",
        '{"format": 2, "stars": null, "classes": {"good": 1, "bad": 1}}',
        '{"format": 1, "stars": null, "classes": {"good": 0, "bad": 0}}',
    ):
        layout.accepted.write_text(content)
        with pytest.raises(DataError, match="dvc checkout"):
            validate(layout, params())


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


def test_equal_labels_give_equal_distributions_whatever_their_order() -> None:
    labels = pd.DataFrame({"good": pd.array([1, 0, None, 1], dtype="Int8"), "stars": [5.0, 1.0, 3.2, float("nan")]})
    counted = distribution(labels)
    assert counted == distribution(labels.iloc[::-1])
    assert counted.classes == {"bad": 1, "good": 2}
    assert counted.stars == {"1": 1, "2": 0, "3": 1, "4": 0, "5": 1}
    assert parse_accepted(counted.model_dump(mode="json"), origin="x") == counted


def test_the_checked_frame_has_plain_dtypes(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.parquet", catalog_rows())
    frame = catalog_frame(read_catalog(tmp_path / "c.parquet"))
    assert {str(dtype) for dtype in frame.dtypes} == {"object", "float64", "bool", "datetime64[us]"}
    assert frame["votes_mean"].isna().sum() == 1


def test_photos_of_a_removed_source_are_not_quarantined(tmp_path: Path) -> None:
    rows = catalog_rows()
    rows.loc[rows.index[60:], "status"] = "source_removed"
    write_catalog(tmp_path / "c.parquet", rows)
    assert catalog_frame(read_catalog(tmp_path / "c.parquet"))["quarantined"].mean() == pytest.approx(1 / 60)

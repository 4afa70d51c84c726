"""Validation: a sound catalog passes, each kind of broken one is refused by name, and nothing wrong gets accepted."""

import hashlib
import json
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
from photoqual.validation import frames
from photoqual.validation.validate import validate
from tests.long import times

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


def change(column: str, value: object) -> Callable[[pd.DataFrame, slice], None]:
    """Return an edit that sets `column` to `value` in some rows."""

    def edit(rows: pd.DataFrame, places: slice) -> None:
        for place in rows.index[places]:
            rows.at[place, column] = value

    return edit


def too_many_quarantined(rows: pd.DataFrame, _: slice) -> None:
    rows.loc[rows.index[80:], "status"] = "not_an_image"


FUTURE = datetime(2071, 1, 1, tzinfo=UTC)
BROKEN_CATALOGS = {
    "two rows of one key": (
        change("source_key", "photo-0000009"),
        "keys_unique",
        " of 120 otherwise, for example site /",
    ),
    "a photo id that is no hash": (change("photo_id", "../../etc/passwd"), "photo_id_form", "etc/passwd"),
    "a mean over the scale": (
        change("votes_mean", 7.0),
        "votes_not_over_scale",
        "otherwise, for example 7 / 5",
    ),
    "a mean under the scale": (change("votes_mean", -1.0), "votes_not_under_scale", " of 120 otherwise"),
    "a scale upside down": (change("rating_max", 0.0), "rating_scale", "otherwise, for example 1 / 0"),
    "a negative number of votes": (change("votes_count", -2), "votes_count", "for example -2"),
    "votes without a mean": (change("votes_mean", None), "votes_mean_given", " of 120 otherwise"),
    "a negative histogram": (change("votes_histogram", [1, -1, 0, 0, 3]), "votes_histogram", "1, -1, 0, 0, 3"),
    "a photo without width": (change("original_width", 0), "original_width", "for example 0"),
    "a photo of a million rows": (change("original_height", 1_000_000), "original_height", "for example 1000000"),
    "an upload in the future": (change("uploaded_at", FUTURE), "uploaded_at_not_in_future", "2071-01-01"),
    "a sighting in the future": (change("last_checked", FUTURE), "last_checked_not_in_future", "2071-01-01"),
    "a photo in no shard": (change("shard", None), "photo_stored", " of 120 otherwise"),
    "a quarantine too full": (too_many_quarantined, "quarantined_share", "0.3417, expected at most 0.2"),
}
TOGETHER = times(len(BROKEN_CATALOGS), 1)


@pytest.mark.parametrize("first", range(0, len(BROKEN_CATALOGS), TOGETHER))
def test_a_broken_catalog_is_refused_by_name(tmp_path: Path, first: int) -> None:
    """All kinds of damage in one catalog, each in rows of its own; in the long tests each in a catalog of its own."""
    cases = list(BROKEN_CATALOGS.values())[first : first + TOGETHER]
    rows = catalog_rows()
    layout = project(tmp_path, rows)
    for number, (edit, _, _) in enumerate(cases):
        edit(rows, slice(10 + 3 * number, 13 + 3 * number))
    write_catalog(layout.catalog, rows)
    with pytest.raises(ValidationFailed) as refused:
        validate(layout, params())
    failed = {item["name"]: item for item in refused.value.details["failed"]}
    told = json.loads((layout.validation / "summary.json").read_text())["offending"]
    for _, name, observed in cases:
        assert not failed[name]["broken"]
        assert f"[{name}]" in refused.value.message
        assert observed in f"{failed[name]['observed']}, expected {failed[name]['expected']}"
        counted = failed[name]["observed"].split(" of ")
        assert name == "quarantined_share" or told[name]["count"] == int(counted[0])
        assert len(told[name]["rows"]) == min(told[name]["count"], 20)
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
    with pytest.raises(ValidationFailed, match=r"\[star_distribution\]: observed 0\.\d+ \(1 .*3 0\.05932 \(was 0\)"):
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
    accepted = json.loads(layout.accepted.read_text())
    assert (accepted["classes"], accepted["stars"], accepted["votes"]) == ({"bad": 59, "good": 60}, None, None)
    [note] = validate(layout, by_folder)["notes"]
    assert note.startswith("Not compared: stars (no photo has votes now); votes (no photo has votes now); sizes (only")
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
    whole = frames.labels_frame
    monkeypatch.setattr(
        frames, "labels_frame", lambda labels, catalog: whole(labels, catalog)[["label", "whole_stars", "labelled"]]
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


def test_the_checked_frame_has_plain_dtypes(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.parquet", catalog_rows())
    frame = frames.catalog_frame(read_catalog(tmp_path / "c.parquet"), SEEN)
    assert {str(dtype) for dtype in frame.dtypes} == {"object", "float64", "bool"}
    assert frame["votes_mean"].isna().sum() == 1


def test_photos_of_a_removed_source_are_not_quarantined(tmp_path: Path) -> None:
    rows = catalog_rows()
    rows.loc[rows.index[60:], "status"] = "source_removed"
    write_catalog(tmp_path / "c.parquet", rows)
    frame = frames.catalog_frame(read_catalog(tmp_path / "c.parquet"), SEEN)
    assert frame["quarantined"].mean() == pytest.approx(1 / 60)

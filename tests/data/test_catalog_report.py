"""What the catalog holds, as a table, as JSON, and as pictures of votes and ratings over time."""

import io
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from photoqual.cli import main
from photoqual.errors import MissingData
from photoqual.layout import Layout
from photoqual.photos.catalog import SCHEMA, write_catalog
from photoqual.photos.overview import as_text, by_year, over_time, overview
from photoqual.photos.overview_page import BY_YEAR, OVER_TIME, PAGE, draw
from tests.conftest import NOW
from tests.long import times

MakeCatalog = Callable[..., pd.DataFrame]
SCRIPT = "<script>alert(1)</script>"


def history(*rows: tuple[str, int, int, float | None]) -> pd.DataFrame:
    """Return a vote history of (key, day, votes, mean) of the source `site`."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pd.DataFrame(
        {
            "source": ["site" for _ in rows],
            "source_key": [key for key, *_ in rows],
            "checked_at": [start + timedelta(days=day) for _, day, *_ in rows],
            "votes_count": [votes for _, _, votes, _ in rows],
            "votes_mean": [mean for *_, mean in rows],
        }
    )


def test_each_source_has_its_numbers(make_catalog: MakeCatalog) -> None:
    told = overview(
        make_catalog(
            {"group": "a", "votes_count": 4},
            {"group": "a", "votes_count": 0, "photo_id": "f" * 64},
            {"photo_id": "f" * 64, "votes_count": 6, "uploaded_at": NOW - timedelta(days=400)},
            {"status": "truncated", "photo_id": None, "votes_count": 9},
            {"status": "truncated", "photo_id": None},
            {"status": "page:no_rating", "photo_id": None, "votes_count": None},
            {"source": "trips", "votes_count": None, "label_hint": "good", "uploaded_at": None},
        )
    )
    site, trips = told["sources"]
    assert (site["source"], site["rows"], site["ok"], site["photos"]) == ("site", 5, 3, 2)
    assert (site["rated"], site["votes"], site["groups"]) == (2, 10, 2)
    assert site["set_aside"] == {"truncated": 2}
    assert site["uploaded"] == ["2025-09-27", "2026-11-01"]
    assert (trips["rated"], trips["votes"], trips["uploaded"]) == (1, 0, None)
    assert told["total"]["photos"] == 3


def test_the_table_has_a_line_a_source_and_no_control_characters(make_catalog: MakeCatalog) -> None:
    told = overview(
        make_catalog({}, {"source": "tr\x1b[2Jips[bold]"}, {"source": "tr\x1b[2Jips[bold]", "status": "broken"})
    )
    lines = as_text(told).splitlines()
    assert [line.split()[0] for line in lines] == ["source", "site", "tr?[2Jips[bold]", "all"]
    assert lines[2].endswith("1 broken")
    assert "\x1b" not in as_text(told)


def test_an_empty_catalog_has_a_table() -> None:
    from photoqual.photos.catalog import empty_catalog

    told = overview(empty_catalog())
    assert told["sources"] == []
    assert told["total"]["photos"] == 0
    assert as_text(told).startswith("source")


def test_votes_and_ratings_are_followed_through_time(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog({"source_key": "a"}, {"source_key": "b"}, {"source_key": "c"})
    told = over_time(
        history(("a", 0, 10, 3.0), ("b", 0, 2, 5.0), ("a", 3, 20, 4.0), ("c", 3, 0, None), ("b", 5, 1, 5.0)), catalog
    )
    assert told.votes.tolist() == [12, 12, 12, 22, 22, 21]
    assert told.new.tolist() == [0, 0, 0, 10, 0, -1]
    assert told.new_stars[3] == pytest.approx(5.0)
    assert np.isnan(told.new_stars[[0, 1, 2, 4, 5]]).all()
    assert told.rated.tolist() == [2] * 6
    assert told.stars[0, 2] == pytest.approx(4.0)
    assert told.stars[5].tolist() == pytest.approx([4.1, 4.25, 4.5, 4.75, 4.9])


def test_scales_are_brought_to_stars_and_a_photo_that_left_is_read_on_its_sources(make_catalog: MakeCatalog) -> None:
    catalog = make_catalog({"source_key": "a", "rating_min": 0.0, "rating_max": 10.0})
    told = over_time(history(("a", 0, 1, 10.0), ("gone", 0, 1, 0.0)), catalog)
    assert told.stars[0, [0, 2, 4]].tolist() == pytest.approx([1.4, 3.0, 4.6])


def test_years_of_history_become_at_most_sixty_periods(make_catalog: MakeCatalog) -> None:
    rows = [("a", day, day + 1, 3.0) for day in range(0, 3000, 7)]
    told = over_time(history(*rows), make_catalog({"source_key": "a"}))
    assert 50 <= len(told.times) <= 60
    assert told.votes[-1] == rows[-1][2]
    assert told.new.sum() == rows[-1][2] - 1
    assert (np.diff(told.times) > np.timedelta64(0)).all()


def test_upload_years_have_photos_votes_and_shares_of_stars(make_catalog: MakeCatalog) -> None:
    old = NOW - timedelta(days=730)
    told = by_year(
        make_catalog(
            {"uploaded_at": old, "votes_mean": 1.0, "votes_count": 2},
            {"uploaded_at": old, "votes_mean": 4.5, "votes_count": 3},
            {"uploaded_at": NOW, "votes_mean": None, "votes_count": 0},
            {"uploaded_at": None},
            {"uploaded_at": NOW, "status": "broken"},
        )
    )
    assert told.index.tolist() == [2024, 2026]
    assert told["photos"].tolist() == [2, 1]
    assert told["rated"].tolist() == [2, 0]
    assert told["votes"].tolist() == [5, 0]
    assert told.loc[2024, [1, 2, 3, 4, 5]].tolist() == [0.5, 0, 0, 0, 0.5]
    assert told.loc[2026, [1, 2, 3, 4, 5]].sum() == 0


def test_the_page_shows_pictures_and_runs_nothing(make_catalog: MakeCatalog, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    row: dict[str, Any] = {"category": SCRIPT, "title": SCRIPT, "source": f"site{SCRIPT}"}
    write_catalog(layout.catalog, make_catalog(row, {"uploaded_at": NOW - timedelta(days=900)}))
    told = draw(layout, tmp_path / "shown")
    page = (tmp_path / "shown" / PAGE).read_text()
    assert told["page"] == str(tmp_path / "shown" / PAGE)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("data:image/png") == len(told["pictures"]) == 1
    with Image.open(tmp_path / "shown" / BY_YEAR) as picture:
        assert len(picture.convert("RGB").resize((64, 64)).getcolors() or ()) > 10


def test_nothing_to_draw_is_said(make_catalog: MakeCatalog, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, make_catalog({"uploaded_at": None}))
    with pytest.raises(MissingData, match="nothing to draw"):
        draw(layout, tmp_path / "shown")
    assert not (tmp_path / "shown").exists()


def test_the_command_prints_a_table_json_or_where_the_pictures_are(
    make_catalog: MakeCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def photoqual(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["photoqual", "catalog", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return said.out if not ended.value.code else said.err

    assert "photoqual refresh" in photoqual()
    write_catalog(Layout().catalog, make_catalog({}, {}))
    assert photoqual().splitlines()[1].split()[:2] == ["site", "2"]
    assert json.loads(photoqual("--json"))["total"]["photos"] == 2
    assert json.loads(photoqual("--votes-over-time"))["page"] == str(Layout().overview / PAGE)
    assert Layout().overview.joinpath(PAGE).is_file()


def many(photos: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a catalog of so many photos and a history of some five rows of each, drawn with a fixed seed."""
    draw = np.random.default_rng(1)
    day = np.timedelta64(1, "D")
    keys = np.char.add("photo/", np.arange(photos).astype(str))
    uploaded = np.datetime64("2004-01-01") + (draw.beta(2, 1.2, photos) * 8000).astype(int) * day
    means = np.clip(draw.normal(3.2 + (uploaded - uploaded.min()) / day / 16000, 0.8), 1, 5)
    columns: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    columns |= {
        "source": "site",
        "source_key": keys,
        "photo_id": keys,
        "group": np.char.add("g", (np.arange(photos) // 7).astype(str)),
        "category": draw.choice(["landscape", "portrait", "wildlife", "street"], photos),
        "uploaded_at": uploaded.astype("datetime64[us]"),
        "first_seen": np.datetime64("2025-01-01", "us"),
        "last_checked": np.datetime64("2026-06-01", "us"),
        "votes_count": draw.poisson(9, photos),
        "votes_mean": means,
        "rating_min": 1.0,
        "rating_max": 5.0,
        "status": np.where(draw.random(photos) < 0.01, "truncated", "ok"),
    }
    frame = pd.DataFrame(columns, index=range(photos))
    for name in ("uploaded_at", "first_seen", "last_checked"):
        frame[name] = frame[name].dt.tz_localize("UTC")
    catalog = pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False).to_pandas(types_mapper=pd.ArrowDtype)
    rows = draw.integers(0, photos, 4 * photos)
    checked = np.concatenate([np.zeros(photos), draw.integers(1, 500, len(rows))])
    who = np.concatenate([np.arange(photos), rows])
    votes = 3 + (checked / 60).astype(int)
    seen = pd.DataFrame(
        {
            "source": "site",
            "source_key": keys[who],
            "checked_at": pd.to_datetime(np.datetime64("2025-01-01") + checked.astype(int) * day, utc=True),
            "votes_count": votes,
            "votes_mean": np.clip(means[who] + draw.normal(0, 0.3, len(who)), 1, 5),
        }
    )
    return catalog, seen


def test_a_large_catalog_takes_seconds() -> None:
    photos = times(20_000, 135_264)
    catalog, seen = many(photos)
    started = time.process_time()
    told = overview(catalog)
    series = over_time(seen, catalog)
    years = by_year(catalog)
    spent = time.process_time() - started
    assert told["total"]["rows"] == photos
    assert series.rated[-1] == photos
    assert len(years) > 10
    assert spent < 10


def test_pictures_of_a_history_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from photoqual.photos import overview_page

    catalog, seen = many(2000)
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, catalog)
    monkeypatch.setattr(overview_page, "read_history", lambda folder: seen)
    told = draw(layout, layout.overview)
    assert [Path(path).name for path in told["pictures"]] == [OVER_TIME, BY_YEAR]
    for path in told["pictures"]:
        with Image.open(io.BytesIO(Path(path).read_bytes())) as picture:
            assert picture.width > 700

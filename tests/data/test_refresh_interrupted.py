"""A refresh that is killed, or whose source dies, at any moment: nothing is lost, nothing is doubled, nothing half."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from photoqual.config import Params
from photoqual.errors import EmptySource, SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.shards import orphans, read_photos
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT, encoded, scene
from tests.data.gallery_site import GallerySite, failing

PHOTOS = 12
LASTING = ["source_key", "photo_id", "phash", "votes_count", "votes_mean", "group", "status", "original_width"]
Contents = tuple[pd.DataFrame, dict[str, bytes]]


def shards(layout: Layout) -> int:
    return len(list(layout.photos.rglob("*.parquet")))


MOMENTS: dict[str, Callable[[GallerySite, Layout], bool]] = {
    "before the first page": lambda site, layout: site.times_asked("/robots.txt") > 0,
    "while the first shard is written": lambda site, layout: any(layout.photos.rglob(".*")) or shards(layout) > 0,
    "at the last image": lambda site, layout: sum("/images/" in seen.path for seen in site.requests) == PHOTOS,
}


@pytest.fixture(scope="module")
def site() -> Iterator[GallerySite]:
    with GallerySite(photos=PHOTOS) as site:
        yield site


@pytest.fixture
def params(site: GallerySite, make_params: Callable[..., Params]) -> Params:
    source = site.source(politeness={"delay_seconds": 0.02, "concurrency": 1})
    return make_params(sources={"site": source}, **{"photos.shard_photos": 2, "photos.max_side": 64})


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Contents]:
    """What a refresh without an interruption gives; it is made once."""
    return {}


def contents(layout: Layout) -> Contents:
    catalog = read_catalog(layout.catalog)
    return catalog[LASTING], dict(read_photos(layout.photos, catalog))


def files(layout: Layout) -> dict[str, tuple[bytes, int]]:
    found = [path for path in (layout.root / "data").rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_refresh_after_one_that_was_killed_gives_what_one_without_a_kill_gives(
    tmp_path: Path, site: GallerySite, params: Params, undisturbed: dict[str, Contents], moment: str
) -> None:
    if not undisturbed:
        whole = Layout(tmp_path / "whole")
        refresh(whole, params)
        undisturbed["whole"] = contents(whole)
    layout = Layout(tmp_path / "killed")
    layout.root.mkdir()
    layout.params.write_text(yaml.safe_dump(params.model_dump(mode="json")))
    site.requests.clear()
    with subprocess.Popen(
        [sys.executable, "-m", "photoqual", "refresh"],
        cwd=layout.root,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        until = time.monotonic() + 60
        while not MOMENTS[moment](site, layout) and process.poll() is None and time.monotonic() < until:
            threading.Event().wait(0.002)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"

    assert refresh(layout, params)["photos"] == PHOTOS
    catalog, photos = contents(layout)
    pd.testing.assert_frame_equal(catalog, undisturbed["whole"][0])
    assert photos == undisturbed["whole"][1]
    assert orphans(layout.photos, read_catalog(layout.catalog)) == []
    assert [path.name for path in (layout.root / "data").rglob(".*")] == []


def test_a_site_that_dies_later_is_an_error_and_changes_no_byte(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    layout = Layout(tmp_path)
    with GallerySite(photos=3) as dying:
        params = make_params(sources={"site": dying.source(politeness={"retries": 0})})
        refresh(layout, params)
        before = files(layout)
        dying.replies["/photos"] = [failing(503)]
        with pytest.raises(SourceError, match="answered 503") as error:
            refresh(layout, params)
        assert "run the refresh again" in error.value.next_step
        assert error.value.details["sources"]["site"]["skipped"] == {"http_503": 1}
        assert files(layout) == before


@pytest.mark.parametrize(
    "empty",
    [
        {"kind": "folders", "path": "empty"},
        {"kind": "votes", "path": "full", "csv": "votes.csv"},
    ],
    ids=["folders", "votes"],
)
def test_a_source_without_photos_is_an_error_even_where_another_has_some(
    tmp_path: Path, make_params: Callable[..., Params], empty: dict[str, Any]
) -> None:
    (tmp_path / "empty/good").mkdir(parents=True)
    (tmp_path / "empty/good/notes.txt").write_text("no photo")
    (tmp_path / "full/good").mkdir(parents=True)
    (tmp_path / "full/good/1.jpg").write_bytes(encoded(scene(1)))
    (tmp_path / "votes.csv").write_text("image,mean,votes\ngone.jpg,4,5\n")
    layout = Layout(tmp_path)
    with pytest.raises(EmptySource, match=r"Source hollow gave no usable photo; passed over: 1 no") as error:
        refresh(layout, make_params(sources={"hollow": empty, "full": {"kind": "folders", "path": "full"}}))
    assert "sources.hollow" in error.value.next_step
    assert list(read_catalog(layout.catalog)["source"]) == ["full"]

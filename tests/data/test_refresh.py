"""Refresh: photos are kept once and for ever, what is broken has its reason, and no interruption leaves a half state."""

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
import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from photoqual.config import Params
from photoqual.errors import ConfigError, EmptySource, SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog, usable
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.journal import fold
from photoqual.photos.shards import orphans, read_photos
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT, encoded, scene
from tests.data.gallery_site import GallerySite

FOLDERS = {"trips": {"kind": "folders", "path": "trips"}}
PHOTOS = 24
LASTING = ["source", "source_key", "photo_id", "phash", "votes_count", "votes_mean", "group", "status", "title"]
"""Columns that a refresh gives alike whenever it runs."""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def run(layout: Layout, make_params: Callable[..., Params]) -> Callable[..., dict[str, Any]]:
    """Return a function that refreshes from `sources` (default: the folder `trips`) with small shards."""

    def run(sources: dict[str, Any] = FOLDERS, *, limit: int | None = None, **photos: Any) -> dict[str, Any]:
        options = {"shard_photos": 3, "max_side": 64, **photos}
        params = make_params(sources=sources, **{f"photos.{name}": value for name, value in options.items()})
        return refresh(layout, params, limit=limit)

    return run


def put(layout: Layout, name: str, data: bytes) -> None:
    path = layout.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_photos(layout: Layout, *numbers: int, folder: str = "trips/good") -> None:
    for number in numbers:
        put(layout, f"{folder}/{number}.jpg", encoded(scene(number)))


def state(layout: Layout) -> dict[str, tuple[bytes, int]]:
    """Return bytes and time of change of every file that a refresh may write."""
    files = [path for path in (layout.root / "data").rglob("*") if path.is_file()]
    return {path.relative_to(layout.root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def rows(layout: Layout) -> dict[str, dict[str, Any]]:
    return {row["source_key"]: row for row in read_catalog(layout.catalog).to_dict("records")}


def test_a_photo_is_kept_as_its_working_copy_under_the_hash_of_its_bytes(
    layout: Layout, run: Callable[..., Any], make_params: Callable[..., Params]
) -> None:
    put_photos(layout, 1, 2, 3, 4)
    assert run()["photos"] == 4
    catalog = read_catalog(layout.catalog)
    assert sorted(catalog["shard"].str.rpartition("/")[2].unique()) == ["00000.parquet", "00001.parquet"]
    kept = dict(read_photos(layout.photos, catalog))
    limits = make_params(**{"photos.max_side": 64}).photos
    for number in (1, 2, 3, 4):
        data = encoded(scene(number))
        assert kept[photo_id(data)] == working_copy(data, limits).jpeg
        row = rows(layout)[f"good/{number}.jpg"]
        assert (row["photo_id"], row["status"], row["label_hint"]) == (photo_id(data), "ok", "good")
        assert (row["original_width"], row["original_height"]) == (96, 64)


def test_a_refresh_without_news_changes_no_byte(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2, 3, 4)
    put(layout, "trips/good/broken.jpg", b"no photo")
    run()
    before = state(layout)
    summary = run()["sources"]["trips"]
    assert (summary["new"], summary["updated"], summary["unchanged"]) == (0, 0, 5)
    assert state(layout) == before


def test_shards_never_change_whatever_comes_later(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2, 3, 4)
    run()
    before = {name: held for name, held in state(layout).items() if "photos/" in name}
    put_photos(layout, 5)
    put(layout, "trips/good/1.jpg", encoded(scene(100)))
    summary = run()["sources"]["trips"]
    assert (summary["new"], summary["updated"], summary["unchanged"]) == (1, 1, 3)
    after = state(layout)
    assert {name: after[name] for name in before} == before
    assert len([name for name in after if "photos/" in name]) == len(before) + 1
    assert rows(layout)["good/1.jpg"]["photo_id"] == photo_id(encoded(scene(100)))
    assert len(dict(read_photos(layout.photos, read_catalog(layout.catalog)))) == 5


@pytest.mark.parametrize("one_by_one", [False, True])
def test_the_same_photo_under_two_keys_is_stored_once(
    layout: Layout, run: Callable[..., Any], one_by_one: bool
) -> None:
    sources = {**FOLDERS, "walks": {"kind": "folders", "path": "walks"}}
    put_photos(layout, 2, folder="walks/good")
    for name in ("trips/good/a.jpg", "trips/soft/b.jpg", "walks/good/c.jpg"):
        put(layout, name, encoded(scene(1)))
        if one_by_one:
            run(sources)
    run(sources)
    catalog = read_catalog(layout.catalog)
    assert len(catalog) == 4
    assert catalog[["photo_id", "shard", "row"]].drop_duplicates().shape[0] == 2
    stored = [pq.read_metadata(path).num_rows for path in layout.photos.rglob("*.parquet")]
    assert sum(stored) == 2
    assert len(usable(catalog)) == 2


BROKEN = {
    "bomb.png": (encoded(Image.new("1", (2000, 1500)), "PNG"), "too_many_pixels"),
    "empty.jpg": (b"", "empty"),
    "heavy.jpg": (bytes(200_000), "too_many_bytes"),
    "page.jpg": (b"<html>not found</html>", "not_an_image"),
    "torn.jpg": (encoded(scene(7, (300, 200)))[:2000], "truncated"),
}


def test_an_unreadable_photo_is_set_aside_with_its_reason_until_it_is_mended(
    layout: Layout, run: Callable[..., Any]
) -> None:
    put_photos(layout, 1)
    for name, (data, _) in BROKEN.items():
        put(layout, f"trips/good/{name}", data)
    limits = {"max_megapixels": 2.0, "max_megabytes": 0.1}
    summary = run(**limits)
    assert (summary["photos"], summary["sources"]["trips"]["quarantined"]) == (
        1,
        {reason: 1 for _, reason in BROKEN.values()},
    )
    for name, (_, reason) in BROKEN.items():
        row = rows(layout)[f"good/{name}"]
        assert row["status"] == reason
        assert pd.isna(row["shard"])
        assert pd.isna(row["row"])
    for name in BROKEN:
        put(layout, f"trips/good/{name}", encoded(scene(len(name) + 20)))
    assert run(**limits)["sources"]["trips"]["quarantined"] == {}
    assert set(read_catalog(layout.catalog)["status"]) == {"ok"}


def test_a_photo_that_breaks_later_is_set_aside(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2)
    run()
    put(layout, "trips/good/2.jpg", b"overwritten")
    assert run()["photos"] == 1
    row = rows(layout)["good/2.jpg"]
    assert row["status"] == "not_an_image"
    assert pd.isna(row["shard"])


def test_a_limit_holds_for_each_source_and_the_next_refresh_goes_on(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2, 3, 4, 5)
    put_photos(layout, 6, 7, 8, folder="walks/good")
    sources = {**FOLDERS, "walks": {"kind": "folders", "path": "walks"}}
    assert [run(sources, limit=2)["photos"] for _ in range(4)] == [4, 7, 8, 8]


@pytest.mark.parametrize(
    ("sources", "error", "says"),
    [
        (FOLDERS, EmptySource, "no usable photo"),
        ({"trips": {"kind": "folders", "path": "missing"}}, SourceError, "is not a folder"),
        ({"trips": {"kind": "votes", "path": "trips", "csv": "missing.csv"}}, SourceError, "does not exist"),
    ],
)
def test_a_source_that_gives_nothing_says_what_to_do(
    layout: Layout, run: Callable[..., Any], sources: dict[str, Any], error: type[SourceError], says: str
) -> None:
    put(layout, "trips/good/notes.txt", b"no photo")
    with pytest.raises(error, match=says) as problem:
        run(sources)
    assert problem.value.next_step
    assert "trips" in problem.value.details["sources"]


def test_when_one_source_fails_the_photos_of_the_others_are_kept(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2)
    put_photos(layout, 3, folder="walks/good")
    lost = {"kind": "folders", "path": "lost"}
    with pytest.raises(SourceError, match=r"lost is not a folder.*1 more") as problem:
        run({"a": lost, **FOLDERS, "b": lost, "walks": {"kind": "folders", "path": "walks"}})
    assert problem.value.next_step
    assert problem.value.details["sources"]["trips"]["new"] == 2
    assert sorted(usable(read_catalog(layout.catalog))["source"]) == ["trips", "trips", "walks"]


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ({"path": "trips", "group_pattern": "(("}, ConfigError),
        ({"path": "~nobody-of-this-name/photos"}, SourceError),
    ],
    ids=["pattern that is none", "home of nobody"],
)
def test_a_source_that_is_configured_wrongly_does_not_stop_the_others(
    layout: Layout, run: Callable[..., Any], mistake: dict[str, str], error: type[Exception]
) -> None:
    put_photos(layout, 1, 2)
    with pytest.raises(error):
        run({"a": {"kind": "folders", **mistake}, **FOLDERS})
    assert sorted(usable(read_catalog(layout.catalog))["source"]) == ["trips", "trips"]


def test_a_source_that_is_removed_is_set_aside_and_comes_back_whole(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2)
    put(layout, "trips/good/broken.jpg", b"no photo")
    put_photos(layout, 3, folder="walks/good")
    walks = {"walks": {"kind": "folders", "path": "walks"}}
    assert run({**FOLDERS, **walks})["photos"] == 3
    before = state(layout)
    summary = run(walks)
    assert (summary["photos"], summary["of_removed_sources"]) == (1, 3)
    assert sorted(read_catalog(layout.catalog)["status"]) == ["not_an_image", "ok", "source_removed", "source_removed"]
    assert run({**FOLDERS, **walks})["photos"] == 3
    after = state(layout)
    assert {name: held[0] for name, held in after.items()} == {name: held[0] for name, held in before.items()}


def test_what_a_killed_refresh_left_behind_is_removed(layout: Layout, run: Callable[..., Any]) -> None:
    put_photos(layout, 1, 2)
    run()
    before = state(layout)
    shard = next(layout.photos.rglob("*.parquet"))
    shard.with_name("00001.parquet").write_bytes(shard.read_bytes())
    shard.with_name(".00002.parquet.4711.tmp").write_bytes(b"half a shard")
    (layout.catalog / f".{'0' * 64}.parquet.4711.tmp").write_bytes(b"half a part")
    (layout.catalog / f"{'0' * 64}.parquet").write_bytes(b"a part that no list names")
    assert run()["orphan_shards_removed"] == 2
    assert state(layout) == before


@pytest.fixture
def killed(layout: Layout, make_params: Callable[..., Params]) -> Iterator[tuple[GallerySite, dict[str, Any]]]:
    """A project whose refresh was killed when some shards were written, and the site that it scraped."""
    with GallerySite(photos=PHOTOS, per_page=PHOTOS, latency=0.3) as site:
        sources = {"site": site.source(politeness={"concurrency": 1})}
        params = make_params(sources=sources, **{"photos.shard_photos": 3, "photos.max_side": 64})
        layout.params.write_text(yaml.safe_dump(params.model_dump(mode="json")))
        with subprocess.Popen(
            [sys.executable, "-m", "photoqual", "refresh"],
            cwd=layout.root,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                wait_for(lambda: len(list(layout.photos.rglob("0*.parquet"))) >= 2 or process.poll() is not None)
                assert process.poll() is None
                children = psutil.Process(process.pid).children()
            finally:
                process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        assert len(children) >= 2
        assert psutil.wait_procs(children, timeout=20)[1] == [], "the crawler or a decoder outlived the refresh"
        site.latency = 0.0
        yield site, sources


def wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        threading.Event().wait(0.02)


def test_a_refresh_after_a_killed_one_gives_what_one_without_a_kill_gives(
    layout: Layout,
    run: Callable[..., Any],
    killed: tuple[GallerySite, dict[str, Any]],
    make_params: Callable[..., Params],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    site, sources = killed
    assert fold(layout)
    early = read_catalog(layout.catalog)
    assert 3 <= len(early) < PHOTOS
    asked = {key: site.times_asked(f"/images/{key.rpartition('/')[2]}.jpg") for key in early["source_key"]}
    assert run(sources)["photos"] == PHOTOS
    assert {key: site.times_asked(f"/images/{key.rpartition('/')[2]}.jpg") for key in early["source_key"]} == asked

    whole = Layout(tmp_path_factory.mktemp("whole"))
    refresh(whole, make_params(sources=sources, **{"photos.shard_photos": 3, "photos.max_side": 64}))
    mended, expected = read_catalog(layout.catalog), read_catalog(whole.catalog)
    pd.testing.assert_frame_equal(mended[LASTING], expected[LASTING])
    assert dict(read_photos(layout.photos, mended)) == dict(read_photos(whole.photos, expected))
    assert orphans(layout.photos, mended) == []
    assert [path for path in (layout.root / "data").rglob(".*") if path.is_file()] == []

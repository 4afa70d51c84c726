"""Photos that leave a source and return: nothing of them is deleted, and nothing is learned from them meanwhile."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from photoqual.config import Params
from photoqual.errors import SourceError
from photoqual.layout import Layout
from photoqual.photos import parts
from photoqual.photos.catalog import SCHEMA, read_catalog, usable
from photoqual.sources._held import _RETRIED_AFTER, Held
from photoqual.sources.records import Skipped, Tells
from photoqual.sources.refresh import open_source, refresh
from tests.conftest import NOW, encoded, scene

TRIPS = {"trips": {"kind": "folders", "path": "trips"}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def run(layout: Layout, make_params: Callable[..., Params]) -> Callable[..., dict[str, Any]]:
    def run(sources: dict[str, Any] = TRIPS, limit: int | None = None) -> dict[str, Any]:
        return refresh(layout, make_params(sources=sources, **{"photos.max_side": 64}), limit=limit)

    return run


def put(layout: Layout, *names: str) -> None:
    for number, name in enumerate(names):
        path = layout.root / "trips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no photo" if "broken" in name else encoded(scene(number)))


def statuses(layout: Layout) -> dict[str, str]:
    catalog = read_catalog(layout.catalog)
    return dict(zip(catalog["source_key"], catalog["status"], strict=True))


def test_a_photo_that_is_deleted_is_gone_and_comes_back_whole(layout: Layout, run: Callable[..., Any]) -> None:
    put(layout, "good/1.jpg", "good/2.jpg", "good/broken.jpg")
    run()
    before = read_catalog(layout.catalog)
    kept = {name: (layout.root / "trips/good" / name) for name in ("2.jpg", "broken.jpg")}
    for path in kept.values():
        path.rename(layout.root / path.name)
    summary = run()
    assert (summary["photos"], summary["sources"]["trips"]["gone"]) == (1, 2)
    assert statuses(layout) == {"good/1.jpg": "ok", "good/2.jpg": "gone", "good/broken.jpg": "gone"}
    assert len(list(layout.photos.rglob("*.parquet"))) == 1
    bytes_then = parts.digest(layout.catalog)
    assert run()["sources"]["trips"]["gone"] == 0
    assert parts.digest(layout.catalog) == bytes_then
    for path in kept.values():
        (layout.root / path.name).rename(path)
    assert run()["photos"] == 2
    lasting = [name for name in before.columns if name != "last_checked"]
    pd.testing.assert_frame_equal(read_catalog(layout.catalog)[lasting], before[lasting])


def test_a_photo_that_is_moved_is_one_photo_under_its_new_name(layout: Layout, run: Callable[..., Any]) -> None:
    put(layout, "good/1.jpg", "good/2.jpg")
    run()
    (layout.root / "trips/soft").mkdir()
    (layout.root / "trips/good/2.jpg").rename(layout.root / "trips/soft/2.jpg")
    assert run()["photos"] == 2
    assert statuses(layout) == {"good/1.jpg": "ok", "good/2.jpg": "gone", "soft/2.jpg": "ok"}
    found = usable(read_catalog(layout.catalog))
    assert list(found["label_hint"]) == ["good", "bad:soft"]


def test_what_was_not_read_to_its_end_sets_nothing_aside(layout: Layout, run: Callable[..., Any]) -> None:
    put(layout, "good/1.jpg", "good/2.jpg")
    run()
    (layout.root / "trips/good/2.jpg").unlink()
    put(layout, "good/0.jpg", "good/1.jpg", "good/3.jpg")
    run(limit=1)
    assert statuses(layout)["good/2.jpg"] == "ok"
    (layout.root / "trips").rename(layout.root / "away")
    (layout.root / "trips").mkdir()
    with pytest.raises(SourceError, match="no usable photo"):
        run()
    assert set(statuses(layout).values()) == {"ok"}, "an empty folder is a folder that is not mounted"


def test_a_folder_that_cannot_be_read_leaves_open_what_is_gone(
    layout: Layout, make_params: Callable[..., Params]
) -> None:
    put(layout, "good/1.jpg", "soft/2.jpg", "wild/3.jpg")
    params = make_params(sources=TRIPS)
    source = open_source(params.sources["trips"], params.photos, layout.root)
    assert isinstance(source, Tells)
    assert len(list(source.harvest({}))) == 3
    assert source.told_all()
    events = source.harvest({})
    next(events)
    for name in ("soft", "wild"):
        shutil.rmtree(layout.root / "trips" / name)
    skipped = [event.reason for event in events if isinstance(event, Skipped)]
    assert sorted(skipped) == ["unreadable_file", "unreadable_folder"]
    assert not source.told_all()


@pytest.mark.parametrize(
    ("status", "days", "fetched_again"),
    [("decoder_crashed", 8, True), ("decoder_hung", 8, True), ("decoder_crashed", 1, False), ("broken", 99, False)],
)
def test_a_photo_whose_decoder_failed_is_fetched_again_after_a_rest(
    make_catalog: Callable[..., pd.DataFrame], status: str, days: int, fetched_again: bool
) -> None:
    seen = {"last_checked": NOW - days * _RETRIED_AFTER / 7, "source_key": "a"}
    rows = make_catalog({**seen, "status": status, "shard": None, "row": None}, {**seen, "source_key": "b"})
    known = Held(pa.Table.from_pandas(rows, schema=SCHEMA, preserve_index=False)).known("site", NOW)
    assert list(known) == (["b"] if fetched_again else ["a", "b"])
    assert ("a" in known, len(known)) == (not fetched_again, len(list(known)))
    assert dict(known.items()) == {key: known[key] for key in known}

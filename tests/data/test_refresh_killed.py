"""Kill -9 at random instants during a refresh: the final state is that of a refresh that nobody disturbed."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from photoqual.config import Params
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.history import read_history
from photoqual.photos.shards import orphans, read_photos
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT, encoded, scene
from tests.data.gallery_site import GallerySite
from tests.long import times

PHOTOS = 60
WHEN = ["first_seen", "last_checked"]
"""Columns that tell when a refresh ran."""
DRIVER = """
import sys
from photoqual.config import load_params
from photoqual.layout import Layout
from photoqual.sources._decoding import shared
from photoqual.sources.refresh import refresh
layout = Layout()
params = load_params(layout.params)
shared().begin([b""], params.photos).result()
print("ready", flush=True)
sys.stdin.readline()
refresh(layout, params)
print("done", flush=True)
"""
"""A refresh that first waits until everything it needs is loaded, so that a kill strikes its work and not its start."""


@pytest.fixture
def params(make_params: Callable[..., Params]) -> Params:
    sources = {
        "rated": {"kind": "votes", "path": "photos", "csv": "votes.csv"},
        "trips": {"kind": "folders", "path": "photos", "good": ["good"]},
    }
    return make_params(sources=sources, **{"photos.shard_photos": 7, "photos.max_side": 64})


def fill(layout: Layout, params: Params, edition: int) -> None:
    """Write the photos and votes of the first or the second edition of the sources."""
    for number in range(PHOTOS // (2 // edition)):
        path = layout.root / f"photos/{'good' if number % 3 else 'soft'}/{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no photo" if number % 20 == 7 else encoded(scene(number % 50)))
        os.utime(path, (1e9, 1e9))
    rows = [
        f"{path.relative_to(layout.root / 'photos')},{1 + (int(path.stem) + edition) % 5},{edition}"
        for path in sorted(layout.root.glob("photos/*/*"))
    ]
    if edition == 2:
        (layout.root / "photos/good/01.jpg").unlink()
    (layout.root / "votes.csv").write_text("\n".join(["image,mean,votes", *rows]) + "\n")
    layout.params.write_text(yaml.safe_dump(params.model_dump(mode="json")))


def contents(layout: Layout) -> dict[str, Any]:
    """Return all that a refresh writes but for when it did."""
    catalog = read_catalog(layout.catalog)
    shards = {
        path.relative_to(layout.photos).as_posix(): pq.read_table(path).drop_columns(["fetched_at"]).to_pylist()
        for path in sorted(layout.photos.rglob("*.parquet"))
    }
    assert orphans(layout.photos, catalog) == []
    assert [path.name for path in (layout.root / "data").rglob(".*")] == []
    history = read_history(layout.votes)
    stored = sum(pq.read_metadata(path).num_rows for path in layout.votes.rglob("*.parquet"))
    assert stored == len(history), "a change of votes was kept twice"
    return {
        "catalog": catalog.drop(columns=WHEN),
        "history": history.drop(columns="checked_at"),
        "photos": dict(read_photos(layout.photos, catalog[catalog["shard"].notna()])),
        "shards": shards,
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any], seed: int, *, in_order: bool = True) -> None:
    """Compare `contents`; where photos do not come `in_order`, they may lie in other shards."""
    for name in ("catalog", "history"):
        frames = [
            part[name] if in_order else part[name].drop(columns=["shard", "row"], errors="ignore")
            for part in (found, expected)
        ]
        pd.testing.assert_frame_equal(*frames, obj=f"{name} (seed {seed})")
    assert found["photos"] == expected["photos"], seed
    if in_order:
        assert found["shards"] == expected["shards"], seed


@contextlib.contextmanager
def refreshing(layout: Layout) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=layout.root,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.stdin.write("go\n")
            process.stdin.flush()
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def took(layout: Layout) -> float:
    """Return how long an undisturbed refresh takes, in seconds."""
    with refreshing(layout) as process:
        began = time.monotonic()
        assert process.stdout is not None
        assert process.stdout.readline() == "done\n"
        return time.monotonic() - began


def kill_after(layout: Layout, seconds: float) -> bool:
    """Kill a refresh after `seconds`; return whether it was still at work. Its decoders end with it."""
    with refreshing(layout) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGKILL)
    assert psutil.wait_procs(children, timeout=20)[1] == []
    return process.returncode == -signal.SIGKILL


def test_kills_at_random_instants_change_nothing_in_the_end(tmp_path: Path, params: Params) -> None:
    seed = random.SystemRandom().randrange(10**6)
    draw, struck, strikes = random.Random(seed), 0, times(6, 50)
    before, after, layout = (Layout(tmp_path / name) for name in ("before", "after", "struck"))
    fill(before, params, 1)
    durations = {1: took(before)}
    shutil.copytree(before.root, after.root)
    fill(after, params, 2)
    durations[2] = took(after)
    expected = {1: contents(before), 2: contents(after)}
    assert len(expected[1]["shards"]) > 3
    assert set(expected[2]["catalog"]["status"]) == {"ok", "not_an_image", "gone"}
    assert len(expected[2]["history"]) > PHOTOS
    episode = 0
    while struck < strikes:
        edition = episode % 2 + 1
        episode += 1
        if edition == 2:
            shutil.copytree(before.root, layout.root)
        fill(layout, params, edition)
        while struck < strikes and kill_after(layout, draw.uniform(0, durations[edition])):
            struck += 1
        refresh(layout, params)
        assert_same(contents(layout), expected[edition], seed)
        shutil.rmtree(layout.root)


@pytest.mark.skipif(times(1, 0) == 1, reason="takes minutes: make test-long")
def test_kills_while_a_gallery_is_scraped_change_nothing_in_the_end(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    draw, struck = random.Random(seed), 0
    whole, layout = Layout(tmp_path / "whole"), Layout(tmp_path / "struck")
    with GallerySite(photos=PHOTOS, per_page=10, latency=0.01) as site:
        params = make_params(sources={"site": site.source()}, **{"photos.shard_photos": 7, "photos.max_side": 64})
        for one in (whole, layout):
            one.root.mkdir()
            one.params.write_text(yaml.safe_dump(params.model_dump(mode="json")))
        duration = took(whole)
        expected = contents(whole)
        while struck < 50:
            while struck < 50 and kill_after(layout, draw.uniform(0, duration)):
                struck += 1
            refresh(layout, params)
            assert_same(contents(layout), expected, seed, in_order=False)
            shutil.rmtree(layout.root / "data")

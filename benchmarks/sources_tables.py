"""Label, validate and split a catalog of a million photos: `photoqual label`, `validate`, `split`, each on its own."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.sources_project import Project
from benchmarks.sources_site import SIZE, stars
from benchmarks.table import Row
from photoqual.layout import Layout
from photoqual.photos.catalog import OK, SCHEMA, write_rows

MOST_SECONDS, MOST_MEGABYTES = 60, 2000
STAGES = ("label", "validate", "split")
_LABELS = {"rule": "threshold", "good_at_least": 4, "bad_at_most": 3, "min_votes": 1}
"""A rule that labels every photo."""
_PER_GROUP = 20
_COPIES = 0.02
"""Share of rows that are a photo of the row before on another source, and as many that are a near duplicate of it."""
_MINUTES = 10 * 365 * 24 * 60


def table_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Run the stages twice: on a fresh project, and where a distribution was accepted and a test set frozen before."""
    project = Project(folder / "project").write(labels=_LABELS)
    write_rows(Layout(project.root).catalog, catalog(options.photos))
    rows = []
    for state in ("fresh project", "accepted and frozen before"):
        took = {stage: project.run(stage) for stage in STAGES}
        seconds = sum(run.seconds for run in took.values())
        peak = max(run.tree_megabytes for run in took.values())
        each = ", ".join(f"{stage} {run.seconds:.0f} s and {run.tree_megabytes:,.0f} MB" for stage, run in took.items())
        name = f"label, validate and split {options.photos:,} catalog rows ({state})"
        rows += [
            Row(name, f"< {MOST_SECONDS} s", f"{seconds:.0f} s: {each}", seconds < MOST_SECONDS),
            Row(
                f"{name}: peak memory",
                f"< {MOST_MEGABYTES / 1000:g} GB",
                f"{peak / 1000:.2f} GB",
                peak < MOST_MEGABYTES,
            ),
        ]
    return rows


def catalog(rows: int) -> pa.Table:
    """Return a catalog of `rows` made-up photos of two sources."""
    draw = np.random.default_rng(1)
    numbers = np.arange(rows)
    copied = draw.random(rows) < _COPIES
    copied[0] = False
    like = draw.random(rows) < _COPIES
    names = numbers - copied
    hashes = draw.integers(0, 1 << 64, rows, dtype=np.uint64)
    hashes[copied] = hashes[np.flatnonzero(copied) - 1]
    hashes[1:] = np.where(like[1:], hashes[:-1] ^ np.uint64(5), hashes[1:])
    taken = draw.integers(0, _MINUTES, rows) * 60_000_000 + int(datetime(2015, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    taken[1:] = np.where(copied[1:] | like[1:], taken[:-1], taken[1:])
    of_stars = np.array([stars(step / 1000) for step in range(1000)])
    ids = _hex_ids(draw, rows)
    stamp = datetime(2026, 11, 1, tzinfo=UTC)
    columns: dict[str, Any] = {
        "source": np.where(copied, "other", "site"),
        "source_key": numbers.astype(str),
        "photo_id": ids[names],
        "page_url": np.char.add("https://example.org/photos/", numbers.astype(str)),
        "image_url": np.char.add("https://example.org/thumbs/", numbers.astype(str)),
        "group": np.char.add("day ", (numbers // _PER_GROUP).astype(str)),
        "category": np.char.add("category ", (numbers % 14).astype(str)),
        "uploaded_at": taken,
        "taken_at": pa.array(taken, mask=draw.random(rows) < 0.5).cast(SCHEMA.field("taken_at").type),
        "original_width": np.full(rows, SIZE[0]),
        "original_height": np.full(rows, SIZE[1]),
        "phash": [f"{value:016x}" for value in hashes],
        "brightness": draw.normal(120, 30, rows).clip(0, 255).round(1),
        "sharpness": draw.gamma(2, 4, rows).round(1),
        "votes_count": 1 + draw.exponential(8, rows).astype(int),
        "votes_mean": of_stars[draw.integers(0, 1000, rows)].astype(float),
        "rating_min": np.full(rows, 1.0),
        "rating_max": np.full(rows, 5.0),
        "shard": [f"site/2026-11/{number // 1000:05d}.parquet" for number in names],
        "row": names % 1000,
        "first_seen": [stamp] * rows,
        "last_checked": [stamp] * rows,
        "status": np.full(rows, OK),
        **{colour: draw.normal(120, 30, rows).clip(0, 255).astype(np.uint8) for colour in ("red", "green", "blue")},
    }
    return pa.table(
        {
            field.name: pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(rows, field.type)
            for field in SCHEMA
        }
    )


def _hex_ids(draw: np.random.Generator, rows: int) -> np.ndarray:
    """Return as many texts of 64 hex digits."""
    return np.frombuffer(draw.bytes(32 * rows).hex().encode(), dtype="S64").astype(str)

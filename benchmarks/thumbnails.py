"""Peak memory of training on many thumbnails: `python -m benchmarks.thumbnails FOLDER KIND MEGABYTES` trains in a process alone.

The thumbnails are made by arithmetic, 150×105 px, the number and size of a scraped site's; some hundred pictures under
as many ids as are asked for, since memory depends on their number alone.
"""

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from benchmarks.table import Row
from photoqual.config import Params, PhotosParams, parse_params
from photoqual.labels import rules
from photoqual.labels.splits import TEST, TRAIN, VALIDATION, write_frozen, write_splits
from photoqual.layout import Layout
from photoqual.photos.decode import working_copy
from photoqual.photos.shards import write_shard

SIZE = (150, 105)
WIDTH = 144
FROZEN = 500
MOST_GROWTH = 0.1
_PICTURES = 200
_SHARD = 1000


def memory_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Train one epoch on a quarter of the thumbnails and on all, each in a process of its own."""
    os.environ |= {"XDG_CACHE_HOME": str(folder / "cache")}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    few, many = options.thumbnails // 4, options.thumbnails
    (small, _), (large, seconds) = (
        peak(folder / str(n), n, options.kind, options.cache_megabytes) for n in (few, many)
    )
    growth = large / small - 1
    return [
        Row(
            f"peak memory of `photoqual train`, {options.kind}, {many:,} thumbnails, one epoch, train.cache_megabytes {options.cache_megabytes}",
            "< 4 GB",
            f"{large / 1e3:.2f} GB, {seconds:.0f} s",
            large < 4000,
        ),
        Row(
            f"the same against {few:,} thumbnails",
            f"flat: at most {MOST_GROWTH:.0%} more",
            f"{small / 1e3:.2f} GB; {growth:+.1%}, {(large - small) * 1e6 / (many - few):.0f} bytes per photo",
            growth <= MOST_GROWTH,
        ),
    ]


def peak(folder: Path, photos: int, kind: str, megabytes: int) -> tuple[float, float]:
    """Make a project of `photos` thumbnails in `folder` and train on it; return peak memory (MB) and seconds."""
    make_project(folder, photos)
    command = [sys.executable, "-m", "benchmarks.thumbnails", str(folder), kind, str(megabytes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["megabytes"], found["seconds"]


def make_project(root: Path, photos: int) -> Layout:
    """Write shards, labels, splits and a frozen test set: four fifths to train on, one fifth to validate."""
    layout = Layout(root)
    pictures = [_picture(number) for number in range(_PICTURES)]
    rows = pd.DataFrame(list(_rows(photos + FROZEN)))
    for shard, part in rows.groupby("shard"):
        stored = [
            {
                "photo_id": row.photo_id,
                "image": {"bytes": pictures[row.number % _PICTURES], "path": None},
                "width": row.width,
                "height": row.height,
                "phash": row.phash,
                "source": row.source,
                "source_key": str(row.number),
                "fetched_at": row.uploaded_at,
            }
            for row in part.itertuples()
        ]
        write_shard(layout.photos / str(shard), stored)
    frozen = rows["number"] >= photos
    rows["split"] = np.where(frozen, TEST, np.where(rows["number"] % 5 == 0, VALIDATION, TRAIN))
    write_splits(layout.splits, rows)
    write_frozen(layout.frozen_test, rows[frozen])
    known = {"vote_mean": rows["stars"], "ordinal": rows["stars"], "vote_distribution": None, "rule": "extremes"}
    labels = rows.assign(**known, defects=[[] for _ in range(len(rows))])[rules.SCHEMA.names]
    pq.write_table(pa.Table.from_pandas(labels, schema=rules.SCHEMA, preserve_index=False), layout.labels)
    return layout


def _picture(number: int) -> bytes:
    """Return a JPEG with structure, bright when `number` is odd."""
    blocks = np.random.default_rng(number).integers(0, 150, (10, 14, 3)) + 90 * (number % 2)
    image = Image.fromarray(blocks.astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return working_copy(buffer.getvalue(), PhotosParams()).jpeg


def _rows(photos: int) -> Iterator[dict[str, Any]]:
    when = pd.Timestamp("2026-11-01", tz="UTC")
    for number in range(photos):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        good = number % _PICTURES % 2
        yield {
            "number": number,
            "photo_id": name,
            "phash": name[:16],
            "width": SIZE[0],
            "height": SIZE[1],
            "group": f"g{number}",
            "good": good,
            "weight": 1.0,
            "shard": f"made/2026-11/{number // _SHARD:05d}.parquet",
            "row": number % _SHARD,
            "stars": 1.0 + 4 * good,
            "source": "made",
            "category": None,
            "uploaded_at": when,
        }


def _params(kind: str, megabytes: int) -> Params:
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    values["model"] |= {"kind": kind, "head": "binary", "image_width": WIDTH}
    values["train"] |= {"epochs": 1, "batch_size": 64, "cache_megabytes": megabytes}
    return parse_params(values)


def main() -> None:
    """Train in this process and print its peak memory as JSON."""
    from photoqual.training.train import train

    started = time.monotonic()
    train(Layout(Path(sys.argv[1])), _params(sys.argv[2], int(sys.argv[3])))
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(json.dumps({"megabytes": most, "seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()

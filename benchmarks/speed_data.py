"""Real photos for the benchmarks of training speed: `defects/train` of PHOTOQUAL_BENCH_DATA, as shards and as files."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photoqual.config import PhotosParams, TrainParams
from photoqual.models.heads import BINARY
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from photoqual.training.feed import Batch, load, plan, stream
from photoqual.training.inputs import DecodedPhotos, Memory, decode
from photoqual.training.targets import Targets

WIDTH = 288
_SHARD = 1000


@dataclass(frozen=True)
class Data:
    """The same working copies twice: in shards for us (`rows`), as files by class for Keras' loader."""

    shards: Path
    rows: pd.DataFrame
    files: Path
    scratch: Path


def prepare(folder: Path, photos: int) -> Data | None:
    """Write working copies of `photos` photos, evenly of all classes; None when PHOTOQUAL_BENCH_DATA is not set."""
    source = Path(os.environ.get("PHOTOQUAL_BENCH_DATA", "")) / "defects/train"
    if not os.environ.get("PHOTOQUAL_BENCH_DATA") or not source.is_dir():
        print(
            "PHOTOQUAL_BENCH_DATA is not set, or has no defects/train: name the folder that holds it.", file=sys.stderr
        )
        return None
    classes = [sorted(path.glob("*.jpg")) for path in sorted(source.iterdir())]
    taken = [path for paths in classes for path in paths[: photos // len(classes)]]
    rows: list[dict[str, Any]] = []
    stored: list[dict[str, Any]] = []
    for number, path in enumerate(taken):
        data = path.read_bytes()
        copy = working_copy(data, PhotosParams())
        facts = {"photo_id": photo_id(data), "width": copy.width, "height": copy.height, "phash": copy.phash}
        place = {"shard": f"real/{number // _SHARD:05d}.parquet", "row": number % _SHARD}
        rows.append({**facts, **place, "good": int(path.parent.name == "good"), "weight": 1.0})
        origin = {"source": "real", "source_key": str(number), "fetched_at": datetime(2026, 11, 1, tzinfo=UTC)}
        stored.append({**facts, **origin, "image": {"bytes": copy.jpeg, "path": None}})
        file = folder / "files" / path.parent.name / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(copy.jpeg)
    for start in range(0, len(stored), _SHARD):
        write_shard(folder / "shards" / rows[start]["shard"], stored[start : start + _SHARD])
    (folder / "scratch").mkdir()
    return Data(folder / "shards", pd.DataFrame(rows), folder / "files", folder / "scratch")


def decoded(data: Data) -> DecodedPhotos:
    """Decode the photos as a training with the default limit of memory does."""
    memory = Memory(TrainParams().cache_megabytes)
    return decode(data.shards, data.rows, WIDTH, Path(tempfile.mkdtemp(dir=data.scratch)), memory)


def targets_of(good: np.ndarray) -> Targets:
    return Targets({BINARY: good[:, None].astype(np.float32)}, {BINARY: np.ones(len(good), np.float32)})


def feed(photos: DecodedPhotos, params: TrainParams, epoch: int) -> Iterator[Batch]:
    told, cut = targets_of(photos.good), plan(photos.good, photos.shapes, params, epoch)
    return stream(lambda number: load(photos, told, cut[number], params, epoch, number), 0, len(cut))


def step(model: Any, batch: Batch) -> None:
    model.train_on_batch(batch.inputs, batch.targets, batch.weights)

"""Shards: immutable Parquet files of working copies in the image layout of Hugging Face datasets.

A shard is written to a temporary name, flushed, renamed, and never changed. Its path tells the source and the month
it was fetched in: `<source>/<yyyy-mm>/<number>.parquet`.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import MissingData

SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("phash", pa.string()),
        ("source", pa.string()),
        ("source_key", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
    ],
    metadata={
        "huggingface": json.dumps(
            {
                "info": {
                    "features": {
                        "photo_id": {"dtype": "string", "_type": "Value"},
                        "image": {"_type": "Image"},
                        "width": {"dtype": "int32", "_type": "Value"},
                        "height": {"dtype": "int32", "_type": "Value"},
                        "phash": {"dtype": "string", "_type": "Value"},
                        "source": {"dtype": "string", "_type": "Value"},
                        "source_key": {"dtype": "string", "_type": "Value"},
                        "fetched_at": {"dtype": "timestamp[us, tz=UTC]", "_type": "Value"},
                    }
                }
            }
        )
    },
)
ROW_GROUP = 64
"""Photos per row group: what must be read to get at one photo."""


def next_shard(photos: Path, source: str, now: datetime) -> str:
    """Return the name, relative to `photos`, of the next shard of `source` in the month of `now`."""
    folder = f"{source}/{now:%Y-%m}"
    numbers = [int(path.stem) for path in (photos / folder).glob("*.parquet") if path.stem.isdigit()]
    return f"{folder}/{max(numbers, default=-1) + 1:05d}.parquet"


def write_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write `rows` (dicts with the columns of SCHEMA) as the shard `path`, whole or not at all."""
    with files.atomic(path) as temporary, pq.ParquetWriter(temporary, SCHEMA, compression="none") as writer:
        for start in range(0, len(rows), ROW_GROUP):
            writer.write_table(pa.Table.from_pylist(rows[start : start + ROW_GROUP], schema=SCHEMA))


def orphans(photos: Path, catalog: pd.DataFrame) -> list[Path]:
    """Return the shards, whole or half written, that no catalog row names: left by a refresh that was killed."""
    named = set(catalog["shard"].dropna())
    unnamed = (path for path in photos.rglob("*.parquet") if path.relative_to(photos).as_posix() not in named)
    return sorted([*unnamed, *photos.rglob(".*.parquet.*.tmp")])


def read_photos(photos: Path, rows: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield (photo_id, JPEG bytes of the working copy) for each of `rows` (columns `photo_id`, `shard`, `row`).

    Each shard is opened once and read by row groups, so memory stays small; the order is that of the shards, not of
    `rows`. Raise MissingData when a shard is gone or holds another photo in that place.
    """
    for shard, wanted in rows.groupby("shard", sort=True):
        places: Mapping[int, str] = dict(zip(wanted["row"].astype(int), wanted["photo_id"].astype(str), strict=True))
        path = photos / str(shard)
        if not path.is_file():
            raise MissingData(f"Shard {path} is missing.", next_step="Run `dvc pull data/photos`.")
        start = 0
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                inside = [place for place in range(start, start + size) if place in places]
                if inside:
                    table = file.read_row_group(group, columns=["photo_id", "image"])
                    for place in inside:
                        found = table["photo_id"][place - start].as_py()
                        if found != places[place]:
                            raise MissingData(
                                f"Row {place} of {path} holds photo {str(found)[:12]}, the catalog says {places[place][:12]}.",
                                next_step="Run `dvc checkout` to bring both to one revision.",
                            )
                        yield found, table["image"][place - start].as_py()["bytes"]
                start += size
        missing = [place for place in places if place >= start]
        if missing:
            raise MissingData(
                f"Shard {path} has {start} rows, the catalog names row {missing[0]}.", next_step="Run `dvc checkout`."
            )

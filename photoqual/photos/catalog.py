"""The catalog: one row per (source, source_key), what we know of every photo. Rewritten whole, atomically."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import DataError, MissingData

_INSTANT = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("source_key", pa.string()),
        ("photo_id", pa.string()),  # null while the photo is quarantined before it could be fetched
        ("page_url", pa.string()),
        ("image_url", pa.string()),
        ("group", pa.string()),
        ("category", pa.string()),
        ("title", pa.string()),
        ("uploaded_at", _INSTANT),
        ("taken_at", _INSTANT),
        ("camera", pa.string()),
        ("original_width", pa.int64()),
        ("original_height", pa.int64()),
        ("phash", pa.string()),
        ("votes_count", pa.int64()),
        ("votes_mean", pa.float64()),
        ("votes_spread", pa.float64()),  # standard deviation of single votes, on the scale of the votes
        ("votes_histogram", pa.list_(pa.int64())),
        ("rating_min", pa.float64()),
        ("rating_max", pa.float64()),
        ("label_hint", pa.string()),
        ("shard", pa.string()),  # relative to data/photos; null while quarantined
        ("row", pa.int64()),
        ("first_seen", _INSTANT),
        ("last_checked", _INSTANT),
        ("etag", pa.string()),
        ("status", pa.string()),  # "ok", or the reason it was quarantined
    ]
)
KEY = ["source", "source_key"]
OK = "ok"
REMOVED = "source_removed"
"""Status of photos whose source is no longer in params.yaml: kept, and `ok` again when it comes back."""
_ANEW = (
    "Run `dvc checkout` to get the last whole one back, or move it away and run `photoqual refresh`, which fetches "
    "every photo again."
)


def empty_catalog() -> pd.DataFrame:
    """Return a catalog without rows."""
    return SCHEMA.empty_table().to_pandas(types_mapper=pd.ArrowDtype)


def read_catalog(path: Path) -> pd.DataFrame:
    """Return the catalog as a frame of Arrow-backed columns, in the order (source, source_key)."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise MissingData(
            f"{path} does not exist.", next_step="Run `photoqual refresh` (or `dvc repro`) first."
        ) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}.", next_step=_ANEW) from None
    foreign = [name for name in table.schema.names if name not in SCHEMA.names]
    if foreign or not set(KEY) <= set(table.schema.names):
        raise DataError(f"{path} has other columns than this version writes.", next_step=_ANEW)
    for place, column in enumerate(SCHEMA):
        if column.name not in table.schema.names:  # written before there was such a column
            table = table.add_column(place, column, pa.nulls(len(table), column.type))
    return table.select(SCHEMA.names).to_pandas(types_mapper=pd.ArrowDtype)


def write_catalog(path: Path, catalog: pd.DataFrame) -> None:
    """Write `catalog` to `path` whole or not at all, sorted by key. Equal catalogs give equal bytes."""
    table = pa.Table.from_pandas(catalog, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
    table = table.sort_by([(column, "ascending") for column in KEY])
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def usable(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose photo is in a shard, one per photo_id (the first key wins)."""
    rows = catalog[catalog["status"] == OK]
    return rows.drop_duplicates("photo_id").reset_index(drop=True)

"""The catalog: one row per (source, source_key), what we know of every photo. A folder of parts (parts.py), of which a
refresh replaces those that have changed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.errors import DataError, MissingData
from photoqual.photos import parts
from photoqual.photos.positions import key_digests

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
        ("brightness", pa.float64()),  # of the working copy, as the next four; rounded, so that they pack well
        ("sharpness", pa.float64()),
        ("red", pa.uint8()),  # mean
        ("green", pa.uint8()),
        ("blue", pa.uint8()),
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
        ("page_etag", pa.string()),  # ETag or Last-Modified of the photo's page, to ask for it only when it changed
        ("status", pa.string()),  # "ok", or the reason it was quarantined
    ]
)
KEY = ["source", "source_key"]
OK = "ok"
REMOVED = "source_removed"
"""Status of photos whose source is no longer in params.yaml: kept, and `ok` again when it comes back."""
GONE = "gone"
"""Status of photos that their source, read to its end, no longer names: kept, and `ok` again when they return."""
SET_ASIDE = (REMOVED, GONE)
"""Status of photos that are neither usable nor broken."""
PAGE = "page:"
"""How the status of an address begins that gave no photo and is only kept in mind: `page:no_rating`, `page:walk`."""
_ALIKE = ("source_key", "page_url", "image_url", "title")
"""Columns whose text begins like that of the row before: kept as what is different, which packs best."""
_UNIQUE = ("photo_id", "phash", "etag", "page_etag")
_PACKED = {
    "compression": "zstd",
    "use_dictionary": [name for name in SCHEMA.names if name not in (*_ALIKE, *_UNIQUE, "votes_histogram")],
    "column_encoding": dict.fromkeys(_ALIKE, "DELTA_BYTE_ARRAY"),
}
_ANEW = (
    "Run `dvc checkout` to get the last whole one back, or move it away and run `photoqual refresh`, which fetches "
    "every photo again."
)


def empty_catalog() -> pd.DataFrame:
    """Return a catalog without rows."""
    return SCHEMA.empty_table().to_pandas(types_mapper=pd.ArrowDtype)


def read_catalog(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the catalog, or only some `columns` of it, as a frame of Arrow-backed columns, in the order (source,
    source_key).
    """
    return read_rows(path, columns).to_pandas(types_mapper=pd.ArrowDtype)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Return the catalog, or only some `columns` of it, as a table in the order (source, source_key)."""
    try:
        found = parts.listed(path)
    except FileNotFoundError:
        raise MissingData(
            f"{path} does not exist.", next_step="Run `photoqual refresh` (or `dvc repro`) first."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read: {error}.", next_step=_ANEW) from None
    try:
        read = parts.read(found, columns if columns is None else [*KEY, *columns])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}.", next_step=_ANEW) from None
    table = SCHEMA.empty_table() if read is None else read
    if not set(KEY) <= set(table.column_names) <= set(SCHEMA.names):
        raise DataError(f"{path} has other columns than this version writes.", next_step=_ANEW)
    wanted = SCHEMA.names if columns is None else list(columns)
    for name in wanted:
        if name not in table.schema.names:  # written before there was such a column
            table = table.append_column(SCHEMA.field(name), pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select(wanted)


def write_catalog(path: Path, catalog: pd.DataFrame) -> None:
    """Make the folder `path` hold `catalog`, sorted by key; at no instant does it hold anything else than the old one or
    the new one. Equal catalogs give equal files.
    """
    write_rows(path, pa.Table.from_pandas(catalog, schema=SCHEMA, preserve_index=False))


def write_rows(path: Path, rows: pa.Table, *, without: np.ndarray | None = None) -> None:
    """Write `rows`, with the columns of SCHEMA, as `write_catalog` does, but for those at the places `without`. They are
    sorted piece by piece, to spare memory.
    """
    rows = rows.select(SCHEMA.names).replace_schema_metadata(None)
    order = np.asarray(pc.sort_indices(rows.select(KEY), sort_keys=[(column, "ascending") for column in KEY]))
    if without is not None:
        order = order[~np.isin(order, without)]
    digests = np.fromiter(key_digests(rows), dtype="S16", count=len(rows))[order]
    tables = (rows.take(pa.array(order[start:end])) for start, end in parts.spans(digests))
    parts.write(path, tables, SCHEMA, _PACKED)


def is_there(path: Path) -> bool:
    """Tell whether there is a catalog at `path`."""
    return (path / parts.LIST).is_file()


def usable(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose photo is in a shard, one per photo_id (the first key wins)."""
    rows = catalog[catalog["status"] == OK]
    return rows.drop_duplicates("photo_id").reset_index(drop=True)

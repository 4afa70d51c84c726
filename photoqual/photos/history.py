"""The history of votes: a row for each time a refresh found other votes for a photo than before, the first included.

Rows lie in immutable Parquet files, `<source>/<yyyy-mm>/<number>.parquet`, one for each refresh that found any. A file
names the refresh it is of, so that one which was interrupted and is finished by the next writes the same file again.
"""

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoqual import files
from photoqual.photos.columns import differs, whole

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("source_key", pa.string()),
        ("checked_at", pa.timestamp("us", tz="UTC")),
        ("votes_count", pa.int64()),  # null, as the mean: the photo has no votes any more
        ("votes_mean", pa.float64()),
    ]
)
_FACTS = ("votes_count", "votes_mean")
_REFRESH = b"refresh"


def read_history(folder: Path) -> pd.DataFrame:
    """Return the history below `folder`, in the order of source, key and time; a row that says nothing new is left out."""
    tables = [files.read_table(path).select(SCHEMA.names) for path in sorted(folder.rglob("[!.]*.parquet"))]
    rows = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
    rows = rows.replace_schema_metadata(None).sort_by([(name, "ascending") for name in SCHEMA.names[:3]])
    news = np.ones(len(rows), dtype=bool)
    if len(rows):
        facts = [whole(rows, name) for name in ("source", "source_key", *_FACTS)]
        news[1:] = np.logical_or.reduce([differs(column[1:], column[:-1]) for column in facts])
    return rows.filter(pa.array(news)).to_pandas(types_mapper=pd.ArrowDtype)


def changes(now: pa.Table, before: pa.Table) -> pa.Table:
    """Return the history rows, without their time, of those rows of `now` (columns of the catalog) whose votes are
    others than in the same row of `before`; a row of nulls there is a photo that was not known.
    """
    news = np.logical_or.reduce([differs(whole(now, name), whole(before, name)) for name in _FACTS])
    return now.select(["source", "source_key", *_FACTS]).filter(pa.array(news))


def write_history(folder: Path, rows: pa.Table, checked_at: datetime) -> None:
    """Write what the refresh of `checked_at` found (from `changes`): a file for each source. Written again, the file
    stays one.
    """
    for source in sorted(pc.unique(rows["source"]).to_pylist()):
        some = rows.filter(pc.equal(rows["source"], source)).sort_by("source_key")
        times = pa.array([checked_at], SCHEMA.field("checked_at").type).take(pa.array([0] * len(some)))
        some = some.append_column("checked_at", times).select(SCHEMA.names).cast(SCHEMA)
        with files.atomic(_place(folder / source / f"{checked_at:%Y-%m}", checked_at)) as temporary:
            marked = some.replace_schema_metadata({_REFRESH: checked_at.isoformat()})
            pq.write_table(marked, temporary, compression="zstd")


def _place(folder: Path, checked_at: datetime) -> Path:
    """Return where the file of a refresh lies: the last one's place if that is its own, else the one after it."""
    numbers = [int(path.stem) for path in folder.glob("*.parquet") if path.stem.isdigit()]
    last = max(numbers, default=-1)
    if numbers:
        of = (pq.read_schema(folder / f"{last:05d}.parquet").metadata or {}).get(_REFRESH, b"").decode()
        last -= of == checked_at.isoformat()
    return folder / f"{last + 1:05d}.parquet"

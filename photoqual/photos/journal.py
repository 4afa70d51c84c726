"""Catalog rows that a refresh has changed, kept beside the catalog until they are folded into it at the end.

The catalog is written whole, so writing it after each shard would cost more the more it holds. Instead each shard is
followed by a file of the rows that name it. A refresh that is killed leaves these files; the next one folds them in
first. They name the catalog they build on: beside another one, such as after `dvc checkout`, they count for nothing.
"""

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import MissingData
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import history, parts
from photoqual.photos.positions import key_digests

_BASE, _REFRESH = b"catalog", b"refresh"


class Journal:
    """The files of one refresh, in the folder that it makes and removes."""

    def __init__(self, layout: Layout, now: datetime) -> None:
        self.folder = place(layout)
        self._facts = {_BASE: parts.digest(layout.catalog), _REFRESH: now.isoformat()}
        self._files = 0

    def add(self, rows: pa.Table) -> None:
        """Keep `rows`, with the columns of the catalog; of rows with one key those that are added last count."""
        with files.atomic(self.folder / f"{self._files:06d}.parquet") as temporary:
            pq.write_table(rows.replace_schema_metadata(self._facts), temporary, compression="zstd")
        self._files += 1


def place(layout: Layout) -> Path:
    """Return the folder in which the files of a refresh lie while it runs."""
    return layout.catalog.with_name(f".{layout.catalog.name}.journal")


def fold(layout: Layout) -> bool:
    """Fold what a refresh has kept into vote history and catalog, and remove it. Return whether there was anything.

    History comes first, then the catalog, then the files go: interrupted anywhere, it can be done again.
    """
    folder = place(layout)
    found = list(_read(layout))
    if found:
        rows = _last_of_each(pa.concat_tables([table for table, _ in found]))
        try:
            base = catalogs.read_rows(layout.catalog)
        except MissingData:
            base = catalogs.SCHEMA.empty_table()
        before = _places(_digests(rows), _digests(base))
        known = base.select(["votes_count", "votes_mean"]).take(pa.array(before, mask=before < 0))
        history.write_history(layout.votes, history.changes(rows, known), found[-1][1])
        replaced = before[before >= 0]
        catalogs.write_rows(layout.catalog, pa.concat_tables([base, rows]), without=replaced)
    shutil.rmtree(folder, ignore_errors=True)
    return bool(found)


def _read(layout: Layout) -> Iterator[tuple[pa.Table, datetime]]:
    """Yield the rows of each file that builds on the catalog as it is, and when its refresh began."""
    base = parts.digest(layout.catalog)
    for path in sorted(place(layout).glob("[!.]*.parquet")):
        table = files.read_table(path)
        facts = table.schema.metadata or {}
        named = set(table["shard"].drop_null().to_pylist())
        if facts.get(_BASE) != base or not all((layout.photos / shard).is_file() for shard in named):
            return
        yield table.replace_schema_metadata(None), datetime.fromisoformat(facts[_REFRESH].decode())


def _digests(rows: pa.Table) -> np.ndarray:
    return np.fromiter(key_digests(rows), dtype="S16", count=len(rows))


def _last_of_each(rows: pa.Table) -> pa.Table:
    """Return the last row of each key."""
    _, places = np.unique(_digests(rows)[::-1], return_index=True)
    return rows if len(places) == len(rows) else rows.take(pa.array(np.sort(len(rows) - 1 - places)))


def _places(wanted: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return where each of `wanted` stands in `held`; −1 where it does not."""
    if not len(held):
        return np.full(len(wanted), -1)
    order = np.argsort(held)
    found = order[np.minimum(held.searchsorted(wanted, sorter=order), len(held) - 1)]
    return np.where(held[found] == wanted, found, -1)

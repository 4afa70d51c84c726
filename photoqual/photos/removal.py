"""Take forgotten photos out of the data: vote history, shards, catalog.

Shards are immutable to all others, because catalog, splits and frozen test set name rows in them. Here a shard is
written anew under its name with nothing in the rows of the forgotten photos, so that every other row keeps its place. The
catalog comes last: what was interrupted is found and finished by whoever removes next.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import MissingData
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import parts, shards
from photoqual.photos.forgotten import Forgotten, key_digest

_HELD = ["photo_id", "source", "source_key"]


@dataclass(frozen=True)
class Removed:
    """What was found and taken out: copies in shards, shards written anew, rows of catalog and vote history."""

    copies: int = 0
    shards: tuple[str, ...] = ()
    catalog_rows: int = 0
    votes_rows: int = 0


def remove(layout: Layout, forgotten: Forgotten, *, dry_run: bool = False) -> Removed:
    """Take all that is `forgotten` out of shards, catalog and vote history; a dry run only counts."""
    if not forgotten:
        return Removed()
    try:
        rows = catalogs.read_rows(layout.catalog, _HELD).to_pandas()
    except MissingData:
        rows = catalogs.empty_catalog()[_HELD]
    going = _listed(rows, forgotten)
    named = frozenset(rows.loc[~going, "photo_id"].dropna())
    ids = forgotten.photos | (set(rows.loc[going, "photo_id"].dropna()) - named)
    keys = forgotten.keys | set(_digests(rows[going]))
    votes = sum(_drop_votes(path, keys, dry_run) for path in sorted(layout.votes.rglob("[!.]*.parquet")))
    found = {path: _rows_of(path, ids, forgotten.keys, named) for path in shard_files(layout.photos)}
    found = {path: rows for path, rows in found.items() if len(rows)}
    if not dry_run:
        for path, rows in found.items():
            _blank(path, rows)
        if going.any():
            catalogs.write_rows(layout.catalog, catalogs.read_rows(layout.catalog).filter(pa.array(~going)))
        if catalogs.is_there(layout.catalog):
            parts.remove_orphans(layout.catalog)  # one that was killed may have left parts that tell of the photo
    return Removed(
        sum(map(len, found.values())),
        tuple(path.relative_to(layout.photos).as_posix() for path in found),
        int(going.sum()),
        votes,
    )


def shard_files(photos: Path) -> list[Path]:
    """Return the whole shards under `photos`."""
    return sorted(photos.rglob("[!.]*.parquet"))


def shard_rows(path: Path) -> pd.DataFrame:
    """Return whose photos a shard holds: photo_id, source, source_key of each row, all empty in a row that was emptied."""
    return pq.read_table(path, columns=_HELD).to_pandas()


def _listed(rows: pd.DataFrame, forgotten: Forgotten) -> np.ndarray:
    """Return a mask over `rows` (columns photo_id, source, source_key) of those that are listed, by id or place."""
    by_id = rows["photo_id"].isin(forgotten.photos).to_numpy(dtype=bool)
    by_key = [digest in forgotten.keys for digest in _digests(rows)] if forgotten.keys else False
    return by_id | np.asarray(by_key, dtype=bool)


def _digests(rows: pd.DataFrame) -> Iterator[str]:
    return (key_digest(str(source), str(key)) for source, key in zip(rows["source"], rows["source_key"], strict=True))


def _rows_of(path: Path, ids: Collection[str], keys: Collection[str], named: Collection[str]) -> np.ndarray:
    """Return the rows of a shard to empty: photos with one of `ids`, and those of a listed place that are not `named`."""
    held = shard_rows(path)
    going = held["photo_id"].isin(ids).to_numpy(dtype=bool)
    if keys:
        of_place = [
            isinstance(photo, str) and digest in keys and photo not in named
            for photo, digest in zip(held["photo_id"], _digests(held), strict=True)
        ]
        going = going | np.asarray(of_place, dtype=bool)
    return np.flatnonzero(going)


def _blank(path: Path, rows: np.ndarray) -> None:
    """Write a shard anew, whole or not at all, with nothing in `rows`; remove it when nothing is left in it."""
    if shard_rows(path)["photo_id"].drop(index=rows).isna().all():
        path.unlink()
        return
    start = 0
    with (
        pq.ParquetFile(path) as file,
        files.atomic(path) as temporary,
        pq.ParquetWriter(temporary, file.schema_arrow, compression="none") as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            inside = rows[(rows >= start) & (rows < start + len(table))] - start
            start += len(table)
            writer.write_table(_emptied(table, inside), row_group_size=shards.ROW_GROUP)


def _emptied(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """Return `table` with nulls in `rows`; the bytes of those rows are in no buffer of what is returned."""
    if not len(rows):
        return table
    kept = table.take(np.setdiff1d(np.arange(len(table)), rows))
    empty = pa.Table.from_pylist([dict.fromkeys(table.schema.names)] * len(rows), schema=table.schema)
    places = np.concatenate([np.setdiff1d(np.arange(len(table)), rows), rows])
    return pa.concat_tables([kept, empty]).take(np.argsort(places))


def _drop_votes(path: Path, keys: Collection[str], dry_run: bool) -> int:
    """Take the rows of listed places out of a file of the vote history; return how many there were."""
    table = files.read_table(path)
    held = table.select(["source", "source_key"]).to_pandas()
    going = np.array([digest in keys for digest in _digests(held)], dtype=bool)
    if going.any() and not dry_run:
        kept = table.filter(pc.invert(pa.array(going)))
        if len(kept):
            with files.atomic(path) as temporary:
                pq.write_table(kept, temporary, compression="zstd")
        else:
            path.unlink()
    return int(going.sum())

"""Catalog rows from what a source said, many at a time, in columns. Pure.

`held` are the rows that the catalog holds of the same photos, in the same order: rows of nulls where it holds none.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.photos import catalog as catalogs
from photoqual.photos.columns import differs, whole
from photoqual.sources._decoding import Decoded
from photoqual.sources.records import Noted, Record

_UNCOMPARED = ("page_etag", "last_checked")
"""Columns that may differ in a row that says nothing new of its photo."""
Columns = dict[str, pa.Array]


def facts(source: str, records: Sequence[Record], held: pa.Table) -> Columns:
    """Return the columns that a source states. What it says nothing of, but only the photo's bytes could tell, is kept."""

    def column(name: str, values: list[Any] | None = None) -> pa.Array:
        stated = [getattr(record, name) for record in records] if values is None else values
        return array(stated, catalogs.SCHEMA.field(name).type)

    scales = [record.rating_scale or (None, None) for record in records]
    found = {
        "source": column("source", [source] * len(records)),
        "group": column("group", [f"{source}/{record.group or record.source_key}" for record in records]),
        "votes_histogram": column("votes_histogram", [record.votes_histogram or None for record in records]),
        "rating_min": column("rating_min", [low for low, _ in scales]),
        "rating_max": column("rating_max", [high for _, high in scales]),
    }
    plain = ("source_key", "page_url", "image_url", "category", "title", "uploaded_at", "votes_count", "votes_mean")
    for name in (*plain, "votes_spread", "label_hint", "page_etag"):
        found[name] = column(name)
    for name in ("taken_at", "camera", "original_width", "original_height"):
        found[name] = pc.coalesce(column(name), whole(held, name))
    return found


def updated(
    source: str, records: Sequence[Record], checked: Sequence[bool], held: pa.Table, now: datetime
) -> tuple[pa.Table, np.ndarray]:
    """Return the rows that must be written of photos that the catalog holds and whose bytes were not fetched, and a mask
    over `records` of those that say something new.
    """
    columns = {name: whole(held, name) for name in held.schema.names} | facts(source, records, held)
    columns["etag"] = pc.coalesce(_etags(records), columns["etag"])
    returned = pc.and_(pc.equal(columns["status"], catalogs.GONE), pc.is_valid(columns["shard"]))
    columns["status"] = pc.if_else(pc.fill_null(returned, False), catalogs.OK, columns["status"])
    news = np.zeros(len(records), dtype=bool)
    for name, column in columns.items():
        if name not in _UNCOMPARED:
            news |= differs(column, whole(held, name))
    written = news | differs(columns["page_etag"], whole(held, "page_etag")) | np.array(checked, dtype=bool)
    columns["last_checked"] = _instants(now, len(records))
    return _table(columns).filter(pa.array(written)), news


def fetched(
    source: str,
    photos: Sequence[tuple[Record, Decoded]],
    places: Sequence[tuple[str, int] | None],
    held: pa.Table,
    now: datetime,
) -> pa.Table:
    """Return the rows of photos whose bytes were fetched. `places`: shard and row of each working copy."""
    records = [record for record, _ in photos]
    decoded = [result for _, result in photos]
    unnamed = pc.fill_null(pc.starts_with(whole(held, "status"), catalogs.PAGE), False)
    times = _instants(now, len(records))
    nothing = {field.name: pa.nulls(len(records), field.type) for field in catalogs.SCHEMA}
    columns = (
        nothing
        | facts(source, records, held)
        | {
            "etag": _etags(records),
            "photo_id": pa.array([result.photo_id or None for result in decoded], pa.string()),
            "phash": pa.array([result.copy.phash if result.copy else None for result in decoded], pa.string()),
            **_looks(decoded),
            "shard": pa.array([place and place[0] for place in places], pa.string()),
            "row": pa.array([place and place[1] for place in places], pa.int64()),
            "status": pa.array([result.refused or catalogs.OK for result in decoded], pa.string()),
            "first_seen": pc.coalesce(pc.if_else(unnamed, None, whole(held, "first_seen")), times),
            "last_checked": times,
        }
    )
    return _table(columns)


def _looks(decoded: Sequence[Decoded]) -> Columns:
    looks = [result.copy.look if result.copy else None for result in decoded]
    return {
        name: pa.array([look and getattr(look, name) for look in looks], catalogs.SCHEMA.field(name).type)
        for name in ("brightness", "sharpness", "red", "green", "blue")
    }


def noted(source: str, events: Sequence[Noted], held: pa.Table, now: datetime) -> pa.Table:
    """Return the rows that must be written of addresses that gave no record. A row that holds a photo keeps what it says
    of it; one that the catalog does not hold is begun where there is a status.
    """
    status, times = whole(held, "status"), _instants(now, len(events))
    without_photo = pc.or_(pc.is_null(status), pc.fill_null(pc.starts_with(status, catalogs.PAGE), False))
    keys = [event.source_key for event in events]
    told = {name: array([getattr(event, name) for event in events], pa.string()) for name in ("status", "page_url")}
    columns = {name: whole(held, name) for name in held.schema.names} | {
        "source": pa.array([source] * len(events), pa.string()),
        "source_key": array(keys, pa.string()),
        "group": pc.coalesce(whole(held, "group"), array([f"{source}/{key}" for key in keys], pa.string())),
        "first_seen": pc.coalesce(whole(held, "first_seen"), times),
    }
    for name, column in told.items():
        columns[name] = pc.if_else(without_photo, pc.coalesce(column, whole(held, name)), whole(held, name))
    looked = pa.array([event.checked for event in events])
    columns["last_checked"] = pc.if_else(looked, times, whole(held, "last_checked"))
    return _table(columns).filter(pc.or_(pc.is_valid(status), pc.is_valid(told["status"])))


def gone(held: pa.Table) -> pa.Table:
    """Return `held` as rows of photos that their source no longer names. One without a working copy is to be fetched
    anew if it comes back.
    """
    columns = {name: whole(held, name) for name in held.schema.names}
    columns["etag"] = pc.if_else(pc.is_valid(columns["shard"]), columns["etag"], None)
    columns["status"] = pa.array([catalogs.GONE] * len(held), pa.string())
    return _table(columns)


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return `values` as a column; what no column can hold (half a character, a number without bounds) becomes text that
    it can, or null, like what is no number.
    """
    try:
        return pa.array(values, kind, from_pandas=True)
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        return pa.array([_holdable(value, kind) for value in values], kind, from_pandas=True)


def _holdable(value: Any, kind: pa.DataType) -> Any:
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    try:
        return pa.array([value], kind, from_pandas=True)[0].as_py()
    except (pa.ArrowException, OverflowError, UnicodeError, TypeError, ValueError):
        return None


def _etags(records: Sequence[Record]) -> pa.Array:
    return array([record.etag for record in records], pa.string())


def _instants(now: datetime, length: int) -> pa.Array:
    return pa.repeat(pa.scalar(now, catalogs.SCHEMA.field("last_checked").type), length)


def _table(columns: Columns) -> pa.Table:
    return pa.table([columns[name] for name in catalogs.SCHEMA.names], schema=catalogs.SCHEMA)

"""The catalog while a refresh works on it: its rows in columns, where each photo stands, and what was given since."""

from collections.abc import ItemsView, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.photos import catalog as catalogs
from photoqual.photos import formats
from photoqual.photos.positions import Positions, id_digest, key_digest, key_digests
from photoqual.sources._decoding import CRASHED, HUNG
from photoqual.sources.records import Known

_KNOWN = [item.name for item in fields(Known) if item.name != "forgotten"]
NEW, AGAIN = -1, -2
"""In place of a row's number: the catalog did not hold the photo; the photo was given before in this refresh."""
_BLOCK, _NEAR = 256, 64
"""Rows that are read together, once rows so near to one another are asked for in turn."""
_INSTANTS = [name for name in _KNOWN if pa.types.is_timestamp(catalogs.SCHEMA.field(name).type)]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAY_BE_THE_MACHINE = (CRASHED, HUNG, "out_of_memory")
_RETRIED_AFTER = timedelta(days=7)
"""How long a photo rests that was refused for such a reason."""


class Held:
    """What the catalog held when the refresh began. A row's number is its place in it."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows.combine_chunks()
        self._numbers = Positions(key_digests(self.rows))
        self._given, self._there = np.zeros(len(rows), dtype=bool), np.zeros(len(rows), dtype=bool)
        stored = self.rows.filter(pc.is_valid(self.rows["shard"])).select(["photo_id", "shard", "row"])
        shards = pc.unique(stored["shard"])
        self._shards: list[str] = shards.to_pylist()
        codes = np.asarray(pc.index_in(stored["shard"], shards), dtype=np.int64)
        ids = (id_digest(one) for batch in stored.to_batches(_BLOCK) for one in batch["photo_id"].to_pylist())
        self._places = Positions(ids, codes << 32 | np.asarray(stored["row"], dtype=np.int64))

    def number(self, source: str, source_key: str) -> int:
        """Return the number of a photo's row, or NEW."""
        number = self._numbers.get(key_digest(source, source_key))
        return NEW if number is None or number >= len(self.rows) else number

    def give(self, source: str, source_key: str) -> int:
        """Note that the source gave this photo. Return the number of its row, NEW when the catalog did not hold it, or
        AGAIN when it was given before in this refresh.
        """
        digest = key_digest(source, source_key)
        number = self._numbers.get(digest)
        if number is None:
            self._numbers.add(digest, len(self.rows))
            return NEW
        if number >= len(self.rows) or self._given[number]:
            return AGAIN
        self._given[number] = True
        return number

    def was_given(self, source: str, source_key: str) -> bool:
        number = self._numbers.get(key_digest(source, source_key))
        return number is not None and (number >= len(self.rows) or bool(self._given[number]))

    def see(self, source: str, source_key: str) -> None:
        """Note that this photo is there, whether or not the source can give it."""
        number = self.number(source, source_key)
        if number != NEW:
            self._there[number] = True

    def at(self, numbers: Sequence[int]) -> pa.Table:
        """Return the rows of `numbers`, with rows of nulls for NEW."""
        places = np.asarray(numbers, dtype=np.int64)
        return self.rows.take(pa.array(places, mask=places == NEW))

    def not_there(self, source: str) -> pa.Table:
        """Return the rows of `source` that hold a photo, are not set aside, and were neither given nor seen."""
        status = self.rows["status"]
        aside = pc.or_(pc.is_in(status, pa.array(catalogs.SET_ASIDE)), pc.starts_with(status, catalogs.PAGE))
        wanted = pc.and_(pc.equal(self.rows["source"], source), pc.invert(pc.fill_null(aside, True)))
        return self.rows.filter(pc.and_(wanted, pa.chunked_array([pa.array(~(self._given | self._there))])))

    def place(self, photo_id: str) -> tuple[str, int] | None:
        """Return the shard and row of a photo's working copy; None when it is in none."""
        code = self._places.get(id_digest(photo_id))
        return None if code is None else (self._shards[code >> 32], code & 0xFFFFFFFF)

    def store(self, photo_id: str, shard: str, row: int) -> None:
        """Note where the working copy of a photo lies."""
        if not self._shards or self._shards[-1] != shard:
            self._shards.append(shard)
        self._places.add(id_digest(photo_id), len(self._shards) - 1 << 32 | row)

    def set_aside(self, sources: AbstractSet[str]) -> tuple[pa.Table, int]:
        """Set aside the photos of sources that are not among `sources`, take back those that are. Return the rows that
        this changed, and how many rows are of other sources.
        """
        status = self.rows["status"]
        named = pc.is_in(self.rows["source"], pa.array(sorted(sources), pa.string()))
        leaves = pc.and_(pc.invert(named), pc.fill_null(pc.equal(status, catalogs.OK), False))
        returns = pc.and_(named, pc.fill_null(pc.equal(status, catalogs.REMOVED), False))
        changed = pc.or_(leaves, returns)
        if pc.any(changed).as_py():
            status = pc.if_else(leaves, catalogs.REMOVED, pc.if_else(returns, catalogs.OK, status))
            place = self.rows.schema.get_field_index("status")
            self.rows = self.rows.set_column(place, catalogs.SCHEMA.field("status"), status)
        return self.rows.filter(changed), len(self.rows) - (pc.sum(named).as_py() or 0)

    def known(self, source: str, now: datetime) -> Mapping[str, Known]:
        """Return what is held of `source`, by key, but for photos that are to be fetched again: their decoder has been
        installed since, or failed some time ago for a reason that may have been the machine's.
        """
        status = self.rows["status"]
        again = pc.is_in(status, pa.array(sorted(formats.decodable()), pa.string()))
        rested = pc.less(self.rows["last_checked"], pa.scalar(now - _RETRIED_AFTER, self.rows["last_checked"].type))
        again = pc.or_(again, pc.and_(pc.is_in(status, pa.array(_MAY_BE_THE_MACHINE)), pc.fill_null(rested, True)))
        shown = pc.and_(pc.equal(self.rows["source"], source), pc.invert(again))
        return _KnownRows(self, source, np.asarray(shown, dtype=bool))


class _KnownRows(Mapping[str, Known]):
    """Rows as `Known`, each made when it is asked for."""

    def __init__(self, held: Held, source: str, shown: np.ndarray) -> None:
        self._held, self._source, self._shown = held, source, shown
        self._table = pa.table({name: _plain(held.rows[name]) for name in ("source_key", *_KNOWN)})
        self._last, self._start, self._block = -_BLOCK, 0, list[Known]()

    def __getitem__(self, source_key: str) -> Known:
        number = self._held.number(self._source, source_key)
        if number == NEW or not self._shown[number]:
            raise KeyError(source_key)
        if not self._start <= number < self._start + len(self._block):
            length = _BLOCK if 0 < number - self._last <= _NEAR else 1
            self._start, self._block = number, [known for _, known in _known(self._table.slice(number, length))]
        self._last = number
        return self._block[number - self._start]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self.items())

    def __len__(self) -> int:
        return int(self._shown.sum())

    def items(self) -> ItemsView[str, Known]:
        return _Items(self)

    def all(self) -> Iterator[tuple[str, Known]]:
        """Yield each key with what is known of it."""
        numbers = np.flatnonzero(self._shown)
        for start in range(0, len(numbers), _BLOCK):
            yield from _known(self._table.take(pa.array(numbers[start : start + _BLOCK])))


class _Items(ItemsView[str, Known]):
    """Keys with their rows, read in blocks instead of one by one."""

    def __init__(self, known: _KnownRows) -> None:
        super().__init__(known)
        self._known = known

    def __iter__(self) -> Iterator[tuple[str, Known]]:
        return self._known.all()


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of instants as microseconds, which become Python's a good deal faster; any other as it is."""
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


def _known(rows: pa.Table) -> Iterator[tuple[str, Known]]:
    """Yield the key of each of `rows` (columns from `_plain`) with what is known of it."""
    columns = {name: rows[name].to_pylist() for name in rows.schema.names}
    for name in _INSTANTS:
        columns[name] = [None if since is None else _EPOCH + timedelta(microseconds=since) for since in columns[name]]
    for key, *values in zip(*columns.values(), strict=True):
        yield key, Known(**dict(zip(_KNOWN, values, strict=True)))

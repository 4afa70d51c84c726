"""From what sources hand out to shards and catalog: decode, recognise what is known, write, in bounded memory.

New photos gather until a shard is full. Then the shard is written, then the catalog that names it: a refresh that is
killed leaves either a whole state or a shard that nobody names, which the next refresh removes.
"""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import decode, fingerprints, shards
from photoqual.sources.records import Fetched, Known, Record, Skipped

logger = logging.getLogger(__name__)
DECODERS = 4
EXAMPLES = 3
"""Skipped and quarantined things that the log names, per reason; all are counted."""
Row = dict[str, Any]


@dataclass(frozen=True)
class _Decoded:
    """A photo with its working copy, or with the reason why there is none."""

    record: Record
    photo_id: str | None = None
    copy: decode.WorkingCopy | None = None
    refused: str | None = None


@dataclass
class Counts:
    """What became of everything that one source gave."""

    new: int = 0
    updated: int = 0
    unchanged: int = 0
    same_photo: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def photos(self) -> int:
        """Photos that the source gave, usable or not."""
        return self.new + self.updated + self.unchanged + self.quarantined.total()

    def summary(self) -> dict[str, Any]:
        return {
            "new": self.new,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "same_photo_again": self.same_photo,
            "quarantined": dict(sorted(self.quarantined.items())),
            "skipped": dict(sorted(self.skipped.items())),
        }


class Ingest:
    """The catalog while a refresh works on it, and the photos that wait for their shard."""

    def __init__(self, layout: Layout, params: PhotosParams, catalog: pd.DataFrame, now: datetime) -> None:
        self.layout, self.params, self.now = layout, params, now
        table = pa.Table.from_pandas(catalog, schema=catalogs.SCHEMA, preserve_index=False)
        self.rows: dict[tuple[str, str], Row] = {(row["source"], row["source_key"]): row for row in table.to_pylist()}
        self.places: dict[str, Row] = {row["photo_id"]: row for row in self.rows.values() if row["shard"] is not None}
        self.waiting: list[tuple[Row, decode.WorkingCopy]] = []
        self.waiting_ids: set[str] = set()
        self.changed = not layout.catalog.exists()

    def known(self, source: str) -> dict[str, Known]:
        """Return what the catalog holds of `source`, by key."""
        return {key: Known(row["image_url"], row["etag"]) for (name, key), row in self.rows.items() if name == source}

    def take(self, source: str, events: Iterator[Fetched | Skipped], counts: Counts) -> None:
        """Work through all that `source` gives, counting into `counts`. What came before an error is kept."""
        window: deque[Future[_Decoded]] = deque()
        with ThreadPoolExecutor(DECODERS) as pool:
            try:
                for event in events:
                    if isinstance(event, Skipped):
                        self._count(counts.skipped, source, event.reason, event.where)
                    elif event.data is None and event.refused is None:
                        self._update(source, event.record, counts)
                    else:
                        window.append(pool.submit(_decode, event, self.params))
                        if len(window) > 2 * DECODERS:
                            self._add(source, window.popleft().result(), counts)
            finally:
                while window:
                    self._add(source, window.popleft().result(), counts)
                self.flush(source)

    def flush(self, source: str) -> None:
        """Write the waiting photos as a shard, in the order of their keys, and the catalog if anything has changed."""
        self.waiting.sort(key=lambda pair: pair[0]["source_key"])
        stored: list[Row] = []
        shard = shards.next_shard(self.layout.photos, source, self.now)
        for row, copy in self.waiting:
            first = self.places.get(row["photo_id"])
            if first is None:
                row.update(shard=shard, row=len(stored))
                stored.append(self._stored(row, copy))
                self.places[row["photo_id"]] = row
            else:
                row.update(shard=first["shard"], row=first["row"])
            self.rows[(source, row["source_key"])] = row
        if stored:
            shards.write_shard(self.layout.photos / shard, stored)
            logger.info("%s: %d new photos in %s", source, len(stored), shard)
        self.waiting.clear()
        self.waiting_ids.clear()
        if self.changed:
            catalogs.write_catalog(self.layout.catalog, self.frame())
            self.changed = False

    def frame(self) -> pd.DataFrame:
        """Return the catalog as it stands."""
        return pa.Table.from_pylist(list(self.rows.values()), schema=catalogs.SCHEMA).to_pandas(
            types_mapper=pd.ArrowDtype
        )

    def _add(self, source: str, decoded: _Decoded, counts: Counts) -> None:
        """Take in a photo whose bytes were fetched: quarantine it, or let it wait for its shard."""
        before = self.rows.get((source, decoded.record.source_key))
        row = self._row(source, decoded.record, before)
        row.update(
            photo_id=decoded.photo_id, etag=decoded.record.etag, last_checked=self.now, shard=None, row=None, phash=None
        )
        self.changed = True
        if decoded.copy is None:
            self._count(
                counts.quarantined,
                source,
                decoded.refused or "broken",
                decoded.record.page_url or decoded.record.source_key,
            )
            self.rows[(source, decoded.record.source_key)] = {**row, "status": decoded.refused}
            return
        row.update(status=catalogs.OK, phash=decoded.copy.phash)
        if row["photo_id"] in self.places or row["photo_id"] in self.waiting_ids:
            counts.same_photo += 1
        counts.new += before is None
        counts.updated += before is not None
        self.waiting.append((row, decoded.copy))
        self.waiting_ids.add(row["photo_id"])
        if len(self.waiting_ids) >= self.params.shard_photos:
            self.flush(source)

    def _update(self, source: str, record: Record, counts: Counts) -> None:
        """Take in the votes and facts of a photo that the catalog holds already."""
        before = self.rows[(source, record.source_key)]
        row = self._row(source, record, before)
        if row == before:
            counts.unchanged += 1
            return
        counts.updated += 1
        self.changed = True
        self.rows[(source, record.source_key)] = {**row, "last_checked": self.now}

    def _row(self, source: str, record: Record, before: Row | None) -> Row:
        """Return the catalog row of `record`; what only the photo's bytes could tell is kept from `before`."""
        scale = record.rating_scale or (None, None)
        row = before or {**dict.fromkeys(catalogs.SCHEMA.names), "first_seen": self.now, "last_checked": self.now}
        facts = {
            "source": source,
            "source_key": record.source_key,
            "page_url": record.page_url,
            "image_url": record.image_url,
            "group": f"{source}/{record.group or record.source_key}",
            "category": record.category,
            "title": record.title,
            "uploaded_at": record.uploaded_at,
            "votes_count": record.votes_count,
            "votes_mean": record.votes_mean,
            "votes_spread": record.votes_spread,
            "votes_histogram": list(record.votes_histogram) if record.votes_histogram else None,
            "rating_min": scale[0],
            "rating_max": scale[1],
            "label_hint": record.label_hint,
        }
        stated = {
            "taken_at": record.taken_at,
            "camera": record.camera,
            "original_width": record.original_width,
            "original_height": record.original_height,
        }
        return {**row, **facts, **{name: value for name, value in stated.items() if value is not None}}

    def _stored(self, row: Row, copy: decode.WorkingCopy) -> Row:
        return {
            "photo_id": row["photo_id"],
            "image": {"bytes": copy.jpeg, "path": f"{row['photo_id']}.jpg"},
            "width": copy.width,
            "height": copy.height,
            "phash": row["phash"],
            "source": row["source"],
            "source_key": row["source_key"],
            "fetched_at": self.now,
        }

    @staticmethod
    def _count(counter: Counter[str], source: str, reason: str, where: str) -> None:
        counter[reason] += 1
        if counter[reason] <= EXAMPLES:
            logger.warning(
                "%s: %s: %s%s",
                source,
                reason,
                where,
                " (more of these are only counted)" if counter[reason] == EXAMPLES else "",
            )


def _decode(event: Fetched, params: PhotosParams) -> _Decoded:
    """Make the working copy of a fetched photo; the facts that its page does not state come from its bytes."""
    if event.data is None:
        return _Decoded(event.record, refused=event.refused)
    photo_id = fingerprints.photo_id(event.data)
    try:
        copy = decode.working_copy(event.data, params)
    except UnreadablePhoto as problem:
        return _Decoded(event.record, photo_id, refused=problem.reason)
    record = event.record
    if record.original_width is None or record.original_height is None:
        record = replace(record, original_width=copy.original_width, original_height=copy.original_height)
    if record.taken_at is None:
        record = replace(record, taken_at=decode.taken_at(event.data))
    return _Decoded(record, photo_id, copy)

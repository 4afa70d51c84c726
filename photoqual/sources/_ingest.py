"""From what sources hand out to shards and catalog: decode, recognise what is known, write, in bounded memory.

New photos gather until a shard is full. Then the shard is written, then a file of the catalog rows that name it, and at
the end of the refresh all such files become the catalog. A refresh that is killed leaves rows that the next one takes
over, and at most a shard that no row names, which it removes.
"""

import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from photoqual.config import PhotosParams
from photoqual.errors import MissingData
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import journal, shards
from photoqual.photos.forgotten import read_forgotten
from photoqual.sources import _decoding, _rows
from photoqual.sources._counts import Counts
from photoqual.sources._decoding import Decoded
from photoqual.sources._held import Held
from photoqual.sources.records import FORGOTTEN, Event, Fetched, KnownPhotos, NotDue, Noted, Record, Skipped

logger = logging.getLogger(__name__)
_BATCH = 2048
"""Photos that need no decoding are compared with the catalog so many at a time."""
_KEPT = 8192
"""Changed rows that are held in memory before they are written down."""


class Ingest:
    """The catalog while a refresh works on it. Close it, whatever happens, to have the new one written."""

    def __init__(self, layout: Layout, params: PhotosParams, now: datetime) -> None:
        self.layout, self.params, self.now = layout, params, now
        try:
            self.held = Held(catalogs.read_rows(layout.catalog))
        except MissingData:
            self.held = Held(catalogs.SCHEMA.empty_table())
        self.forgotten = read_forgotten(layout.forgotten)
        self._journal = journal.Journal(layout, now)
        self._rows: list[pa.Table] = []

    def known(self, source: str) -> KnownPhotos:
        """Return what the catalog holds of `source`, by key, but for photos that are to be fetched again."""
        return KnownPhotos(source, self.held.known(source, self.now), self.forgotten)

    def take(self, counts: Counts, events: Iterator[Event]) -> None:
        """Work through all that a source gives, counting it. What came before an error is kept."""
        with closing(_Harvest(self, counts)) as harvest:
            for event in events:
                harvest.take(event)

    def set_aside(self, sources: set[str]) -> int:
        """Set aside the photos of sources that params.yaml no longer names; take back those of one that it names again.
        Return how many are of such sources.
        """
        rows, removed = self.held.set_aside(sources)
        self.keep(rows)
        return removed

    def set_gone(self, counts: Counts) -> None:
        """Set aside the photos that a source did not give, which told all it has."""
        rows = self.held.not_there(counts.source)
        counts.gone = len(rows)
        self.keep(_rows.gone(rows))

    def keep(self, rows: pa.Table) -> None:
        """Keep changed rows of the catalog."""
        if len(rows):
            self._rows.append(rows)
        if sum(map(len, self._rows)) >= _KEPT:
            self.write_down()

    def write_down(self) -> None:
        """Write the rows that were kept, so that they outlive this process."""
        if self._rows:
            self._journal.add(pa.concat_tables(self._rows))
            self._rows = []

    def close(self) -> None:
        """Write the catalog, if anything in it has changed."""
        self.write_down()
        if not journal.fold(self.layout) and not self.layout.catalog.exists():
            catalogs.write_rows(self.layout.catalog, catalogs.SCHEMA.empty_table())
        self.layout.votes.mkdir(parents=True, exist_ok=True)


class _Harvest:
    """What one source gives, on its way: photos that are being decoded, that wait for their shard, that are known."""

    def __init__(self, ingest: Ingest, counts: Counts) -> None:
        self.ingest, self.counts, self.source = ingest, counts, counts.source
        self.batch: list[Fetched] = []
        self.batch_bytes = 0
        self.decoding: deque[tuple[list[Fetched], Future[list[Decoded]]]] = deque()
        self.waiting: list[tuple[Record, Decoded]] = []
        self.waiting_ids: set[str] = set()
        self.refused: list[tuple[Record, Decoded]] = []
        self.known: list[Fetched] = []
        self.notes: list[Noted] = []

    def take(self, event: Event) -> None:
        if isinstance(event, Skipped):
            self.counts.skip(event.reason, event.where)
            if event.source_key is not None:
                self.ingest.held.see(self.source, event.source_key)
        elif isinstance(event, NotDue):
            self.counts.not_due += event.photos
        elif isinstance(event, Noted):
            if event.after_all:
                self.flush()
            self._note(event)
        elif self.ingest.forgotten.is_forgotten(self.source, event.record.source_key):
            self.counts.skip(FORGOTTEN.reason, FORGOTTEN.where)
        elif problem := self._problem(event.record.source_key):
            self.counts.skip(problem, repr(event.record.source_key))
        elif event.refused is not None:
            self._refuse(event.record, Decoded(None, refused=event.refused))
        elif event.data is not None:
            self._decode(event, event.data)
        elif self.ingest.held.number(self.source, event.record.source_key) is None:
            self.counts.skip("not_fetched", event.record.source_key)
        else:
            self.known.append(event)
            if len(self.known) >= _BATCH:
                self._settle()

    def flush(self) -> None:
        """Write everything: the waiting photos as a shard, in the order of their keys, then the rows that name it."""
        self._begin()
        while self.decoding:
            self._finish()
        self._settle()
        self._write_shard()
        self.ingest.write_down()

    def close(self) -> None:
        self.flush()

    def _problem(self, source_key: str) -> str | None:
        """Return why a photo cannot be taken in under this key, or None; note that it was given."""
        try:
            source_key.encode()
        except UnicodeEncodeError:
            return "key_is_not_utf8"
        return None if self.ingest.held.give(self.source, source_key) else "key_given_twice"

    def _decode(self, event: Fetched, data: bytes) -> None:
        self.batch.append(event)
        self.batch_bytes += len(data)
        decoders = _decoding.shared()
        while self.decoding and self.decoding[0][1].done():
            self._finish()
        full = len(self.batch) >= _decoding.BATCH_PHOTOS or self.batch_bytes >= _decoding.BATCH_BYTES
        if full or not self.decoding:  # small batches while photos come slowly, large ones when they come fast
            self._begin()
        while len(self.decoding) > 2 * decoders.processes or (self.decoding and not decoders.started):
            self._finish()

    def _begin(self) -> None:
        """Have the photos of the batch decoded."""
        if self.batch:
            photos = [event.data or b"" for event in self.batch]
            self.decoding.append((self.batch, _decoding.shared().begin(photos, self.ingest.params)))
            self.batch, self.batch_bytes = [], 0

    def _finish(self) -> None:
        """Take in the photos whose decoding was begun first."""
        events, future = self.decoding.popleft()
        for event, decoded in zip(events, future.result(), strict=True):
            record = event.record
            if self.ingest.forgotten.is_forgotten(self.source, record.source_key, decoded.photo_id):
                self.counts.skip(FORGOTTEN.reason, FORGOTTEN.where)
            elif decoded.copy is None:
                self._refuse(record, decoded)
            else:
                self._wait(_completed(record, decoded), decoded)

    def _refuse(self, record: Record, decoded: Decoded) -> None:
        self.counts.quarantine(decoded.refused or "broken", record.page_url or record.source_key)
        self.refused.append((record, decoded))
        if len(self.refused) >= _BATCH:
            self._settle()

    def _wait(self, record: Record, decoded: Decoded) -> None:
        """Let a photo wait for its shard."""
        held, photo_id = self.ingest.held, decoded.photo_id or ""
        number = held.number(self.source, record.source_key)
        page = number is None or (held.rows["status"][number].as_py() or "").startswith(catalogs.PAGE)
        self.counts.new += page
        self.counts.updated += not page
        self.counts.same_photo += photo_id in self.waiting_ids or held.place(photo_id) is not None
        self.waiting.append((record, decoded))
        self.waiting_ids.add(photo_id)
        if len(self.waiting_ids) >= self.ingest.params.shard_photos:
            self._write_shard()
            self.ingest.write_down()

    def _note(self, event: Noted) -> None:
        self.counts.unchanged += event.present
        forgotten = self.ingest.forgotten.is_forgotten(self.source, event.source_key)
        if not forgotten and not self.ingest.held.was_given(self.source, event.source_key):
            self.notes.append(event)
            if len(self.notes) >= _BATCH:
                self._settle()

    def _settle(self) -> None:
        """Keep the rows of what needed no shard."""
        ingest, source = self.ingest, self.source
        if self.known:
            records = [event.record for event in self.known]
            rows, news = _rows.updated(
                source, records, [event.checked for event in self.known], self._held(records), ingest.now
            )
            self.counts.updated += int(news.sum())
            self.counts.unchanged += int((~news).sum())
            ingest.keep(rows)
        if self.notes:
            numbers = [ingest.held.number(source, event.source_key) for event in self.notes]
            ingest.keep(_rows.noted(source, self.notes, ingest.held.at(numbers), ingest.now))
        if self.refused:
            held = self._held([record for record, _ in self.refused])
            ingest.keep(_rows.fetched(source, self.refused, [None] * len(self.refused), held, ingest.now))
        self.known, self.notes, self.refused = [], [], []

    def _write_shard(self) -> None:
        """Write the waiting photos as a shard, in the order of their keys, and keep the rows that name it."""
        ingest, layout = self.ingest, self.ingest.layout
        self.waiting.sort(key=lambda photo: photo[0].source_key)
        shard = shards.next_shard(layout.photos, self.source, ingest.now)
        places: list[tuple[str, int] | None] = []
        stored: list[dict[str, Any]] = []
        for record, decoded in self.waiting:
            photo_id = decoded.photo_id or ""
            if ingest.held.place(photo_id) is None:
                ingest.held.store(photo_id, shard, len(stored))
                stored.append(_stored(self.source, record, decoded, ingest.now))
            places.append(ingest.held.place(photo_id))
        if stored:
            shards.write_shard(layout.photos / shard, stored)
            logger.info("%s: %d new photos in %s", self.source, len(stored), shard)
        if self.waiting:
            held = self._held([record for record, _ in self.waiting])
            ingest.keep(_rows.fetched(self.source, self.waiting, places, held, ingest.now))
        self.waiting, self.waiting_ids = [], set()

    def _held(self, records: list[Record]) -> pa.Table:
        held = self.ingest.held
        return held.at([held.number(self.source, record.source_key) for record in records])


def _completed(record: Record, decoded: Decoded) -> Record:
    """Return `record` with the facts that its page does not state, and the photo's bytes tell."""
    copy, found = decoded.copy, dict[str, Any]()
    if copy is not None and (record.original_width is None or record.original_height is None):
        found = {"original_width": copy.original_width, "original_height": copy.original_height}
    if record.taken_at is None and decoded.taken_at is not None:
        found["taken_at"] = decoded.taken_at
    return replace(record, **found) if found else record


def _stored(source: str, record: Record, decoded: Decoded, now: datetime) -> dict[str, Any]:
    """Return the row of a shard."""
    copy = decoded.copy
    if copy is None:
        raise ValueError(f"photo {decoded.photo_id} has no working copy")
    return {
        "photo_id": decoded.photo_id,
        "image": {"bytes": copy.jpeg, "path": f"{decoded.photo_id}.jpg"},
        "width": copy.width,
        "height": copy.height,
        "phash": copy.phash,
        "source": source,
        "source_key": record.source_key,
        "fetched_at": now,
    }

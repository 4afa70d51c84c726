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
from dataclasses import dataclass, replace
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
from photoqual.sources._held import AGAIN, NEW, Held
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
        pa.default_memory_pool().release_unused()
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
        self.held = Held(catalogs.SCHEMA.empty_table())
        if not journal.fold(self.layout) and not catalogs.is_there(self.layout.catalog):
            catalogs.write_rows(self.layout.catalog, catalogs.SCHEMA.empty_table())
        self.layout.votes.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class _Photo:
    """A photo whose bytes were fetched, or refused before that; `number`: the place of its row in the catalog."""

    record: Record
    decoded: Decoded
    number: int


class _Harvest:
    """What one source gives, on its way: photos that are being decoded, that wait for their shard, that are known."""

    def __init__(self, ingest: Ingest, counts: Counts) -> None:
        self.ingest, self.counts, self.source = ingest, counts, counts.source
        self.batch: list[tuple[Fetched, int]] = []
        self.batch_bytes = 0
        self.decoding: deque[tuple[list[tuple[Fetched, int]], Future[list[Decoded]]]] = deque()
        self.waiting: list[_Photo] = []
        self.waiting_ids: set[str] = set()
        self.refused: list[_Photo] = []
        self.known: list[tuple[Fetched, int]] = []
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
        elif not _is_utf8(event.record.source_key):
            self.counts.skip("key_is_not_utf8", repr(event.record.source_key))
        else:
            self._take(event, self.ingest.held.give(self.source, event.record.source_key))

    def _take(self, event: Fetched, number: int) -> None:
        """Take in a photo; `number`: the place of its row in the catalog."""
        if number == AGAIN:
            self.counts.skip("key_given_twice", event.record.source_key)
        elif event.refused is not None:
            self._refuse(_Photo(event.record, Decoded(None, refused=event.refused), number))
        elif event.data is not None:
            self._decode(event, event.data, number)
        elif number == NEW:
            self.counts.skip("not_fetched", event.record.source_key)
        else:
            self.known.append((event, number))
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

    def _decode(self, event: Fetched, data: bytes, number: int) -> None:
        self.batch.append((event, number))
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
            photos = [event.data or b"" for event, _ in self.batch]
            self.decoding.append((self.batch, _decoding.shared().begin(photos, self.ingest.params)))
            self.batch, self.batch_bytes = [], 0

    def _finish(self) -> None:
        """Take in the photos whose decoding was begun first."""
        events, future = self.decoding.popleft()
        for (event, number), decoded in zip(events, future.result(), strict=True):
            if self.ingest.forgotten.is_forgotten(self.source, event.record.source_key, decoded.photo_id):
                self.counts.skip(FORGOTTEN.reason, FORGOTTEN.where)
            elif decoded.copy is None:
                self._refuse(_Photo(event.record, decoded, number))
            else:
                self._wait(_Photo(_completed(event.record, decoded), decoded, number))

    def _refuse(self, photo: _Photo) -> None:
        self.counts.quarantine(photo.decoded.refused or "broken", photo.record.page_url or photo.record.source_key)
        self.refused.append(photo)
        if len(self.refused) >= _BATCH:
            self._settle()

    def _wait(self, photo: _Photo) -> None:
        """Let a photo wait for its shard."""
        held, photo_id = self.ingest.held, photo.decoded.photo_id or ""
        new = photo.number == NEW or (held.rows["status"][photo.number].as_py() or "").startswith(catalogs.PAGE)
        self.counts.new += new
        self.counts.updated += not new
        self.counts.same_photo += photo_id in self.waiting_ids or held.place(photo_id) is not None
        self.waiting.append(photo)
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
            events, numbers = zip(*self.known, strict=True)
            records, checked = [event.record for event in events], [event.checked for event in events]
            rows, news = _rows.updated(source, records, checked, ingest.held.at(numbers), ingest.now)
            self.counts.updated += int(news.sum())
            self.counts.unchanged += int((~news).sum())
            ingest.keep(rows)
        if self.notes:
            numbers = tuple(ingest.held.number(source, event.source_key) for event in self.notes)
            ingest.keep(_rows.noted(source, self.notes, ingest.held.at(numbers), ingest.now))
        self._keep(self.refused, [None] * len(self.refused))
        self.known, self.notes, self.refused = [], [], []

    def _write_shard(self) -> None:
        """Write the waiting photos as a shard, in the order of their keys, and keep the rows that name it."""
        ingest, layout = self.ingest, self.ingest.layout
        self.waiting.sort(key=lambda photo: photo.record.source_key)
        shard = shards.next_shard(layout.photos, self.source, ingest.now)
        places: list[tuple[str, int] | None] = []
        stored: list[dict[str, Any]] = []
        for photo in self.waiting:
            photo_id = photo.decoded.photo_id or ""
            place = ingest.held.place(photo_id)
            if place is None:
                place = (shard, len(stored))
                ingest.held.store(photo_id, *place)
                stored.append(_stored(self.source, photo.record, photo.decoded, ingest.now))
            places.append(place)
        if stored:
            shards.write_shard(layout.photos / shard, stored)
            logger.info("%s: %d new photos in %s", self.source, len(stored), shard)
        self._keep(self.waiting, places)
        self.waiting, self.waiting_ids = [], set()

    def _keep(self, photos: list[_Photo], places: list[tuple[str, int] | None]) -> None:
        """Keep the rows of photos whose bytes were fetched."""
        if photos:
            held = self.ingest.held.at([photo.number for photo in photos])
            told = [(photo.record, photo.decoded) for photo in photos]
            self.ingest.keep(_rows.fetched(self.source, told, places, held, self.ingest.now))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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

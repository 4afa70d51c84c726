"""What every source gives, whatever it reads: records of photos, with their bytes where these are new.

A source has one verb, `harvest`: it goes through its pages or files, brings each photo's facts to one `Record`, and
hands out the bytes of those photos that the catalog does not hold yet. It is a generator, so memory stays bounded,
and what was handed out before an error is kept.
"""

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from photoqual.photos.forgotten import REASON, Forgotten


@dataclass(frozen=True)
class Record:
    """The facts about one photo of one source, normalised. `source_key` is stable from one refresh to the next.

    `votes_mean` lies on `rating_scale` (lowest, highest). `label_hint` is `good`, `bad` or `bad:<defect>` where a
    person sorted the photo into a folder. Sizes are in pixels, of the original where the source states it.
    `votes_spread` is the standard deviation of single votes, where the source states each.
    `etag` changes when the bytes at the same address do; null where the source has no such mark. `page_etag` likewise for
    the page.
    """

    source_key: str
    page_url: str | None = None
    image_url: str | None = None
    group: str | None = None
    category: str | None = None
    title: str | None = None
    uploaded_at: datetime | None = None
    taken_at: datetime | None = None
    camera: str | None = None
    original_width: int | None = None
    original_height: int | None = None
    votes_count: int | None = None
    votes_mean: float | None = None
    votes_spread: float | None = None
    votes_histogram: tuple[int, ...] | None = None
    rating_scale: tuple[float, float] | None = None
    label_hint: str | None = None
    etag: str | None = None
    page_etag: str | None = None


@dataclass(frozen=True)
class Known:
    """What the catalog holds of a photo: enough for a source to tell whether it must be looked at or fetched again.

    `forgotten`: the photo must not be fetched at all; the source gives `FORGOTTEN` in its place.
    """

    image_url: str | None
    etag: str | None
    forgotten: bool = False
    label_hint: str | None = None
    page_url: str | None = None
    page_etag: str | None = None
    uploaded_at: datetime | None = None
    first_seen: datetime | None = None
    last_checked: datetime | None = None
    status: str | None = None


class KnownPhotos(Mapping[str, Known]):
    """What the catalog holds of one source, by key. Asked for a place that was forgotten, it tells so; it counts and
    lists only what the catalog holds.
    """

    def __init__(self, source: str, photos: Mapping[str, Known], forgotten: Forgotten) -> None:
        self.source, self.forgotten = source, forgotten
        self._photos = photos

    def __getitem__(self, source_key: str) -> Known:
        held = self._photos.get(source_key)
        if held is not None:
            return held
        if self.forgotten.is_forgotten(self.source, source_key):
            return Known(None, None, forgotten=True)
        raise KeyError(source_key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._photos)

    def __len__(self) -> int:
        return len(self._photos)

    def items(self) -> ItemsView[str, Known]:
        return self._photos.items()


@dataclass(frozen=True)
class Fetched:
    """A photo of a source: with `data`, its encoded bytes, where they are new; with neither, it is known and unchanged.

    `refused` is the reason why the bytes cannot be used, found before they were read: the photo is quarantined.
    `checked`: the catalog notes when the photo was looked at, even when nothing has changed.
    """

    record: Record
    data: bytes | None = None
    refused: str | None = None
    checked: bool = False


@dataclass(frozen=True)
class Skipped:
    """Something that gave no record, and why: counted by reason and tried again by the next refresh.

    `source_key` names a photo that is there and could not be read: it does not count as gone.
    """

    reason: str
    where: str
    source_key: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Noted:
    """An address that gave no record: a known photo that is as it was, or one that is kept in mind without a photo.

    `status`: why it gave no photo; the catalog begins a row for it, or moves the row on. `checked`: the row says that it
    was looked at now. `present`: counted as a known photo that is unchanged. `after_all`: true only once all events
    before it are in the catalog.
    """

    source_key: str
    page_url: str | None = None
    status: str | None = None
    checked: bool = True
    present: bool = False
    after_all: bool = False


@dataclass(frozen=True)
class NotDue:
    """So many known photos that the source did not look at, because it is not their time yet."""

    photos: int


Event = Fetched | Skipped | Noted | NotDue
FORGOTTEN = Skipped(REASON, "")
"""In the place of a photo that must not be fetched; a log does not name it."""


class Source(Protocol):
    """Where rated photos come from."""

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Event]:
        """Yield every photo of the source, at most `limit` of them new. Raise SourceError when it gives nothing."""
        ...


@runtime_checkable
class Reports(Protocol):
    """A source that finds out more than photos, such as how far raters agree."""

    def report(self) -> dict[str, Any]:
        """Return what the last harvest found out, for the summary of the refresh; {} for nothing."""
        ...


@runtime_checkable
class Tells(Protocol):
    """A source that can tell whether it named every photo it has, such as folders that were walked to their end."""

    def told_all(self) -> bool:
        """Return whether the last harvest named all there is: photos it did not name are then gone."""
        ...

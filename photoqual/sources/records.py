"""What every source gives, whatever it reads: records of photos, with their bytes where these are new.

A source has one verb, `harvest`: it goes through its pages or files, brings each photo's facts to one `Record`, and
hands out the bytes of those photos that the catalog does not hold yet. It is a generator, so memory stays bounded,
and what was handed out before an error is kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class Record:
    """The facts about one photo of one source, normalised. `source_key` is stable from one refresh to the next.

    `votes_mean` lies on `rating_scale` (lowest, highest). `label_hint` is `good`, `bad` or `bad:<defect>` where a
    person sorted the photo into a folder. Sizes are in pixels, of the original where the source states it.
    `votes_spread` is the standard deviation of single votes, where the source states each.
    `etag` changes when the bytes at the same address do; null where the source has no such mark.
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


@dataclass(frozen=True)
class Known:
    """What the catalog holds of a photo: enough for a source to tell whether its bytes must be fetched again."""

    image_url: str | None
    etag: str | None


@dataclass(frozen=True)
class Fetched:
    """A photo of a source: with `data`, its encoded bytes, where they are new; with neither, it is known and unchanged.

    `refused` is the reason why the bytes cannot be used, found before they were read: the photo is quarantined.
    """

    record: Record
    data: bytes | None = None
    refused: str | None = None


@dataclass(frozen=True)
class Skipped:
    """Something that gave no record, and why: counted by reason and tried again by the next refresh."""

    reason: str
    where: str


class Source(Protocol):
    """Where rated photos come from."""

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Yield every photo of the source, at most `limit` of them new. Raise SourceError when it gives nothing."""
        ...

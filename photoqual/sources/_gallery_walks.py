"""What the crawler remembers: which photos are known and due, and how far each walk through a listing has come.

A walk may stop early only on ground that an earlier walk has covered: one that went down to its end, or to such ground,
with every page read and every photo on it in the catalog. Its time is kept; a photo that was first seen by then lies on
covered ground, and so does all below it. Photos that a refresh saw which was broken off were first seen later.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Page(NamedTuple):
    """A known photo's page that is due. `holds_photo` is false for an address that gave none so far; `first_seen` is in
    microseconds since 1970.
    """

    key: str
    first_seen: int
    url: str | None = None
    image_url: str | None = None
    etag: str | None = None
    page_etag: str | None = None
    holds_photo: bool = False


class KnownPages:
    """What the catalog knows of a gallery, small enough for millions: times by digest of the key, due pages packed."""

    def __init__(self, lines: Iterable[bytes] = ()) -> None:
        self._first_seen: dict[int, int] = {}
        self._due: dict[str, bytes] = {}
        for line in lines:
            key, first_seen, *more = json.loads(line)
            self._first_seen[hash(key)] = first_seen
            if more:
                self._due[key] = line

    def first_seen(self, key: str) -> int | None:
        """Return when `key` was first seen, None for a key that is not known."""
        return self._first_seen.get(hash(key))

    def is_due(self, key: str) -> bool:
        """Tell whether the page of `key` is to be looked at: it is unknown, or its time has come."""
        return key in self._due or hash(key) not in self._first_seen

    def take(self, key: str) -> Page | None:
        """Return what is known of the due page of `key`, once; None for one that is not known."""
        line = self._due.pop(key, None)
        return Page(*json.loads(line)) if line is not None else None

    def still_due(self) -> Iterator[tuple[str, str]]:
        """Yield key and address of the pages that are due and were not taken before their turn comes."""
        for key in list(self._due):
            url = Page(*json.loads(self._due.get(key, b'["", 0]'))).url
            if url:
                yield key, url


@dataclass
class Walk:
    """One walk down a listing. `covered`: microseconds since 1970 up to which first sight means covered ground; None
    for a walk that has to go to the end.
    """

    start: str
    covered: int | None = None
    pending: int = 0
    stopped: bool = False
    failed: bool = False
    pages: set[int] = field(default_factory=set)
    photos: set[int] = field(default_factory=set)

    def is_new_page(self, url: str) -> bool:
        """Tell whether the listing page `url` was not met before on this walk; asked again, it was."""
        return _is_new(self.pages, url)

    def is_new_photo(self, key: str) -> bool:
        """Tell whether the photo `key` was not met before on this walk; asked again, it was."""
        return _is_new(self.photos, key)

    def is_covered(self, first_seen: int | None) -> bool:
        """Tell whether a photo that was first seen then lies on ground that an earlier walk has covered."""
        return self.covered is not None and first_seen is not None and first_seen <= self.covered

    def is_complete(self) -> bool:
        """Tell whether every page down to the end, or to covered ground, was read."""
        return not self.pending and not self.failed


def pack(page: Page, *, due: bool) -> bytes:
    """Return the line by which the crawler is told of a known page: all of it where it is due."""
    values: tuple[Any, ...] = tuple(page) if due else (page.key, page.first_seen)
    return json.dumps(values).encode() + b"\n"


def _is_new(met: set[int], what: str) -> bool:
    mark = hash(what)
    if mark in met:
        return False
    met.add(mark)
    return True

"""Provider: any web site with a page per photo that shows a rating.
Terms: yours to read: robots.txt and the delay are honoured, the rest is between you and the site.
Rate limit: `politeness` in params.yaml; by default one request a second, two at a time, fewer when the site is slow.
Rating scale: as the page states, else `rating_scale`.
Output: a record per photo page that is new or due, the bytes of its thumbnail where they are new.

The crawl runs in a child process that ends with this one; its photos come over a pipe, one by one.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from photoqual.config import GallerySource, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.photos.catalog import PAGE
from photoqual.sources import _crawl, _wire
from photoqual.sources._gallery_walks import Page, pack
from photoqual.sources._markup import for_key
from photoqual.sources._profiles import filled
from photoqual.sources._revisits import due
from photoqual.sources.records import Event, Fetched, Known, KnownPhotos, NotDue, Noted, Skipped

_WALK, _WALK_TO_END = "walk:", "walk to the end:"
"""Beginnings of the keys under which the catalog keeps when a listing was last walked."""
_WALKED = f"{PAGE}walk"
_STATUS = {
    "timeout": "did not answer in time",
    "connection_refused": "refused the connection",
    "connection_lost": "broke the connection off",
    "unknown_host": "has no address",
    "robots_txt": "is closed to crawlers by its robots.txt",
    "crawl_delay": "asks crawlers by its robots.txt to wait for minutes after every request",
    "other_host": "leads to a host that the source does not name",
    "private_address": "leads to a private address",
    "not_http": "leads to an address that is not http or https",
    "no_photo_links": "shows no photo link",
    "not_a_page": "is not an HTML page",
}
_OWN_GALLERY = "Ask the site's owner; a gallery of your own may set politeness.obey_robots to false."
_NEXT_STEPS = {
    "robots_txt": _OWN_GALLERY,
    "crawl_delay": _OWN_GALLERY,
    "other_host": "Put the address that it leads to into `start`, or its host into `image_hosts`.",
    "private_address": "For a site on your own network set politeness.allow_private_addresses to true.",
    "no_photo_links": "Set `photo_links` to the selector of the links to photo pages.",
    "no_rating": "Set `selectors` for a site without schema.org ratings.",
}


class Gallery:
    """A web gallery, read by Scrapy."""

    def __init__(self, config: GallerySource, photos: PhotosParams) -> None:
        self.config = filled(config)
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Event]:
        """Crawl the site. Raise SourceError when no listing shows a photo, or when no page gave one, and ConfigError for a
        selector or pattern that cannot be read.
        """
        _check(self.config)
        now = datetime.now(UTC)
        covered = _covered(self.config, known, now)
        not_due = 0

        def lines() -> Iterator[bytes]:
            nonlocal not_due
            for key, photo in known.items():
                if (photo.status or "") != _WALKED:
                    line, rests = self._line(key, photo, now)
                    not_due += rests
                    yield line

        job = {
            "config": self.config.model_dump(mode="json"),
            "source": known.source if isinstance(known, KnownPhotos) else "",
            "forgotten": sorted(known.forgotten.keys) if isinstance(known, KnownPhotos) else [],
            "covered": covered,
            "limit": limit,
            "max_megabytes": self.max_megabytes,
        }
        found, met_new, report = 0, False, {}
        trouble: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        examples: dict[str, str] = {}
        for head, body in _crawl.run(job, lines()):
            if head["kind"] == "done":
                report = head
                continue
            event = self._event(head, body)
            if isinstance(event, Skipped):
                trouble[head["listing"]][event.reason] += 1
                examples.setdefault(event.reason, event.where)
            elif isinstance(event, Fetched):
                found += 1
                met_new = met_new or event.data is not None or event.refused is not None
            else:
                found += event.present
                met_new = met_new or event.source_key not in known
            yield event
        if not_due:
            yield NotDue(not_due)
        if not report["listings"]:
            raise _nothing(self.config.start, trouble[True], examples)
        if not found and not not_due:
            raise _nothing(self.config.start, trouble[True] + trouble[False], examples)
        yield from _walked(self.config, covered, report, met_new=met_new)

    def _line(self, key: str, photo: Known, now: datetime) -> tuple[bytes, bool]:
        """Return what the crawler is told of a known page, and whether it holds a photo that is not due."""
        born = photo.uploaded_at or photo.first_seen
        is_due = due(key, born, photo.last_checked, now, self.config.revisit)
        is_photo = not (photo.status or "").startswith(PAGE)
        page = Page(
            key, _micros(photo.first_seen), photo.page_url, photo.image_url, photo.etag, photo.page_etag, is_photo
        )
        return pack(page, due=is_due), is_photo and not is_due

    def _event(self, head: dict[str, Any], body: bytes) -> Fetched | Skipped | Noted:
        checked = self.config.revisit.at_most_days > 0
        if head["kind"] == "skip":
            return Skipped(head["reason"], head["where"])
        if head["kind"] == "note":
            looked = checked and not head.get("passing", False)
            status = PAGE + head["reason"] if head.get("reason") else None
            return Noted(head["key"], head.get("url"), status, looked, head.get("present", False))
        record = _wire.unpack_record(head["record"])
        return Fetched(record, body if head["kind"] == "photo" else None, head.get("reason"), checked)


def _covered(config: GallerySource, known: Mapping[str, Known], now: datetime) -> dict[str, int]:
    """Return, for each listing that need not be walked to its end, up to when photos seen first lie on covered ground."""
    found: dict[str, int] = {}
    for start in config.start if config.newest_first else ():
        walked, ended = (_last(known, kind + start) for kind in (_WALK, _WALK_TO_END))
        if walked and ended and walked <= now and now - ended < timedelta(days=config.full_walk_days):
            found[start] = _micros(walked)
    return found


def _last(known: Mapping[str, Known], key: str) -> datetime | None:
    photo = known.get(key)
    return photo.last_checked if photo is not None and photo.status == _WALKED else None


def _walked(
    config: GallerySource, covered: dict[str, int], report: dict[str, Any], *, met_new: bool
) -> Iterator[Noted]:
    """Yield which listings were walked; nothing where that changes nothing, so that the catalog stays as it was."""
    for start in report["walked"] if config.newest_first else ():
        if met_new or start not in covered:
            yield Noted(_WALK + start, start, _WALKED, after_all=True)
        if start in report["ended"]:
            yield Noted(_WALK_TO_END + start, start, _WALKED, after_all=True)


def _micros(instant: datetime | None) -> int:
    return int((instant - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1)) if instant else 0


def _check(config: GallerySource) -> None:
    """Raise ConfigError that names the first CSS selector or pattern of `config` that is none."""
    from parsel import Selector

    named: dict[str, str | None] = {"photo_links": config.photo_links, "next_links": config.next_links}
    patterns = {"key_pattern": config.key_pattern}
    if config.group not in ("photo", "category", "day"):
        named["group"] = config.group
    if config.selectors:
        options = config.selectors.model_dump()
        patterns["selectors.category_pattern"] = options.pop("category_pattern")
        named |= {f"selectors.{option}": value and for_key(value, "1") for option, value in options.items()}
    for kind, table, read in (
        ("a CSS selector", named, Selector("<p></p>").css),
        ("a regular expression", patterns, re.compile),
    ):
        for option, value in table.items():
            try:
                if value:
                    read(value)
            except Exception as error:  # cssselect, parsel and lxml each have errors of their own
                raise ConfigError(
                    f"{option} {value!r} is not {kind}: {error}.", next_step="Mend it in params.yaml."
                ) from None


def _nothing(start: list[str], trouble: Counter[str], examples: dict[str, str]) -> SourceError:
    """Say why a site showed no photo: by the commonest reason, with the address and the status seen."""
    if not trouble:
        return SourceError(
            f"{start[0]} gave no photo.",
            next_step="Open it in a browser and check `start` and `photo_links`.",
            start=start,
        )
    reason = max(trouble, key=lambda one: (trouble[one], one))
    bare = reason.removeprefix("image_")
    said = (
        f"answered {bare.removeprefix('http_')}" if bare.startswith("http_") else _STATUS.get(bare, f"failed: {bare}")
    )
    return SourceError(
        f"The site gave no photo: {examples[reason]} {said} ({trouble[reason]} of {trouble.total()} failures).",
        next_step=_NEXT_STEPS.get(
            bare, "Open the address in a browser; if the site is well again, run the refresh again."
        ),
        start=start,
        reasons=dict(sorted(trouble.items())),
    )

"""The crawler: listing pages → photo pages → images. What it finds goes to the parent process as frames."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import scrapy
from scrapy import exceptions, signals
from scrapy.http import Request, Response, TextResponse
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from photoqual.config import GallerySource
from photoqual.photos.forgotten import REASON, key_digest
from photoqual.sources import _addresses, _markup, _wire
from photoqual.sources._gallery_walks import KnownPages, Page, Walk
from photoqual.sources._guards import is_passing, reason_of
from photoqual.sources._pages import LONGEST_ADDRESS, key_of, record_of
from photoqual.sources._revisits import conditions, validator
from photoqual.sources.records import Record

logger = logging.getLogger(__name__)
PAGE_MEGABYTES = 10
"""Largest HTML page that is read."""
MAX_FAILURES_IN_A_ROW = 25
"""Addresses that may fail one after the other, with nothing good between, before the site is left in peace."""
PATIENCE_DAYS = 7
"""How long what fails for a passing reason is tried at every refresh, before it is looked at like anything else."""
_GONE = ("http_404", "http_410")
_REVISITS_AT_ONCE = 50


class GallerySpider(scrapy.Spider):
    """Walk a gallery and send what it shows to the parent process."""

    name = "gallery"

    def __init__(self, job: dict[str, Any], config: GallerySource, known: KnownPages, out: BinaryIO) -> None:
        super().__init__()
        self.config, self.known, self.out = config, known, out
        self.source: str = job["source"]
        self.forgotten = frozenset(job["forgotten"])
        self.walks = [Walk(start, job["covered"].get(start)) for start in dict.fromkeys(config.start)]
        self.left: int | None = job["limit"]
        self.allowed = frozenset(_addresses.authority(url) for url in config.start) | frozenset(config.image_hosts)
        self.one_site = len({_addresses.authority(url) for url in config.start}) == 1
        self.patience = int((time.time() - PATIENCE_DAYS * 86_400) * 1e6)
        self.visited: dict[int, int] = {}
        self.open_visits = self.listings = self.failures_in_a_row = 0
        self.closing: asyncio.Future[None] | None = None
        self.finished = self.cut = False

    async def start(self) -> AsyncIterator[Request]:
        """Walk the listings, then look at the known photos that are due and were not met on the way."""
        for walk in self.walks:
            walk.is_new_page(walk.start)
            yield self._listing_request(walk.start, walk, "start")
        for turn, (key, url) in enumerate(self.known.still_due(), 1):
            for request in self._visit(key, url, priority=-10):
                yield request
            if turn % _REVISITS_AT_ONCE == 0:
                await self.crawler.signals.wait_for(signals.scheduler_empty)

    def closed(self, reason: str) -> None:
        self.finished = reason == "finished"

    def listing(self, response: Response) -> Iterator[Request]:
        """Follow the photo links of a listing page, then its next page; stop where a page links no photo, none that
        the pages before it did not link (some sites show their last page for ever), or only photos on covered ground.
        """
        self.failures_in_a_row = 0
        walk: Walk = response.meta["walk"]
        if not isinstance(response, TextResponse):
            self._skip("not_a_page", response.url, listing=True)
            return
        links = self._photo_links(response)
        self.listings += bool(links)
        fresh = {key: link for key, link in links.items() if walk.is_new_photo(key)}
        if not links:
            self._skip("no_photo_links", response.url, listing=True)
            walk.failed = True
        covered = walk.covered is not None
        for key, link in fresh.items():
            if self._is_forgotten(key):
                self._skip(REASON, "")
                continue
            covered &= walk.is_covered(self.known.first_seen(key))
            yield from self._visit(key, link, priority=10)
        walk.stopped |= covered and bool(fresh)
        self.cut |= self.left == 0
        if fresh and not covered and self.left != 0:
            for link in self._links(response, response.css(self.config.next_links).getall()):
                if walk.is_new_page(link):
                    yield self._listing_request(link, walk, "listing")
        walk.pending -= 1

    def photo_page(self, response: Response) -> list[Request]:
        """Read a photo's page; ask for its image when the catalog does not hold it, or to see whether it has changed."""
        self.failures_in_a_row = 0
        self.cut |= self.left == 0
        requests = list(self._read(response)) if self.left != 0 else []
        self.open_visits -= not requests
        return requests

    def image(self, response: Response) -> list[Request]:
        """Send a photo with its bytes, or say that it is as it was."""
        self.failures_in_a_row = 0
        key, known, record = (response.meta[name] for name in ("key", "known", "record"))
        mark = validator(response.headers)
        if known is not None and (response.status == 304 or mark == known.etag):
            self._send_known(key, record)
        elif record is None:
            return [self._page_request(key, known.url, None, priority=20)]
        else:
            self._send({"kind": "photo", "record": _wire.pack_record(replace(record, etag=mark))}, response.body)
        self.open_visits -= 1
        return []

    def failed(self, failure: Failure) -> None:
        """Count what could not be fetched; an image that is too large is quarantined rather than tried for ever."""
        request: Request = failure.request
        what, reason = request.meta["what"], reason_of(failure.value, request)
        chosen = isinstance(failure.value, exceptions.IgnoreRequest) and not isinstance(failure.value, HttpError)
        if what == "image":
            self._image_failed(reason, request)
        elif what == "page":
            self._page_failed(reason, request)
        else:
            self._skip(reason, request.url, listing=True)
            request.meta["walk"].pending -= what == "listing" and chosen
        self.open_visits -= what in ("image", "page")
        if chosen:
            return  # our own choice, which says nothing about how the site is
        if reason in _GONE and what == "page" and request.meta["known"] is not None:
            return  # photos that are taken away do not make a site ill
        self.failures_in_a_row += 1
        if self.failures_in_a_row == MAX_FAILURES_IN_A_ROW and self.crawler.engine:
            self._skip("gave_up", f"{request.url} and what would have come after it")
            self.closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="gave_up"))

    def refusal(self, url: str) -> str | None:
        """Return why the configuration does not allow to fetch `url`, or None."""
        private = self.config.politeness.allow_private_addresses
        return _addresses.refusal(url, self.allowed, allow_private=private)

    def key_of(self, url: str) -> str | None:
        """Return what names a photo page from one refresh to the next, None for the address of none."""
        return key_of(url, self.config.key_pattern, one_site=self.one_site)

    def report(self) -> dict[str, Any]:
        """Return which walks are complete, those that went to the end too, and how many listing pages showed photos."""
        whole = self.finished and not self.open_visits and not self.closing and not self.cut
        walked = [walk for walk in self.walks if whole and walk.is_complete()]
        return {
            "walked": [walk.start for walk in walked],
            "ended": [walk.start for walk in walked if not walk.stopped],
            "listings": self.listings,
        }

    def _photo_links(self, response: TextResponse) -> dict[str, str]:
        """Return the addresses of the photo pages that a listing page links, by key; count the refused ones."""
        found: dict[str, str] = {}
        for link in self._links(response, response.css(self.config.photo_links).getall()):
            key = self.key_of(link)
            reason = None if key is None else self.refusal(link)
            if reason:
                self._skip(reason, link)
            elif key and found.setdefault(key, link) != link:
                self._skip("same_key", link)
        return found

    def _links(self, response: TextResponse, links: Iterable[str]) -> list[str]:
        """Return the absolute addresses of `links`, each once; count those that lead nowhere, such as `mailto:`."""
        found: dict[str, None] = {}
        for link in links:
            try:
                url = response.urljoin(link).partition("#")[0]
            except ValueError:
                url = ""
            if len(url) > LONGEST_ADDRESS:
                self._skip("address_too_long", f"{url[:100]}… on {response.url}")
            elif _addresses.is_http(url):
                found[url] = None
            elif not self.config.key_pattern:
                self._skip("not_http", f"{link[:LONGEST_ADDRESS]} on {response.url}")
        return list(found)

    def _visit(self, key: str, url: str, priority: int) -> Iterator[Request]:
        """Ask for a photo's page, unless that was done or it is not due."""
        if not self._is_first_visit(key, url) or not self.known.is_due(key):
            return
        known = self.known.take(key)
        self.open_visits += 1
        yield self._page_request(key, url, known, priority=priority)

    def _is_first_visit(self, key: str, url: str) -> bool:
        """Tell whether the photo `key` was not met before in this crawl; count another one that has its key."""
        mark = hash(key)
        if mark not in self.visited:
            self.visited[mark] = hash(url)
            return True
        if self.visited[mark] != hash(url) and self.config.key_pattern:
            self._skip("same_key", url)
        return False

    def _is_forgotten(self, key: str) -> bool:
        return bool(self.forgotten) and key_digest(self.source, key) in self.forgotten

    def _read(self, response: Response) -> Iterator[Request]:
        key, known = response.meta["key"], response.meta["known"]
        if response.status == 304:
            yield from self._look_at_image(key, known, None)
            return
        final = self.key_of(response.url) or key
        if final != key:
            self._note(key, response.meta["url"], "moved")
            if hash(final) in self.visited or self._is_forgotten(final) or not self.known.is_due(final):
                return
            self.visited[hash(final)] = hash(response.url)
            key, known = final, self.known.take(final)
        try:
            record = record_of(response, self.config, key)
        except _markup.PageProblem as problem:
            self._problem(key, response.url, known, str(problem))
            return
        except Exception:  # parsers of hostile pages raise nearly anything
            logger.exception("%s cannot be read", response.url)
            self._problem(key, response.url, known, "broken_page")
            return
        if known is not None and known.holds_photo and known.image_url == record.image_url:
            yield from self._look_at_image(key, known, record)
            return
        if self.left is not None:
            self.left -= 1
        yield self._image_request(key, record.image_url or "", record=record)

    def _look_at_image(self, key: str, known: Page, record: Record | None) -> Iterator[Request]:
        """Ask whether the image of a known photo has changed, where the server marks its states."""
        headers = conditions(known.etag) if self.config.revisit.images else {}
        if headers and known.image_url and known.url:
            yield self._image_request(key, known.image_url, record=record, known=known, headers=headers)
        else:
            self._send_known(key, record)

    def _image_failed(self, reason: str, request: Request) -> None:
        key, known, record = (request.meta[name] for name in ("key", "known", "record"))
        if reason == "too_many_bytes" and known is None:
            self._send({"kind": "refused", "reason": reason, "record": _wire.pack_record(record)})
            return
        self._skip(f"image_{reason}", request.url)
        if known is not None:
            self._send_known(key, record)
            return
        if self.left is not None:
            self.left += 1
        self._note(key, record.page_url, f"image_{reason}", passing=is_passing(reason))

    def _page_failed(self, reason: str, request: Request) -> None:
        key, known = request.meta["key"], request.meta["known"]
        passing = is_passing(reason)
        if known is not None and known.holds_photo and reason in _GONE:
            self._skip("gone", request.url)
            self._note(key, None, None)
            return
        self._problem(key, request.url, known, reason, passing=passing)

    def _problem(self, key: str, url: str, known: Page | None, reason: str, *, passing: bool = False) -> None:
        """Count a page that gave no record, and have it kept in mind."""
        self._skip(reason, url)
        if known is None or not known.holds_photo or not passing:
            old = known is not None and known.first_seen < self.patience
            self._note(key, url, reason, passing=passing and not old)

    def _page_request(self, key: str, url: str, known: Page | None, priority: int) -> Request:
        mark = known.page_etag if known is not None and self.config.revisit.conditional else None
        meta = {"download_maxsize": PAGE_MEGABYTES * 1_000_000, "key": key, "known": known, "url": url}
        return self._request(url, self.photo_page, "page", priority, conditions(mark), meta)

    def _image_request(
        self,
        key: str,
        url: str,
        *,
        record: Record | None,
        known: Page | None = None,
        headers: dict[str, str] | None = None,
    ) -> Request:
        meta = {"key": key, "record": record, "known": known}
        return self._request(url, self.image, "image", 20, headers or {}, meta)

    def _listing_request(self, url: str, walk: Walk, what: str) -> Request:
        walk.pending += 1
        meta = {"download_maxsize": PAGE_MEGABYTES * 1_000_000, "walk": walk}
        return self._request(url, self.listing, what, 0, {}, meta)

    def _request(
        self, url: str, callback: Any, what: str, priority: int, headers: dict[str, str], meta: dict[str, Any]
    ) -> Request:
        meta = {"what": what, **meta, **({"handle_httpstatus_list": [304]} if headers else {})}
        return Request(url, callback, errback=self.failed, priority=priority, headers=headers, meta=meta)

    def _send_known(self, key: str, record: Record | None) -> None:
        if record is None:
            self._send({"kind": "note", "key": key, "present": True})
        else:
            self._send({"kind": "known", "record": _wire.pack_record(record)})

    def _note(self, key: str, url: str | None, reason: str | None, *, passing: bool = False) -> None:
        self._send({"kind": "note", "key": key, "url": url, "reason": reason, "passing": passing})

    def _skip(self, reason: str, where: str, *, listing: bool = False) -> None:
        self._send({"kind": "skip", "reason": reason, "where": where, "listing": listing})

    def _send(self, head: dict[str, Any], body: bytes = b"") -> None:
        _wire.write_frame(self.out, head, body)

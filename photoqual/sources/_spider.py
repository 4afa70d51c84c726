"""The crawler: listing pages → photo pages → images. Runs in a process of its own, since its reactor starts only once.

`python -m photoqual.sources._spider` reads its job as one line of JSON from standard input and writes frames (see
`_wire.py`) to standard output. It ends as soon as standard input closes, so it cannot outlive its parent.
"""

import asyncio
import json
import logging
import os
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, ClassVar, NoReturn
from urllib.parse import urlsplit

import scrapy
from pydantic import TypeAdapter
from scrapy import exceptions
from scrapy.crawler import CrawlerProcess
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.http import Request, Response, TextResponse
from scrapy.resolver import CachingThreadedResolver
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from photoqual.config import GallerySource
from photoqual.sources import _addresses, _markup, _wire
from photoqual.sources.records import Record

logger = logging.getLogger(__name__)
PAGE_MEGABYTES = 10
"""Largest HTML page that is read."""
MAX_WAIT_SECONDS = 300
"""Longest wait that a server may ask for with Retry-After before the address is given up for this refresh."""
MAX_FAILURES_IN_A_ROW = 25
"""Addresses that may fail one after the other, with nothing good between, before the site is left in peace."""
_FAILURES = {
    "DownloadTimeoutError": "timeout",
    "DownloadConnectionRefusedError": "connection_refused",
    "CannotResolveHostError": "unknown_host",
    "DownloadFailedError": "connection_lost",
    "ResponseDataLossError": "connection_lost",
    "DownloadCancelledError": "too_many_bytes",
}


class Refused(exceptions.IgnoreRequest):
    """An address that the source's configuration does not allow; `reason` is a short stable key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class AddressGuard:
    """Refuse every request, redirected ones too, that leaves the hosts of the configuration."""

    def __init__(self, crawler: Any) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Any) -> "AddressGuard":
        return cls(crawler)

    def process_request(self, request: Request) -> None:
        spider = self.crawler.spider
        reason = _addresses.refusal(
            request.url, spider.allowed, allow_private=spider.config.politeness.allow_private_addresses
        )
        if reason:
            raise Refused(reason)


class PublicResolver(CachingThreadedResolver):
    """Resolve names, and refuse those that lead to a private address: what is checked is what is connected to.

    Twisted makes of a refusal that there is no such host, so the names are kept.
    """

    refused: ClassVar[set[str]] = set()

    def getHostByName(  # noqa: N802 - Twisted's name
        self, name: str, timeout: Any = ()
    ) -> Deferred[str]:
        return super().getHostByName(name, timeout).addCallback(self._check, name)

    def _check(self, address: str, name: str) -> str:
        if name not in _proxy_hosts() and not _addresses.is_public(address):
            self.refused.add(name)
            raise Refused("private_address")
        return address


class PatientRetry(RetryMiddleware):
    """Try again after a growing pause, or after the one that the server asks for with Retry-After."""

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        if response.status not in self.retry_http_codes:
            return response
        asked = _retry_after(response)
        if asked > MAX_WAIT_SECONDS:
            return response
        again = self._retry(request, f"status {response.status}")
        if again is None:
            return response
        await self._pause(again, asked)
        return again

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if not isinstance(exception, self.exceptions_to_retry) or (again := self._retry(request, exception)) is None:
            return None
        await self._pause(again, 0.0)
        return again

    async def _pause(self, again: Request, asked: float) -> None:
        base = max(self.crawler.settings.getfloat("DOWNLOAD_DELAY"), 0.5)
        await asyncio.sleep(max(asked, min(base * 2 ** (again.meta["retry_times"] - 1), 60.0)))


def _retry_after(response: Response) -> float:
    """Return the seconds that the server asks to wait: a number or a date; 0 without either."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _proxy_hosts() -> set[str]:
    return {urlsplit(address).hostname or "" for address in urllib.request.getproxies().values()}


class GallerySpider(scrapy.Spider):
    """Walk a gallery and send what it shows to the parent process."""

    name = "gallery"

    def __init__(self, job: dict[str, Any], out: BinaryIO) -> None:
        super().__init__()
        self.config: GallerySource = TypeAdapter(GallerySource).validate_json(json.dumps(job["config"]))
        self.known: dict[str, str | None] = job["known"]
        self.left: int | None = job["limit"]
        self.out = out
        self.allowed = frozenset(_addresses.authority(url) for url in self.config.start) | frozenset(
            self.config.image_hosts
        )
        self.one_site = len({_addresses.authority(url) for url in self.config.start}) == 1
        self.failures_in_a_row = 0
        self.closing: asyncio.Future[None] | None = None

    async def start(self) -> AsyncIterator[Request]:
        for url in self.config.start:
            yield self._request(url, self.listing, "start", seen=set())

    def listing(self, response: Response) -> Iterator[Request]:
        """Follow the photo links of a listing page, then its next page; stop where a page links no photo, or none that
        the pages before it did not link: some sites show their last page for ever.
        """
        self.failures_in_a_row = 0
        if not isinstance(response, TextResponse):
            self._skip("not_a_page", response.url)
            return
        seen: set[str] = response.meta["seen"]
        links = self._links(response, response.css(self.config.photo_links).getall())
        fresh = [link for link in links if link not in seen]
        seen.update(fresh)
        if not links:
            self._skip("no_photo_links", response.url)
        for link in fresh:
            yield self._request(link, self.photo_page, "page", priority=10)
        if fresh and self.left != 0:
            for link in self._links(response, response.css(self.config.next_links).getall()):
                yield self._request(link, self.listing, "listing", seen=seen)

    def _links(self, response: Response, links: Iterable[str]) -> list[str]:
        """Return the absolute addresses of `links`, each once; count those that lead nowhere, such as `mailto:`."""
        found: dict[str, None] = {}
        for link in links:
            try:
                url = response.urljoin(link)
            except ValueError:
                url = ""
            if _addresses.is_http(url):
                found[url] = None
            else:
                self._skip("not_http", f"{link} on {response.url}")
        return list(found)

    def photo_page(self, response: Response) -> Iterator[Request]:
        """Read a photo's page; ask for its image when the catalog does not hold it yet."""
        self.failures_in_a_row = 0
        if self.left == 0:
            return
        try:
            if not isinstance(response, TextResponse):
                raise _markup.PageProblem("not_a_page")
            record = record_of(response, self.config, self.key_of(response.url))
        except _markup.PageProblem as problem:
            self._skip(str(problem), response.url)
            return
        except Exception:  # parsers of hostile pages raise nearly anything
            logger.exception("%s cannot be read", response.url)
            self._skip("broken_page", response.url)
            return
        if not _addresses.is_http(record.image_url or ""):
            self._skip("image_not_http", response.url)
            return
        if record.source_key in self.known and self.known[record.source_key] == record.image_url:
            self._send({"kind": "known", "record": _wire.pack_record(record)})
            return
        if self.left is not None:
            self.left -= 1
        yield self._request(record.image_url or "", self.image, "image", priority=20, record=record)

    def image(self, response: Response) -> None:
        """Send a photo with its bytes."""
        self.failures_in_a_row = 0
        etag = (response.headers.get("ETag") or b"").decode("latin-1") or None
        record = replace(response.meta["record"], etag=etag)
        self._send({"kind": "photo", "record": _wire.pack_record(record)}, response.body)

    def failed(self, failure: Failure) -> None:
        """Count what could not be fetched; an image that is too large is quarantined rather than tried for ever."""
        request: Request = failure.request
        reason, what = _reason(failure.value), request.meta["what"]
        if reason == "unknown_host" and urlsplit(request.url).hostname in PublicResolver.refused:
            reason = "private_address"
        if what == "image" and reason == "too_many_bytes":
            self._send({"kind": "refused", "reason": reason, "record": _wire.pack_record(request.meta["record"])})
            return
        if what == "image" and self.left is not None:
            self.left += 1
        self._skip(f"image_{reason}" if what == "image" else reason, request.url, start=what == "start")
        if isinstance(failure.value, exceptions.IgnoreRequest) and not isinstance(failure.value, HttpError):
            return  # our own choice, which says nothing about how the site is
        self.failures_in_a_row += 1
        if self.failures_in_a_row == MAX_FAILURES_IN_A_ROW and self.crawler.engine:
            self._skip("gave_up", f"{request.url} and what would have come after it")
            self.closing = asyncio.ensure_future(self.crawler.engine.close_spider_async(reason="gave_up"))

    def key_of(self, url: str) -> str:
        """Return what names a photo page from one refresh to the next: its path and query, and its host if needed."""
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return path if self.one_site else _addresses.authority(url) + path

    def _request(self, url: str, callback: Any, what: str, priority: int = 0, **meta: Any) -> Request:
        size = {} if what == "image" else {"download_maxsize": PAGE_MEGABYTES * 1_000_000}
        return Request(
            url,
            callback,
            errback=self.failed,
            priority=priority,
            dont_filter=what in ("start", "image"),
            meta={"what": what, **size, **meta},
        )

    def _skip(self, reason: str, where: str, *, start: bool = False) -> None:
        self._send({"kind": "skip", "reason": reason, "where": where, "start": start})

    def _send(self, head: dict[str, Any], body: bytes = b"") -> None:
        _wire.write_frame(self.out, head, body)


def record_of(response: TextResponse, config: GallerySource, key: str) -> Record:
    """Return the record of a photo's page. Raise PageProblem when it has no rating, no image or an impossible vote."""
    selectors = config.selectors
    page = response.selector
    facts = (
        _markup.facts_from_selectors(page, selectors, response.url)
        if selectors
        else _markup.facts_from_schema(response.text, response.url)
    )
    low, high = scale = facts.scale or config.rating_scale
    if not low <= facts.votes_mean <= high or low >= high:
        raise _markup.PageProblem("vote_outside_scale")
    day = f"{facts.uploaded:%Y-%m-%d}" if facts.uploaded else None
    groups = {"photo": key, "category": facts.category, "day": day}
    group = groups[config.group] if config.group in groups else _markup.select(page, config.group)
    return Record(
        source_key=key,
        page_url=response.url,
        image_url=facts.image,
        group=group,
        category=facts.category,
        title=facts.title,
        uploaded_at=facts.uploaded,
        taken_at=facts.taken,
        original_width=facts.width,
        original_height=facts.height,
        votes_count=facts.votes_count,
        votes_mean=facts.votes_mean,
        rating_scale=scale,
    )


def _reason(error: BaseException) -> str:
    """Return the short stable key of why something could not be fetched."""
    if isinstance(error, HttpError):
        return f"http_{error.response.status}"
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, exceptions.IgnoreRequest):
        said = str(error)
        if "robots.txt" in said:
            return "robots_txt"
        return "too_many_bytes" if "DOWNLOAD_MAXSIZE" in said else "too_many_redirects"
    return _FAILURES.get(type(error).__name__, type(error).__name__)


def settings_of(config: GallerySource, max_megabytes: float) -> dict[str, Any]:
    """Return Scrapy's settings for `config`: every politeness and safety choice of a crawl in one place."""
    polite = config.politeness
    return {
        "USER_AGENT": polite.user_agent,
        "ROBOTSTXT_OBEY": polite.obey_robots,
        "DOWNLOAD_DELAY": polite.delay_seconds,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "CONCURRENT_REQUESTS": polite.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": polite.concurrency,
        "DOWNLOAD_TIMEOUT": polite.timeout_seconds,
        "DNS_TIMEOUT": polite.timeout_seconds,
        "RETRY_TIMES": polite.retries,
        "RETRY_HTTP_CODES": [408, 429, 500, 502, 503, 504],
        "RETRY_GIVE_UP_LOG_LEVEL": "INFO",
        "REDIRECT_MAX_TIMES": 5,
        "METAREFRESH_ENABLED": False,
        "COOKIES_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "HTTPPROXY_ENABLED": not polite.allow_private_addresses,
        "DOWNLOAD_MAXSIZE": int(max_megabytes * 1e6),
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "DOWNLOAD_HANDLERS": {"data": None, "file": None, "ftp": None, "s3": None},
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            AddressGuard: 10,
            PatientRetry: 550,
        },
        "TWISTED_DNS_RESOLVER": CachingThreadedResolver if polite.allow_private_addresses else PublicResolver,
        "LOG_LEVEL": "WARNING",
    }


def _end_with_parent() -> NoReturn:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    """Run one crawl: the job from standard input, its frames to standard output."""
    job = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        config = TypeAdapter(GallerySource).validate_json(json.dumps(job["config"]))
        process = CrawlerProcess(settings_of(config, job["max_megabytes"]))
        process.crawl(GallerySpider, job=job, out=out)
        process.start()
        _wire.write_frame(out, {"kind": "done"})
    os._exit(0)


if __name__ == "__main__":
    main()

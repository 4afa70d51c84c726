"""What keeps the crawler on the hosts of its configuration, and why an address could not be fetched."""

import urllib.request
from typing import Any, ClassVar
from urllib.parse import urlsplit

from scrapy import exceptions
from scrapy.http import Request
from scrapy.resolver import CachingThreadedResolver
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.internet.defer import Deferred

from photoqual.sources import _addresses

_FAILURES = {
    "DownloadTimeoutError": "timeout",
    "DownloadConnectionRefusedError": "connection_refused",
    "CannotResolveHostError": "unknown_host",
    "DownloadFailedError": "connection_lost",
    "ResponseDataLossError": "connection_lost",
    "DownloadCancelledError": "too_many_bytes",
}
_PASSING = frozenset(
    {"timeout", "connection_refused", "unknown_host", "connection_lost", "http_408", "http_425", "http_429"}
)


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
        if reason := self.crawler.spider.refusal(request.url):
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


def _proxy_hosts() -> set[str]:
    return {urlsplit(address).hostname or "" for address in urllib.request.getproxies().values()}


def reason_of(error: BaseException, request: Request) -> str:
    """Return the short stable key of why `request` could not be fetched."""
    if isinstance(error, HttpError):
        return f"http_{error.response.status}"
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, exceptions.IgnoreRequest):
        said = str(error)
        if "robots.txt" in said:
            return "robots_txt"
        return "too_many_bytes" if "DOWNLOAD_MAXSIZE" in said else "too_many_redirects"
    reason = _FAILURES.get(type(error).__name__, type(error).__name__)
    if reason == "unknown_host" and urlsplit(request.url).hostname in PublicResolver.refused:
        return "private_address"
    return reason


def is_passing(reason: str) -> bool:
    """Tell whether what failed for `reason` may well go right tomorrow, with nothing changed about the address."""
    return reason in _PASSING or reason.startswith("http_5") or reason[:1].isupper()

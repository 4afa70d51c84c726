"""How the crawler behaves as a guest: robots.txt with its Crawl-delay, pauses, retries, a delay that adapts."""

import asyncio
import math
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from scrapy import signals
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.extensions.throttle import AutoThrottle
from scrapy.http import Request, Response
from scrapy.resolver import CachingThreadedResolver

from photoqual.config import GallerySource
from photoqual.sources._guards import AddressGuard, PublicResolver, Refused

MAX_WAIT_SECONDS = 300
"""Longest wait that a server may ask for, with Retry-After before the address is given up for this refresh, or with
Crawl-delay before the host is left alone."""
_OVERRUN = (429, 503)


class PatientRetry(RetryMiddleware):
    """Try again after a growing pause, or after the one that the server asks for with Retry-After.

    A server that is overrun and says for how long is left in peace by all requests until then.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.quiet_until: dict[str, float] = {}

    async def process_request(self, request: Request) -> None:
        if self.quiet_until:
            await asyncio.sleep(max(0.0, self.quiet_until.get(_host(request.url), 0.0) - time.monotonic()))

    async def process_response(self, request: Request, response: Response) -> Request | Response:
        if response.status not in self.retry_http_codes:
            return response
        asked = _retry_after(response)
        if asked > MAX_WAIT_SECONDS:
            return response
        if asked and response.status in _OVERRUN:
            self.quiet_until[_host(request.url)] = time.monotonic() + asked
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


class Robots(RobotsTxtMiddleware):
    """Obey robots.txt, and keep to its Crawl-delay where that is longer than the delay of the configuration."""

    def __init__(self, crawler: Any) -> None:
        super().__init__(crawler)
        self.too_slow: set[str] = set()
        crawler.signals.connect(self._keep_delay, signal=signals.robots_parsed)

    async def process_request(self, request: Request) -> None:
        await super().process_request(request)
        if self.too_slow and _host(request.url) in self.too_slow:
            raise Refused("crawl_delay")

    def _keep_delay(self, robotparser: Any, request: Request) -> None:
        asked = robotparser.crawl_delay(self.crawler.settings["USER_AGENT"])
        if asked is None or not math.isfinite(asked) or asked <= self.crawler.settings.getfloat("DOWNLOAD_DELAY"):
            return
        host, downloader = _host(request.url), self.crawler.engine.downloader
        if asked > MAX_WAIT_SECONDS:
            self.too_slow.add(host)
            return
        asked = max(asked, downloader.per_slot_settings.get(host, {}).get("delay", 0.0))
        downloader.per_slot_settings[host] = {"delay": asked}
        if host in downloader.slots:
            downloader.slots[host].delay = max(asked, downloader.slots[host].delay)


class Throttle(AutoThrottle):
    """Adapt the delay to how fast the server answers, and never go below the one that its robots.txt asks for."""

    def _adjust_delay(self, slot: Any, latency: float, response: Response) -> None:
        super()._adjust_delay(slot, latency, response)
        least = self.crawler.engine.downloader.per_slot_settings.get(_host(response.url), {})
        slot.delay = max(slot.delay, least.get("delay", 0.0))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _retry_after(response: Response) -> float:
    """Return the seconds that the server asks to wait: a number or a date; 0 without either."""
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def settings_of(config: GallerySource, max_megabytes: float) -> dict[str, Any]:
    """Return Scrapy's settings for `config`: every politeness and safety choice of a crawl in one place.

    What the crawler has no use for is switched off: each part that sees every request costs its time.
    """
    polite = config.politeness
    middlewares = "scrapy.downloadermiddlewares"
    unused = ("corestats.CoreStats", "logcount.LogCount", "logstats.LogStats", "feedexport.FeedExporter")
    return {
        "USER_AGENT": polite.user_agent,
        "ROBOTSTXT_OBEY": polite.obey_robots,
        "DOWNLOAD_DELAY": polite.delay_seconds,
        "DOWNLOAD_DELAY_JITTER": 0.0,
        "AUTOTHROTTLE_ENABLED": polite.adaptive,
        "AUTOTHROTTLE_START_DELAY": polite.delay_seconds,
        "AUTOTHROTTLE_MAX_DELAY": max(60.0, polite.delay_seconds),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": 1.0,
        "CONCURRENT_ITEMS": 1,  # Scrapy makes as many tasks for the output of every callback; ours has only requests
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
            f"{middlewares}.offsite.OffsiteMiddleware": None,
            f"{middlewares}.httpauth.HttpAuthMiddleware": None,
            f"{middlewares}.stats.DownloaderStats": None,
            f"{middlewares}.retry.RetryMiddleware": None,
            f"{middlewares}.robotstxt.RobotsTxtMiddleware": None,
            AddressGuard: 10,
            Robots: 100,
            PatientRetry: 550,
        },
        "SPIDER_MIDDLEWARES": {
            "scrapy.spidermiddlewares.depth.DepthMiddleware": None,
            "scrapy.spidermiddlewares.urllength.UrlLengthMiddleware": None,
            "scrapy.spidermiddlewares.metacopy.MetaCopyDetectionMiddleware": None,
        },
        "EXTENSIONS": {
            **{f"scrapy.extensions.{name}": None for name in unused},
            "scrapy.extensions.throttle.AutoThrottle": None,
            Throttle: 0,
        },
        "STATS_CLASS": "scrapy.statscollectors.DummyStatsCollector",
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "TWISTED_DNS_RESOLVER": CachingThreadedResolver if polite.allow_private_addresses else PublicResolver,
        "LOG_LEVEL": "WARNING",
    }

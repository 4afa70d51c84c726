"""The downloader: fetches addresses as they are asked for, many at a time. Runs in a process of its own, so that
decoding photos and fetching the next ones do not wait for each other.

`python -m photoqual.sources._downloader` reads lines of JSON from standard input, its settings first, and writes frames
(see `_wire.py`) to standard output; `_bulk.py` is the other end. It ends as soon as standard input closes, so it cannot
outlive its parent. Bodies that the parent has not taken yet are bounded together by `HELD_BYTES`.
"""

import asyncio
import json
import os
import re
import sys
import urllib.request
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from protego import Protego
from yarl import URL

from photoqual.sources import _addresses, _wire
from photoqual.sources._hosts import Host, PublicResolver, Refused

HELD_BYTES = 64 << 20
"""Bytes of bodies that are held at once, but for the one that the parent waits for: that one always goes on."""
SLOWEST = 50_000.0
"""A body may take the time limit, and a second more for each so many bytes."""
MAX_REDIRECTS = 5
MAX_WAIT_SECONDS = 300.0
"""Longest wait that a server may ask for with Retry-After before an address is given up for this refresh."""
MAX_CRAWL_DELAY = 60.0
_WRITTEN_TOGETHER = 256
ROBOTS_BYTES = 512_000
_UP = re.compile(r"/(?:\.|%2e){1,2}(?:[/?#]|$)", re.IGNORECASE)
_MOVED = frozenset({301, 302, 303, 307, 308})
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TRANSPORT = frozenset({"timeout", "connection_lost", "connection_refused", "unknown_host"})
Head = dict[str, Any]
Job = dict[str, Any]
Chunks = list[bytes]


class Downloader:
    """Fetches what is asked for; `send` gets a frame for each."""

    def __init__(self, settings: dict[str, Any], send: Callable[[Head, Chunks], None]) -> None:
        self.send = send
        self.allowed = frozenset(settings["allowed"])
        self.polite: dict[str, Any] = settings["politeness"]
        self.timeout: float = self.polite["timeout_seconds"]
        self.jobs: asyncio.Queue[Job] = asyncio.Queue()
        self.hosts: dict[str, Host] = {}
        self.judged: dict[str, str | None] = {}
        self.held, self.needed = 0, -1
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        connector = aiohttp.TCPConnector(
            limit=0, resolver=PublicResolver(self.polite["allow_private_addresses"]), ttl_dns_cache=60
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self.polite["user_agent"], "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        ) as self.session:
            await asyncio.gather(*(self._work() for _ in range(self.polite["concurrency"])))

    def take(self, message: dict[str, Any]) -> None:
        """Take what the parent says: a job, bytes that it has taken, the job that it waits for."""
        self.held -= message.get("free", 0)
        self.needed = message.get("need", self.needed)
        if "url" in message:
            self.jobs.put_nowait(message)
        self.changed.set()
        self.changed.clear()

    async def _work(self) -> None:
        while True:
            job = await self.jobs.get()
            self.send(*await self._result(job))  # what was sent is kept nowhere here

    async def _result(self, job: Job) -> tuple[Head, Chunks]:
        try:
            head, body = await self._answer(job["url"], job)
        except Exception as error:  # an address that nobody thought of must not end the others
            head, body = {"status": 0, "reason": "failed", "said": repr(error)[:200]}, []
        return {"number": job["number"], **head}, body

    async def _answer(self, url: str, job: Job) -> tuple[Head, Chunks]:
        """Fetch `url` and follow where it leads, as far as that is allowed."""
        for _ in range(MAX_REDIRECTS + 1):
            reason = self._refusal(url, job["within"])
            if reason:
                return {"status": 0, "reason": reason, "url": url}, []
            host = self._host(url)
            if self.polite["obey_robots"] and not job.get("robots"):
                reason = await self._robots_refuse(host, url)
                if reason:
                    return {"status": 0, "reason": reason, "url": url}, []
            head, body = await self._patiently(host, url, job)
            head["url"] = url
            if "location" not in head:
                return head, body
            try:
                url = urljoin(url, head["location"])
            except ValueError:
                return {"status": 0, "reason": "not_http", "url": url}, []
        return {"status": 0, "reason": "too_many_redirects", "url": url}, []

    def _refusal(self, url: str, within: str) -> str | None:
        """Return why `url` may not be fetched, or None. `within` ends with a slash, so that its host is that of `url`."""
        if url.startswith(within):
            if within not in self.judged:
                self.judged[within] = self._refused(within)
            return self.judged[within] or ("leaves_tree" if _UP.search(url) else None)
        return self._refused(url) or "leaves_tree"

    def _refused(self, url: str) -> str | None:
        return _addresses.refusal(url, self.allowed, allow_private=self.polite["allow_private_addresses"])

    def _host(self, url: str) -> Host:
        origin = url[: url.index("/", url.index("//") + 2)]
        if origin not in self.hosts:
            parts = urlsplit(origin)
            name = parts.hostname or ""
            direct = bool(urllib.request.proxy_bypass(name))
            proxy = None if direct else urllib.request.getproxies().get(parts.scheme)
            self.hosts[origin] = Host(origin, self.polite["delay_seconds"], proxy)
        return self.hosts[origin]

    async def _robots_refuse(self, host: Host, url: str) -> str | None:
        if not host.robots_read:
            async with host.lock:
                if not host.robots_read:
                    await self._read_robots(host)
        if host.robots is None or isinstance(host.robots, str):
            return host.robots
        return None if host.robots.can_fetch(url, self.polite["user_agent"]) else "robots_txt"

    async def _read_robots(self, host: Host) -> None:
        """Read the server's robots.txt: without one everything is allowed, with one that fails nothing is."""
        job = {"number": -1, "within": f"{host.origin}/", "max_bytes": ROBOTS_BYTES, "robots": True}
        head, body = await self._answer(f"{host.origin}/robots.txt", job)
        self.held -= sum(map(len, body))
        if head["status"] == 200 and head["reason"] is None:
            rules = Protego.parse(b"".join(body).decode(errors="replace"))
            host.delay = max(host.delay, min(rules.crawl_delay(self.polite["user_agent"]) or 0.0, MAX_CRAWL_DELAY))
            host.robots = rules
        elif head["reason"] == "private_address" or head["reason"] in _TRANSPORT:
            host.robots = head["reason"]
        elif head["status"] == 429 or head["status"] >= 500 or head["reason"] == "too_many_bytes":
            host.robots = "robots_txt_unreadable"
        host.robots_read = True

    async def _patiently(self, host: Host, url: str, job: Job) -> tuple[Head, Chunks]:
        """Ask until there is an answer, `retries` times more at most, with growing pauses or those asked for."""
        for attempt in range(self.polite["retries"] + 1):
            await host.turn()
            head, body = await self._once(host, url, job)
            if head["status"] not in _AGAIN and head["reason"] not in _TRANSPORT:
                break
            asked = head.pop("wait", 0.0)
            if asked > MAX_WAIT_SECONDS or attempt == self.polite["retries"]:
                break
            if asked:
                host.rests_until = max(host.rests_until, asyncio.get_running_loop().time() + asked)
            else:
                await asyncio.sleep(min(max(self.polite["delay_seconds"], 0.5) * 2**attempt, 60.0))
        return head, body

    async def _once(self, host: Host, url: str, job: Job) -> tuple[Head, Chunks]:
        """Ask once. The bytes of the body that is returned count as held."""
        headers = {"Accept": job.get("accept", "*/*")}
        if mark := job.get("mark"):
            tagged = mark.startswith(('"', "W/"))
            headers["If-None-Match" if tagged else "If-Modified-Since"] = mark if tagged else mark[:29]
        held = self.held_by(job)
        try:
            async with (
                asyncio.timeout(self.timeout) as limit,
                self.session.get(
                    URL(url, encoded=True), headers=headers, allow_redirects=False, proxy=host.proxy
                ) as response,
            ):
                head = _head(response)
                if head["status"] == 200:
                    await held.read(response, limit, self.timeout)
                    return head, held.take()
                if head["status"] in _MOVED and (to := response.headers.get("Location")):
                    head["location"] = to
                elif head["status"] != 304:
                    head["reason"] = f"http_{head['status']}"
                if head["status"] in _AGAIN:
                    head["wait"] = _retry_after(response.headers.get("Retry-After", ""))
                return head, []
        except TooLarge:
            return {**head, "reason": "too_many_bytes"}, []
        except Exception as error:
            return {"status": 0, "reason": _reason(error)}, []
        finally:
            held.drop()

    def held_by(self, job: Job) -> "Body":
        """Return the empty body of an answer to `job`."""
        return Body(self, job["number"], job["max_bytes"])


class TooLarge(Exception):
    """A body of more bytes than are wanted."""


class Body:
    """The body of an answer while it comes in; what it holds counts until it is dropped, or taken by the parent."""

    def __init__(self, downloader: Downloader, number: int, max_bytes: int) -> None:
        self.downloader, self.number, self.max_bytes = downloader, number, max_bytes
        self.chunks: Chunks = []
        self.size = 0

    async def read(self, response: aiohttp.ClientResponse, limit: asyncio.Timeout, seconds: float) -> None:
        """Read the whole body within `seconds` and a rate, not counting waits for room. Raise TooLarge."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        if (response.content_length or 0) > self.max_bytes:
            response.close()
            raise TooLarge
        async for chunk in response.content.iter_any():
            if self.size + len(chunk) > self.max_bytes:
                response.close()
                raise TooLarge
            if self.size:
                limit.reschedule(start + seconds + self.size / SLOWEST)
            if not self._has_room(len(chunk)):
                began = loop.time()
                limit.reschedule(None)
                self.downloader.send({"number": -1, "starved": True}, [])
                while not self._has_room(len(chunk)):
                    await self.downloader.changed.wait()
                start += loop.time() - began
                limit.reschedule(start + seconds + self.size / SLOWEST)
            self.chunks.append(chunk)
            self.size += len(chunk)
            self.downloader.held += len(chunk)

    def _has_room(self, more: int) -> bool:
        held, needed = self.downloader.held, self.downloader.needed
        return held + more <= HELD_BYTES or self.number in (needed, -1)

    def take(self) -> Chunks:
        """Return the whole; it stays counted."""
        whole, self.chunks, self.size = self.chunks, [], 0
        return whole

    def drop(self) -> None:
        """Count what has not been taken as held no more."""
        self.downloader.held -= self.size
        self.chunks, self.size = [], 0


def _head(response: aiohttp.ClientResponse) -> Head:
    get = response.headers.get
    return {
        "status": response.status,
        "reason": None,
        "etag": get("ETag"),
        "modified": get("Last-Modified"),
        "date": get("Date"),
        "kind": get("Content-Type", "").partition(";")[0].strip().lower(),
    }


def _reason(error: Exception) -> str:
    """Return the short stable key of a failure to fetch."""
    reasons: list[tuple[str, tuple[type[BaseException], ...]]] = [
        ("timeout", (TimeoutError,)),
        ("private_address", (Refused,)),
        ("unknown_host", (aiohttp.ClientConnectorDNSError,)),
        ("bad_certificate", (aiohttp.ClientSSLError,)),
        ("connection_refused", (aiohttp.ClientConnectorError,)),
        ("connection_lost", (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, OSError)),
        ("not_http", (aiohttp.ClientResponseError, aiohttp.InvalidURL, ValueError)),
    ]
    return next((reason for reason, kinds in reasons if isinstance(error, kinds)), "failed")


def _retry_after(value: str) -> float:
    """Return the seconds that the server asks to wait: a number or a date; 0 without either."""
    value = value.strip()
    if value.isascii() and value.isdigit() and len(value) < 12:
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return 0.0


class Orders(asyncio.Protocol):
    """Standard input: one JSON message a line. The process ends with it."""

    def __init__(self, started: Callable[[dict[str, Any]], Downloader]) -> None:
        self.started = started
        self.downloader: Downloader | None = None
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if self.downloader is None:
                self.downloader = self.started(message)
            else:
                self.downloader.take(message)

    def connection_lost(self, exc: Exception | None) -> None:
        os._exit(0)


class Frames:
    """Standard output: frames are written as the parent reads them, without a copy. The process ends with it."""

    def __init__(self, file: int) -> None:
        self.file = file
        os.set_blocking(file, False)
        self.line: deque[memoryview] = deque()
        self.loop = asyncio.get_running_loop()

    def send(self, head: Head, body: Chunks) -> None:
        """Have a frame written."""
        if not self.line:
            self.loop.call_soon(self._write)
        self.line.append(memoryview(_wire.start(head, sum(map(len, body)))))
        self.line.extend(map(memoryview, body))

    def _write(self) -> None:
        self.loop.remove_writer(self.file)
        while self.line:
            try:
                written = os.writev(self.file, list(islice(self.line, _WRITTEN_TOGETHER)))
            except BlockingIOError:
                self.loop.add_writer(self.file, self._write)
                return
            except BrokenPipeError:
                os._exit(0)
            while self.line and written >= len(self.line[0]):
                written -= len(self.line.popleft())
            if written:
                self.line[0] = self.line[0][written:]


async def _main() -> None:
    loop = asyncio.get_running_loop()
    out = Frames(sys.stdout.fileno())
    ready: asyncio.Future[Downloader] = loop.create_future()

    def started(settings: dict[str, Any]) -> Downloader:
        ready.set_result(Downloader(settings, out.send))
        return ready.result()

    await loop.connect_read_pipe(lambda: Orders(started), sys.stdin.buffer)
    await (await ready).run()


if __name__ == "__main__":
    asyncio.run(_main())

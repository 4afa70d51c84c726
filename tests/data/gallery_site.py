"""A photo gallery on loopback that can be made to behave badly: every address may get its own replies.

`GallerySite(6)` shows six photos on listing pages; `site.replies["/photos/3"] = [failing(500), ...]` says what an
address answers, the last reply for ever. Every request is kept in `site.requests`.
"""

import gzip
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from photoqual.config import GallerySource, PhotosParams, parse_params
from photoqual.sources.gallery import Gallery
from photoqual.sources.records import Event, Known
from tests.conftest import encoded, scene

Reply = Callable[["Handler"], None]
POLITE: dict[str, Any] = {
    "delay_seconds": 0.0,
    "adaptive": False,
    "concurrency": 8,
    "timeout_seconds": 20.0,
    "retries": 1,
    "allow_private_addresses": True,
}


@dataclass(frozen=True)
class Seen:
    """One request that the site got."""

    path: str
    at: float
    headers: dict[str, str]


@dataclass
class GallerySite:
    """`photos` numbered from 1, `per_page` to a listing page; `page` writes the page of a photo.

    `marked_by`: the header (ETag or Last-Modified) by which pages and images tell their state, and answer 304 to who
    knows it. `images` holds bytes other than the usual ones.
    """

    photos: int = 4
    per_page: int = 4
    page: Callable[[int], str] = field(default_factory=lambda: microdata)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    extra_links: list[str] = field(default_factory=list)
    """Links that the first listing page shows before those of its photos."""
    newest_first: bool = False
    marked_by: str | None = None
    images: dict[int, bytes] = field(default_factory=dict)
    latency: float = 0.0
    """Seconds before each answer."""

    def __enter__(self) -> Self:
        self.requests: list[Seen] = []
        self.stopping, self.let_go = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("SiteHandler", (Handler,), {"site": self}))
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}"
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def source(self, **changes: Any) -> dict[str, Any]:
        """Return the site as a source of params.yaml; `politeness` is laid over a hasty one."""
        polite = {**POLITE, **changes.pop("politeness", {})}
        return {"kind": "gallery", "start": [f"{self.url}/photos"], "politeness": polite, **changes}

    def times_asked(self, path: str) -> int:
        """Return how often the site was asked for `path`."""
        return sum(request.path == path for request in self.requests)

    def reply_to(self, path: str) -> Reply:
        """Return the next reply that `path` gets."""
        with self._lock:
            planned = self.replies.get(path)
            if planned:
                return planned.pop(0) if len(planned) > 1 else planned[0]
        return self._usual(path)

    def _usual(self, path: str) -> Reply:
        name, _, last = path.rpartition("/")
        if path.startswith("/photos?page=") or path == "/photos":
            return answer(self.listing(int(path.partition("=")[2] or 1)))
        if name == "/photos" and last.isdigit() and 1 <= int(last) <= self.photos:
            return marked(self.page(int(last)).encode(), self.marked_by)
        if name == "/images" and last.endswith(".jpg"):
            number = int(last.removesuffix(".jpg"))
            return marked(self.images.get(number) or photo_bytes(number), self.marked_by, kind="image/jpeg")
        return answer("nothing here", status=404)

    def listing(self, page: int) -> str:
        """Return listing page `page`, with a link to the next one while there is one."""
        numbers = [*range((page - 1) * self.per_page + 1, min(page * self.per_page, self.photos) + 1)]
        if self.newest_first:
            numbers = [self.photos + 1 - number for number in numbers]
        links = (self.extra_links if page == 1 else []) + [f"/photos/{number}" for number in numbers]
        later = f'<a rel="next" href="/photos?page={page + 1}">older</a>' if page * self.per_page < self.photos else ""
        return "".join(f'<a class="photo" href="{link}">photo</a>' for link in links) + later


class Handler(BaseHTTPRequestHandler):
    site: GallerySite
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """Serve one connection, and say nothing when the other side hangs up between two requests."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self.site.requests.append(Seen(self.path, time.monotonic(), dict(self.headers.items())))
        time.sleep(self.site.latency)
        try:
            self.site.reply_to(self.path)(self)
        except OSError:  # the other side hung up, as it may
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: what was asked for is in `requests`."""


def answer(body: str | bytes, *, status: int = 200, kind: str = "text/html; charset=utf-8", **headers: str) -> Reply:
    """Return a reply with this body; an underscore in the name of a header stands for a dash."""
    data = body.encode() if isinstance(body, str) else body

    def reply(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": kind, "Content_Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return reply


def marked(data: bytes, by: str | None, *, kind: str = "text/html; charset=utf-8") -> Reply:
    """Return a reply with this body and the mark of its state in the header `by`: 304 for who has that already."""
    if by is None:
        return answer(data, kind=kind)
    digest = hashlib.sha256(data).hexdigest()
    mark = f'"{digest[:16]}"' if by == "ETag" else formatdate(int(digest[:7], 16), usegmt=True)
    asked = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}[by]
    whole = answer(data, kind=kind, ETag=mark) if by == "ETag" else answer(data, kind=kind, Last_Modified=mark)

    def reply(handler: Handler) -> None:
        if handler.headers.get(asked) == mark:
            handler.send_response(304)
            handler.end_headers()
        else:
            whole(handler)

    return reply


def failing(status: int, **headers: str) -> Reply:
    """Return a reply with an error status."""
    return answer("no", status=status, **headers)


def moved(to: str) -> Reply:
    """Return a redirect to `to`."""
    return answer("", status=302, Location=to)


def zipped(body: bytes) -> Reply:
    """Return a reply whose body is compressed on its way: small here, large there."""
    return answer(gzip.compress(body), Content_Encoding="gzip")


def silent(handler: Handler) -> None:
    """Answer nothing until the other side hangs up; then set the site's `let_go`."""
    handler.connection.settimeout(60)
    handler.connection.recv(1)
    handler.site.let_go.set()
    handler.close_connection = True


def broken_off(handler: Handler) -> None:
    """Promise a thousand bytes, send four, hang up."""
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"\xff\xd8\xff\xe0")
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Break the connection off in the middle of the headers, the hard way."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def claiming(length: str, body: bytes = b"") -> Reply:
    """Return a reply that states a Content-Length of its own."""
    return answer(body, kind="image/jpeg", Content_Length=length)


def dripping(handler: Handler) -> None:
    """Send a byte now and then, for ever: no pause is long, the whole is."""
    _start_without_end(handler)
    while not handler.site.stopping.wait(0.1):
        handler.wfile.write(b"1\r\n.\r\n")


def endless(handler: Handler) -> None:
    """Send as much as the other side takes."""
    _start_without_end(handler)
    while not handler.site.stopping.is_set():
        handler.wfile.write(b"10000\r\n" + b"." * 0x10000 + b"\r\n")


def _start_without_end(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def photo_bytes(number: int) -> bytes:
    """Return the JPEG of photo `number`."""
    return encoded(scene(number), quality=90)


def votes_of(number: int) -> tuple[float, int]:
    """Return the mean and the number of votes of photo `number`."""
    return 1 + number % 9 / 2, 3 + number


def microdata(number: int, *, image: str | None = None, mean: object = None, votes: object = None) -> str:
    """Return the page of photo `number` with schema.org microdata."""
    usual_mean, usual_votes = votes_of(number)
    return f"""<article itemscope itemtype="https://schema.org/ImageObject"><h1 itemprop="name">Photo {number}</h1>
<img itemprop="thumbnailUrl" src="{image or f"/images/{number}.jpg"}">
<p itemprop="aggregateRating" itemscope itemtype="https://schema.org/AggregateRating">
<b itemprop="ratingValue">{usual_mean if mean is None else mean}</b> of <i itemprop="bestRating">5</i>, at least
<i itemprop="worstRating">1</i>, <b itemprop="ratingCount">{usual_votes if votes is None else votes}</b> votes</p>
<p itemprop="genre">{("city", "night")[number % 2]}</p><p class="trip">Trip {number // 2}</p>
<time itemprop="uploadDate" datetime="2024-05-{number:02d}">then</time>
<p><span itemprop="width">{3000 + number}</span> × <span itemprop="height">2000</span></p></article>"""


def crawl(
    source: dict[str, Any], *, known: Mapping[str, Known] | None = None, limit: int | None = None, **photos: Any
) -> Iterator[Event]:
    """Crawl `source` by the real crawler in its own process and yield what comes."""
    checked = parse_params({**{name: {} for name in _OTHERS}, "sources": {"site": source}}).sources["site"]
    assert isinstance(checked, GallerySource)
    yield from Gallery(checked, PhotosParams(**photos)).harvest({} if known is None else known, limit=limit)


_OTHERS = ("photos", "labels", "validation", "split", "model", "train", "evaluate", "promote")

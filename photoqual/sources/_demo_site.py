"""The demo site's server: a small photo gallery on loopback, for refreshes to scrape and people to look at."""

import threading
from contextlib import suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from photoqual.sources import _demo_pages as pages
from photoqual.sources import _demo_photos as demo
from photoqual.sources._addresses import authority

PER_PAGE = 60
HOME_PHOTOS = 12
ROBOTS = "User-agent: *\nDisallow: /grow\nDisallow: /poison\nDisallow: /heal\n"
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})


class DemoSite:
    """The site of edition `edition`; with `poisoned`, a vandal has voted on every photo. Both may be changed while it
    runs: what is asked for next sees the change.

    Usable as a context manager. It listens on loopback only, on `port` or on a free one.
    """

    def __init__(self, edition: int = 1, poisoned: bool = False, port: int = 0) -> None:
        self.edition = edition
        self.poisoned = poisoned
        self._port = port
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The site's address, without a slash at the end."""
        if self._server is None:
            raise RuntimeError("The demo site has not been started.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> str:
        """Start serving in a thread of its own and return the address. Raise SourceError without the extra `demo`."""
        demo.photos(self.edition)
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self.url

    def stop(self) -> None:
        """Stop serving and free the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        """Return status, content type and body for a GET of `path`."""
        photos = demo.photos(self.edition)
        if path == "/":
            page = pages.home(
                self._with_votes(photos[: -HOME_PHOTOS - 1 : -1]),
                total=len(photos),
                edition=self.edition,
                poisoned=self.poisoned,
            )
        elif path == "/robots.txt":
            return 200, "text/plain; charset=utf-8", ROBOTS.encode()
        elif path == "/photos" and (number := _whole(query.get("page", ["1"])[0])) is not None:
            newest = photos[::-1][(number - 1) * PER_PAGE : number * PER_PAGE]
            page = pages.listing(self._with_votes(newest), page=number, pages=-(-len(photos) // PER_PAGE))
        elif (photo := self._photo(photos, path, "/photos/", "")) is not None:
            page = pages.photo_page(photo, demo.votes(photo, self.edition, poisoned=self.poisoned))
        elif (photo := self._photo(photos, path, "/images/", ".jpg")) is not None:
            return 200, "image/jpeg", _rendered(photo)
        else:
            return (
                404,
                "text/html; charset=utf-8",
                pages.message("Nothing here", "There is no page at this address.").encode(),
            )
        return 200, "text/html; charset=utf-8", page.encode()

    def act(self, path: str) -> bool:
        """Do what one of the home page's buttons asks for; tell whether there is such a button."""
        if path == "/grow":
            self.edition += 1
        elif path in ("/poison", "/heal"):
            self.poisoned = path == "/poison"
        else:
            return False
        return True

    def _with_votes(self, photos: tuple[demo.DemoPhoto, ...]) -> list[tuple[demo.DemoPhoto, pages.Votes]]:
        return [(photo, demo.votes(photo, self.edition, poisoned=self.poisoned)) for photo in photos]

    @staticmethod
    def _photo(photos: tuple[demo.DemoPhoto, ...], path: str, before: str, after: str) -> demo.DemoPhoto | None:
        if not (path.startswith(before) and path.endswith(after)):
            return None
        number = _whole(path.removeprefix(before).removesuffix(after))
        return photos[number - 1] if number is not None and number <= len(photos) else None


@lru_cache(maxsize=200)
def _rendered(photo: demo.DemoPhoto) -> bytes:
    return demo.render(photo)


def _whole(text: str) -> int | None:
    """Return the whole number from 1 on that `text` writes, or None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 and int(text) > 0 else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    site: DemoSite
    protocol_version = "HTTP/1.1"
    timeout = 30

    def handle(self) -> None:
        """Serve one connection; that its visitor hangs up is no news."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._reply(*self.site.answer(parts.path, parse_qs(parts.query)))

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_POST(self) -> None:
        """Press a button; a page of another site that sends the form here is turned away."""
        self.rfile.read(min(_whole(self.headers.get("Content-Length", "")) or 0, 10_000))
        origin = self.headers.get("Origin")
        host = authority(f"http://{self.headers.get('Host', '')}")
        if host.partition(":")[0] not in _LOCAL_NAMES or (origin is not None and authority(origin) != host):
            self._reply(403, "text/plain; charset=utf-8", b"Only this site's own buttons may do that.\n")
        elif self.site.act(self.path):
            self._reply(303, "text/plain; charset=utf-8", b"", Location="/")
        else:
            self._reply(404, "text/plain; charset=utf-8", b"There is no such button.\n")

    def _reply(self, status: int, kind: str, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "X-Content-Type-Options": "nosniff",
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: a refresh asks for hundreds of pages."""

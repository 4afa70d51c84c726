"""What the app's server refuses before Streamlit reads it: too many uploads, too much of them, pages of other sites."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

UPLOADS_A_MINUTE = 600
"""Of one session. Many more than a page rates at once, so that the page and not the network says what was left out."""
HELD_BYTES = 2_000_000_000
"""Of all sessions together that wait to be rated; uploads are held in memory alone."""
_SESSIONS = 1000
_MINUTE = 60.0
_TOO_LARGE, _TOO_MANY, _LENGTH_REQUIRED = 413, 429, 411


class Pace:
    """How often each of the newest sessions did something in the last minute."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, session: str) -> bool:
        """Tell whether `session` may do it once more, and count it if so."""
        now = self._clock()
        times = self._times.setdefault(session, deque(maxlen=self._limit))
        self._times.move_to_end(session)
        if len(self._times) > _SESSIONS:
            self._times.popitem(last=False)
        if len(times) == self._limit and now - times[0] < _MINUTE:
            return False
        times.append(now)
        return True


class Refusals:
    """How many uploads of each session were refused since the page last asked. Safe among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, session: str) -> None:
        with self._lock:
            if len(self._counts) < _SESSIONS or session in self._counts:
                self._counts[session] += 1

    def take(self, session: str) -> int:
        """Return the count of `session` and forget it."""
        with self._lock:
            return self._counts.pop(session, 0)


REFUSALS = Refusals()


class UploadGuard:
    """ASGI middleware: answers what is refused by itself, and hands all else on. `held` tells how many bytes of uploads
    wait now.
    """

    def __init__(self, app: "ASGIApp", held: Callable[[], int], refusals: Refusals = REFUSALS) -> None:
        self._app = app
        self._held = held
        self._refusals = refusals
        self._pace = Pace(UPLOADS_A_MINUTE)
        self._coming = 0

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "websocket" and not same_origin(headers_of(scope)):
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "Another site's page."})
            return
        if scope["type"] == "http" and scope["method"] == "PUT" and (session := session_of(scope["path"])):
            length = headers_of(scope).get("content-length", "")
            status = self._refusal(session, length)
            if status is not None:
                self._refusals.add(session)
                await _answer(send, status)
                return
            self._coming += int(length)
            try:
                await self._app(scope, receive, send)
            finally:
                self._coming -= int(length)
            return
        await self._app(scope, receive, send)

    def _refusal(self, session: str, length: str) -> int | None:
        """Return the HTTP status by which an upload of `length` bytes is refused, None for a welcome one."""
        if not length.isdecimal():
            return _LENGTH_REQUIRED
        if self._held() + self._coming + int(length) > HELD_BYTES:
            return _TOO_LARGE
        return None if self._pace.admit(session) else _TOO_MANY


def headers_of(scope: "Scope") -> dict[str, str]:
    """Return the headers by their names in small letters; of repeated ones the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def same_origin(headers: dict[str, str]) -> bool:
    """Tell whether a request comes from our own page, or from no page at all: host and port must be those we serve."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def session_of(path: str) -> str | None:
    """Return the session that the address of an upload names: …/_stcore/upload_file/SESSION/FILE."""
    _, found, rest = path.partition("/_stcore/upload_file/")
    return rest.partition("/")[0] if found else None


async def _answer(send: "Send", status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

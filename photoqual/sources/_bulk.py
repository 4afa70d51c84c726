"""Many addresses fetched fast, by a child process (`_downloader.py`): asked for ahead, answered in the order of need.

Memory stays bounded however far one asks ahead: the child holds a limited number of bytes that were not taken yet.
"""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from photoqual.config import Politeness
from photoqual.errors import SourceError
from photoqual.sources import _wire
from photoqual.sources.records import Event, Fetched, Record

IMAGES = "image/*,*/*;q=0.5"
TROUBLES = 25
"""So many addresses that fail one after the other, through the server or the way to it, end a harvest."""
_TRANSPORT = frozenset({"timeout", "connection_lost", "connection_refused", "unknown_host", "http_429", "http_408"})
_PIPE_BYTES = 1 << 20
_ASKED_TOGETHER = 8
_SET_PIPE_SIZE = getattr(fcntl, "F_SETPIPE_SZ", None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an address gave: with `reason` None its bytes, or, with `status` 304, that they are as `mark` said.

    `url` is where it was found in the end. `date`, `modified`: of the server's header, as it wrote them.
    """

    url: str
    status: int
    reason: str | None
    data: bytes = b""
    kind: str | None = None
    etag: str | None = None
    modified: str | None = None
    date: str | None = None

    @property
    def mark(self) -> str | None:
        """What changes when the bytes do, and may be asked with again: the ETag, or time of change and size."""
        if self.etag:
            return self.etag if self.etag.startswith(('"', "W/")) else f'"{self.etag}"'
        return f"{self.modified} {len(self.data)}" if self.modified and self.modified.endswith(" GMT") else None

    @property
    def is_trouble(self) -> bool:
        """Tell whether the server or the way to it failed, rather than the address."""
        return self.reason in _TRANSPORT or (self.reason or "").startswith("http_5")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A photo to fetch. `within` (with a slash at its end) is what its address must begin with, wherever it leads;
    `mark` is what the catalog holds of it, so that it is sent only if that has changed. `exact`: its record's page_etag
    tells any two states of it apart.
    """

    url: str
    within: str
    max_bytes: int
    record: Record
    mark: str | None = None
    exact: bool = True


class Bulk:
    """The child process, for the time of a `with` block."""

    def __init__(self, politeness: Politeness, allowed: Iterable[str]) -> None:
        """`allowed`: the hosts (`host` or `host:port`) that may be asked."""
        self.politeness = politeness
        self._settings = {"politeness": politeness.model_dump(mode="json"), "allowed": sorted(allowed)}
        self._answers: dict[int, tuple[dict[str, Any], bytes]] = {}
        self.asked = 0
        self._taken, self._unsent, self._troubles, self._starved = 0, 0, 0, False

    def __enter__(self) -> Self:
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
        self._errors = tempfile.TemporaryFile()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "photoqual.sources._downloader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
            bufsize=_PIPE_BYTES,
        )
        if _SET_PIPE_SIZE is not None:
            with suppress(OSError):  # more than this user may have
                fcntl.fcntl(self._out, _SET_PIPE_SIZE, _PIPE_BYTES)
        self._tell(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.kill()
        self._child.wait()
        with suppress(BrokenPipeError):
            self._in.close()
        self._out.close()
        self._errors.close()

    def ask(self, url: str, *, within: str, max_bytes: int, mark: str | None = None, accept: str = IMAGES) -> int:
        """Have `url` fetched, unless `mark` still holds; return the number to get the answer by."""
        self.asked += 1
        message = {"number": self.asked, "url": url, "within": within, "max_bytes": max_bytes, "accept": accept}
        self._tell(message | ({"mark": mark} if mark else {}))
        return self.asked

    def answer(self, number: int) -> Answer:
        """Wait for the answer `number` and take it. Raise SourceError when the server fails again and again, or the child
        broke off.
        """
        needed = False
        while number not in self._answers:
            if self._starved and not needed:
                self._tell({"need": number})
                needed = True
            self._flush()
            frame = _wire.read_frame(self._out)
            if frame is None:
                raise self._broken_off()
            self._starved |= frame[0].get("starved", False)
            if frame[0]["number"] > 0:
                self._answers[frame[0]["number"]] = frame
        head, data = self._answers.pop(number)
        self._taken += len(data)
        given = (head.get(name) for name in ("kind", "etag", "modified", "date"))
        answer = Answer(head.get("url", ""), head["status"], head["reason"], data, *given)
        self._troubles = self._troubles + 1 if answer.is_trouble else 0
        if self._troubles >= TROUBLES:
            raise _failing(answer)
        return answer

    def in_order(
        self, plans: Iterable[Event | Wanted], settle: Callable[[Wanted, Answer], Event], limit: int | None
    ) -> Iterator[Event]:
        """Yield what `plans` hold, and in the place of what is wanted what `settle` makes of its answer.

        Nothing is asked ahead of whoever takes the events by more than a window. At most `limit` of them are new photos.
        """
        window: deque[tuple[int, Wanted]] = deque()
        new = 0

        def taken() -> Event:
            nonlocal new
            number, wanted = window.popleft()
            event = settle(wanted, self.answer(number))
            new += isinstance(event, Fetched) and (event.data is not None or event.refused is not None)
            return event

        for plan in plans:
            if not isinstance(plan, Wanted):
                yield plan
                continue
            while window and (
                len(window) >= 4 * self.politeness.concurrency or (limit is not None and new + len(window) >= limit)
            ):
                yield taken()
            if limit is not None and new >= limit:
                return
            number = self.ask(plan.url, within=plan.within, max_bytes=plan.max_bytes, mark=plan.mark)
            window.append((number, plan))
        while window:
            yield taken()

    @property
    def _in(self) -> IO[bytes]:
        if self._child.stdin is None:
            raise RuntimeError("a child with pipes has pipes")
        return self._child.stdin

    @property
    def _out(self) -> IO[bytes]:
        if self._child.stdout is None:
            raise RuntimeError("a child with pipes has pipes")
        return self._child.stdout

    def _tell(self, message: dict[str, Any]) -> None:
        if self._taken:
            message, self._taken = {**message, "free": self._taken}, 0
        try:
            self._in.write(json.dumps(message).encode() + b"\n")
            self._unsent += 1
            if self._unsent >= _ASKED_TOGETHER:
                self._flush()
        except BrokenPipeError:
            raise self._broken_off() from None

    def _flush(self) -> None:
        try:
            self._in.flush()
        except BrokenPipeError:
            raise self._broken_off() from None
        self._unsent = 0

    def _broken_off(self) -> SourceError:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "it left no message"
        return SourceError(
            f"The downloader broke off: {last}.",
            next_step="Run the refresh again; what was fetched is kept.",
            output=said[-4000:],
        )


def _failing(answer: Answer) -> SourceError:
    """Say that the server gives nothing any more."""
    return SourceError(
        f"The server failed {TROUBLES} times in a row ({answer.reason}), last at {answer.url}.",
        next_step="Run the refresh again when it is well; what was fetched is kept.",
        reason=answer.reason,
    )

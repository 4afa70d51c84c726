"""A labeller's journal: a file that only grows, a line of JSON per step, on the disk before the step counts.

One writer at a time holds the file's lock. Who writes after somebody else has written is told so and writes nothing. A
writer that was killed leaves at most a torn last line, which was never confirmed: the next writer cuts it off.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from photoqual.errors import DataError

Line = dict[str, Any]


class Moved(Exception):
    """Another window or server has written into the journal since it was read last."""


class Journal:
    """The journal `path`, read and written from where it was read to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_to = 0
        self.lines = 0
        """Lines read or written so far."""

    def read(self) -> list[Line]:
        """Return the whole lines that were not read yet. Raise DataError for one that is damaged."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._failed("read", error) from None
        return self._parse(data[: data.rfind(b"\n") + 1])

    def append(self, lines: Sequence[Line]) -> None:
        """Write `lines`, all or none, and wait for the disk. Raise Moved, or DataError when they cannot be kept."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        text = "".join(json.dumps({**line, "at": now}, ensure_ascii=True) + "\n" for line in lines)
        try:
            with self._locked() as file:
                end = self._mend(file)
                if end != self._read_to:
                    raise Moved
                self._write(file, text.encode())
        except OSError as error:
            raise self._failed("written", error) from None
        self._read_to += len(text)
        self.lines += len(lines)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        new = not self.path.exists()
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if new:
                _sync_folder(self.path.parent)
            yield file
        finally:
            os.close(file)

    def _mend(self, file: int) -> int:
        """Cut off what a killed writer left behind the last whole line, and return where the file ends."""
        size = os.fstat(file).st_size
        tail = os.pread(file, max(0, size - self._read_to), self._read_to)
        whole = self._read_to + tail.rfind(b"\n") + 1
        if size > whole:
            os.ftruncate(file, whole)
            return whole
        return size

    def _write(self, file: int, data: bytes) -> None:
        """Write all of `data` at the end; what came of it is taken back when the disk is full."""
        try:
            done = 0
            while done < len(data):
                done += os.pwrite(file, data[done:], self._read_to + done)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._read_to)
            raise

    def _parse(self, data: bytes) -> list[Line]:
        found: list[Line] = []
        for raw in data.splitlines():
            try:
                line = json.loads(raw)
                if not isinstance(line, dict):
                    raise ValueError("it is no object")
            except ValueError as error:
                raise self.damaged(self.lines + len(found) + 1, str(error)) from None
            found.append(line)
        self._read_to += len(data)
        self.lines += len(found)
        return found

    def damaged(self, number: int, why: str) -> DataError:
        """Return the error for line `number` of the journal."""
        return DataError(
            f"{self.path}, line {number}, is damaged: {why}.",
            next_step="Mend that line from a copy, or delete it; the other labels stay.",
            path=str(self.path),
        )

    def _failed(self, what: str, error: OSError) -> DataError:
        return DataError(
            f"{self.path} cannot be {what}: {error.strerror or error}.",
            next_step="Nothing was kept of the last click. Make room on the disk, or see to the rights of the folder.",
            path=str(self.path),
        )


def _sync_folder(folder: Path) -> None:
    """Wait until the name of a new file in `folder` is on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

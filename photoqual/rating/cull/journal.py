"""The journal of moves, in the folder that photos are moved to: one JSON object a line, on disk before anything is moved.

Its first line names the folder that photos came from; each further one a file that is about to be moved (`move`) or
brought back (`back`), by its path under either folder. So what a killed process left can always be told.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from photoqual import files
from photoqual.errors import ConfigError, DataError

NAME = ".photoqual-cull.jsonl"
MOVE, BACK = "move", "back"


@dataclass(frozen=True)
class Entry:
    """A file `path` (under either folder, with forward slashes) of `size` bytes; `unit` numbers what moves together."""

    event: str
    path: str
    size: int
    unit: int


@dataclass
class Journal:
    """The journal in `folder`, of files that came from `top`; `entries` are those on disk. Use it within `held`."""

    folder: Path
    top: Path
    entries: list[Entry]

    def write(self, entries: Sequence[Entry]) -> None:
        """Put `entries` on disk."""
        lines = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        if not (self.folder / NAME).is_file():
            lines = json.dumps({"top": str(self.top)}) + "\n" + lines
        with (self.folder / NAME).open("ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self.folder)
        self.entries += entries

    def keep_only(self, entries: Sequence[Entry]) -> None:
        """Make `entries` all there is; without any there is no journal any more."""
        if not entries:
            (self.folder / NAME).unlink(missing_ok=True)
        else:
            lines = [json.dumps({"top": str(self.top)}), *(json.dumps(asdict(entry)) for entry in entries)]
            files.write_bytes(self.folder / NAME, ("\n".join(lines) + "\n").encode())
        self.entries = list(entries)

    def moves(self) -> list[Entry]:
        """Return the last entry about each file that moved."""
        return list({entry.path: entry for entry in self.entries if entry.event == MOVE}.values())


@contextmanager
def held(folder: Path, top: Path | None = None) -> Iterator[Journal]:
    """Yield the journal of `folder`, held against other processes; with `top` it is begun where there is none.

    Raise ConfigError where another process moves photos there, where there is no journal to read, and where it is of
    photos from another folder than `top`; DataError for one that is damaged.
    """
    if top is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{folder} cannot be made: {error.strerror or error}.", next_step="Name another folder with --move."
            ) from None
    elif not (folder / NAME).is_file():
        raise ConfigError(
            f"There is nothing to undo in {folder}: it has no {NAME}.",
            next_step="Name the folder that `photoqual cull --move` moved photos to.",
        )
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another process moves photos to or from {folder}.", next_step="Run this again when it is done."
            ) from None
        yield _read(folder, top)
    finally:
        os.close(handle)


def _read(folder: Path, top: Path | None) -> Journal:
    path = folder / NAME
    if not path.is_file():
        if top is None:
            raise ConfigError(f"There is nothing to undo in {folder}.", next_step="")
        return Journal(folder, top, [])
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:  # a line that a killed process did not finish; nothing was moved for it
        files.write_bytes(path, whole)
    try:
        lines = [json.loads(line) for line in whole.decode().splitlines()]
        came_from = Path(lines[0]["top"]) if lines else top
        entries = [_checked(Entry(**line)) for line in lines[1:]]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(
            f"{path} is damaged: {error}.", next_step="Move the photos back by hand; they lie under their old paths."
        ) from None
    if top is not None and not entries:
        path.unlink()
        return Journal(folder, top, [])
    if came_from is None or not came_from.is_absolute():
        raise DataError(f"{path} does not say where photos came from.", next_step="Move the photos back by hand.")
    if top is not None and came_from != top:
        raise ConfigError(
            f"{folder} holds photos from {came_from}, not from {top}.",
            next_step="Name another folder with --move, or bring them back first: `photoqual cull undo`.",
        )
    return Journal(folder, came_from, entries)


def _checked(entry: Entry) -> Entry:
    """Raise ValueError for an entry that is not ours, such as one that leads out of its folder."""
    parts = PurePosixPath(entry.path).parts
    sound = entry.event in (MOVE, BACK) and isinstance(entry.size, int) and isinstance(entry.unit, int)
    if not sound or not parts or ".." in parts or PurePosixPath(entry.path).is_absolute() or "\0" in entry.path:
        raise ValueError(f"{entry} is no move of a file")
    return entry


def sync_folder(folder: Path) -> None:
    """Put the names in `folder` on disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def units(entries: Iterable[Entry]) -> dict[int, list[Entry]]:
    """Return entries by the unit that they are of."""
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.unit, []).append(entry)
    return found

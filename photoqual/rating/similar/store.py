"""An index on disk: which photos it holds, as they were when it took them in, and where they lie in the model's space.

A folder holds `photos.sqlite`, the truth, and a graph, made of it. Each state of a photo has a key that is never
used again, so whatever instant a process was killed at, the graph is brought up to date by the keys that one of the two
lacks. Its file is named by the id of its database, so that it is never read with another one.
"""

import fcntl
import hashlib
import os
import sqlite3
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from photoqual import files
from photoqual.errors import DataError
from photoqual.rating.similar.index import Index

_DATABASE, _LOCK = "photos.sqlite", "lock"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS folders (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS photos (
    key INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, changed INTEGER NOT NULL,
    vector BLOB NOT NULL
);
"""
_MOST_REMOVED = 0.3
"""Part of a graph's photos that may be taken out of it before it is made anew: what is taken out stays as a detour."""
_AT_ONCE = 4096


@dataclass(frozen=True)
class State:
    """A photo as a file: its path, its size in bytes, and when it was last changed, in nanoseconds."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the state of a file. Raise OSError when there is none."""
        found = path.stat()
        return cls(str(path), found.st_size, found.st_mtime_ns)


class Store:
    """The photos of one index, in one folder. Use it within `opened`."""

    def __init__(self, folder: Path, database: sqlite3.Connection) -> None:
        self.folder = folder
        self._database = database

    def fact(self, name: str) -> str | None:
        """Return what `remember` wrote."""
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row and str(row[0])

    def remember(self, name: str, value: str) -> None:
        """Write a fact about the index."""
        with self._database:
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    @property
    def folders(self) -> list[str]:
        """The folders whose photos the index holds."""
        return [path for (path,) in self._database.execute("SELECT path FROM folders ORDER BY path")]

    def add_folders(self, folders: Iterable[str]) -> None:
        """Note that the index holds the photos of `folders` too."""
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO folders VALUES (?)", ((path,) for path in folders))

    def states(self) -> dict[str, State]:
        """Return by path the photos that the index holds."""
        rows = self._database.execute("SELECT path, size, changed FROM photos")
        return {path: State(path, size, changed) for path, size, changed in rows}

    def put(self, photos: Sequence[tuple[State, np.ndarray]]) -> None:
        """Take in photos with where they lie, (dims,), all or none; what was known of a path is replaced."""
        rows = [(one.path, one.size, one.changed, vector.astype("<f2").tobytes()) for one, vector in photos]
        with self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO photos (path, size, changed, vector) VALUES (?, ?, ?, ?)", rows
            )

    def forget(self, paths: Iterable[str]) -> None:
        """Leave out photos."""
        with self._database:
            self._database.executemany("DELETE FROM photos WHERE path = ?", ((path,) for path in paths))

    def vector(self, state: State) -> np.ndarray | None:
        """Return where the photo lies, (dims,), if the index holds it in this state."""
        row = self._database.execute(
            "SELECT vector FROM photos WHERE path = ? AND size = ? AND changed = ?",
            (state.path, state.size, state.changed),
        ).fetchone()
        return row and np.frombuffer(row[0], "<f2").astype(np.float32)

    def paths(self, keys: Iterable[int]) -> dict[int, str]:
        """Return the paths of the photos of `keys`."""
        rows = (self._database.execute("SELECT key, path FROM photos WHERE key = ?", (int(key),)) for key in keys)
        return dict(found for row in rows if (found := row.fetchone()))

    def index(self, dims: int) -> Index:
        """Return the graph over all photos, brought up to date and kept. A damaged one is made anew."""
        known = np.fromiter((key for (key,) in self._database.execute("SELECT key FROM photos")), np.uint64)
        place = self._graph_file()
        index = _loaded(place, dims)
        gone = np.setdiff1d(index.keys, known)
        if len(gone) > _MOST_REMOVED * max(len(index), 1):
            index, gone = Index(dims), gone[:0]
        new = np.setdiff1d(known, index.keys)
        index.remove(gone)
        for start in range(0, len(new), _AT_ONCE):
            keys = new[start : start + _AT_ONCE]
            index.add(keys, self._vectors(keys, dims))
        if len(gone) or len(new):
            with files.atomic(place) as temporary:
                index.save(temporary)
        return index

    def _graph_file(self) -> Path:
        identity = self.fact("id")
        if identity is None:
            identity = uuid.uuid4().hex
            self.remember("id", identity)
        for other in self.folder.glob("*.usearch*"):
            if not other.name.startswith(identity):
                other.unlink(missing_ok=True)
        for left in self.folder.glob(f".{identity}*.tmp"):
            left.unlink(missing_ok=True)
        return self.folder / f"{identity}.usearch"

    def _vectors(self, keys: np.ndarray, dims: int) -> np.ndarray:
        rows = (
            self._database.execute("SELECT vector FROM photos WHERE key = ?", (int(key),)).fetchone() for key in keys
        )
        found = np.frombuffer(b"".join(row[0] for row in rows), "<f2").astype(np.float32)
        return found.reshape(len(keys), dims)


def _loaded(place: Path, dims: int) -> Index:
    try:
        return Index.load(place, dims) if place.is_file() else Index(dims)
    except DataError:
        return Index(dims)


@contextmanager
def opened(folder: Path, *, meaning: str) -> Iterator[Store]:
    """Yield the index in `folder`, made if need be, held against other processes: they wait for their turn.

    `meaning` tells which model's space its photos lie in. Raise DataError for a folder that cannot be written, a database
    that is damaged, and an index of another space.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise DataError(
            f"The index cannot be kept in {folder}: {error.strerror or error}.",
            next_step="Name a folder that can be written with --index, or set XDG_CACHE_HOME.",
        ) from None
    with lock:
        _wait_for(lock.fileno(), folder)
        try:
            with closing(sqlite3.connect(folder / _DATABASE)) as database:
                database.execute("PRAGMA synchronous = FULL")
                database.executescript(_SCHEMA)
                store = Store(folder, database)
                _check_meaning(store, meaning)
                yield store
        except sqlite3.Error as error:
            raise DataError(
                f"The index in {folder} cannot be used: {error}.",
                next_step="See that the disk is not full; if it is not, delete the folder: the index is made again.",
            ) from error


def _check_meaning(store: Store, meaning: str) -> None:
    told = store.fact("space")
    if told is None:
        store.remember("space", meaning)
    elif told != meaning:
        raise DataError(
            f"The index in {store.folder} is of another model.", next_step="Name another folder with --index."
        )


def _wait_for(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"Waiting for another process that works with the index in {folder}.\n")
        fcntl.flock(lock, fcntl.LOCK_EX)


def default_folder(folders: Sequence[Path]) -> Path:
    """Return where the index of `folders` is kept unless told otherwise: in the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    named = "\0".join(sorted({str(folder.resolve()) for folder in folders}))
    return home / "photoqual/similar" / hashlib.sha256(os.fsencode(named)).hexdigest()[:16]

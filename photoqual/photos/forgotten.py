"""Photos that were forgotten: data/forgotten.jsonl, a line for each, kept by git so that every clone and task has it.

A line holds digests, when, who and why: the id of the photo (the SHA-256 of its bytes) and, for each place it was found
at, the SHA-256 of source and key. Whoever has the photo, or tries keys, can tell that it is listed, as a refresh must;
nothing in it leads to a photo that one does not have. Lines are only ever added: of two branches, keep both sides.
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from photoqual import files
from photoqual.errors import DataError

REASON = "forgotten"
"""Why a refresh passes over a photo that is listed."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One photo: its id (None where its bytes were never seen), the digests of its places, when, who and why."""

    photo: str | None
    keys: tuple[str, ...]
    at: str
    by: str
    reason: str


@dataclass(frozen=True)
class Forgotten:
    """All that is listed, for quick answers."""

    photos: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.photos or self.keys)

    def is_forgotten(self, source: str, source_key: str, photo_id: str | None = None) -> bool:
        """Tell whether a place is listed, or the photo that was found there."""
        return photo_id in self.photos or (bool(self.keys) and key_digest(source, source_key) in self.keys)


def key_digest(source: str, source_key: str) -> str:
    """Return what stands for a place in the list: the SHA-256 of source and key, in hex."""
    return hashlib.sha256(f"{source}\0{source_key}".encode("utf-8", "surrogatepass")).hexdigest()


def read_entries(path: Path) -> list[Entry]:
    """Return the list in `path`, oldest first; none where there is no file. Raise DataError when a line is damaged."""
    return files.read_json_lines(path, _entry, partial(_damaged, path))


def read_forgotten(path: Path) -> Forgotten:
    """Return what is listed in `path`. Raise DataError when it is damaged: what it no longer tells could come back."""
    entries = read_entries(path)
    return Forgotten(
        frozenset(entry.photo for entry in entries if entry.photo),
        frozenset(key for entry in entries for key in entry.keys),
    )


def add_entries(path: Path, entries: Iterable[Entry]) -> None:
    """Add `entries` to the list in `path`, which appears whole or stays as it was."""
    lines = [json.dumps(asdict(entry), ensure_ascii=False) for entry in (*read_entries(path), *entries)]
    files.write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def _entry(value: Any) -> Entry:
    photo, keys = value["photo"], value["keys"]
    digests = [*([] if photo is None else [photo]), *keys]
    if not isinstance(keys, list) or not digests or not all(_is_digest(digest) for digest in digests):
        raise ValueError("it does not name digests of 64 hex digits")
    return Entry(photo, tuple(keys), *(str(value[name]) for name in ("at", "by", "reason")))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _damaged(path: Path, line: int, why: str) -> DataError:
    where = f"Line {line} of {path}" if line else str(path)
    return DataError(
        f"{where} cannot be read ({why}), so nothing says any more which photo must not come back.",
        next_step="Mend it with git: lines are only ever added, so after a merge keep those of both sides.",
    )

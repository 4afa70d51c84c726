"""A compact index: from keys, as digests of 16 bytes, to numbers. 24 bytes an entry, where a dict takes 200."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

_DIGEST = 16
_PENDING = 4096
"""Entries that wait in a dict before they are sorted in: sorting is then paid once for many."""


def key_digest(source: str, source_key: str) -> bytes:
    """Return the digest of a photo's place."""
    return hashlib.blake2b(f"{source}\0{source_key}".encode("utf-8", "surrogatepass"), digest_size=_DIGEST).digest()


def key_digests(rows: pa.Table) -> Iterator[bytes]:
    """Yield the digest of the place of each of `rows` (columns source and source_key)."""
    for batch in rows.select(["source", "source_key"]).to_batches(max_chunksize=8192):
        for source, key in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield key_digest(source, key)


def id_digest(photo_id: str) -> bytes:
    """Return the digest of a photo id, which is one already."""
    return bytes.fromhex(photo_id)[:_DIGEST]


class Positions:
    """Numbers by digest; what is added last counts."""

    def __init__(self, digests: Iterable[bytes] = (), numbers: np.ndarray | None = None) -> None:
        """Start with a number for each of `digests`, by default 0, 1, 2 …"""
        found = np.fromiter(digests, dtype=f"S{_DIGEST}")
        self._digests, self._numbers = found[:0], np.empty(0, dtype=np.int64)
        self._pending: dict[bytes, int] = {}
        self._merge(found, np.arange(len(found)) if numbers is None else numbers)

    def __len__(self) -> int:
        return len(self._digests) + len(self._pending)

    def get(self, digest: bytes) -> int | None:
        """Return the number of `digest`, or None."""
        number = self._pending.get(digest)
        if number is not None or not len(self._digests):
            return number
        place = int(self._digests.searchsorted(np.bytes_(digest)))
        held = place < len(self._digests) and self._digests[place] == digest.rstrip(b"\0")
        return int(self._numbers[place]) if held else None

    def add(self, digest: bytes, number: int) -> None:
        """Give `digest` its number."""
        self._pending[digest] = number
        if len(self._pending) >= max(_PENDING, len(self._digests) // 8):
            self._merge(
                np.array(list(self._pending), dtype=f"S{_DIGEST}"),
                np.fromiter(self._pending.values(), dtype=np.int64, count=len(self._pending)),
            )
            self._pending.clear()

    def _merge(self, digests: np.ndarray, numbers: np.ndarray) -> None:
        """Sort new entries in; of equal digests the last stays."""
        digests = np.concatenate([self._digests, digests])
        numbers = np.concatenate([self._numbers, numbers])
        order = np.argsort(digests, kind="stable")
        digests, numbers = digests[order], numbers[order]
        last = np.concatenate([digests[1:] != digests[:-1], np.ones(min(1, len(digests)), dtype=bool)])
        self._digests, self._numbers = digests[last], numbers[last]

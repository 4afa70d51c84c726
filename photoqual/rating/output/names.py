"""Which photos have a rating already: eight bytes for each, however long its name."""

import hashlib
from array import array

import numpy as np


class Names:
    """Names in the order in which they came, as hashes of 64 bits: among a million, two are alike with a chance of one
    in forty million.
    """

    def __init__(self) -> None:
        self._hashes = array("Q")
        self._sorted = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, name: str) -> None:
        self._hashes.append(_hash(name))

    def __contains__(self, name: str) -> bool:
        if not self._hashes:
            return False
        if len(self._sorted) != len(self._hashes):
            self._sorted = np.sort(np.frombuffer(self._hashes, np.uint64))
        wanted = np.uint64(_hash(name))
        place = int(np.searchsorted(self._sorted, wanted))
        return place < len(self._sorted) and bool(self._sorted[place] == wanted)

    def last(self) -> np.ndarray:
        """Tell of each name whether it does not come again: (n,) bool."""
        kept = np.zeros(len(self), bool)
        if len(self):
            _, first_from_the_end = np.unique(np.frombuffer(self._hashes, np.uint64)[::-1], return_index=True)
            kept[len(self) - 1 - first_from_the_end] = True
        return kept


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())

"""An index over directions: the nearest of 100,000 in about a millisecond, by a navigable graph (USearch, extra `similar`).

The settings are those that benchmarks/similar_search.py found: see docs/how-to/similar.md. Source: Malkov and Yashunin
2018 (HNSW).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from photoqual.errors import DataError

CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 128, 128
DTYPE = "f16"
FEW = 2000
"""Up to so many vectors all are compared: it is as quick, and exact."""


class Index:
    """Vectors of `dims` dimensions by whole-number keys, compared by cosine."""

    def __init__(self, dims: int) -> None:
        import onnxruntime  # noqa: F401 - first: loaded after USearch it crashes (onnxruntime 1.32, usearch 2.26)
        from usearch.index import Index as Graph

        self.dims = dims
        self._graph: Any = Graph(
            ndim=dims,
            metric="cos",
            dtype=DTYPE,
            connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )

    def __len__(self) -> int:
        return len(self._graph)

    @property
    def keys(self) -> np.ndarray:
        """The keys, uint64 (n,), in no order."""
        return np.asarray(self._graph.keys, dtype=np.uint64)

    def add(self, keys: Sequence[int] | np.ndarray, vectors: np.ndarray) -> None:
        """Take in `vectors`, (n, dims), under `keys`, which are not in use yet."""
        if len(keys):
            self._graph.add(np.asarray(keys, dtype=np.uint64), np.ascontiguousarray(vectors, dtype=np.float32))

    def remove(self, keys: Sequence[int] | np.ndarray) -> None:
        """Leave out the vectors of `keys`."""
        if len(keys):
            self._graph.remove(np.asarray(keys, dtype=np.uint64))

    def search(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys of the `k` nearest to each of `vectors`, (n, k), nearest first, and their cosine distances, 0
        (the same direction) to 2. With fewer vectors k is cut down to their number.
        """
        k = min(k, len(self))
        if not k or not len(vectors):
            return np.empty((len(vectors), k), np.uint64), np.empty((len(vectors), k), np.float32)
        queries = np.ascontiguousarray(np.atleast_2d(vectors), dtype=np.float32)
        exact = len(self) <= FEW
        found = self._graph.search(queries, k, exact=exact)
        if not exact and len(queries) > 1 and (found.counts < k).any():
            found = self._graph.search(queries, k, exact=True)
        keys, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
        return keys.astype(np.uint64), np.clip(distances, 0.0, 2.0)

    @property
    def megabytes(self) -> float:
        """How much memory the index takes."""
        return float(self._graph.memory_usage) / 1e6

    def save(self, path: Path) -> None:
        """Write the index to `path`; the caller sees to it that it appears whole."""
        self._graph.save(str(path))

    @classmethod
    def load(cls, path: Path, dims: int) -> Self:
        """Read what `save` wrote. Raise DataError for a file that is not an index of `dims` dimensions."""
        index = cls(dims)
        try:
            index._graph.load(str(path))
        except Exception as error:  # usearch raises RuntimeError, ValueError, MemoryError, …
            raise DataError(f"{path} is no index: {error}.", next_step="Delete it; it is made again.") from None
        if index._graph.ndim != dims:
            raise DataError(f"{path} has {index._graph.ndim} dimensions, not {dims}.", next_step="Delete it.")
        index._graph.expansion_search = EXPANSION_SEARCH
        return index

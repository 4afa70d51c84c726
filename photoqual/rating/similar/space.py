"""The space in which photos are compared: a model's features made into directions, whose cosine tells how alike two are.

Features are standardised by the photos that the model was trained on, where it says what is usual for them (its gate, or
the starter's head): without that, what all photos share outweighs what tells them apart. More than 1,536 of them are
projected to 1,024 random directions, which keeps cosines to about 1/√1024. Source: Johnson and Lindenstrauss 1984.
"""

import hashlib
import threading
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np

from photoqual.errors import ConfigError
from photoqual.models.heads import FEATURES
from photoqual.models.info import read_info
from photoqual.models.scorer import Scorer
from photoqual.starter.head import FILE, Head

MOST_DIMS = 1536
"""Features up to this many are compared as they are."""
PROJECTED = 1024
_REACH = 6.0
"""Deviations at which a standardised feature is cut off."""
_SEED = 1984
_CHUNK = 1024
_TINY = 1e-12
_DRAWING = threading.Lock()
"""Threads wait for one of them to draw the directions."""


@dataclass(frozen=True, eq=False)
class Space:
    """Of features, (n, d): `mean` and `scale`, (d,), standardise them; None where the model does not say how."""

    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @classmethod
    def of(cls, scorer: Scorer) -> Self:
        """Return the space of a model. Raise ConfigError when it gives no features."""
        if FEATURES not in scorer.info.outputs:
            raise ConfigError(
                "This model gives no features, which photos are compared by.",
                next_step="Name another with --model, such as `starter`; models that `photoqual train` makes now have them.",
            )
        if scorer.gate is not None:
            return cls(scorer.gate.mean, scorer.gate.scale)
        if scorer.info.backbone == read_info(FILE.parent).backbone:
            head = Head.load()
            return cls(head.mean, head.scale)
        return cls()

    @property
    def centred(self) -> bool:
        """Whether photos that have nothing in common have a cosine of about 0 here."""
        return self.mean is not None

    def place(self, features: np.ndarray) -> np.ndarray:
        """Return where photos lie: unit vectors, float32 (n, dims), of `features` (n, d). What is no number counts as 0."""
        found = [self._place(features[start : start + _CHUNK]) for start in range(0, len(features), _CHUNK)]
        return np.concatenate(found) if found else np.empty((0, self.dims(features.shape[1])), np.float32)

    def dims(self, units: int) -> int:
        """Return how many dimensions `units` features have here."""
        return units if units <= MOST_DIMS else PROJECTED

    @property
    def digest(self) -> str:
        """What tells this space from any other of the same model, in hex."""
        hashed = hashlib.sha256(f"{MOST_DIMS} {PROJECTED}".encode())
        for part in (self.mean, self.scale, _draw(8)):
            hashed.update(b"-" if part is None else np.ascontiguousarray(part).tobytes())
        return hashed.hexdigest()[:16]

    def _place(self, features: np.ndarray) -> np.ndarray:
        placed = np.nan_to_num(features.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        if self.mean is not None and self.scale is not None:
            placed = np.clip((placed - self.mean) * self.scale, -_REACH, _REACH)
        if placed.shape[1] > MOST_DIMS:
            placed = placed @ _directions(placed.shape[1])
        return placed / np.maximum(np.linalg.norm(placed, axis=1, keepdims=True), _TINY)


def _directions(units: int) -> np.ndarray:
    """Return `PROJECTED` random directions, float32 (units, PROJECTED); always the same."""
    with _DRAWING:
        return _drawn(units)


@cache
def _drawn(units: int) -> np.ndarray:
    return _draw(units * PROJECTED).reshape(units, PROJECTED)


def _draw(count: int) -> np.ndarray:
    return np.random.default_rng(_SEED).standard_normal(count, np.float32)


def nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of `vectors` nearest to each of `queries`, (n, k), and their cosine distances, by comparing all: what an
    index is judged by, and enough for a few thousand. All are unit vectors; k is cut down to their number.
    """
    k = min(k, len(vectors))
    apart = 1 - queries @ vectors.T
    rows = np.argpartition(apart, k - 1, axis=1)[:, :k] if k else np.empty((len(queries), 0), int)
    distances = np.take_along_axis(apart, rows, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)

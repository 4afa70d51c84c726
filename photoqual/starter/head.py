"""The head that is shipped: one linear layer on standardised features, in a file of half-precision numbers."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from photoqual import files
from photoqual.errors import ModelError

FILE = Path(__file__).with_name("head.npz")
REACH = 6.0
"""Standardised features are clipped to this many deviations, in training and in rating."""


@dataclass(frozen=True)
class Head:
    """`mean`, `scale`: (d,), what standardises features. `weights` (d, kinds) and `bias` (kinds,) give the calibrated
    log odds of each kind of damage. `slope` and `shift` turn evidence into the log odds that a photo is good.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    bias: np.ndarray
    slope: float
    shift: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the log odds of each kind of damage, (n, kinds), for `features` (n, d)."""
        standard = np.clip((features - self.mean) * self.scale, -REACH, REACH)
        return standard @ self.weights + self.bias

    def save(self, path: Path = FILE) -> None:
        """Write the head to `path`, whole or not at all."""
        arrays = {name: getattr(self, name).astype(np.float16) for name in ("mean", "scale", "weights")}
        written = io.BytesIO()
        line = np.array([self.slope, self.shift], np.float32)
        np.savez_compressed(written, **arrays, bias=self.bias.astype(np.float32), line=line)
        files.write_bytes(path, written.getvalue())

    @classmethod
    def load(cls, path: Path = FILE) -> Self:
        """Read a head, as float32. Raise ModelError when the file is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name].astype(np.float32) for name in ("mean", "scale", "weights", "bias")}
                slope, shift = stored["line"].tolist()
                head = cls(**arrays, slope=slope, shift=shift)
        except Exception as error:  # a damaged archive raises zipfile errors, KeyError, ValueError, …
            raise ModelError(
                f"The starter's head {path} cannot be read: {error}.", next_step="Install photoqual again."
            ) from None
        if head.weights.shape != (len(head.mean), len(head.bias)) or head.scale.shape != head.mean.shape:
            raise ModelError(f"The parts of {path} do not fit together.", next_step="Install photoqual again.")
        return head


def evidence(logits: np.ndarray) -> np.ndarray:
    """Return the log odds of no damage, (n,), were the kinds to exclude one another (models/heads.py: defects)."""
    return -np.logaddexp.reduce(logits, axis=1)


def digest(*contents: bytes) -> str:
    """Return the hash of `contents` by which a cached model is known."""
    hashed = hashlib.sha256()
    for content in contents:
        hashed.update(hashlib.sha256(content).digest())
    return hashed.hexdigest()[:16]

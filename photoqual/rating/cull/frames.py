"""A photo as culling sees it: what its model, its picture and its EXIF tell, and whether two of them are alike."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from photoqual.photos.exposure import Exposure

BURST_DISTANCE, BURST_BITS = 0.30, 10
"""Photos of one burst show the same when their features, or their hashes, are at most this far apart."""
COPY_DISTANCE, COPY_BITS = 0.60, 8
"""Photos that are linked by near hashes are copies unless their features, or their own hashes, are further apart."""
RETAKE_DISTANCE, RETAKE_BITS = 0.12, 12
"""Photos of one minute are of the same motif when both are at most this far apart."""
TOLD_APART = 128
"""Dimensions under which features do not tell photos apart well enough."""


@dataclass(frozen=True, eq=False)
class Frame:
    """`score` 0 to 1, `sharpness` as in photos/look.py, `size` in pixels as decoded, `pixels` of the original, 0 where
    that is not known, hash as 16 hex
    digits or "", the features' direction, (dims,), None where they are not to be relied on; `taken` is what the camera's
    clock showed, without a zone; `small` is luma, uint8, long side 64.
    """

    photo: str
    score: float = 0.5
    familiar: bool | None = None
    sharpness: float = 0.0
    size: tuple[int, int] = (0, 0)
    pixels: int = 0
    phash: str = ""
    vector: np.ndarray | None = None
    taken: datetime | None = None
    camera: str | None = None
    exposure: Exposure = field(default_factory=Exposure)
    small: np.ndarray | None = None


def distance(one: Frame, other: Frame) -> float | None:
    """Return the cosine distance of the features of two photos, None where they are not to be relied on."""
    if one.vector is None or other.vector is None:
        return None
    return float(1 - one.vector.astype(np.float32) @ other.vector.astype(np.float32))


def bits_apart(one: Frame, other: Frame) -> int | None:
    """Return in how many of 64 bits the hashes of two photos differ, None where one has no structure to hash."""
    if not one.phash or not other.phash:
        return None
    return (int(one.phash, 16) ^ int(other.phash, 16)).bit_count()


def same_burst(one: Frame, other: Frame) -> bool:
    """Tell whether two photos of one burst show the same: by their features or by their hashes."""
    apart, bits = distance(one, other), bits_apart(one, other)
    return (apart is not None and apart <= BURST_DISTANCE) or (bits is not None and bits <= BURST_BITS)


def copies(one: Frame, other: Frame) -> bool:
    """Tell whether two photos that near hashes link, maybe those of others between them, are of one picture."""
    apart, bits = distance(one, other), bits_apart(one, other)
    return (apart is None or apart <= COPY_DISTANCE) and bits is not None and bits <= COPY_BITS


def retaken(one: Frame, other: Frame) -> bool:
    """Tell whether two photos of one minute are of one motif from one place: by both features and hashes."""
    apart, bits = distance(one, other), bits_apart(one, other)
    return apart is not None and bits is not None and apart <= RETAKE_DISTANCE and bits <= RETAKE_BITS

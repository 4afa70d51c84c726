"""Panoramas: frames swept over a scene, each overlapping the next in part. To be stitched later, so kept or dropped whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.fft import irfft2, next_fast_len, rfft2

from photoqual.rating.cull.frames import Frame

SECONDS = 8.0
"""Longest pause between two frames of a panorama."""
LEAST = 3
"""Frames of a panorama."""
LEAST_OVERLAP, MOST_OVERLAP = 0.15, 0.8
"""What part of a frame the next one shows again; more of it is the same view, less cannot be stitched."""
LEAST_CORRELATION = 0.6
"""How well the parts that overlap have to agree."""
_SMOOTH = 4.0
"""Luma is taken against its surroundings of this many pixels: skies and gradients agree anywhere."""
_TINY = 1e-6


@dataclass(frozen=True)
class Overlap:
    """Where the second frame lies beside the first, in pixels of their small luma, what part of a frame both show, and
    how well they agree there, −1 to 1.
    """

    right: int
    down: int
    share: float
    correlation: float


def panoramas(frames: Sequence[Frame]) -> list[list[int]]:
    """Return the panoramas among `frames`, which one camera took one after the other, as lists of their places.

    A panorama is 3 or more frames in a row of the same size, exposure time, f-number, ISO and focal length, of which each
    overlaps the next by 15 to 80 %, all in about the same direction. What cannot be told from it is a burst in
    which the camera follows something that moves: such a burst stays whole, too.
    """
    found: list[list[int]] = []
    chain: list[int] = []
    last: Overlap | None = None
    for at in range(1, len(frames)):
        overlap = _next_to(frames[at - 1], frames[at])
        if overlap is not None and last is not None and _same_way(last, overlap):
            chain.append(at)
        else:
            found.append(chain)
            chain = [] if overlap is None else [at - 1, at]
        last = overlap
    found.append(chain)
    return [chain for chain in found if len(chain) >= LEAST]


def _next_to(before: Frame, after: Frame) -> Overlap | None:
    """Return how two frames of one panorama overlap, None where they cannot be of one."""
    alike = before.size == after.size and before.exposure.setting == after.exposure.setting
    if not alike or before.exposure.seconds is None or before.small is None or after.small is None:
        return None
    found = overlap_of(before.small, after.small)
    return found if LEAST_OVERLAP <= found.share <= MOST_OVERLAP and found.correlation >= LEAST_CORRELATION else None


def _same_way(one: Overlap, other: Overlap) -> bool:
    """Tell whether two steps of the camera go the same way, give or take 45°."""
    along = one.right * other.right + one.down * other.down
    lengths = np.hypot(one.right, one.down) * np.hypot(other.right, other.down)
    return bool(along >= np.cos(np.pi / 4) * lengths)


def overlap_of(one: np.ndarray, other: np.ndarray) -> Overlap:
    """Return how the frame `other` overlaps `one`, both luma (height, width) of one size: at the shift where the parts
    that both show correlate best, among shifts that leave at least 15 % of a frame in common.

    Source: Padfield 2012, masked normalised cross-correlation by Fourier transforms.
    """
    height, width = one.shape
    shape = (next_fast_len(2 * height - 1, real=True), next_fast_len(2 * width - 1, real=True))
    a, b = _detail(one), _detail(other)
    ones = np.ones_like(a)

    def products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Return the sums over the common part of left × right for every shift of `right`."""
        return irfft2(rfft2(left, shape) * np.conj(rfft2(right, shape)), shape)

    count = np.maximum(np.rint(products(ones, ones)), 1)
    sum_a, sum_b = products(a, ones), products(ones, b)
    spread_a = products(a * a, ones) - sum_a**2 / count
    spread_b = products(ones, b * b) - sum_b**2 / count
    spread = np.sqrt(np.maximum(spread_a, 0) * np.maximum(spread_b, 0))
    correlation = (products(a, b) - sum_a * sum_b / count) / np.maximum(spread, _TINY)
    usable = (count >= LEAST_OVERLAP * height * width) & (spread > _TINY * height * width)
    correlation = np.where(usable, correlation, -1.0)
    down, right = np.unravel_index(int(correlation.argmax()), correlation.shape)
    share = float(count[down, right]) / (height * width)
    best = float(correlation[down, right])
    return Overlap(_signed(int(right), shape[1], width), _signed(int(down), shape[0], height), share, best)


def _detail(luma: np.ndarray) -> np.ndarray:
    values = luma.astype(np.float64)
    return values - ndimage.gaussian_filter(values, _SMOOTH)


def _signed(place: int, period: int, side: int) -> int:
    return place if place < side else place - period

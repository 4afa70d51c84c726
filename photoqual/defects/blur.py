"""Blurs of photos: uint8 RGB arrays (height, width, 3) in, new ones of the same shape out. Edges are continued."""

import numpy as np
from PIL import Image, ImageFilter
from scipy import fft, ndimage

from photoqual.defects.filters import GAMMA, to_pixels

_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
_FINE = 1 << 14
_LEVEL = np.rint((np.arange(_FINE + 1) / _FINE) ** (1 / GAMMA) * 255).astype(np.uint8)
_PARTS = 5
"""A pixel of the disc's edge is weighted by how many of 5 × 5 points in it lie on the disc."""


def gaussian(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Blur with a Gaussian whose standard deviation is `radius` px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def disc(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Put out of focus as a lens does: each point of light becomes a disc of `radius` px, added in linear light."""
    reach = int(np.ceil(radius))
    height, width = pixels.shape[:2]
    size = [fft.next_fast_len(side + 2 * reach, real=True) for side in (height, width)]
    light = np.pad(_LINEAR[np.moveaxis(pixels, 2, 0)], ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    spectrum = fft.rfft2(light, size) * fft.rfft2(_disc_kernel(radius, reach), size)
    blurred = fft.irfft2(spectrum, size)[:, 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]
    return np.moveaxis(_LEVEL[(np.clip(blurred, 0, 1) * _FINE + 0.5).astype(np.uint16)], 0, 2)


def smear(pixels: np.ndarray, length: int, angle: float) -> np.ndarray:
    """Blur along a line of `length` px at `angle` (radians from the rows), as the camera or the subject moves.

    An even length also shifts the photo by half a pixel.
    """
    steps = np.linspace(-length / 2, length / 2, 4 * length)
    kernel = np.zeros((length + 2, length + 2), dtype=np.float32)
    middle = (length + 1) / 2
    rows, columns = (np.rint(middle + steps * along).astype(int) for along in (np.sin(angle), np.cos(angle)))
    np.add.at(kernel, (rows, columns), 1)
    kernel /= kernel.sum()
    values = pixels.astype(np.float32)
    blurred = [ndimage.convolve(values[..., channel], kernel, mode="nearest") for channel in range(3)]
    return to_pixels(np.stack(blurred, axis=2))


def where(mask: np.ndarray, blurred: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return `blurred` where `mask` (height, width) is 1 and `pixels` where it is 0, mixed in between."""
    weights = Image.fromarray(to_pixels(mask * 255))
    return np.asarray(Image.composite(Image.fromarray(blurred), Image.fromarray(pixels), weights))


def _disc_kernel(radius: float, reach: int) -> np.ndarray:
    """Return the disc as weights that add up to 1: float32 (2 reach + 1, 2 reach + 1)."""
    side = 2 * reach + 1
    points = (np.arange(side * _PARTS) + 0.5) / _PARTS - side / 2
    inside = points[:, None] ** 2 + points[None, :] ** 2 <= max(radius, 0.5) ** 2
    kernel = inside.reshape(side, _PARTS, side, _PARTS).mean(axis=(1, 3), dtype=np.float32)
    return kernel / kernel.sum()

"""Measurable properties of a photo: what reasons and slices are made of. Pure functions on uint8 RGB arrays."""

import math

import numpy as np

WATCHED = ("brightness", "contrast", "sharpness", "saturation", "clipped_dark", "clipped_bright")
"""What the watch on the champion compares (evaluation/drift.py); its limits were measured with these."""
NAMES = (*WATCHED, "noise")
"""brightness, contrast: mean and standard deviation of luma, 0 to 255. sharpness: natural logarithm of one plus the
variance of the Laplacian of luma. saturation: mean of max − min over the channels, 0 to 255. clipped_*: share of
pixels with luma under 8 or over 247. noise: standard deviation of noise in luma, 0 to 255, see `noise`. A model.json
from before there was noise has no range of it."""
_BLOCK = 16
_DARK, _BRIGHT = 8, 247


def measure(pixels: np.ndarray) -> dict[str, float]:
    """Return the measures of `pixels`, a uint8 array (height, width, 3), by name (see NAMES)."""
    red, green, blue = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    luma = red * np.float32(0.299) + green * np.float32(0.587) + blue * np.float32(0.114)
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": float(np.log1p(_laplacian(luma).var())),
        "saturation": float(spread.mean()),
        "clipped_dark": float((luma < _DARK).mean()),
        "clipped_bright": float((luma > _BRIGHT).mean()),
        "noise": noise(luma),
    }


def noise(luma: np.ndarray) -> float:
    """Return the standard deviation of the noise in `luma`, float (height, width), 0 to 255.

    Immerkær's estimate (Computer Vision and Image Understanding 64, 1996), whose mask is blind to slopes and straight
    edges, taken in blocks of 16 px: the lower quartile of the blocks counts, for they have the least texture. Blocks
    that are mostly clipped have lost their noise and do not count. 0 for what is smaller than 3 px or clipped all over.
    """
    if min(luma.shape) < 3:
        return 0.0
    response = np.abs(np.diff(np.diff(luma, 2, axis=0), 2, axis=1))
    inside = luma[1:-1, 1:-1]
    kept = ((inside >= _DARK) & (inside <= _BRIGHT)).astype(np.float32)
    deviations, shares = _block_means(response), _block_means(kept)
    open_to_noise = deviations[shares > 0.5]
    return float(math.sqrt(math.pi / 2) / 6 * np.quantile(open_to_noise, 0.25)) if open_to_noise.size else 0.0


def _laplacian(luma: np.ndarray) -> np.ndarray:
    """Return the Laplacian of `luma`, whose border pixels are repeated outwards: that of SciPy, many times faster."""
    wide = np.pad(luma, 1, mode="edge")
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    return around - 4 * luma


def _block_means(values: np.ndarray) -> np.ndarray:
    """Return the means of the blocks of `values`, flat; what is left at the right and below does not count."""
    height, width = (min(_BLOCK, side) for side in values.shape)
    rows, columns = values.shape[0] // height, values.shape[1] // width
    blocks = values[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return blocks.mean(axis=(1, 3)).ravel()

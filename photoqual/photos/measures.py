"""Measurable properties of a photo: what reasons and slices are made of. Pure functions on uint8 RGB arrays."""

import numpy as np
from scipy import ndimage

NAMES = ("brightness", "contrast", "sharpness", "saturation", "clipped_dark", "clipped_bright")
"""brightness, contrast: mean and standard deviation of luma, 0 to 255. sharpness: natural logarithm of one plus the
variance of the Laplacian of luma. saturation: mean of max − min over the channels, 0 to 255. clipped_*: share of
pixels with luma under 8 or over 247."""


def measure(pixels: np.ndarray) -> dict[str, float]:
    """Return the measures of `pixels`, a uint8 array (height, width, 3), by name (see NAMES)."""
    values = pixels.astype(np.float32)
    luma = values @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": float(np.log1p(ndimage.laplace(luma).var())),
        "saturation": float((values.max(axis=2) - values.min(axis=2)).mean()),
        "clipped_dark": float((luma < 8).mean()),
        "clipped_bright": float((luma > 247).mean()),
    }

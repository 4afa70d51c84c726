"""Filters on photos: uint8 RGB arrays (height, width, 3) in, new ones of the same shape out. What is random is drawn
from the generator given.
"""

import io

import numpy as np
from PIL import Image, ImageFilter

GAMMA = 2.2


def expose(pixels: np.ndarray, stops: float) -> np.ndarray:
    """Change the exposure by `stops` in linear light (gamma 2.2); what gets too bright is clipped."""
    linear = (np.arange(256) / 255.0) ** GAMMA * 2.0**stops
    table = np.clip(linear, 0, 1) ** (1 / GAMMA) * 255
    return np.rint(table).astype(np.uint8)[pixels]


def defocus(pixels: np.ndarray, radius: float) -> np.ndarray:
    """Blur with a Gaussian whose standard deviation is `radius` px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def add_noise(pixels: np.ndarray, levels: float, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of standard deviation `levels` (of 255) to each channel of each pixel on its own."""
    values = pixels.astype(np.float32)
    return to_pixels(values + random.normal(0, levels, values.shape).astype(np.float32))


def recompress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Save as a JPEG of `quality` (1 to 95) and load it again."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as image:
        return np.asarray(image.convert("RGB"))


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Round floats to uint8; what lies outside 0 to 255 is clipped."""
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)

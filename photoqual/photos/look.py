"""How a photo looks, in five numbers that the catalog keeps: cheap enough to be taken whenever a photo is decoded."""

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Look:
    """`brightness`: mean luma, 0 to 255. `sharpness`: natural logarithm of one plus the variance of the Laplacian of
    luma, as in measures.py, but of luma in whole numbers: what is quite smooth has about 1. `red`, `green`, `blue`:
    means, 0 to 255. Rounded, so that the catalog packs them well.
    """

    brightness: float
    sharpness: float
    red: int
    green: int
    blue: int


def look(image: Image.Image) -> Look:
    """Return how the RGB `image` looks: 0.1 ms for a thumbnail, 1 ms at 640 × 480."""
    luma = np.asarray(image.convert("L"), dtype=np.int16)
    edged = np.pad(luma, 1, mode="edge")
    around = edged[:-2, 1:-1] + edged[2:, 1:-1] + edged[1:-1, :-2] + edged[1:-1, 2:]
    bends = (around - 4 * luma).ravel().astype(np.float32)
    mean = float(bends.mean(dtype=np.float64))
    variance = max(0.0, float(np.dot(bends, bends)) / bends.size - mean * mean)
    red, green, blue = np.reshape(image.histogram(), (3, 256)) @ np.arange(256) / luma.size
    return Look(
        brightness=round(float(luma.mean(dtype=np.float64)), 1),
        sharpness=round(float(np.log1p(variance)), 2),
        red=round(float(red)),
        green=round(float(green)),
        blue=round(float(blue)),
    )

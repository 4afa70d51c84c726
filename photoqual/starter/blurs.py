"""Blurs of many faces for training: straight and shaken motion, discs and soft spots, from hardly seen to strong."""

import numpy as np
from scipy import ndimage, signal

from photoqual.defects import blur
from photoqual.defects.filters import GAMMA, to_pixels
from photoqual.defects.kinds import KINDS, REFERENCE

BLURS = ("motion_blur", "defocus")
_LEAST = {"motion_blur": 4.0, "defocus": 1.5}
"""Extent, in px of the photo, from which a blur can be seen."""
_STEPS = 256


def blurred(pixels: np.ndarray, kind: str, random: np.random.Generator) -> np.ndarray:
    """Return `pixels`, uint8 (height, width, 3), blurred by an extent between the least that is seen and that of
    strength 3; weak ones are drawn more often.
    """
    most = KINDS[kind].amounts[-1] * max(pixels.shape) / REFERENCE
    extent = float(np.exp(random.uniform(np.log(_LEAST[kind]), np.log(max(_LEAST[kind], most)))))
    if random.random() < 0.5:
        return shaken(pixels, extent, random) if kind == "motion_blur" else blur.gaussian(pixels, extent / 2)
    if kind == "motion_blur":
        return blur.smear(pixels, round(extent), random.uniform(0, np.pi))
    return blur.disc(pixels, extent)


def shaken(pixels: np.ndarray, extent: float, random: np.random.Generator) -> np.ndarray:
    """Blur along the curved path of a hand that shakes, about `extent` px from end to end, in linear light."""
    kernel = _path(extent, random)
    reach = len(kernel) // 2
    light = np.pad((pixels / np.float32(255)) ** GAMMA, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    moved = signal.fftconvolve(light, kernel[..., None].astype(np.float32), mode="valid", axes=(0, 1))
    return to_pixels(np.clip(moved, 0, 1) ** (1 / GAMMA) * 255)


def _path(extent: float, random: np.random.Generator) -> np.ndarray:
    """Return where the light of a point falls while the hand moves: an odd square of weights that add up to 1.

    The direction turns as a smooth random walk and the speed changes along it.
    """
    turn = ndimage.gaussian_filter1d(random.normal(0, 1, _STEPS), _STEPS / 8, mode="nearest")
    angle = random.uniform(0, 2 * np.pi) + random.uniform(0, 2.5) * turn / (turn.std() + 1e-9)
    speed = np.exp(ndimage.gaussian_filter1d(random.normal(0, 6, _STEPS), _STEPS / 10, mode="nearest"))
    places = np.cumsum(np.stack([np.sin(angle), np.cos(angle)]) * speed, axis=1)
    spread = places.max(axis=1) - places.min(axis=1)
    places = (places - places.mean(axis=1, keepdims=True)) * extent / max(float(np.hypot(*spread)), 1e-9)
    reach = int(np.ceil(np.abs(places).max())) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    rows, columns = np.floor(places).astype(int) + reach
    down, right = places - np.floor(places)
    for row, column, weight in (
        (0, 0, (1 - down) * (1 - right)),
        (1, 0, down * (1 - right)),
        (0, 1, (1 - down) * right),
        (1, 1, down * right),
    ):
        np.add.at(kernel, (rows + row, columns + column), weight)
    return kernel / kernel.sum()

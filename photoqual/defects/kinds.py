"""The kinds of damage and how much of each a strength is. Photos are uint8 RGB arrays (height, width, 3).

Sizes are given in px of a photo whose long side is 640 px and scale with the photo, so that a strength looks alike at
any size. Not covered: damage that depends on what the photo shows (closed eyes, a finger before the lens).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from photoqual.defects import blur, filters
from photoqual.defects.flare import flare

REFERENCE = 640
"""Long side in px for which sizes are given."""
_MOST_ENLARGED = 3.0
"""How much a small photo is enlarged to be compressed at the size of reference."""

Damage = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""Takes a photo, an amount in the unit of its kind, and a generator; gives the damaged photo."""


@dataclass(frozen=True)
class Kind:
    """One kind of damage: how it is done, its amounts at strengths 1, 2 and 3, their unit, and what else is drawn."""

    apply: Damage
    amounts: tuple[float, float, float]
    unit: str
    drawn: str


def _scale(pixels: np.ndarray) -> float:
    """Return how large a px of reference is in this photo, in px."""
    return max(pixels.shape[:2]) / REFERENCE


def _too_dark(pixels: np.ndarray, stops: float, random: np.random.Generator) -> np.ndarray:
    return filters.expose(pixels, -stops) if random.random() < 0.5 else filters.bend(pixels, -stops)


def _too_bright(pixels: np.ndarray, stops: float, random: np.random.Generator) -> np.ndarray:
    return filters.expose(pixels, stops) if random.random() < 0.5 else filters.bend(pixels, stops)


def _motion_blur(pixels: np.ndarray, length: float, random: np.random.Generator) -> np.ndarray:
    odd = 2 * max(0, round((length * _scale(pixels) - 1) / 2)) + 1
    return blur.smear(pixels, odd, random.uniform(0, np.pi))


def _defocus(pixels: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    return blur.disc(pixels, radius * _scale(pixels))


def _noise(pixels: np.ndarray, levels: float, random: np.random.Generator) -> np.ndarray:
    return filters.sensor_noise(pixels, levels, _scale(pixels), random)


def _jpeg_loss(pixels: np.ndarray, quality: float, random: np.random.Generator) -> np.ndarray:
    height, width = pixels.shape[:2]
    enlarged = min(1 / _scale(pixels), _MOST_ENLARGED)
    seen = filters.resized(pixels, max(1, round(width * enlarged)), max(1, round(height * enlarged)))
    return filters.resized(filters.recompress(seen, round(quality)), width, height)


def _regional_blur(pixels: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    return blur.where(
        _region(pixels.shape[0], pixels.shape[1], random), blur.disc(pixels, radius * _scale(pixels)), pixels
    )


def _region(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Return a region with a soft edge, 0 to 1: an ellipse or a half of the photo, or all but it; (height, width)."""
    down = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height - random.uniform(0.3, 0.7)
    right = (np.arange(width, dtype=np.float32)[None, :] + 0.5) / width - random.uniform(0.3, 0.7)
    if random.random() < 0.67:
        tall, wide = random.uniform(0.25, 0.4), random.uniform(0.25, 0.4)
        inside = 1 - np.sqrt((down / tall) ** 2 + (right / wide) ** 2)
    else:
        angle = random.uniform(0, 2 * np.pi)
        inside = 4 * (down * np.sin(angle) + right * np.cos(angle))
    region = np.clip(4 * inside + 0.5, 0, 1)
    return region if random.random() < 0.5 else 1 - region


def _colour_cast(pixels: np.ndarray, stops: float, random: np.random.Generator) -> np.ndarray:
    return filters.cast(pixels, stops, random.uniform(0, 2 * np.pi))


def _tilt(pixels: np.ndarray, degrees: float, random: np.random.Generator) -> np.ndarray:
    return filters.tilt(pixels, degrees if random.random() < 0.5 else -degrees)


def _low_contrast(pixels: np.ndarray, percent: float, random: np.random.Generator) -> np.ndarray:
    level = None if random.random() < 0.5 else int(random.integers(80, 200))
    return filters.fade(pixels, percent / 100, 0.5 + percent / 200, level)


KINDS: dict[str, Kind] = {
    "too_dark": Kind(_too_dark, (1.4, 2.3, 3.3), "stops under", "exposure lowered, or shadows deepened by the curve"),
    "too_bright": Kind(_too_bright, (1.0, 1.7, 2.5), "stops over", "highlights clipped, or washed out by the curve"),
    "lens_flare": Kind(flare, (0.45, 0.75, 1.1), "of a strong light", "its place and tint, streaks, rays, ghosts"),
    "motion_blur": Kind(_motion_blur, (10, 20, 36), "px long", "direction"),
    "defocus": Kind(_defocus, (3, 5.5, 9), "px radius of the disc", "nothing"),
    "noise": Kind(_noise, (15, 28, 50), "levels of 255 (deviation)", "the noise"),
    "jpeg_loss": Kind(_jpeg_loss, (12, 7, 3), "JPEG quality", "nothing"),
    "regional_blur": Kind(_regional_blur, (5, 9, 14), "px radius of the disc", "the region; blurred inside or outside"),
    "colour_cast": Kind(_colour_cast, (0.45, 0.8, 1.3), "stops towards a hue", "the hue"),
    "tilt": Kind(_tilt, (3, 6, 11), "degrees", "left or right"),
    "low_contrast": Kind(_low_contrast, (55, 38, 22), "% of the contrast kept", "the grey that it fades to"),
}

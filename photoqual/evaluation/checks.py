"""Metamorphic checks: changes of a photo whose effect on its score is known without a label. Pure functions, seeded.

A damage makes any photo clearly worse to a person, so the score must not rise; a harmless change leaves it as good as it
was, so the score must hardly move. They are made on the working copy, before it is scaled to the model's width.
"""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
from PIL import Image

from photoqual.defects import blur, filters

SEEN_AT = 640
"""Long side in px at which noise and compression are made on larger copies: what a person sees on a screen."""
STOPS = -3.0
"""Underexposure: middle grey (128) becomes 50; shadows are gone."""
BLUR = 1 / 160
"""Radius of the blur as a share of the long side: 4 px of 640; no edge is sharp any more."""
QUALITY = 5
"""JPEG quality: blocks and flat colours are seen at a glance."""
NOISE = 45.0
"""Standard deviation of the noise in levels of 255, on each channel: grain over the whole picture."""
KEPT = 0.92
"""Part of each side that the crop leaves, in the middle."""

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def darkened(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Underexpose by three stops."""
    return filters.expose(pixels, STOPS)


def blurred(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Put out of focus."""
    return blur.gaussian(pixels, BLUR * max(pixels.shape[:2]))


def compressed(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Save at a JPEG quality of 5."""
    return filters.recompress(_on_screen(pixels), QUALITY)


def noisy(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Add noise of 45 levels."""
    return filters.add_noise(_on_screen(pixels), NOISE, random)


def black(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Leave nothing to be seen."""
    return np.zeros_like(pixels)


def flipped(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Swap left and right."""
    return np.ascontiguousarray(pixels[:, ::-1])


def cropped(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Cut 4 % off each edge; the aspect stays the same to a pixel."""
    height, width = pixels.shape[:2]
    high, wide = max(1, round(height * KEPT)), max(1, round(width * KEPT))
    top, left = (height - high) // 2, (width - wide) // 2
    return np.ascontiguousarray(pixels[top : top + high, left : left + wide])


DAMAGES: dict[str, Change] = {
    "darkened": darkened,
    "blurred": blurred,
    "compressed": compressed,
    "noisy": noisy,
    "black": black,
}
HARMLESS: dict[str, Change] = {"flipped": flipped, "cropped": cropped}


def changed(pixels: np.ndarray, photo_id: str) -> dict[str, np.ndarray]:
    """Return every changed version of a photo, uint8 (height, width, 3), by the name of the check. Equal arguments give
    equal pixels, whatever other checks there are.
    """
    return {
        name: change(pixels, np.random.default_rng(list(_hash(f"{name}:{photo_id}"))))
        for name, change in (DAMAGES | HARMLESS).items()
    }


def chosen(photo_ids: Iterable[str], at_most: int) -> frozenset[str]:
    """Return at most that many of `photo_ids`, the first in the order of a salted hash: equal photos, equal choice."""
    return frozenset(sorted(photo_ids, key=lambda photo_id: _hash(f"checked:{photo_id}"))[:at_most])


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _on_screen(pixels: np.ndarray) -> np.ndarray:
    """Return `pixels` with a long side of at most SEEN_AT px, for what is finer than that would be averaged away."""
    image = Image.fromarray(pixels)
    image.thumbnail((SEEN_AT, SEEN_AT), Image.Resampling.LANCZOS)
    return np.asarray(image)

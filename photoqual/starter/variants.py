"""Training photos from a base photograph: crops at many sizes, good or damaged, as a camera or a site would store them.

Good ones vary in what good photos vary in: size, sharpness of the scaling, a little exposure, contrast, colour, noise
and sharpening, and JPEG quality. Damage comes before the last noise, the sharpening and the compression, as in a camera.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from photoqual.defects import filters
from photoqual.defects.damage import STRENGTHS, damage
from photoqual.starter.blurs import BLURS, blurred

KINDS = (
    "too_dark",
    "too_bright",
    "lens_flare",
    "motion_blur",
    "defocus",
    "noise",
    "jpeg_loss",
    "colour_cast",
    "low_contrast",
)
"""What the starter knows. Averages over the picture cannot tell a tilted horizon, nor a blurred background from a
wanted one, so `tilt` and `regional_blur` are not among them."""
LONG_SIDE = (288, 640)
_TURNS = (*KINDS, *(2 * BLURS))
"""Blur is the commonest fault of photos, and the one with the most faces: it is drawn three times as often."""
_IN_CAMERA = (
    "lens_flare", "defocus", "motion_blur", "colour_cast", "too_dark", "too_bright", "noise", "low_contrast", "jpeg_loss",
)  # fmt: skip
"""The order in which damage comes about."""
_SECOND = 0.2
"""Share of damaged photos that have two kinds of damage; the second of a blurred one is the other blur, since a hand
that shakes and a focus that was missed go together."""
_SHRUNK_TO = 0.92
"""A good photo has at most this part of its original's pixels along each side, so that it is sharp."""
_SCALING = (
    Image.Resampling.LANCZOS,
    Image.Resampling.BICUBIC,
    Image.Resampling.HAMMING,
    Image.Resampling.BILINEAR,
    Image.Resampling.BOX,
)


@dataclass(frozen=True)
class Variant:
    """A training photo, uint8 (height, width, 3), and the kinds of damage it has; none: it is good."""

    pixels: np.ndarray
    kinds: tuple[str, ...]


def variants(image: Image.Image, good: int, damaged: int, random: np.random.Generator) -> Iterator[Variant]:
    """Yield `good` good and `damaged` damaged variants of the photograph `image`; the kinds take turns."""
    for _ in range(good):
        yield Variant(_stored(_good(image, random), random), ())
    order = [kind for _ in range(damaged // len(_TURNS) + 1) for kind in random.permutation(_TURNS)]
    for kind in order[:damaged]:
        yield _damaged(_good(image, random), str(kind), random)


def _good(image: Image.Image, random: np.random.Generator) -> np.ndarray:
    """Return a crop, shrunk, in a light and colour that a good photo may have."""
    scale = random.uniform(0.7, 1.0)
    width, height = round(image.width * scale), round(image.height * scale * random.uniform(0.9, 1.0))
    left, top = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
    largest = min(LONG_SIDE[1], max(width, height) * _SHRUNK_TO)
    shrunk = random.uniform(min(LONG_SIDE[0], largest), largest) / max(width, height)
    size = max(1, round(width * shrunk)), max(1, round(height * shrunk))
    scaling = _SCALING[int(random.integers(len(_SCALING)))]
    photo = image.resize(size, scaling, box=(left, top, left + width, top + height))
    if random.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if random.random() < 0.5:
        photo = ImageEnhance.Contrast(photo).enhance(random.uniform(0.85, 1.15))
    colour = 0.0 if random.random() < 0.03 else random.uniform(0.7, 1.2)
    pixels = np.asarray(ImageEnhance.Color(photo).enhance(colour))
    pixels = filters.bend(pixels, random.uniform(-0.5, 0.5))
    return filters.cast(pixels, random.uniform(0, 0.12), random.uniform(0, 2 * np.pi))


def _damaged(pixels: np.ndarray, kind: str, random: np.random.Generator) -> Variant:
    kinds = [kind]
    if random.random() < _SECOND:
        others = BLURS if kind in BLURS else KINDS
        kinds.append(str(random.choice([other for other in others if other != kind])))
    for name in sorted(kinds, key=_IN_CAMERA.index):
        if name in BLURS:
            pixels = blurred(pixels, name, random)
        else:
            pixels = damage(pixels, name, random.uniform(STRENGTHS[0], STRENGTHS[-1]), random)
    return Variant(_stored(pixels, random), tuple(kinds))


def _stored(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the photo as a camera leaves it: with a little noise, sharpened, saved as a good JPEG; read again."""
    if random.random() < 0.6:
        pixels = filters.sensor_noise(pixels, random.uniform(0, 7), random.uniform(0.5, 1.5), random)
    photo = Image.fromarray(pixels)
    if random.random() < 0.4:
        percent, threshold = int(random.integers(30, 130)), int(random.integers(0, 4))
        photo = photo.filter(ImageFilter.UnsharpMask(random.uniform(0.6, 2.0), percent, threshold))
    quality, subsampling = int(random.integers(75, 96)), int(random.choice([0, 2], p=[0.3, 0.7]))
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(encoded).convert("RGB"))

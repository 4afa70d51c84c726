"""What can go wrong with a photo, as pure seeded functions: the damaged photos of the demo site."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

Defect = Callable[[Image.Image, float, np.random.Generator], Image.Image]
"""Takes an RGB photo, a strength from 0 (hardly seen) to 1 (strong) and a generator; gives the damaged photo."""


def too_dark(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Underexpose: 1.2 to 2.8 stops."""
    return _exposed(photo, -(1.2 + 1.6 * strength))


def too_bright(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Overexpose: 0.9 to 2.2 stops, highlights clipped."""
    return _exposed(photo, 0.9 + 1.3 * strength)


def motion_blur(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Smear along a line of 7 to 23 px in a random direction."""
    length = 7 + round(16 * strength)
    angle = random.uniform(0, np.pi)
    steps = np.linspace(-length / 2, length / 2, 4 * length)
    kernel = np.zeros((length + 2, length + 2), dtype=np.float32)
    middle = (length + 1) / 2
    np.add.at(
        kernel,
        (np.rint(middle + steps * np.sin(angle)).astype(int), np.rint(middle + steps * np.cos(angle)).astype(int)),
        1,
    )
    pixels = np.asarray(photo, dtype=np.float32)
    kernel /= kernel.sum()
    return _image(
        np.stack([ndimage.convolve(pixels[..., channel], kernel, mode="nearest") for channel in range(3)], axis=2)
    )


def defocus(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Blur with a Gaussian of 1.6 to 4.5 px."""
    return photo.filter(ImageFilter.GaussianBlur(1.6 + 2.9 * strength))


def noise(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Add sensor noise of 18 to 48 levels."""
    pixels = np.asarray(photo, dtype=np.float32)
    return _image(pixels + random.normal(0, 18 + 30 * strength, pixels.shape).astype(np.float32))


def jpeg_loss(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Save at a JPEG quality of 12 down to 4."""
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=round(12 - 8 * strength))
    return Image.open(encoded).convert("RGB")


def low_contrast(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Keep 45 % down to 20 % of the contrast, and little colour."""
    faded = ImageEnhance.Contrast(photo).enhance(0.45 - 0.25 * strength)
    return ImageEnhance.Color(faded).enhance(0.8 - 0.3 * strength)


DEFECTS: dict[str, Defect] = {
    "too dark": too_dark,
    "too bright": too_bright,
    "motion blur": motion_blur,
    "defocus": defocus,
    "noise": noise,
    "JPEG loss": jpeg_loss,
    "low contrast": low_contrast,
}


def _exposed(photo: Image.Image, stops: float) -> Image.Image:
    """Change the exposure in linear light."""
    linear = (np.arange(256) / 255.0) ** 2.2 * 2.0**stops
    table = np.clip(linear, 0, 1) ** (1 / 2.2) * 255
    return photo.point([round(value) for value in table] * 3)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))

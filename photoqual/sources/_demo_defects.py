"""What can go wrong with a photo, as pure seeded functions: the damaged photos of the demo site."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance
from scipy import ndimage

from photoqual.defects import filters

Defect = Callable[[Image.Image, float, np.random.Generator], Image.Image]
"""Takes an RGB photo, a strength from 0 (hardly seen) to 1 (strong) and a generator; gives the damaged photo."""


def too_dark(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Underexpose: 1.2 to 2.8 stops."""
    return _filtered(photo, filters.expose(np.asarray(photo), -(1.2 + 1.6 * strength)))


def too_bright(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Overexpose: 0.9 to 2.2 stops, highlights clipped."""
    return _filtered(photo, filters.expose(np.asarray(photo), 0.9 + 1.3 * strength))


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
    blurred = np.stack([ndimage.convolve(pixels[..., channel], kernel, mode="nearest") for channel in range(3)], axis=2)
    return Image.fromarray(filters.to_pixels(blurred))


def defocus(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Blur with a Gaussian of 1.6 to 4.5 px."""
    return _filtered(photo, filters.defocus(np.asarray(photo), 1.6 + 2.9 * strength))


def noise(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Add sensor noise of 18 to 48 levels."""
    return Image.fromarray(filters.add_noise(np.asarray(photo), 18 + 30 * strength, random))


def jpeg_loss(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Save at a JPEG quality of 12 down to 4."""
    return _filtered(photo, filters.recompress(np.asarray(photo), round(12 - 8 * strength)))


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


def _filtered(photo: Image.Image, pixels: np.ndarray) -> Image.Image:
    """Return `pixels` as an image that carries what the file of `photo` said beside its pixels."""
    image = Image.fromarray(pixels)
    image.info = photo.info
    return image

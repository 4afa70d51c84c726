"""The damaged photos of the demo site: filters at a strength that the site draws. Changing one changes the demo's photos,
and with them every figure published of it; defects to train on are in `photoqual.defects.damage`.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from photoqual.defects import blur, filters

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
    return Image.fromarray(blur.smear(np.asarray(photo), 7 + round(16 * strength), random.uniform(0, np.pi)))


def defocus(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Blur with a Gaussian of 1.6 to 4.5 px."""
    return _filtered(photo, blur.gaussian(np.asarray(photo), 1.6 + 2.9 * strength))


def noise(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Add Gaussian noise of 18 to 48 levels."""
    return Image.fromarray(filters.add_noise(np.asarray(photo), 18 + 30 * strength, random))


def jpeg_loss(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Save at a JPEG quality of 12 down to 4."""
    return _filtered(photo, filters.recompress(np.asarray(photo), round(12 - 8 * strength)))


def low_contrast(photo: Image.Image, strength: float, random: np.random.Generator) -> Image.Image:
    """Keep 45 % down to 20 % of the contrast, and little colour."""
    return Image.fromarray(filters.fade(np.asarray(photo), 0.45 - 0.25 * strength, 0.8 - 0.3 * strength))


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

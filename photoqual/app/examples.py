"""Photographs to try the app on: a few of the demo's where they are installed, else drawn ones."""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from photoqual.defects.damage import damage
from photoqual.errors import SourceError
from photoqual.sources import _demo_photos

COUNT = 6
_EDITION = 1
_CLEAR = 0.6
"""From this strength on a defect of the demo is plain to see."""
_DAMAGES = (None, "defocus", None, "motion_blur", "too_dark", "noise")


@dataclass(frozen=True)
class Example:
    """A photograph in memory; it can be rated like an upload."""

    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


@lru_cache(maxsize=1)
def examples() -> tuple[Example, ...]:
    """Return some photographs, about half of them damaged in different ways; the same each time."""
    try:
        return tuple(Example(_place(photo), _demo_photos.render(photo)) for photo in _chosen())
    except (SourceError, OSError):
        return tuple(_drawn(number, kind) for number, kind in enumerate(_DAMAGES, start=1))


def _chosen() -> list[_demo_photos.DemoPhoto]:
    """Return photos of different albums, in turn an undamaged one and one with a clear defect that was not there yet."""
    found: list[_demo_photos.DemoPhoto] = []
    albums, defects = set(), set()
    for photo in _demo_photos.photos(_EDITION):
        wants_defect = len(found) % 2 == 1
        fits = photo.strength >= _CLEAR and photo.defect not in defects if wants_defect else photo.quality > 4.5
        if fits and photo.base not in albums:
            found.append(photo)
            albums.add(photo.base)
            defects.add(photo.defect)
        if len(found) == COUNT:
            break
    return found


def _place(photo: _demo_photos.DemoPhoto) -> str:
    return photo.base.album.split(",")[0]


def _drawn(number: int, kind: str | None) -> Example:
    """Draw hills under a sky, with the damage `kind`."""
    draw = np.random.default_rng(number)
    sky = np.linspace((70, 120, 190), (220, 200, 170), 320)[:, None, :] * np.ones((1, 480, 1))
    image = Image.fromarray(sky.astype(np.uint8))
    pencil = ImageDraw.Draw(image)
    x = int(draw.integers(60, 400))
    pencil.ellipse((x, 50, x + 50, 100), fill=(255, 240, 200))
    for ridge in range(4):
        heights = 150 + 40 * ridge + np.cumsum(draw.normal(0, 3, 25))
        points = [(20 * index, float(height)) for index, height in enumerate(heights)]
        pencil.polygon([(0, 320), *points, (480, 320)], fill=(60 - 10 * ridge, 110 - 22 * ridge, 70 - 12 * ridge))
    grain = np.asarray(image, float) + draw.normal(0, 6, (320, 480, 1))
    image = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8)).filter(ImageFilter.SMOOTH)
    if kind is not None:
        image = Image.fromarray(damage(np.array(image), kind, 3, draw))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=90)
    return Example(f"Drawing {number}", encoded.getvalue())

"""The small picture of a photo in the gallery."""

import io
from collections.abc import Callable

from PIL import Image

from photoqual.rating.gallery import faces

LONG_SIDE = 320
"""Pixels; a picture is never enlarged."""
QUALITY = 72


def thumbnail(image: Image.Image) -> bytes:
    """Return `image`, upright and sRGB, as a small JPEG without any metadata."""
    small = image.convert("RGB")
    small.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    small.info = {}
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return encoded.getvalue()


def with_faces_blurred(image: Image.Image) -> bytes:
    """Return the same with the faces blurred that could be found (`faces`)."""
    return thumbnail(faces.blur_faces(image))


def maker(*, blur_faces: bool) -> Callable[[Image.Image], bytes]:
    """Return what makes thumbnails. Raise ConfigError when faces are to be blurred and OpenCV is missing."""
    if not blur_faces:
        return thumbnail
    faces.check_installed()
    return with_faces_blurred

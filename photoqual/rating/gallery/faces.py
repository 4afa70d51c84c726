"""Faces made unrecognisable in a picture that is to be shared. OpenCV's Haar cascades find them, which come with it.

They find upright faces from the front and from the side, and miss some: faces that are small, turned, half hidden or
in the dark. Who must not be recognised is safe only when somebody has looked.
"""

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from photoqual.errors import ConfigError

Box = tuple[int, int, int, int]
"""left, top, right, bottom, in pixels."""
LONG_SIDE = 640
"""Faces are looked for in the picture at this long side, px."""
_CASCADES = ("haarcascade_frontalface_alt2.xml", "haarcascade_frontalface_default.xml", "haarcascade_profileface.xml")
_MIRRORED = "haarcascade_profileface.xml"
"""Knows faces that look to one side; the mirrored picture shows the others."""
_STEP, _NEIGHBOURS = 1.15, 2
_LEAST_SHARE, _LEAST_SIDE = 1 / 32, 20
_MARGIN = 0.25
"""By how much of its side a box grows in each direction: hair and chin tell who it is, too."""
_BLUR = 0.2
_LOCAL = threading.local()


def check_installed() -> None:
    """Raise ConfigError when OpenCV is missing."""
    if find_spec("cv2") is None:
        raise ConfigError(
            "Blurring faces needs OpenCV, which is not installed.",
            next_step="Install photoqual with the extra `faces`, or leave out --blur-faces.",
        )


def find_faces(image: Image.Image) -> list[Box]:
    """Return where faces may be in an upright image; the same face may be found more than once."""
    import cv2

    shown = image.convert("L")
    shown.thumbnail((LONG_SIDE, LONG_SIDE))
    grey = cv2.equalizeHist(np.asarray(shown))
    least = max(_LEAST_SIDE, round(max(grey.shape) * _LEAST_SHARE))
    found: list[Box] = []
    for name, cascade in _cascades():
        views = ((grey, False), (np.ascontiguousarray(grey[:, ::-1]), True)) if name == _MIRRORED else ((grey, False),)
        for view, mirrored in views:
            for left, top, width, height in cascade.detectMultiScale(view, _STEP, _NEIGHBOURS, 0, (least, least)):
                start = view.shape[1] - left - width if mirrored else left
                found.append((int(start), int(top), int(start + width), int(top + height)))
    scale = image.width / shown.width
    return [_grown(box, scale, image.size) for box in found]


def blur_faces(image: Image.Image) -> Image.Image:
    """Return `image` with every face that was found blurred beyond recognition."""
    for left, top, right, bottom in find_faces(image):
        face = image.crop((left, top, right, bottom))
        soft = face.filter(ImageFilter.GaussianBlur(_BLUR * max(face.size)))
        mask = Image.new("L", face.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, *face.size), radius=min(face.size) // 3, fill=255)
        image = image.copy()
        image.paste(soft, (left, top), mask)
    return image


def _cascades() -> list[tuple[str, Any]]:
    """Return the cascades of this thread: OpenCV's may not be shared between threads."""
    if not hasattr(_LOCAL, "cascades"):
        import cv2

        cv2.setNumThreads(1)
        folder = Path(cv2.__file__).with_name("data")
        _LOCAL.cascades = [(name, cv2.CascadeClassifier(str(folder / name))) for name in _CASCADES]
    cascades: list[tuple[str, Any]] = _LOCAL.cascades
    return cascades


def _grown(box: Box, scale: float, size: tuple[int, int]) -> Box:
    left, top, right, bottom = (edge * scale for edge in box)
    more = _MARGIN * (right - left)
    width, height = size
    return (
        max(0, round(left - more)),
        max(0, round(top - more)),
        min(width, round(right + more)),
        min(height, round(bottom + more)),
    )

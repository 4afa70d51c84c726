"""An encoded photo as a model sees it, and what the model says of it: the one place of these rules, so that command
line, Python and server give the same numbers.

A photo is decoded at one and a half times the width of the model, or at the size of a working copy where that is less:
within .01 of the score of its working copy for a model of 288 px, and a JPEG of 12 megapixels takes two thirds of the
time. Each photo is scored alone, so that its numbers do not depend on its neighbours.
"""

import math

import numpy as np
from PIL import Image

from photoqual.config import PhotosParams
from photoqual.models.answer import Answer, answers
from photoqual.models.info import ModelInfo
from photoqual.models.scorer import Scorer
from photoqual.photos import decode

LIMITS = PhotosParams()
"""Limits on untrusted photos while rating; the shipped defaults."""
DIGITS = 4
"""Decimals of scores and probabilities."""
_REACH = 1.5


def decoded_side(info: ModelInfo) -> int:
    """Return the long side in px at which a photo is decoded for the model of `info`."""
    return min(LIMITS.max_side, math.ceil(_REACH * info.image_width))


def look_at(photo: bytes | Image.Image, info: ModelInfo) -> tuple[Image.Image, np.ndarray]:
    """Return `photo`, the bytes of a file or a decoded image, upright in sRGB, and as the model sees it: uint8 (height,
    width, 3). Raise UnreadablePhoto.
    """
    side = decoded_side(info)
    if isinstance(photo, bytes):
        image, size = decode.open_photo(photo, LIMITS, max_side=side)
    else:
        image, size = decode.shown_upright(photo, side)
    return image, np.asarray(image.resize(_seen_size(size, info), Image.Resampling.BILINEAR))


def say(scorer: Scorer, pixels: np.ndarray) -> Answer:
    """Return what the model says of one photo, see `look_at`; numbers are rounded before stars and label follow."""
    return answers(scorer, [pixels], digits=DIGITS)[0]


def _seen_size(size: tuple[int, int], info: ModelInfo) -> tuple[int, int]:
    """Return the width and height at which the model would see the working copy of a photo of `size`: rounded twice, as
    in training, or photos of 4:3 would come out a step apart.
    """
    scale = min(1.0, LIMITS.max_side / max(size))
    width, height = (max(1, round(side * scale)) for side in size)
    return decode.model_size(width, height, info.image_width, enlarge=info.enlarge)

"""Changes of a training photo that leave its quality as it is: mirrored, cropped, a little more or less of a colour.

Pure functions of pixels and a seeded generator. No photo is ever padded: a border would reach the global pooling.
"""

import numpy as np

from photoqual.config import AugmentParams
from photoqual.photos.decode import MIN_MODEL_SIDE, MODEL_SIDE_STEP
from photoqual.training.buffers import Buffers

_PIXEL = np.dtype("V12")
"""Three float32 that are moved as one: twice as fast as channel by channel."""


def crop_size(height: int, width: int, share: float) -> tuple[int, int]:
    """Return (height, width) of what is left when `share` of each side is cut away, to the nearest step of 16 px and
    no side under 32 px.
    """

    def side(pixels: int) -> int:
        kept = round(pixels * (1 - share) / MODEL_SIDE_STEP) * MODEL_SIDE_STEP
        return min(pixels, max(MIN_MODEL_SIDE, kept))

    return side(height), side(width)


def augment(
    photos: list[np.ndarray], params: AugmentParams, random: np.random.Generator, buffers: Buffers | None = None
) -> np.ndarray:
    """Return `photos`, uint8 (height, width, 3) of one shape, as a float32 batch (batch, height, width, 3) in 0 to 255.

    One size of window for the batch, at a random place of each photo; each is mirrored with probability 1/2, and each
    of its channels multiplied by a factor within 1 ± `params.colour`. The batch lies in memory of `buffers`.
    """
    height, width = photos[0].shape[:2]
    window = crop_size(height, width, params.crop)
    batch = (buffers or Buffers()).empty((len(photos), *window, 3))
    tops = random.integers(height - window[0] + 1, size=len(photos))
    lefts = random.integers(width - window[1] + 1, size=len(photos))
    mirrored = random.random(len(photos)) < (0.5 if params.flip else 0.0)
    factors = random.uniform(1 - params.colour, 1 + params.colour, (len(photos), 3)).astype(np.float32)
    for place, (photo, top, left) in enumerate(zip(photos, tops.tolist(), lefts.tolist(), strict=True)):
        batch[place] = photo[top : top + window[0], left : left + window[1]]
        if mirrored[place]:
            whole = batch[place].view(_PIXEL)
            whole[:] = whole[:, ::-1]
        if params.colour:
            rows = batch[place].reshape(window[0], -1)
            rows *= np.tile(factors[place], window[1])
    return np.minimum(batch, 255, out=batch) if params.colour else batch

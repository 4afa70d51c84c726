"""Where in a photo its score comes from: parts are hidden one after the other, and the model is asked anew.

Hiding is a soft patch of the photo blurred beyond recognition, so that its colour and brightness stay and its detail
goes. What the answer then loses is what that part gave it. It needs nothing of a model but its answers, so it works
with any ONNX file. Source: occlusion, Zeiler and Fergus 2014; that soft patches are blurred, Fong and Vedaldi 2017.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image, ImageFilter

from photoqual.errors import ConfigError
from photoqual.models.heads import DEFECTS, SCORE
from photoqual.models.scorer import Scorer

PASSES = 96
"""Parts that are hidden, at most: as often is the model asked."""
NOTICEABLE = 0.1
"""In log odds: a map whose strongest part changes the answer by less shows nothing."""
_AT_ONCE = 16
_BLUR = 0.5
"""Deviation of the blur in distances of two patches."""
_TINY = 1e-5
_FOR, _AGAINST = np.array((45, 125, 255), np.float32), np.array((255, 120, 0), np.float32)
_COVER = 0.8


@dataclass(frozen=True, eq=False)
class Heat:
    """`effect` (height, width) of the pixels given: by how much the log odds of `of` (`score` or a defect) fall when
    the part around is hidden; positive where the photo's content raises them. `value`: the answer for the whole photo.
    `grid` (rows, columns): the same for the parts that were hidden, before it was smoothed.
    """

    of: str
    value: float
    effect: np.ndarray
    grid: np.ndarray

    @property
    def noticeable(self) -> bool:
        """Whether any part alone matters."""
        return bool(np.abs(self.effect).max() >= NOTICEABLE)


def heat_map(scorer: Scorer, pixels: np.ndarray, of: str = SCORE, *, passes: int = PASSES) -> Heat:
    """Return where in `pixels`, uint8 (height, width, 3) by `models.scorer.input_of`, the answer `of` comes from: the
    score, or the name of a defect that the model knows. Raise ConfigError for another name.
    """
    height, width = pixels.shape[:2]
    rows, columns = _grid(height, width, passes)
    down, across = _windows(height, rows), _windows(width, columns)
    whole = _ask(scorer, [pixels], of)[0]
    hidden, asked = _hidden(pixels, down, across), []
    while batch := list(islice(hidden, _AT_ONCE)):
        asked.append(_ask(scorer, batch, of))
    fall = (_log_odds(whole) - _log_odds(np.concatenate(asked))).reshape(rows, columns)
    weights = down.sum(axis=0)[:, None] * across.sum(axis=0)[None]
    effect = (down.T @ fall @ across) / weights
    return Heat(of, float(whole), effect.astype(np.float32), fall)


def overlay(pixels: np.ndarray, heat: Heat) -> np.ndarray:
    """Return the photo in grey with blue where it speaks for itself and orange where against, uint8 (height, width, 3).

    What makes a defect more likely speaks against the photo. The strongest part has the full colour.
    """
    effect = heat.effect if heat.of == SCORE else -heat.effect
    grey = pixels.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
    strength = np.abs(effect) / max(float(np.abs(effect).max()), NOTICEABLE)
    colour = np.where((effect > 0)[..., None], _FOR, _AGAINST)
    cover = (_COVER * strength)[..., None]
    return np.clip(grey[..., None] * (1 - cover) + colour * cover, 0, 255).astype(np.uint8)


def _grid(height: int, width: int, passes: int) -> tuple[int, int]:
    """Return rows and columns of patches, nearly square, at most `passes` of them together."""
    rows = max(1, min(passes, math.floor(math.sqrt(passes * height / width))))
    return rows, max(1, passes // rows)


def _windows(side: int, count: int) -> np.ndarray:
    """Return `count` soft windows along `side` pixels, (count, side), of 0 to 1: each is 1 around its own middle and
    fades into its neighbours.
    """
    distance = side / count
    middles = (np.arange(count) + 0.5) * distance
    offset = np.abs(np.arange(side)[None] + 0.5 - middles[:, None]) / distance
    return np.clip(2 * np.cos(np.clip(offset, 0, 1) * math.pi / 2) ** 2, 0, 1).astype(np.float32)


def _hidden(pixels: np.ndarray, down: np.ndarray, across: np.ndarray) -> Iterator[np.ndarray]:
    """Yield `pixels` with each patch hidden in turn, row by row."""
    distance = max(pixels.shape[0] / len(down), pixels.shape[1] / len(across))
    blurred = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(_BLUR * distance)), np.float32)
    change = blurred - pixels
    for row in down:
        for column in across:
            yield np.rint(pixels + change * (row[:, None] * column[None])[..., None]).astype(np.uint8)


def _ask(scorer: Scorer, photos: list[np.ndarray], of: str) -> np.ndarray:
    if of == SCORE:
        return scorer.score(photos)
    known = scorer.info.defects if DEFECTS in scorer.info.outputs else ()
    if of not in known:
        raise ConfigError(
            f"The model does not tell the defect {of!r}.",
            next_step=f"Ask for one of {', '.join((SCORE, *known))}.",
        )
    return scorer.answers_of(photos, (DEFECTS,))[DEFECTS][:, known.index(of)].astype(float)


def _log_odds(share: np.ndarray) -> np.ndarray:
    kept = np.clip(share, _TINY, 1 - _TINY)
    return np.log(kept / (1 - kept))

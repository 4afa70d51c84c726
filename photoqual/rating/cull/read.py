"""Look at the photos of a gallery: rate each, and keep of its picture and EXIF what culling compares."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from photoqual.models.heads import FEATURES
from photoqual.models.scorer import Scorer
from photoqual.photos.containers import find_metadata
from photoqual.photos.decode import stated_size
from photoqual.photos.exif import read_exif
from photoqual.photos.exposure import read_exposure
from photoqual.photos.fingerprints import perceptual_hash
from photoqual.photos.look import look
from photoqual.rating.cull.frames import TOLD_APART, Frame
from photoqual.rating.rater import Rating, Skipped, rate_with
from photoqual.rating.similar.features import placed
from photoqual.rating.similar.space import Space

_SMALL = (64, 64)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of a picture: see Frame."""

    sharpness: float
    size: tuple[int, int]
    phash: str
    small: np.ndarray


def read_frames(scorer: Scorer, photos: Iterable[Path], model: str) -> Iterator[Frame | Skipped]:
    """Yield each of `photos` as a frame, or why it cannot be rated.

    Features are compared where the model says what is usual for them, and has enough of them; else hashes alone.
    """
    if FEATURES in scorer.info.outputs and Space.of(scorer).centred:
        for one in placed(scorer, photos, model, _see):
            yield one if isinstance(one, Skipped) else _frame(one.rating, one.seen, one.vector)
    else:
        for found in rate_with(scorer, photos, model, _see):
            yield found if isinstance(found, Skipped) else _frame(*found, None)


def _see(image: Image.Image) -> _Seen:
    small = image.convert("L")
    small.thumbnail(_SMALL, Image.Resampling.BOX)
    return _Seen(look(image).sharpness, image.size, perceptual_hash(image), np.asarray(small))


def _frame(rating: Rating, seen: _Seen, vector: np.ndarray | None) -> Frame:
    width, height = stated_size(Path(rating.photo))
    frame = Frame(
        photo=rating.photo,
        score=rating.score,
        familiar=rating.familiar,
        sharpness=seen.sharpness,
        size=seen.size,
        pixels=width * height,
        phash=seen.phash,
        vector=None if vector is None or len(vector) < TOLD_APART else vector.astype(np.float16),
        small=seen.small,
    )
    try:
        with Path(rating.photo).open("rb") as file:
            exif = find_metadata(file).exif
            told = (read_exif(exif), read_exposure(exif)) if exif else None
    except OSError:
        return frame
    if told is None:
        return frame
    taken = told[0].taken and told[0].taken.replace(tzinfo=None)
    return replace(frame, taken=taken, camera=told[0].camera, exposure=told[1])

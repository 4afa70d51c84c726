"""Rate photos with a model folder through ONNX Runtime: on all cores, in order, in bounded memory.

Each thread takes a photo from its file to its rating. One photo is scored at a time in a thread: that is as fast as
batches on all cores are, needs a fraction of their memory, and lets decoding and scoring share the cores by itself.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from photoqual.errors import UnreadablePhoto
from photoqual.models.scorer import Scorer
from photoqual.models.seen import LIMITS, look_at, say
from photoqual.photos.measures import measure
from photoqual.rating.found import CONNECTIONS, InBucket, Photo, Skipped, find_photos, read
from photoqual.rating.reasons import all_reasons, strengths

__all__ = ["LIMITS", "Rating", "Skipped", "cores", "find_photos", "rate", "rate_one", "rate_pixels", "rate_with"]

T = TypeVar("T")
_AHEAD = 4
"""Photos per thread that are read, decoded or rated before the first of them has to be done."""


@dataclass(frozen=True)
class Rating:
    """What we say about one photo: score 0 to 1, stars 1 to 5, whether we are sure, whether it is of the kind that the
    model knows (None: it cannot tell), the label, the probabilities of defects, what speaks against the photo and what for
    it, its measures (photos/measures.py), and which model says so.
    """

    photo: str
    score: float
    stars: int
    sure: bool
    familiar: bool | None
    label: str
    defects: dict[str, float]
    reasons: list[str]
    strengths: list[str]
    measures: dict[str, float]
    model: str


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rate(scorer: Scorer, photos: Iterable[Photo | Skipped], model: str) -> Iterator[Rating | Skipped]:
    """Yield a Rating or a Skipped for each of `photos`, in their order. `model` names the model in each rating."""
    for found in rate_with(scorer, photos, model, lambda _: None):
        yield found if isinstance(found, Skipped) else found[0]


def rate_with(
    scorer: Scorer, photos: Iterable[Photo | Skipped], model: str, look: Callable[[Image.Image], T]
) -> Iterator[tuple[Rating, T] | Skipped]:
    """Yield each of `photos` rated, with what `look` made of its upright sRGB image, or why not; in their order.

    `look` is called in the thread that scored the photo, right after; the image is as long as the model needs (see
    `models.seen.decoded_side`). Load `scorer` with `threads=1`: the threads here keep all cores busy. Files are read
    ahead of the cores. Closing the iterator gives up what has not begun.
    """
    working, busy = cores(), BoundedSemaphore(cores())
    pool = ThreadPoolExecutor(working + CONNECTIONS, thread_name_prefix="rating")
    waiting: deque[Future[tuple[Rating, T] | Skipped]] = deque()
    try:
        for photo in photos:
            if isinstance(photo, Skipped):
                waiting.append(_settled(photo))
            else:
                waiting.append(pool.submit(_rated, scorer, photo, model, look, busy))
            ahead = working * _AHEAD + (CONNECTIONS if isinstance(photo, InBucket) else 0)
            while len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def rate_one(
    scorer: Scorer, photo: bytes | Image.Image, name: str, model: str, look: Callable[[Image.Image], T]
) -> tuple[Rating, T]:
    """Return the rating of one photo, the bytes of a file or a decoded image, called `name`, and what `look` makes of
    it. Raise UnreadablePhoto.
    """
    image, pixels = look_at(photo, scorer.info)
    return rate_pixels(scorer, [pixels], [name], model)[0], look(image)


def rate_pixels(scorer: Scorer, pixels: list[np.ndarray], names: list[str], model: str) -> list[Rating]:
    """Rate photos that are already at the size of the model (`models.seen.look_at`): uint8 (height, width, 3)."""
    ratings = []
    for name, photo in zip(names, pixels, strict=True):
        said = say(scorer, photo)
        measured, ranges = {kind: round(value, 3) for kind, value in measure(photo).items()}, scorer.info.good_ranges
        ratings.append(
            Rating(
                photo=name,
                score=said.score,
                stars=said.stars,
                sure=said.sure,
                familiar=said.familiar,
                label=said.label,
                defects=said.defects,
                reasons=all_reasons(said, measured, ranges),
                strengths=strengths(measured, ranges, said.defects),
                measures=measured,
                model=model,
            )
        )
    return ratings


def _rated(
    scorer: Scorer, photo: Photo, model: str, look: Callable[[Image.Image], T], busy: BoundedSemaphore
) -> tuple[Rating, T] | Skipped:
    try:
        data = read(photo)
        with busy:
            return rate_one(scorer, data, str(photo), model, look)
    except UnreadablePhoto as error:
        return Skipped(str(photo), error.reason, error.message)


def _settled(skipped: Skipped) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(skipped)
    return future

"""Rate photos with a model folder through ONNX Runtime: decode in threads, score in batches, bounded memory."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.models.answer import answers
from photoqual.models.info import ModelInfo
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos import formats
from photoqual.photos.decode import SUFFIXES, open_photo
from photoqual.photos.measures import measure
from photoqual.rating.reasons import all_reasons

LIMITS = PhotosParams()
"""Limits on untrusted photos while rating; the shipped defaults."""
_BATCH = 32


@dataclass(frozen=True)
class Rating:
    """What we say about one photo: score 0 to 1, stars 1 to 5, whether we are sure, whether it is of the kind that the
    model knows (None: it cannot tell), the label, the probabilities of defects, and why.
    """

    photo: str
    score: float
    stars: int
    sure: bool
    familiar: bool | None
    label: str
    defects: dict[str, float]
    reasons: list[str]
    model: str


@dataclass(frozen=True)
class Skipped:
    """A photo that could not be rated, with the reason."""

    photo: str
    reason: str
    message: str


def find_photos(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    """Yield the photos among `paths`: files as given, folders recursively by the endings we decode, in name order.

    A path that does not exist is yielded as Skipped. Links to folders are not followed, so no loop can occur.
    """
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path, followlinks=False):
                folders.sort()
                yield from (_looked_at(Path(folder, name)) for name in sorted(names) if _is_photo(name))
        elif path.is_file():
            yield _looked_at(path)
        else:
            yield Skipped(str(path), "not_found", "There is no such file or folder.")


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _looked_at(path: Path) -> Path | Skipped:
    """Return `path`, or why it cannot be rated as its name and kind already tell."""
    shown = os.fsencode(path).decode(errors="replace")
    if reason := formats.missing_decoder(path.suffix):
        return Skipped(shown, reason, f"Decoding it needs an optional package: install {formats.EXTRA}.")
    if shown != str(path):
        return Skipped(shown, "name_is_not_utf8", "The name of the file is not UTF-8; rename it.")
    return path if path.is_file() else Skipped(shown, "not_a_file", "It is not a regular file.")


def rate(scorer: Scorer, photos: Iterable[Path | Skipped], model: str) -> Iterator[Rating | Skipped]:
    """Yield a Rating or a Skipped for each of `photos`, in their order. `model` names the model in each rating."""
    with ThreadPoolExecutor() as pool:
        batch: list[tuple[str, np.ndarray | Skipped]] = []
        for item in _decoded(photos, scorer.info, pool):
            batch.append(item)
            if len(batch) == _BATCH:
                yield from _rate_batch(scorer, batch, model)
                batch = []
        yield from _rate_batch(scorer, batch, model)


def rate_pixels(scorer: Scorer, pixels: list[np.ndarray], names: list[str], model: str) -> list[Rating]:
    """Rate photos that are already at the size of the model (`models.scorer.input_of`): uint8 (height, width, 3)."""
    ratings = []
    for name, photo, said in zip(names, pixels, answers(scorer, pixels, digits=4), strict=True):
        why = all_reasons(said, measure(photo), scorer.info.good_ranges)
        ratings.append(
            Rating(name, said.score, said.stars, said.sure, said.familiar, said.label, said.defects, why, model)
        )
    return ratings


def _rate_batch(
    scorer: Scorer, batch: list[tuple[str, np.ndarray | Skipped]], model: str
) -> Iterator[Rating | Skipped]:
    good = [(name, pixels) for name, pixels in batch if not isinstance(pixels, Skipped)]
    rated = iter(rate_pixels(scorer, [pixels for _, pixels in good], [name for name, _ in good], model))
    for _, pixels in batch:
        yield pixels if isinstance(pixels, Skipped) else next(rated)


def _decoded(
    photos: Iterable[Path | Skipped], info: ModelInfo, pool: ThreadPoolExecutor
) -> Iterator[tuple[str, np.ndarray | Skipped]]:
    waiting: deque[tuple[str, Future[np.ndarray | Skipped]]] = deque()
    for photo in photos:
        if isinstance(photo, Skipped):
            done: Future[np.ndarray | Skipped] = Future()
            done.set_result(photo)
            waiting.append((photo.photo, done))
        else:
            waiting.append((str(photo), pool.submit(_read, photo, info)))
        if len(waiting) > _BATCH:
            name, future = waiting.popleft()
            yield name, future.result()
    for name, future in waiting:
        yield name, future.result()


def _read(path: Path, info: ModelInfo) -> np.ndarray | Skipped:
    try:
        if path.stat().st_size > LIMITS.max_megabytes * 1e6:
            return Skipped(str(path), "too_many_bytes", f"The file is over {LIMITS.max_megabytes:g} MB.")
        image, _ = open_photo(path.read_bytes(), LIMITS)
        return input_of(image, info)
    except UnreadablePhoto as error:
        return Skipped(str(path), error.reason, error.message)
    except OSError as error:
        return Skipped(str(path), "unreadable_file", f"{error.strerror or error}.")

"""Rate photos from Python: `photoqual.load("models:/photoqual@champion").rate("photo.jpg").score`.

The numbers are those of `photoqual rate` and of the served model.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image

from photoqual.errors import ConfigError, UnreadablePhoto
from photoqual.models.info import ModelInfo
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import FORMATS
from photoqual.rating.found import Skipped, read
from photoqual.rating.rater import Rating, cores, rate_one
from photoqual.starter.model import resolve

Photo = str | Path | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, an image, or uint8 pixels: (height, width, 3) in RGB, or (height, width) in grey."""


class Rater:
    """A loaded model; `name` is what its ratings say of it. May be used from several threads."""

    def __init__(self, name: str, scorer: Scorer) -> None:
        self.name, self._scorer = name, scorer

    @property
    def info(self) -> ModelInfo:
        """What the model says about itself."""
        return self._scorer.info

    @overload
    def rate(self, photos: Photo) -> Rating: ...  # type: ignore[overload-overlap]

    @overload
    def rate(self, photos: Sequence[Photo]) -> list[Rating | Skipped]: ...

    def rate(self, photos: Photo | Sequence[Photo]) -> Rating | list[Rating | Skipped]:
        """Rate one photo, or several on all cores. A rating's `photo` is the path, empty for what has none.

        Raise UnreadablePhoto for one that cannot be read; among several it comes as Skipped, in its place. Raise
        ConfigError for what is no photo. Pixels that are decoded already are shrunk without the scaling that JPEG
        decoders do, so the score of large ones can be off that of their file by a hundredth.
        """
        if isinstance(photos, Photo):
            return self._one(photos)
        if not isinstance(photos, Sequence):
            raise _no_photo(type(photos).__name__)
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(self._one_of_several, photos))

    def _one(self, photo: Photo) -> Rating:
        name = str(photo) if isinstance(photo, str | Path) else ""
        return rate_one(self._scorer, _opened(photo), name, self.name, lambda _: None)[0]

    def _one_of_several(self, photo: Photo) -> Rating | Skipped:
        try:
            return self._one(photo)
        except UnreadablePhoto as error:
            return Skipped(str(photo) if isinstance(photo, str | Path) else "", error.reason, error.message)


def load(model: str | Path | None = None) -> Rater:
    """Load a model: an address (`models:/photoqual@champion`, `models:/photoqual/3`), a model folder, or `starter`.
    Without one the champion, and where there is none yet, the starter. Raise NoChampion, ModelError, RegistryError or
    ConfigError.
    """
    name, folder = resolve(None if model is None else str(model))
    return Rater(name, Scorer.load(folder, threads=1))


def _opened(photo: Photo) -> bytes | Image.Image:
    """Return what `rate_one` takes. Raise UnreadablePhoto, or ConfigError for what is no photo."""
    if isinstance(photo, str | Path):
        return read(Path(photo))
    if isinstance(photo, np.ndarray):
        colour = photo.ndim == 3 and photo.shape[2] == 3
        if photo.dtype != np.uint8 or not (colour or photo.ndim == 2) or 0 in photo.shape:
            raise _no_photo(f"{photo.dtype} array of shape {photo.shape}")
        return Image.fromarray(photo)
    if not isinstance(photo, bytes | Image.Image):
        raise _no_photo(type(photo).__name__)
    return _unread(photo) or photo if isinstance(photo, Image.Image) else photo


def _unread(image: Image.Image) -> bytes | None:
    """Return the bytes of the file that `image` was opened from and has not been decoded of, else None."""
    file = getattr(image, "fp", None)
    if file is None or not getattr(image, "tile", None) or image.tell() or image.format not in FORMATS:
        return None
    try:
        place = file.tell()
        file.seek(0)
        data: bytes = file.read()
        file.seek(place)
    except (OSError, ValueError):
        return None
    return data


def _no_photo(what: str) -> ConfigError:
    return ConfigError(
        f"A {what} is no photo.",
        next_step="Give a path, the bytes of a file, a PIL image, or a uint8 array (height, width, 3) in RGB.",
    )

"""From the bytes of uploaded photos to answers: decoded within limits, rated in small batches, then forgotten."""

import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

import numpy as np
from PIL import Image

from photoqual import files
from photoqual.app.limits import LIMITS
from photoqual.errors import UnreadablePhoto
from photoqual.models.scorer import Scorer
from photoqual.models.seen import look_at
from photoqual.photos.decode import SUFFIXES, open_photo
from photoqual.photos.fingerprints import photo_id
from photoqual.rating.rater import Rating, rate_pixels

SHOWN_SIDE = 960
"""Long side in px of the reduced photo that is kept while its answer is shown."""
_BATCH = 8
_NAME_LETTERS = 60
one_by_one = threading.Semaphore(2)
"""How many sessions decode and score at once; the others wait, so that memory stays bounded."""

_KIND_WORDS = {
    "not_an_image": "It is not a photo that can be read here. JPEG, PNG, WebP, TIFF, GIF, AVIF and BMP can.",
    "too_many_pixels": f"It claims to have more than {LIMITS.max_megapixels:g} megapixels, which is too much for this app.",
    "too_many_bytes": f"It is larger than {LIMITS.max_megabytes:g} MB, which is too much for this app.",
    "truncated": "It ends too early. It was probably not copied whole.",
    "broken": "It is damaged and cannot be shown.",
    "empty": "It is empty.",
    "out_of_memory": "There is not enough memory to open it now.",
}
"""By the reason of UnreadablePhoto: what a visitor is told. Other reasons have a message of their own to tell."""


class Upload(Protocol):
    """A file that somebody sent: Streamlit's UploadedFile."""

    @property
    def name(self) -> str: ...

    def getvalue(self) -> bytes: ...


@dataclass(frozen=True)
class Answered:
    """A rated photo: its name, the rating, the photo as the model saw it, a reduced JPEG to show, and the digest of what
    came. No more is kept.
    """

    name: str
    rating: Rating
    pixels: np.ndarray
    picture: bytes
    photo_id: str


@dataclass(frozen=True)
class Refused:
    """A file that cannot be rated, and why in kind words."""

    name: str
    message: str


def shown_name(name: str) -> str:
    """Return the last part of a file's name, printable and short: it is a stranger's text."""
    last = PureWindowsPath(PurePosixPath(name.replace("\0", "")).name).name
    printable = "".join(letter if letter.isprintable() else "?" for letter in last).strip(" .") or "a photo"
    return printable if len(printable) <= _NAME_LETTERS else f"{printable[: _NAME_LETTERS - 1]}…"


def answer(
    scorer: Scorer, uploads: Sequence[Upload], model: str, keep: Path | None = None
) -> Iterator[Answered | Refused]:
    """Yield what is said of each of `uploads`, in their order. `model` names the model in each rating.

    `keep`: a folder that gets the photos as they came; without it nothing is written anywhere.
    """
    for start in range(0, len(uploads), _BATCH):
        with one_by_one:
            ready = [_ready(upload, scorer, keep) for upload in uploads[start : start + _BATCH]]
            good = [item for item in ready if not isinstance(item, Refused)]
            ratings = rate_pixels(scorer, [item[1] for item in good], [item[0] for item in good], model)
        rated = iter(zip(good, ratings, strict=True))
        for item in ready:
            if isinstance(item, Refused):
                yield item
            else:
                (name, pixels, picture, digest), rating = next(rated)
                yield Answered(name, rating, pixels, picture, digest)


def again(scorer: Scorer, answered: Answered, model: str) -> Answered:
    """Return the answer of another model on the same photo, from the reduced one."""
    _, pixels = look_at(answered.picture, scorer.info)
    (rating,) = rate_pixels(scorer, [pixels], [answered.name], model)
    return replace(answered, rating=rating, pixels=pixels)


def _ready(upload: Upload, scorer: Scorer, keep: Path | None) -> tuple[str, np.ndarray, bytes, str] | Refused:
    picture = opened(upload, keep)
    if isinstance(picture, Refused):
        return picture
    data = upload.getvalue()
    _, pixels = look_at(data, scorer.info)
    return shown_name(upload.name), pixels, picture, photo_id(data)


def opened(upload: Upload, keep: Path | None = None) -> bytes | Refused:
    """Return an uploaded photo as a reduced JPEG, kept as it came in the folder `keep` where there is one; or why not."""
    name = shown_name(upload.name)
    try:
        data = upload.getvalue()
        image, _ = open_photo(data, LIMITS, max_side=SHOWN_SIDE)
        if keep is not None:
            kept(keep, data, upload.name)
    except UnreadablePhoto as error:
        return Refused(name, _KIND_WORDS.get(error.reason, error.message))
    except OSError as error:
        return Refused(name, f"It could not be kept, as this app was told to: {error.strerror}. Try again later.")
    return reduced(image)


def kept(folder: Path, data: bytes, name: str) -> Path:
    """Write the photo `data` into `folder` under its digest, which no name can lead astray; return the file."""
    suffix = Path(shown_name(name)).suffix.lower()
    place = folder / f"{photo_id(data)}{suffix if suffix in SUFFIXES else '.bin'}"
    if not place.exists():
        files.write_bytes(place, data)
    return place


def reduced(image: Image.Image) -> bytes:
    """Return `image` as a JPEG without anything that was written in the original beside its pixels."""
    encoded = io.BytesIO()
    bare = image.copy()
    bare.info = {}
    bare.save(encoded, "JPEG", quality=LIMITS.jpeg_quality)
    return encoded.getvalue()

"""Photos to rate on the page *Taste*: of a folder on this machine, or uploaded ones, which stay in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from photoqual.app.limits import LIMITS
from photoqual.app.uploads import SHOWN_SIDE, Refused, Upload, one_by_one, opened, reduced
from photoqual.errors import DataError, UnreadablePhoto
from photoqual.photos.decode import open_photo
from photoqual.rating.found import find_photos

_LOOKED_AT = 20_000
"""Of a larger folder only the first so many photos, in the order of their names, are chosen from."""


@dataclass(frozen=True)
class Photo:
    """A photo to rate: its file, or the reduced JPEG of an upload."""

    content: Path | bytes

    @property
    def picture(self) -> bytes:
        """Return a reduced JPEG to show. Raise UnreadablePhoto."""
        if isinstance(self.content, bytes):
            return self.content
        try:
            data = self.content.read_bytes()
        except OSError as error:
            raise UnreadablePhoto("unreadable_file", f"It cannot be read: {error.strerror}.") from None
        return reduced(open_photo(data, LIMITS, max_side=SHOWN_SIDE)[0])


def from_folder(folder: Path) -> list[Photo]:
    """Return the photos of `folder`. Raise DataError when there is none."""
    if not folder.is_dir():
        raise DataError("There is no such folder.", next_step="Name a folder on the machine where this app runs.")
    found = [Photo(photo) for photo in islice(find_photos([folder]), _LOOKED_AT) if isinstance(photo, Path)]
    if not found:
        raise DataError("There is no photo in that folder.", next_step="Name another one.")
    return found


def few_of(photos: Sequence[Photo], most: int) -> list[Photo]:
    """Return at most so many of `photos`, evenly over their order."""
    if len(photos) <= most:
        return list(photos)
    return [photos[index * len(photos) // most] for index in range(most)]


def from_uploads(uploads: Sequence[Upload], keep: Path | None) -> tuple[list[Photo], list[str]]:
    """Return `uploads` as photos to rate, and what to say of those that are none."""
    photos, notes = [], []
    for upload in uploads:
        with one_by_one:
            picture = opened(upload, keep)
        if isinstance(picture, Refused):
            notes.append(f"{picture.name}: {picture.message}")
        else:
            photos.append(Photo(picture))
    return photos, notes

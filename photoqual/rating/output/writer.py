"""What every format of output has to be able to do, and what one that can be gone on with tells of its file."""

from typing import NamedTuple, Protocol

from photoqual.rating.rater import Rating


class Writer(Protocol):
    """Writes ratings as text to a stream that it was made with; what it wrote is taken from there after each call."""

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        """Write one rating; `extra` is what the format's `look` made of the photo."""

    def close(self) -> None:
        """Write what comes after the last rating."""


class Record(NamedTuple):
    """A whole record of a file: where it ends in bytes, whose rating it is, and by which model. A heading has neither."""

    end: int
    photo: str | None
    model: str | None

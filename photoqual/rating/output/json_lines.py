"""One JSON object a line: a file that can be read while it is written, and gone on with after any kill."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import BinaryIO, TextIO

from photoqual.rating.output.writer import Record
from photoqual.rating.rater import Rating

_LONGEST = 1 << 24
"""Bytes of a line that are read at most."""


class JsonLines:
    """Writes an object per rating, its fields in the order of Rating."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        self._stream.write(json.dumps(asdict(rating), ensure_ascii=False) + "\n")

    def close(self) -> None:
        pass


def records(file: BinaryIO) -> Iterator[Record]:
    """Yield the whole records from the start of `file`; a torn last line is none. Raise ValueError where a line before
    the last is none either.
    """
    end, torn = 0, False
    while line := file.readline(_LONGEST):
        if torn:
            raise ValueError(f"what begins at byte {end} is no rating")
        try:
            values = json.loads(line)
            found = Record(end + len(line), str(values["photo"]), str(values["model"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            torn = True
            continue
        torn = not line.endswith(b"\n")
        if not torn:
            end = found.end
            yield found

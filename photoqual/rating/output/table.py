"""A table for people, best photo first."""

import heapq
import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, TextIO

from rich.console import Console
from rich.table import Table

from photoqual.rating.found import S3
from photoqual.rating.rater import Rating
from photoqual.terminal import plain

_SHOWN = 10_000
"""Photos that the table has room for: the best."""


class _Row(NamedTuple):
    """What the table shows of a photo. Of equal scores the earlier photo counts as better: `order` falls."""

    score: float
    order: int
    stars: int
    label: str
    sure: bool
    photo: str
    why: str


class RatingTable:
    """Keeps what the table will show, and writes it at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows: list[_Row] = []
        self._count = 0

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        self._count += 1
        why = rating.reasons[0] if rating.reasons else ""
        row = _Row(rating.score, -self._count, rating.stars, rating.label, rating.sure, rating.photo, why)
        if len(self._rows) < _SHOWN:
            heapq.heappush(self._rows, row)
        else:
            heapq.heappushpop(self._rows, row)

    def close(self) -> None:
        self._stream.write(_text(sorted(self._rows, reverse=True)))
        if more := self._count - len(self._rows):
            self._stream.write(f"and {more:,} more with lower scores; the other formats have all of them\n")


def as_table(ratings: Iterable[Rating]) -> str:
    """Return a table, best photo first; the folder that all photos share is named once, above it."""
    stream = io.StringIO()
    table = RatingTable(stream)
    for rating in ratings:
        table.write(rating)
    table.close()
    return stream.getvalue()


def _text(rows: list[_Row]) -> str:
    folder = _shared_folder([row.photo for row in rows])
    table = Table(box=None, pad_edge=False, title=f"In {plain(folder)}" if folder else None, title_justify="left")
    for name in ("stars", "score", "label", "sure", "photo", "first reason"):
        table.add_column(
            name,
            justify="right" if name == "score" else "left",
            overflow="fold" if name == "photo" else "ellipsis",
            no_wrap=name != "photo",
        )
    for row in rows:
        table.add_row(
            "★" * row.stars + "☆" * (5 - row.stars),
            f"{row.score:.3f}",
            row.label,
            "yes" if row.sure else "no",
            plain(os.path.relpath(row.photo, folder) if folder else row.photo),
            plain(row.why),
        )
    console = Console(
        file=io.StringIO(),
        width=Console().width if sys.stdout.isatty() else 160,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _shared_folder(photos: list[str]) -> str:
    if any(photo.startswith(S3) for photo in photos):
        return ""
    try:
        return os.path.commonpath([Path(photo).parent for photo in photos])
    except ValueError:  # no photo, or absolute and relative paths together
        return ""

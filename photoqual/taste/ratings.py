"""Read one person's ratings: a table with a row per photo, or a folder with `good` and `bad` in it."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from photoqual.errors import DataError, MissingData
from photoqual.photos.decode import SUFFIXES

GOOD, BAD = "good", "bad"
_PHOTO, _STARS, _GROUP = "photo", "stars", "group"
_SEPARATORS = ",;\t"
_FORM = "Columns: photo (path, relative to the table) and stars (1 to 5) or good (0 or 1); group is optional."


@dataclass(frozen=True)
class Rated:
    """A photo with its target, −1 (one star, or bad) to 1 (five stars, or good), and its group where one is named."""

    path: Path
    target: float
    group: str | None = None


@dataclass(frozen=True)
class Skipped:
    """A rating that is not used, with the reason."""

    photo: str
    reason: str
    message: str


def read_ratings(path: Path) -> list[Rated | Skipped]:
    """Return the ratings at `path` in their order. Raise MissingData when there is none, DataError for another form."""
    if path.is_dir():
        return list(_folder(path))
    if not path.is_file():
        raise MissingData(
            f"{path} does not exist.", next_step="Name a CSV file, or a folder with good/ and bad/ in it."
        )
    return list(_table(path))


def _folder(top: Path) -> Iterator[Rated | Skipped]:
    missing = [name for name in (GOOD, BAD) if not (top / name).is_dir()]
    if missing:
        raise DataError(
            f"{top} has no folder {' and no folder '.join(missing)}.",
            next_step="Sort your photos into the folders good and bad in it, or name a CSV file.",
        )
    for name, target in ((GOOD, 1.0), (BAD, -1.0)):
        for path in sorted((top / name).rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield Rated(path, target)
            elif not path.is_dir():
                yield Skipped(str(path), "not_an_image_file", "Its name does not end like that of a photo we decode.")


def _table(path: Path) -> Iterator[Rated | Skipped]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as UTF-8 text: {error}.", next_step="Save it as CSV in UTF-8."
        ) from None
    header = next(iter(text.splitlines()), "")
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=header.count), strict=True)
    try:
        names = [name.strip().lower() for name in rows.fieldnames or []]
        rows.fieldnames = names
        column = next((name for name in (_STARS, GOOD) if name in names), None)
        if _PHOTO not in names or column is None:
            raise DataError(f"{path} has the columns {', '.join(names) or '(none)'}.", next_step=_FORM)
        for row in rows:
            yield _rated(path, rows.line_num, {name: (row[name] or "").strip() for name in names}, column)
    except csv.Error as error:
        raise DataError(
            f"{path} is not valid CSV after line {rows.line_num}: {error}.",
            next_step="Mend the line that follows; a quote that is never closed reaches to the end of the file.",
        ) from None


def _rated(table: Path, line: int, row: dict[str, str], column: str) -> Rated | Skipped:
    if not row[_PHOTO]:
        raise DataError(f"{table}, line {line}, names no photo.", next_step=_FORM)
    named = Path(row[_PHOTO])
    photo = table.parent / (named.expanduser() if row[_PHOTO].startswith("~/") else named)
    value = row[column]
    if value == "" or (column == _STARS and value in {"0", "0.0"}):
        return Skipped(str(photo), "unrated", "It has no rating.")
    try:
        target = star_target(float(value)) if column == _STARS else {0.0: -1.0, 1.0: 1.0}[float(value)]
    except (ValueError, KeyError):
        raise DataError(f"{table}, line {line}: {column} is {value!r}.", next_step=_FORM) from None
    return Rated(photo, target, row.get(_GROUP) or None)


def star_target(stars: float) -> float:
    """Return the target of 1 to 5 `stars`; −1 star, which programs write for a rejected photo, is as one star.
    Raise ValueError for others.
    """
    if stars != -1 and not 1 <= stars <= 5:
        raise ValueError(f"stars: expected 1 to 5, received {stars}")
    return (max(stars, 1.0) - 3) / 2

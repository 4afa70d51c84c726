"""CSV with a header: a column for each defect and each measure that the model knows."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from photoqual.errors import DataError
from photoqual.rating.output.writer import Record
from photoqual.rating.rater import Rating

_BEFORE = ("photo", "score", "stars", "sure", "familiar", "label")
_LONGEST = 1 << 24


class CsvRows:
    """Writes a row per rating; the first one tells the columns, unless `columns` of an earlier run do. Reasons and
    strengths are joined by `; `.
    """

    def __init__(self, stream: TextIO, columns: list[str] | None = None) -> None:
        self._writer = csv.writer(stream, lineterminator="\n")
        self._columns = columns

    @classmethod
    def again(cls, stream: TextIO, file: Path) -> "CsvRows":
        """Return a writer whose rows go on in `file`."""
        with file.open(encoding="utf-8", errors="replace", newline="") as begun:
            return cls(stream, next(csv.reader(begun), None))

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        """Raise DataError when the rating has other columns than an earlier run."""
        row = _row(rating)
        if self._columns is None:
            self._columns = list(row)
            self._writer.writerow(row)
        if not row.keys() <= set(self._columns):
            other = next(name for name in row if name not in self._columns)
            raise DataError(
                f"The ratings have a column {other}, which the file of the earlier run has not.",
                next_step="The model is another one now; name another file with --out.",
            )
        self._writer.writerow([row.get(name) for name in self._columns])

    def close(self) -> None:
        pass


def _row(rating: Rating) -> dict[str, object]:
    return {
        **{name: getattr(rating, name) for name in _BEFORE},
        **{f"defect_{name}": value for name, value in rating.defects.items()},
        "reasons": "; ".join(rating.reasons),
        "strengths": "; ".join(rating.strengths),
        **{f"measure_{name}": value for name, value in rating.measures.items()},
        "model": rating.model,
    }


def records(file: BinaryIO) -> Iterator[Record]:
    """Yield the header and the whole rows from the start of `file`; a torn last row is none. Raise ValueError where the
    header is of something else, or a row before the last is broken.
    """
    read, ended = 0, True

    def lines() -> Iterator[str]:
        nonlocal read, ended
        while line := file.readline(_LONGEST):
            read += len(line)
            ended = line.endswith(b"\n")
            yield line.decode(errors="replace")

    rows = csv.reader(lines(), strict=True)
    header: list[str] = []
    try:
        for row in rows:
            if not header and ended and not {"photo", "model"} <= set(row):
                raise ValueError("its first line does not name the columns photo and model")
            if not ended or (header and len(row) != len(header)):
                break
            values = dict(zip(header, row, strict=True)) if header else {}
            header = header or row
            yield Record(read, values.get("photo"), values.get("model"))
    except csv.Error as error:
        broken = str(error)
    else:
        broken = "a row has too few or too many values"
    if file.read(1):
        raise ValueError(f"{broken}, before byte {read}")

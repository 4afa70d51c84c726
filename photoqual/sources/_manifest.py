"""The manifest of a bucket: a table of what people think of its photos, however many rows it has.

Rows are read one by one into a database in a temporary file, so memory does not grow with them. CSV (comma, semicolon
or tab), JSON lines or Parquet; columns key, label, mean, count, group, category, as far as there are any.
"""

import csv
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

from photoqual.errors import SourceError
from photoqual.sources._tables import shown
from photoqual.sources.records import Skipped

COLUMNS = ("key", "label", "mean", "count", "group", "category")
_KINDS = {".csv": "csv", ".tsv": "csv", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".parquet": "parquet"}
_MAX_LINE = 1 << 20
_MAX_VOTES = 2**62
_BATCH = 1000
_TABLE = 'CREATE TABLE rows (key TEXT PRIMARY KEY, label, mean, count, "group", category, problem, seen) WITHOUT ROWID'


@dataclass(frozen=True)
class Row:
    """What the manifest says of one key; with `problem`, the reason why it cannot be used."""

    key: str
    label: str | None = None
    mean: float | None = None
    count: int | None = None
    group: str | None = None
    category: str | None = None
    problem: str | None = None


class Manifest:
    """The rows of a manifest by key, and which of them were asked for."""

    def __init__(self, folder: Path, name: str, scale: tuple[float, float]) -> None:
        self.name, self.scale = name, scale
        self.columns: list[str] = []
        self._base = sqlite3.connect(folder / "manifest.sqlite", isolation_level=None)
        self._base.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLE};")
        self._asked: list[tuple[str]] = []

    def read(self, file: Path) -> Iterator[Skipped]:
        """Take in all rows of `file`; yield those without a name, and all but the first of a key.

        Raise SourceError when the file is none of the three kinds, is damaged, or lacks the columns.
        """
        kind = _KINDS.get(Path(self.name).suffix.lower())
        if kind is None:
            raise SourceError(
                f"The manifest {shown(self.name)} is no kind of table that is known by its ending.",
                next_step="Name it .csv, .tsv, .jsonl or .parquet after what it is.",
            )
        rows = {"csv": self._csv, "json": self._json, "parquet": self._parquet}[kind](file)
        self._base.execute("BEGIN")
        for values in rows:
            row = checked(values, self.scale)
            if not row.key:
                yield Skipped("row_without_name", f"{self.name}: {shown(str(values))}")
                continue
            added = self._base.execute(
                "INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                (row.key, row.label, row.mean, row.count, row.group, row.category, row.problem),
            )
            if not added.rowcount:
                yield Skipped("duplicate_row", f"{self.name}: {shown(row.key)}")
        self._base.execute("COMMIT")

    def find(self, key: str) -> Row | None:
        """Return the row of `key` and remember that there is such an object."""
        found = self._base.execute(
            'SELECT key, label, mean, count, "group", category, problem FROM rows WHERE key = ?', (key,)
        ).fetchone()
        if found is None:
            return None
        self._asked.append((key,))
        if len(self._asked) >= _BATCH:
            self._remember()
        return Row(*found)

    def unasked(self) -> Iterator[str]:
        """Yield the keys that were not asked for."""
        self._remember()
        for (key,) in self._base.execute("SELECT key FROM rows WHERE seen = 0 ORDER BY key"):
            yield key

    def close(self) -> None:
        self._base.close()

    def _remember(self) -> None:
        self._base.execute("BEGIN")
        self._base.executemany("UPDATE rows SET seen = 1 WHERE key = ?", self._asked)
        self._base.execute("COMMIT")
        self._asked.clear()

    def _csv(self, file: Path) -> Iterator[dict[str, Any]]:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = self._lines(stream)
            header = next(lines, "")
            delimiter = max(",;\t", key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            self._check(names)
            rows, done = csv.reader(lines, delimiter=delimiter, strict=True), 1
            try:
                for row in rows:
                    done = rows.line_num + 1
                    if row:
                        more = any(value.strip() for value in row[len(names) :])
                        values = dict(zip_longest(names, row[: len(names)], fillvalue=""))
                        yield {**values, "problem": "too_many_values" if more else None}
            except csv.Error as error:
                raise SourceError(
                    f"The manifest {self.name} is not valid CSV after line {done}: {error}.",
                    next_step="Mend the line that follows; a quote that is never closed reaches to the end of the file.",
                ) from None

    def _json(self, file: Path) -> Iterator[dict[str, Any]]:
        with file.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(self._lines(stream), start=1):
                if not line.strip():
                    continue
                try:
                    values = dict(json.loads(line).items())
                except (ValueError, AttributeError, RecursionError):
                    raise SourceError(
                        f"Line {number} of the manifest {self.name} is not a JSON object.",
                        next_step='Write one object a line, such as {"key": "2024/1.jpg", "mean": 4.5, "count": 12}.',
                    ) from None
                if not self.columns:
                    self._check(list(values))
                yield {name: value for name, value in values.items() if name in COLUMNS}

    def _parquet(self, file: Path) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(file) as table:
                self._check(table.schema_arrow.names)
                for batch in table.iter_batches(batch_size=10_000, columns=self.columns):
                    yield from batch.to_pylist()
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            raise SourceError(
                f"The manifest {self.name} cannot be read as Parquet: {shown(str(error))}.",
                next_step="Write it again; the ending of its name has to say what it is.",
            ) from None

    def _lines(self, stream: IO[str]) -> Iterator[str]:
        """Yield the lines of a text, none of them longer than is sensible."""
        try:
            while line := stream.readline(_MAX_LINE):
                if len(line) == _MAX_LINE:
                    raise SourceError(
                        f"The manifest {self.name} has a line of more than {_MAX_LINE} characters.",
                        next_step="Write one row a line.",
                    )
                yield line
        except UnicodeDecodeError as error:
            raise SourceError(
                f"The manifest {self.name} cannot be read as UTF-8 text: {error}.", next_step="Save it in UTF-8."
            ) from None

    def _check(self, names: Iterable[str]) -> None:
        """Raise SourceError unless `names` hold a key and something to know of it, each once."""
        present = list(names)
        self.columns = [name for name in COLUMNS if name in present]
        twice = sorted({name for name in self.columns if present.count(name) > 1})
        if "key" not in present or len(self.columns) < 2:
            missing = "'key'" if "key" not in present else "'label', 'mean', 'group' or 'category'"
            raise SourceError(
                f"The manifest {self.name} has no column {missing}; it has {shown(', '.join(present)) or 'none'}.",
                next_step="Name its columns key (the whole key of the object), and label, or mean and count.",
            )
        if twice:
            raise SourceError(
                f"The manifest {self.name} has column {', '.join(twice)} more than once.",
                next_step="Give its columns names of their own.",
            )


def checked(values: dict[str, Any], scale: tuple[float, float]) -> Row:
    """Return a row of the manifest, or why it cannot be used. A mean where nothing is said of `count` is one vote."""
    key, label, group, category = (_text(values.get(name)) for name in ("key", "label", "group", "category"))
    judged = _text(values.get("mean")) is not None
    mean = _number(values.get("mean")) if judged else None
    count = _number(values.get("count", 1)) if judged else None
    problem = values.get("problem") or (_problem(mean, count, scale) if judged else None)
    if any(isinstance(values.get(name), list | dict) for name in COLUMNS):
        problem = "not_a_value"
    if problem:
        return Row(key or "", problem=str(problem))
    return Row(key or "", label, mean, None if count is None else int(count), group, category)


def _problem(mean: float | None, count: float | None, scale: tuple[float, float]) -> str | None:
    if mean is None or count is None or count != int(count) or count > _MAX_VOTES:
        return "not_a_number"
    if not scale[0] <= mean <= scale[1]:
        return "vote_outside_scale"
    return "no_votes" if count < 1 else None


def _text(value: Any) -> str | None:
    """Return `value` as trimmed text that can be stored, None where there is nothing."""
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
    return text.encode(errors="replace").decode() or None


def _number(value: Any) -> float | None:
    """Return `value` as a finite number; a comma may stand for the decimal point."""
    if isinstance(value, bool):
        return None
    try:
        number = float(str(value).strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None

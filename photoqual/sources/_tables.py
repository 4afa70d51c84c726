"""Tables of a person's making: CSV of every spelling and Parquet, as columns of text or numbers."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual.errors import SourceError
from photoqual.sources._files import located
from photoqual.sources.records import Skipped

_PARQUET = b"PAR1"
_SHOWN = 200


@dataclass(frozen=True)
class Table:
    """The named columns of a table, one frame column an option of the source, and the rows that were passed over."""

    frame: pd.DataFrame
    skipped: list[Skipped]


def read(path: str, root: Path, columns: Mapping[str, str | None]) -> Table:
    """Return the columns of the table `path`: CSV (comma, semicolon or tab; UTF-8 with or without a mark) or Parquet.

    `columns` maps an option of the source to the column that it names; None: not used. Raise SourceError that names
    what is missing and what there is.
    """
    file = located(path, root)
    wanted = {option: column for option, column in columns.items() if column is not None}
    data = _bytes(file)
    if data.startswith(_PARQUET):
        return Table(_parquet(data, file, wanted), [])
    return _csv(_text(data, file), file, wanted)


def lines(path: str, root: Path) -> list[list[str]]:
    """Return the words of each line of the text file `path` that has any. Raise SourceError."""
    file = located(path, root)
    return [words for line in _text(_bytes(file), file).split("\n") if (words := line.split())]


def numbers(column: pd.Series) -> np.ndarray:
    """Return `column` as float64; NaN for what is no finite number. A comma may stand for the decimal point."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = column.astype(str)
        text = text.str.replace(",", ".", regex=False) if text.str.contains(",", regex=False).any() else text
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def texts(column: pd.Series) -> list[str]:
    """Return `column` as trimmed text; "" where there is nothing."""
    values = column.astype(object)
    return [str(value).strip() for value in values.where(column.notna(), "")]


def shown(text: str) -> str:
    """Return `text` as a log may show it: no control characters, never long."""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:_SHOWN])
    return plain + "…" if len(text) > _SHOWN else plain


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise SourceError(
            f"{file} does not exist.", next_step="Correct the path of the table in params.yaml.", path=str(file)
        ) from None
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{file} cannot be read: {error}.",
            next_step="Correct the path of the table, or its rights.",
            path=str(file),
        ) from None


def _text(data: bytes, file: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file} cannot be read as UTF-8 text: {error}.", next_step="Save it as CSV in UTF-8.", path=str(file)
        ) from None


def _csv(text: str, file: Path, wanted: dict[str, str]) -> Table:
    header = next(iter(text.splitlines()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    rows: list[list[str]] = []
    line = 0
    try:
        for row in reader:
            line = reader.line_num
            if row:
                rows.append(row)
    except csv.Error as error:
        raise SourceError(
            f"{file} is not valid CSV after line {line}: {error}.",
            next_step="Mend the line that follows; a quote that is never closed reaches to the end of the file.",
            path=str(file),
        ) from None
    present = [name.strip() for name in rows[0]] if rows else []
    _check(present, wanted, file)
    width = len(present)
    long = [row for row in rows[1:] if len(row) > width and any(row[width:])]
    kept = [row for row in rows[1:] if len(row) <= width or not any(row[width:])] if long else rows[1:]
    frame = {
        option: pd.Series([row[place].strip() if place < len(row) else "" for row in kept], dtype=object)
        for option, place in ((option, present.index(column)) for option, column in wanted.items())
    }
    return Table(
        pd.DataFrame(frame), [Skipped("too_many_values", f"{file.name}: {shown(','.join(row))}") for row in long]
    )


def _parquet(data: bytes, file: Path, wanted: dict[str, str]) -> pd.DataFrame:
    try:
        opened = pq.ParquetFile(pa.BufferReader(data))
        _check(opened.schema_arrow.names, wanted, file)
        table = opened.read(columns=sorted(set(wanted.values())))
        columns: dict[str, Any] = {
            option: table.column(column).to_pandas(types_mapper=pd.ArrowDtype) for option, column in wanted.items()
        }
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise SourceError(
            f"{file} cannot be read as Parquet: {error}.", next_step="Write the table again.", path=str(file)
        ) from None
    return pd.DataFrame(columns)


def _check(present: list[str], wanted: dict[str, str], file: Path) -> None:
    """Raise SourceError unless `present` holds each wanted column once."""
    missing = {option: column for option, column in wanted.items() if column not in present}
    if missing:
        raise SourceError(
            f"{file} has no column {', '.join(repr(column) for column in missing.values())}; "
            f"it has {shown(', '.join(present)) or 'none'}.",
            next_step=f"Set {', '.join(f'`{option}`' for option in missing)} of the source in params.yaml to the right column.",
            path=str(file),
        )
    twice = sorted({column for column in wanted.values() if present.count(column) > 1})
    if twice:
        raise SourceError(
            f"{file} has column {', '.join(map(repr, twice))} more than once.",
            next_step="Give its columns names of their own.",
            path=str(file),
        )

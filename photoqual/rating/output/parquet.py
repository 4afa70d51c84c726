"""Parquet: a file without its end cannot be read, so ratings are kept as JSON lines until the last one is there."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from photoqual.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 2000
"""Rows of a group: what is held in memory."""
_NESTED = {"defects": "defect_", "measures": "measure_"}


def from_lines(lines: Path, target: Path) -> None:
    """Write the ratings in `lines`, whole JSON lines, to `target` as Parquet, a column for each defect and measure."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    named: dict[str, dict[str, None]] = {"defects": {}, "measures": {}}
    for values in _values(lines):
        for nested, names in named.items():
            names.update(dict.fromkeys(values[nested]))
    schema = _schema(pa, list(named["defects"]), list(named["measures"]))
    rows = (_flat(values) for values in _values(lines))
    with pq.ParquetWriter(target, schema, compression="zstd") as file:
        while group := list(islice(rows, _ROWS)):
            file.write_table(pa.Table.from_pylist(group, schema=schema))


def to_lines(file: Path, target: BinaryIO) -> None:
    """Write the ratings in the Parquet `file` to `target` as JSON lines. Raise DataError when they are none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(file)
        for batch in opened.iter_batches(_ROWS):
            for row in batch.to_pylist():
                target.write((json.dumps(_nested(row), ensure_ascii=False) + "\n").encode())
    except (pa.ArrowException, KeyError) as error:
        raise DataError(
            f"{file} is not a Parquet file of ratings: {error}.",
            next_step="Name another file with --out, or leave out --resume.",
        ) from None


def _schema(pa: Any, defects: list[str], measures: list[str]) -> "pa.Schema":
    texts = pa.list_(pa.string())
    return pa.schema(
        [
            pa.field("photo", pa.string(), nullable=False),
            pa.field("score", pa.float64(), nullable=False),
            pa.field("stars", pa.int64(), nullable=False),
            pa.field("sure", pa.bool_(), nullable=False),
            ("familiar", pa.bool_()),
            ("label", pa.string()),
            *((f"{_NESTED['defects']}{name}", pa.float64()) for name in defects),
            ("reasons", texts),
            ("strengths", texts),
            *((f"{_NESTED['measures']}{name}", pa.float64()) for name in measures),
            ("model", pa.string()),
        ]
    )


def _values(lines: Path) -> Iterator[dict[str, Any]]:
    with lines.open("rb") as file:
        yield from map(json.loads, file)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in values.items() if name not in _NESTED}
    return plain | {
        f"{prefix}{name}": value for nested, prefix in _NESTED.items() for name, value in values[nested].items()
    }


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the fields of a Rating, in their order."""

    def inner(prefix: str) -> dict[str, float]:
        return {
            key.removeprefix(prefix): value
            for key, value in row.items()
            if key.startswith(prefix) and value is not None
        }

    first = ("photo", "score", "stars", "sure", "familiar", "label")
    return {
        **{name: row[name] for name in first},
        "defects": inner(_NESTED["defects"]),
        "reasons": row["reasons"],
        "strengths": row["strengths"],
        "measures": inner(_NESTED["measures"]),
        "model": row["model"],
    }

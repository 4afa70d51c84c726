"""A sorted table as a folder of parts, so that a version that differs little shares most of its files with the last.

Where a part ends is told by the keys alone (content-defined chunking): a row that is added, changed or taken away makes
one part anew and leaves the others as they are, byte for byte. A part is named by the SHA-256 of its bytes and never
changes; the list of parts, which is replaced at once, says which ones are the table. Killed anywhere, the folder holds
the old table or the new one, and at most parts that no list names.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files

LIST = "_parts.json"
"""The list of parts. Readers of Parquet folders pass over names that begin with `_`."""
MEAN_ROWS, MOST_ROWS = 1 << 13, 1 << 15
"""Rows of a part: on the average, and at most."""
_NAME = re.compile(r"[0-9a-f]{64}\.parquet")


def spans(digests: np.ndarray) -> list[tuple[int, int]]:
    """Return where each part of a table begins and ends whose rows have the key `digests`, (n,) S16: a part ends after
    one in MEAN_ROWS of them, by chance alike for equal keys, and after MOST_ROWS in any case.
    """
    if not len(digests):
        return []
    chance = digests.view(np.uint8).reshape(len(digests), -1)[:, :8].copy().view("<u8").ravel()
    found, start = [], 0
    for end in [*(np.flatnonzero(chance % MEAN_ROWS == 0) + 1).tolist(), len(digests)]:
        while end > start:
            stop = min(end, start + MOST_ROWS)
            found.append((start, stop))
            start = stop
    return found


def write(folder: Path, tables: Iterator[pa.Table], schema: pa.Schema, options: Mapping[str, Any]) -> None:
    """Make `folder` hold `tables` of `schema`, a part each, written with `options` of Parquet; what it held before goes."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for table in tables:
        buffer = io.BytesIO()
        with pq.ParquetWriter(buffer, schema, **options) as writer:
            writer.write_table(table.combine_chunks(), row_group_size=MOST_ROWS)
        name = f"{hashlib.sha256(buffer.getbuffer()).hexdigest()}.parquet"
        if not (folder / name).is_file():
            files.write_bytes(folder / name, buffer.getvalue())
        names.append(name)
    files.write_json(folder / LIST, {"parts": names})
    remove_orphans(folder)


def listed(folder: Path) -> list[Path]:
    """Return the parts of the table in order. Raise FileNotFoundError where there is no table, ValueError for a list
    that is not ours.
    """
    names = json.loads((folder / LIST).read_text(encoding="utf-8"))["parts"]
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise ValueError(f"{folder / LIST} names no parts")
    return [folder / name for name in names]


def read(paths: Sequence[Path], columns: Sequence[str] | None = None) -> pa.Table | None:
    """Return the table of the parts `paths`, or only those `columns` of it that it has; None where there is no part."""
    tables = []
    for path in paths:
        names = pq.read_schema(path).names
        wanted = None if columns is None else [name for name in dict.fromkeys(columns) if name in names]
        tables.append(pq.read_table(path, columns=wanted))
    return pa.concat_tables(tables, promote_options="default") if tables else None


def digest(folder: Path) -> bytes:
    """Return what tells the table in `folder` from others: the SHA-256 of its list, in hex; nothing where there is none."""
    try:
        return hashlib.sha256((folder / LIST).read_bytes()).hexdigest().encode()
    except FileNotFoundError:
        return b""


def remove_orphans(folder: Path) -> None:
    """Remove what no list names, and files half written."""
    named = {path.name for path in listed(folder)} | {LIST}
    for path in folder.iterdir():
        if path.name not in named:
            path.unlink()

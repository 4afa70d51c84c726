"""Files appear whole or not at all: write under a temporary name, flush to disk, rename."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from photoqual.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, delete it otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with sorted keys, so that equal values are equal bytes."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())


def read_table(path: Path) -> "pa.Table":
    """Return the Parquet file `path`, which a stage made. Raise DataError when it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path} cannot be read: {error}.",
            next_step=f"Restore it with `dvc checkout {path}`, or make it again with `dvc repro`.",
        ) from None


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path, parse: Callable[[Any], T], damaged: Callable[[int, str], DataError]) -> list[T]:
    """Return what `parse` makes of each line of `path`, which is JSON; nothing where there is no file.

    Raise `damaged(number, why)` for the first line that is no JSON or that `parse` refuses with a ValueError, TypeError,
    KeyError or DataError; number 0 stands for the file as a whole.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(0, str(error)) from None
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(parse(json.loads(line)))
            except (ValueError, TypeError, KeyError, DataError) as error:
                raise damaged(number, str(error)) from None
    return found

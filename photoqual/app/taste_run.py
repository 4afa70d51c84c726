"""Learn a taste in a process of its own: `photoqual taste`, which loads TensorFlow and gives its memory back.

Ratings and uploaded photos are handed over in memory, as files without a name (Linux: memfd), so that nothing of them
is written to disk.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photoqual.errors import DataError

OUTCOME_FILE = "PHOTOQUAL_OUTCOME_FILE"
"""Where a command leaves its result or its error as JSON (settings.py)."""
_MINUTES = 20
_LEARNING = threading.Semaphore(1)
Rated = tuple[Path | bytes, int]
"""A photo, as a file or its bytes, with its stars."""


def learn(rated: Sequence[Rated], *, profile: str, model: str, dry_run: bool) -> dict[str, Any]:
    """Return what `taste.learn.learn_taste` finds in `rated`; one at a time learns. Raise DataError with the message of
    what went wrong.
    """
    with (
        _LEARNING,
        _handed_over(rated) as (table, inherited),
        tempfile.TemporaryDirectory(prefix="photoqual-app-") as scratch,
    ):
        outcome = Path(scratch, "outcome.json")
        command = [sys.executable, "-m", "photoqual", "taste", table, "--profile", profile, "--model", model]
        try:
            done = subprocess.run(
                [*command, "--dry-run"] if dry_run else command,
                env={**os.environ, OUTCOME_FILE: str(outcome)},
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=60 * _MINUTES,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DataError(
                f"It had not learned after {_MINUTES} minutes.", next_step="Try it with fewer photos."
            ) from None
        told = json.loads(outcome.read_text(encoding="utf-8")) if outcome.is_file() else {}
    if not told:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DataError(f"It ended without an answer: {''.join(last)[:300]}", next_step="Try it once more.")
    if not told["ok"]:
        raise DataError(told["message"], next_step=told["next_step"])
    return dict(told["result"])


def table_of(rated: Sequence[tuple[str, int]]) -> str:
    """Return photos and stars as the CSV that `photoqual taste` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("photo", "stars"), *rated])
    return text.getvalue()


@contextmanager
def _handed_over(rated: Sequence[Rated]) -> Iterator[tuple[str, list[int]]]:
    """Yield the path of a table of `rated`, and what a process has to inherit to read it."""
    inherited: list[int] = []
    try:
        rows = []
        for photo, stars in rated:
            if isinstance(photo, bytes):
                inherited.append(_in_memory(photo))
            rows.append((_path_of(inherited[-1]) if isinstance(photo, bytes) else str(photo.absolute()), stars))
        inherited.append(_in_memory(table_of(rows).encode()))
        yield _path_of(inherited[-1]), inherited
    finally:
        for descriptor in inherited:
            os.close(descriptor)


def _in_memory(data: bytes) -> int:
    """Return a descriptor of a file in memory that holds `data`."""
    descriptor = os.memfd_create("photoqual")
    with os.fdopen(os.dup(descriptor), "wb") as written:
        written.write(data)
    return descriptor


def _path_of(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"

"""A table in parts: a small change touches few files, and a kill leaves the old table or the new one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from photoqual import files
from photoqual.photos import parts
from photoqual.photos.positions import key_digest

ROWS = 40_000


def table(keys: list[int], votes: dict[int, int] | None = None) -> tuple[pa.Table, np.ndarray]:
    """Return rows with a key each, and the digests of the keys."""
    digests = np.array([key_digest("site", str(key)) for key in keys], dtype="S16")
    return pa.table({"key": keys, "votes": [(votes or {}).get(key, 1) for key in keys]}), digests


def write(folder: Path, keys: list[int], votes: dict[int, int] | None = None) -> set[str]:
    """Write rows as parts; return the names of the files that hold them."""
    rows, digests = table(keys, votes)
    tables = (rows.slice(start, end - start) for start, end in parts.spans(digests))
    parts.write(folder, tables, rows.schema, {"compression": "zstd"})
    return {path.name for path in parts.listed(folder)}


def read(folder: Path) -> list[int]:
    found = parts.read(parts.listed(folder))
    return [] if found is None else list(found["key"].to_pylist())


@pytest.mark.parametrize("rows", [0, 1, 5, ROWS])
def test_what_is_written_is_read_in_order_and_nothing_else_lies_there(tmp_path: Path, rows: int) -> None:
    names = write(tmp_path / "t", list(range(rows)))
    assert read(tmp_path / "t") == list(range(rows))
    assert {path.name for path in (tmp_path / "t").iterdir()} == names | {parts.LIST}


@pytest.mark.parametrize(
    ("keys", "votes", "most_changed"),
    [
        (list(range(ROWS)), {}, 0),
        (list(range(ROWS)), {7: 2}, 1),
        ([key for key in range(ROWS) if key != 20_000], {}, 1),
        (list(range(ROWS + 400)), {}, 2),
        ([-1, *range(ROWS)], {}, 1),
    ],
    ids=["nothing", "a vote", "a row less", "rows at the end", "a row at the beginning"],
)
def test_a_small_change_makes_few_parts_anew(
    tmp_path: Path, keys: list[int], votes: dict[int, int], most_changed: int
) -> None:
    before = write(tmp_path / "t", list(range(ROWS)))
    assert len(before) >= 3
    after = write(tmp_path / "t", keys, votes)
    assert len(after - before) <= most_changed
    assert read(tmp_path / "t") == keys


def test_no_part_is_longer_than_the_bound() -> None:
    same = np.array([b"\x01" * 16] * (2 * parts.MOST_ROWS + 5), dtype="S16")
    assert [end for _, end in parts.spans(same)] == [parts.MOST_ROWS, 2 * parts.MOST_ROWS, len(same)]


def test_interrupted_at_any_write_it_is_the_old_table_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = list(range(ROWS)), list(range(0, 2 * ROWS, 2))
    write_bytes: Callable[[Path, bytes], None] = files.write_bytes
    left = 0

    def breaks(path: Path, data: bytes) -> None:
        nonlocal left
        if left == 0:
            raise OSError(28, "No space left on device")
        left -= 1
        write_bytes(path, data)

    seen = set()
    for instant in range(12):
        monkeypatch.setattr(files, "write_bytes", write_bytes)
        write(tmp_path / "t", old)
        monkeypatch.setattr(files, "write_bytes", breaks)
        left = instant
        try:
            write(tmp_path / "t", new)
        except OSError:
            assert read(tmp_path / "t") == old
            seen.add("old")
        else:
            assert read(tmp_path / "t") == new
            seen.add("new")
        parts.remove_orphans(tmp_path / "t")
        assert {path.name for path in (tmp_path / "t").iterdir()} == {
            parts.LIST,
            *(path.name for path in parts.listed(tmp_path / "t")),
        }
    assert seen == {"old", "new"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"parts": ["../../etc/passwd"]}', '{"parts": [1]}', '{"parts": "a"}']
)
def test_a_list_that_is_not_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / parts.LIST).write_text(text)
    with pytest.raises((ValueError, KeyError, TypeError)):
        parts.listed(tmp_path)


def test_other_readers_of_parquet_folders_see_one_table(tmp_path: Path) -> None:
    import pandas as pd

    write(tmp_path / "t", list(range(ROWS)))
    assert sorted(pd.read_parquet(tmp_path / "t")["key"]) == list(range(ROWS))


def test_the_digest_changes_with_the_table_alone(tmp_path: Path) -> None:
    assert parts.digest(tmp_path / "t") == b""
    write(tmp_path / "t", [1, 2])
    first = parts.digest(tmp_path / "t")
    write(tmp_path / "u", [1, 2])
    assert parts.digest(tmp_path / "u") == first
    write(tmp_path / "t", [1, 2], {1: 9})
    assert parts.digest(tmp_path / "t") != first


def test_a_part_is_equal_in_every_process(tmp_path: Path) -> None:
    names = write(tmp_path / "t", list(range(100)))
    code = (
        "import sys; from pathlib import Path; from tests.data.test_parts import write;"
        "print(*sorted(write(Path(sys.argv[1]), list(range(100)))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "u")], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) == names

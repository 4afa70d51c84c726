"""Programs that move and index while they are killed: `python -m tests.people.moving WHAT FOLDER OTHER STEP`."""

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from photoqual.errors import ConfigError
from photoqual.rating.cull.moves import move, undo
from photoqual.rating.similar.store import State, opened
from tests.people.killing import instants, killed

FILES = {
    "a/one.jpg": b"1" * 50,
    "a/one.xmp": b"x",
    "a/two.jpg": b"2" * 70,
    "b/three.CR2": b"3" * 90,
    "b/empty.xmp": b"",
}
GROUPS = (("a/one.jpg", "a/one.xmp"), ("b/three.CR2", "b/empty.xmp"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files under `folder` by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def check_moves(top: Path, target: Path, step: int) -> int:
    """Kill moves, and the undoing of what they left, at every instant; return how often."""
    count = 0

    def fresh() -> None:
        for folder in (top, target):
            shutil.rmtree(folder, ignore_errors=True)
        for name, data in FILES.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(data)

    def again() -> None:
        assert move([[top / name for name in group] for group in GROUPS], top, target).problems == []

    def back() -> None:
        with suppress(ConfigError):  # nothing was moved yet
            assert undo(target).problems == []

    for _ in instants(fresh, again):
        count += 1
        _nothing_is_lost(top, target)
        back()
        assert contents(top) == FILES
        assert not target.exists() or contents(target) == {}
    for at in instants(fresh, again, step):
        for second in range(0, 100, step):
            fresh()
            killed(again, at)
            if not killed(back, second):
                break
            count += 1
            _nothing_is_lost(top, target)
            back()
            assert contents(top) == FILES, (at, second)
            assert not target.exists() or contents(target) == {}
    for _ in instants(fresh, again):
        count += 1
        left = [[top / name for name in group] for group in GROUPS if (top / group[0]).exists()]
        assert move(left, top, target).problems == []
        kept = {name: data for name, data in FILES.items() if not any(name in group for group in GROUPS)}
        assert contents(top) == kept
        back()
        assert contents(top) == FILES
    return count


def _nothing_is_lost(top: Path, target: Path) -> None:
    for name, data in FILES.items():
        places = [place / name for place in (top, target) if (place / name).is_file()]
        assert any(place.read_bytes() == data for place in places), name


def check_index(folder: Path, _: Path, step: int) -> int:
    """Kill the taking in of vectors at every instant; return how often. Each is in the index at most once, and all are after."""
    vectors = np.eye(8, dtype=np.float32)

    def fresh() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with opened(folder, meaning="m") as store:
            store.put([(State(f"/p{at}", 1, 1), vectors[at]) for at in range(3)])
            store.index(8)

    def work() -> None:
        with opened(folder, meaning="m") as store:
            store.put([(State(f"/p{at}", 2, 2), vectors[at + 1]) for at in (1, 2, 3)])
            store.forget(["/p0"])
            store.index(8)

    count = 0
    for _ in instants(fresh, work, step):
        count += 1
        with opened(folder, meaning="m") as store:
            index = store.index(8)
            assert set(store.paths(index.keys.tolist()).values()) == set(store.states())
            assert len(index) == len(store.states())
        work()
        with opened(folder, meaning="m") as store:
            keys, distances = store.index(8).search(vectors[2:5], 1)
            assert [store.paths(row)[int(row[0])] for row in keys] == ["/p1", "/p2", "/p3"]
            assert np.allclose(distances, 0, atol=1e-3)
            assert len(store.index(8)) == 3
        assert len(list(folder.glob("*.usearch"))) == 1
        assert not list(folder.glob(".*tmp"))
    return count


CHECKS: dict[str, Callable[[Path, Path, int], int]] = {"moves": check_moves, "index": check_index}

if __name__ == "__main__":
    name, first, second, step = sys.argv[1:]
    os.environ["PYTHONWARNINGS"] = "ignore"
    print(CHECKS[name](Path(first), Path(second), int(step)))

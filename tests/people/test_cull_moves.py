"""Files that are moved and brought back: nothing is lost, doubled or overwritten, whatever happens."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from photoqual.errors import ConfigError, DataError
from photoqual.rating.cull import moves
from photoqual.rating.cull.journal import NAME, held
from photoqual.rating.cull.moves import move, undo
from tests.conftest import PROJECT
from tests.long import times
from tests.people.moving import FILES, GROUPS, contents


def checked(what: str, first: Path, second: Path, step: int) -> int:
    """Run a check of moving.py and return how many kills it survived."""
    command = [sys.executable, "-m", "tests.people.moving", what, str(first), str(second), str(step)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout)


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with files, and one to move them to."""
    top = tmp_path / "photos"
    for name, data in FILES.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top, tmp_path / "dropped"


def groups(top: Path) -> list[list[Path]]:
    return [[top / name for name in group] for group in GROUPS]


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is such a place: putting files on disk for sure takes long."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="photoqual-test-", dir=memory))
    yield folder
    shutil.rmtree(folder)


def test_kills_at_every_instant_of_moving_and_undoing_lose_and_double_nothing(quick: Path) -> None:
    assert checked("moves", quick / "photos", quick / "dropped", times(9, 1)) > 55


def test_kills_between_two_file_systems_lose_and_double_nothing(quick: Path, tmp_path: Path) -> None:
    if quick.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    assert checked("moves", tmp_path / "photos", quick / "dropped", times(25, 1)) > 80


def test_files_go_under_the_same_path_and_come_back_with_their_times(places: tuple[Path, Path]) -> None:
    top, target = places
    os.utime(top / "a/one.jpg", (1_000_000_000, 1_000_000_000))
    assert move(groups(top), top, target).files == 4
    assert {name for name in contents(target) if name != NAME} == {name for group in GROUPS for name in group}
    assert list(contents(top)) == ["a/two.jpg"]
    assert undo(target).files == 4
    assert contents(top) == FILES
    assert not target.exists()
    assert (top / "a/one.jpg").stat().st_mtime == 1_000_000_000


def test_a_file_in_the_way_stays_and_its_whole_group_with_it(places: tuple[Path, Path]) -> None:
    top, target = places
    (target / "a").mkdir(parents=True)
    (target / "a/one.xmp").write_text("someone else's")
    outcome = move(groups(top), top, target)
    assert outcome.files == 2
    assert [Path(path).name for path, _ in outcome.problems] == ["one.jpg"]
    assert (target / "a/one.xmp").read_text() == "someone else's"
    assert (top / "a/one.jpg").exists()


def test_undo_never_overwrites_and_can_be_run_again(places: tuple[Path, Path]) -> None:
    top, target = places
    move(groups(top), top, target)
    (top / "a/one.jpg").write_text("a new photo of the same name")
    (top / "b/three.CR2").write_bytes(b"")
    outcome = undo(target)
    assert (outcome.files, len(outcome.problems)) == (2, 2)
    assert (top / "a/one.jpg").read_text() == "a new photo of the same name"
    assert (top / "b/three.CR2").read_bytes() == b""
    (top / "a/one.jpg").unlink()
    (top / "b/three.CR2").unlink()
    assert undo(target).files == 2
    assert contents(top) == FILES


def test_a_file_that_was_deleted_meanwhile_is_told_once(places: tuple[Path, Path]) -> None:
    top, target = places
    move(groups(top), top, target)
    (target / "a/one.xmp").unlink()
    assert [path for path, _ in undo(target).problems] == ["a/one.xmp"]
    with pytest.raises(ConfigError, match="nothing to undo"):
        undo(target)


def test_a_journal_broken_off_anywhere_in_its_last_line_still_undoes(places: tuple[Path, Path]) -> None:
    top, target = places
    move(groups(top)[:1], top, target)
    whole = (target / NAME).read_bytes()
    (target / NAME).write_bytes(whole + b'{"event": "move", "pa')
    assert undo(target).files == 2
    assert contents(top) == FILES


@pytest.mark.parametrize(
    "line",
    [
        {"event": "move", "path": "../../out.jpg", "size": 1, "unit": 1},
        {"event": "move", "path": "/etc/out.jpg", "size": 1, "unit": 1},
        {"event": "move", "path": "a\0b", "size": 1, "unit": 1},
        {"event": "shred", "path": "a", "size": 1, "unit": 1},
        {"path": "a"},
        ["a"],
    ],
)
def test_a_journal_that_is_not_ours_moves_nothing(places: tuple[Path, Path], line: object) -> None:
    top, target = places
    target.mkdir()
    (target / NAME).write_text(json.dumps({"top": str(top)}) + "\n" + json.dumps(line) + "\n")
    with pytest.raises(DataError, match="damaged"):
        undo(target)
    assert contents(top) == FILES


def test_two_processes_do_not_move_at_once_and_folders_are_not_mixed(places: tuple[Path, Path]) -> None:
    top, target = places
    with held(target, top), pytest.raises(ConfigError, match="Another process"):
        move(groups(top), top, target)
    move(groups(top)[:1], top, target)
    with pytest.raises(ConfigError, match="holds photos from"):
        move([], top / "a", target)


def test_a_folder_that_leads_elsewhere_is_not_followed(places: tuple[Path, Path], tmp_path: Path) -> None:
    top, target = places
    (tmp_path / "elsewhere").mkdir()
    target.mkdir()
    (target / "a").symlink_to(tmp_path / "elsewhere")
    outcome = move(groups(top)[:1], top, target)
    assert outcome.files == 0
    assert "leads out" in outcome.problems[0][1]
    assert contents(tmp_path / "elsewhere") == {}


def test_a_disk_that_is_full_leaves_the_group_where_it_was(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    top, target = places
    carry = moves.carry

    def full(source: Path, to: Path) -> None:
        if to.name == "one.xmp":
            raise OSError(28, "No space left on device")
        carry(source, to)

    monkeypatch.setattr(moves, "carry", full)
    outcome = move(groups(top), top, target)
    assert outcome.files == 0
    assert [why for _, why in outcome.problems] == ["No space left on device", "not tried after that"]
    assert contents(top) == FILES


def test_a_group_that_a_killed_process_left_half_moved_is_finished_and_counted(places: tuple[Path, Path]) -> None:
    top, target = places
    move(groups(top), top, target)
    group = groups(top)[0]
    for file in group[1:]:
        (target / file.relative_to(top)).rename(file)
    journal = target / NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(line for line in lines if json.loads(line).get("unit") in (None, 1)))
    outcome = move([group[1:]], top, target)
    assert (outcome.files, outcome.problems) == (len(group) - 1, [])
    assert not any(file.exists() for file in group)

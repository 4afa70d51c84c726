"""The desk keeps labels: through kills, full disks, two windows, renamed and vanished photos; and they become votes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.config import Params
from photoqual.errors import ConfigError, DataError, MissingData, PhotoqualError
from photoqual.labels import desk_status, tournament
from photoqual.labels.desk import Session, open_desk
from photoqual.labels.desk_journal import Journal, Moved
from photoqual.labels.desk_photos import Photos, find_photos
from photoqual.labels.rules import read_labels
from photoqual.labels.rules.stage import label
from photoqual.labels.tournament import Mode, Step
from photoqual.layout import Layout
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.data.xmp_photos import exif
from tests.data.xmp_photos import photo as photo_with
from tests.people.labelled import judge, judged, quality, write_photos


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    write_photos(tmp_path / "photos", 24)
    return find_photos(tmp_path / "photos", tmp_path / "index.parquet")


@pytest.fixture
def session(tmp_path: Path, photos: Photos) -> Session:
    return Session(open_desk(tmp_path / "desk", photos.top), "anna", "tournament")


def test_labels_are_there_again_with_what_was_only_chosen(session: Session, photos: Photos) -> None:
    judge(session, photos, 3, best=12)
    session.deal(photos)
    assert session.progress.deal is not None
    session.click(Step("toggle", photo=session.progress.deal.photos[1]), photos)
    again = Session(open_desk(session.desk.folder), "anna", "tournament")
    assert again.progress == session.progress
    again.deal(photos)
    assert again.progress == session.progress
    assert session.progress.seen(0)[1] == 12


@pytest.mark.parametrize("torn", [b"{", b'{"mode": "tournament", "do": "adv', b"\x00\x00\x00", b'{"do": "advance"}'])
def test_a_torn_last_line_is_mended_and_nothing_else_lost(session: Session, photos: Photos, torn: bytes) -> None:
    judge(session, photos, 2, best=12)
    path = session.desk.folder / "labellers/anna.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = Session(session.desk, "anna", "tournament")
    assert again.progress == session.progress
    judge(again, photos, 1, best=12)
    assert path.read_bytes().startswith(whole)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())
    assert Session(session.desk, "anna", "tournament").progress == again.progress


DAMAGED = [
    (b"no json\n", "damaged"),
    (b"[1]\n", "it is no object"),
    (b'{"mode": "tournament", "do": "dance"}\n', "do is 'dance'"),
    (b'{"mode": "chess", "do": "deal"}\n', "mode is 'chess'"),
    (b'{"mode": "tournament", "do": "advance"}\n', "no photos are dealt"),
    (b'{"mode": "tournament", "do": "deal", "colour": 1}\n', "colour"),
    (b'{"do": "deal"}\n', "mode"),
]


@pytest.mark.parametrize(("line", "said"), DAMAGED)
def test_a_damaged_line_is_named(session: Session, line: bytes, said: str) -> None:
    path = session.desk.folder / "labellers/anna.jsonl"
    path.write_bytes(line + b'{"mode": "stars", "do": "deal", "photos": ["a"], "drawn": ["random"]}\n')
    with pytest.raises(DataError, match="line 1") as caught:
        Session(session.desk, "anna", "tournament")
    assert said in str(caught.value)
    assert "Mend that line" in caught.value.next_step


def test_two_windows_of_one_labeller_do_not_undo_one_another(session: Session, photos: Photos) -> None:
    session.deal(photos)
    other = Session(session.desk, "anna", "tournament")
    judge(session, photos, 1, best=12)
    with pytest.raises(Moved):
        judge(other, photos, 1, best=12)
    assert other.progress == session.progress
    judge(other, photos, 1, best=12)
    assert session.refresh()
    assert session.progress == other.progress
    assert session.progress.seen(0)[1] == 8


def test_a_press_that_comes_twice_is_new_once_even_after_a_crash(session: Session, photos: Photos) -> None:
    session.deal(photos)
    assert session.progress.deal is not None
    photo = session.progress.deal.photos[0]
    assert session.is_new("abc:7")
    assert session.click(Step("toggle", photo=photo, press="abc:7"), photos)
    assert not session.is_new("abc:7")
    assert session.is_new("abc:8")
    assert not session.is_new("abc:8")
    again = Session(session.desk, "anna", "tournament")
    assert again.progress.chosen == {photo}
    assert [again.is_new(press) for press in ("abc:6", "abc:7", "abc:8", "other:1")] == [False, False, True, True]


KILLED = """
import os, resource, sys
from pathlib import Path
from photoqual.labels.desk import Session, open_desk
from photoqual.labels.desk_photos import find_photos
from tests.people.labelled import judge
desk = open_desk(Path(sys.argv[1]))
photos = find_photos(desk.photos, desk.index)
session = Session(desk, "anna", "tournament")
if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
print("begun", flush=True)
for _ in range(6):
    judge(session, photos, 1, best=12)
    print(session.progress.seen(0)[1], flush=True)
"""


def run_beside(desk: Path, how: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", KILLED, str(desk), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd())


def test_what_was_confirmed_survives_a_kill(session: Session, photos: Photos) -> None:
    process = run_beside(session.desk.folder, "kill")
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    confirmed = int(process.stdout.readline())
    process.kill()
    process.communicate()
    again = Session(session.desk, "anna", "tournament")
    assert again.progress.seen(0)[1] >= confirmed >= 4
    assert again.progress.seen(0)[1] % 4 == 0


def test_a_full_disk_loses_the_last_click_alone(session: Session, photos: Photos) -> None:
    process = run_beside(session.desk.folder, "full")
    out, told = process.communicate(timeout=120)
    assert process.returncode
    assert "Nothing was kept of the last click" in told
    confirmed = [int(line) for line in out.split()[1:]]
    path = session.desk.folder / "labellers/anna.jsonl"
    assert path.stat().st_size <= 2000
    assert path.read_bytes().endswith(b"\n")
    again = Session(session.desk, "anna", "tournament")
    assert again.progress.seen(0)[1] == (confirmed[-1] if confirmed else 0)
    judge(again, photos, 100, best=12)
    assert again.progress.seen(0)[1] == 24


@pytest.mark.parametrize("name", ["", "Anna", "../anna", "a/b", "a\0b", "x" * 41, "-a", ".", "anna.b"])
def test_who_has_no_short_name_cannot_label(session: Session, name: str) -> None:
    with pytest.raises(ConfigError, match="no short name"):
        Session(session.desk, name, "stars")


def test_a_journal_that_is_a_link_is_not_written_through(session: Session, photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("")
    (session.desk.folder / "labellers/anna.jsonl").symlink_to(tmp_path / "precious")
    with pytest.raises(DataError, match="cannot be written"):
        Session(session.desk, "anna", "stars").deal(photos)
    assert (tmp_path / "precious").read_text() == ""


def test_renamed_photos_keep_their_labels_and_gone_or_refused_ones_are_dealt_no_more(
    session: Session, photos: Photos, tmp_path: Path
) -> None:
    judge(session, photos, 2, best=12)
    session.deal(photos)
    assert session.progress.deal is not None
    first, second, *_ = session.progress.deal.photos
    for path in sorted(photos.top.rglob("*.jpg")):
        path.rename(path.with_name(f"renamed {path.name}"))
    (photos.top / photos.paths[first]).with_name(f"renamed {Path(photos.paths[first]).name}").unlink()
    now = find_photos(photos.top, tmp_path / "index.parquet")
    assert len(now.paths) == 23
    session.deal(now, refused=[second])
    assert not {first, second} & set(session.progress.deal.photos)
    assert len(session.progress.deal.photos) == 4
    judge(session, now, 100, best=12)
    found = tournament.votes(session.progress)
    assert first not in found
    assert all((level > 0) == (quality(now.paths[photo]) >= 12) for photo, level in found.items() if photo in now.paths)


def test_the_folder_is_looked_through_safely_and_once(tmp_path: Path) -> None:
    top = tmp_path / "photos"
    write_photos(top, 3)
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(encoded(scene(99)))
    (top / "link.jpg").symlink_to(outside)
    (top / "loop").symlink_to(top)
    (top / "twice.jpg").write_bytes((top / "photo 001.jpg").read_bytes())
    (top / "note.txt").write_text("no photo")
    os.mkfifo(top / "pipe.jpg")
    (top / os.fsdecode(b"caf\xe9.jpg")).write_bytes(encoded(scene(5)))
    (top / "<b>![x](y)\n.jpg").write_bytes(encoded(scene(6)))
    index = tmp_path / "index.parquet"
    found = find_photos(top, index)
    assert sorted(found.paths.values()) == ["<b>![x](y)\n.jpg", "more/photo 000.jpg", "photo 001.jpg", "photo 002.jpg"]
    assert found.skipped == {
        "leaves_folder": 1,
        "linked_folder": 1,
        "same_photo_again": 1,
        "not_an_image_file": 1,
        "no_such_file": 1,
        "name_is_not_utf8": 1,
    }
    stamp = index.stat().st_mtime_ns
    assert find_photos(top, index) == found
    assert index.stat().st_mtime_ns == stamp
    index.write_bytes(b"not ours")
    assert find_photos(top, index) == found
    with pytest.raises(DataError, match="is not a folder"):
        find_photos(tmp_path / "nowhere", index)


def test_photos_of_a_burst_and_twins_of_one_name_are_groups_and_never_dealt_together(tmp_path: Path) -> None:
    top = tmp_path / "photos"
    top.mkdir()
    for index in range(12):
        taken = f"2026:05:01 10:00:{index // 4 * 20 + index % 4:02d}"
        (top / f"burst {index:02d}.jpg").write_bytes(photo_with(facts=exif(taken=taken), seed=index))
    for index, suffix in enumerate(("jpg", "png")):
        (top / f"twin.{suffix}").write_bytes(encoded(scene(50 + index), "JPEG" if suffix == "jpg" else "PNG"))
    photos = find_photos(top, tmp_path / "index.parquet")
    sizes = pd.Series(photos.groups).value_counts()
    assert sorted(sizes.tolist()) == [2, 4, 4, 4]
    session = Session(open_desk(tmp_path / "desk", top), "anna", "tournament")
    for _ in range(20):
        session.deal(photos)
        if session.progress.deal is None:
            break
        groups = [photos.groups[photo] for photo in session.progress.deal.photos]
        assert len(set(groups)) == len(groups)
        session.click(Step("advance"), photos)
    assert session.progress.seen(0)[1] == 14


def test_a_model_orders_four_in_five_and_the_fifth_is_a_fair_sample(session: Session, photos: Photos) -> None:
    taught = sorted(photos.paths, key=lambda photo: quality(photos.paths[photo]))
    seed = session.desk.settings.seed
    expected = [photo for photo in taught if not tournament.is_fair(photo, seed)]
    ahead = session.ahead(photos, taught=taught)
    session.deal(photos, taught=taught)
    assert session.progress.deal is not None
    assert session.progress.deal.photos == ahead == tuple(expected[:4])
    for _ in range(6):
        session.click(Step("advance"), photos)
        session.deal(photos, taught=taught)
    drawn = session.progress.drawn
    assert [photo for photo, how in drawn.items() if how == "model"] == expected
    assert {photo for photo, how in drawn.items() if how == "random"} == set(taught) - set(expected)


@pytest.mark.parametrize("mode", ["tournament", "stars", "good"])
def test_labels_become_votes_that_refresh_and_label_take(
    tmp_path: Path, photos: Photos, mode: Mode, make_params: Callable[..., Params]
) -> None:
    desk = open_desk(tmp_path / "desk", photos.top)
    judged(desk, photos, "anna", mode, best=6)
    judged(desk, photos, "ben", mode, best=7)
    out = tmp_path / "votes.csv"
    told = CliRunner().invoke(app, ["labels", "export", str(desk.folder), "--out", str(out)])
    assert told.exit_code == 0, told.output
    lines = yaml.safe_load(told.stdout)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {row["rater"] for row in rows} == {"anna", "ben"}
    assert len(rows) == 48

    workspace = Layout(tmp_path / "workspace")
    workspace.root.mkdir()
    changes = {"sources": lines["sources"], **{f"labels.{name}": value for name, value in lines["labels"].items()}}
    params = make_params(**changes)
    summary = refresh(workspace, params)
    assert summary["sources"]["labelled"]["new"] == 24, summary
    label(workspace, params)
    by_id = read_labels(workspace).set_index("photo_id")
    assert set(by_id.index) <= set(photos.paths)
    for photo, path in photos.paths.items():
        worth = quality(path)
        levels = [sum(worth >= best * number for number in (1, 2, 3)) for best in (6, 7)]
        if mode == "tournament":
            stars, good = 1 + 4 / 3 * sum(levels) / 2, worth >= 6
        elif mode == "stars":
            stars, good = 1 + worth // 10, None
        else:
            stars, good = 1 + 4 * sum(level > 0 for level in levels) / 2, worth >= 7 if worth != 6 else None
        assert by_id.loc[photo, "stars"] == pytest.approx(stars), path
        if good is not None:
            assert by_id.loc[photo, "good"] == int(good), path


def test_only_final_levels_and_photos_that_are_there_are_exported(
    session: Session, photos: Photos, tmp_path: Path
) -> None:
    judge(session, photos, 4, best=12)
    out = tmp_path / "votes.csv"
    gone = next(photo for photo, level in tournament.votes(session.progress).items() if level == 0)
    (photos.top / photos.paths[gone]).unlink()
    told = CliRunner().invoke(app, ["labels", "export", str(session.desk.folder), "--out", str(out)])
    assert told.exit_code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    final = tournament.votes(session.progress)
    assert {row["photo_id"] for row in rows} == set(final) - {gone}
    assert f"{16 - len(final)} not_final" in told.stderr
    assert "1 photo_gone" in told.stderr
    only = CliRunner().invoke(app, ["labels", "export", str(session.desk.folder), "--out", str(out), "--only-random"])
    assert only.exit_code == 0
    assert {row["drawn"] for row in csv.DictReader(out.read_text().splitlines())} == {"random"}


def test_what_cannot_be_exported_or_opened_is_said(session: Session, photos: Photos, tmp_path: Path) -> None:
    def said(*arguments: str) -> PhotoqualError:
        error = CliRunner().invoke(app, ["labels", *arguments]).exception
        assert isinstance(error, PhotoqualError)
        return error

    desk, out = str(session.desk.folder), str(tmp_path / "votes.csv")
    assert isinstance(said("status", str(tmp_path / "nothing")), MissingData)
    assert "no labels that are final" in str(said("export", desk, "--out", out))
    assert "Label some photos first" in str(said("export", desk, "--out", out, "--mode", "stars"))
    judged(session.desk, photos, "anna", "stars")
    judged(session.desk, photos, "anna", "good")
    assert "labels of stars and good" in str(said("export", desk, "--out", out))
    (tmp_path / "file").write_text("")
    assert "cannot be written" in str(said("export", desk, "--mode", "good", "--out", str(tmp_path / "file/votes.csv")))
    (session.desk.folder / "desk.json").write_text('{"photos": "x", "seed": 1, "targets": [2]}')
    assert "cannot be used" in str(said("status", desk))


def test_status_and_agreement_tell_how_far_labellers_are(session: Session, photos: Photos) -> None:
    judge(session, photos, 3, best=12)
    judged(session.desk, photos, "ben", "stars")
    judged(session.desk, photos, "carl", "stars")
    told = json.loads(CliRunner().invoke(app, ["labels", "status", str(session.desk.folder)]).stdout)
    rounds = told["labels"]["tournament"]["anna"]["rounds"]
    assert [part["seen"] for part in rounds] == [12, 0, 0]
    assert [part["target"] for part in rounds] == [0.5, 0.05, 0.02]
    assert rounds[0]["advanced"] == session.progress.seen(0)[0]
    assert told["labels"]["stars"]["ben"] == {"labelled": 24, "drawn_at_random": 24, "left": 0, "skipped": 0}
    found = desk_status.agreement_of(session.desk, "stars")
    assert (found["krippendorff_alpha"], found["meaning"]) == (1.0, "reliable")
    assert found["pairs"] == {"ben and carl": 1.0}
    assert found["split_half"] == 1.0


def test_a_desk_moves_with_its_photos(session: Session, photos: Photos, tmp_path: Path) -> None:
    judge(session, photos, 6, best=12)
    moved = tmp_path / "moved"
    shutil.move(photos.top, moved)
    with pytest.raises(DataError, match="is not a folder"):
        find_photos(session.desk.photos, session.desk.index)
    desk = open_desk(session.desk.folder, moved)
    assert desk.settings == session.desk.settings.model_copy(update={"photos": str(moved)})
    again = Session(open_desk(session.desk.folder), "anna", "tournament")
    assert tournament.pending(again.progress, find_photos(again.desk.photos, again.desk.index).paths)[0] == 1


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "nobody.jsonl").read() == []


def test_what_a_model_left_over_is_no_random_sample(session: Session, photos: Photos) -> None:
    taught = sorted(photos.paths, key=lambda photo: quality(photos.paths[photo]))
    seed = session.desk.settings.seed
    for order in (taught, None, None, None, None, None):
        session.deal(photos, taught=order)
        session.click(Step("advance"), photos)
    drawn = session.progress.drawn
    assert len(drawn) == 24
    assert {photo for photo, how in drawn.items() if how == "random"} == {
        photo for photo in taught if tournament.is_fair(photo, seed)
    }


def test_a_folder_that_is_not_there_does_not_become_the_desks(session: Session, photos: Photos, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        open_desk(session.desk.folder, tmp_path / "typo")
    assert open_desk(session.desk.folder, None).photos == photos.top

"""`photoqual rate --resume`: whatever ended a run, what it did is kept, and going on gives each photo one rating."""

import io
import os
import resource
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from photoqual.errors import ConfigError, DataError
from photoqual.models.scorer import Scorer
from photoqual.rating.command import Outcome, rate_paths
from photoqual.rating.output import json_lines
from photoqual.rating.output.formats import FORMATS
from photoqual.rating.output.kept import PARTIAL, Kept
from photoqual.rating.output.names import Names
from photoqual.rating.rater import Rating, rate
from tests.people.rated import (
    RESUMABLE,
    a_rating,
    make_photos,
    many_photos,
    quick_model,
    rate_command,
    read_output,
    run_rate,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos")


def a_rating_by(photos: Path, model: Path) -> Rating:
    """Return a rating with all that `model` says."""
    found = next(rate(Scorer.load(model, threads=1), [photos / "p0.jpg"], str(model)))
    assert isinstance(found, Rating)
    return found


def partial_of(out: Path) -> Path:
    return out.with_name(out.name + PARTIAL)


def go(photos: Path, model: Path, kind: str, out: Path, *, resume: bool = True) -> Outcome:
    return rate_paths([photos], model=str(model), output=kind, out=out, resume=resume)


@pytest.mark.parametrize("kind", RESUMABLE)
def test_a_torn_end_is_mended_and_new_and_changed_photos_are_rated(
    photos: Path, model: Path, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / f"ratings.{kind}"
    assert go(photos, model, kind, out, resume=False) == Outcome(6, 0)
    whole = read_output(out, kind)
    assert not partial_of(out).exists()
    if kind == "parquet":  # is kept as JSON lines until it is whole
        go(photos, model, "json", out, resume=False)
    content = out.read_bytes()
    out.unlink()
    partial_of(out).write_bytes(content[:-25])
    make_photos(photos, 7)  # p0 to p5 are written anew
    later, earlier = time.time() + 100, time.time() - 1000
    for index in range(6):
        os.utime(photos / f"p{index}.jpg", (later, later) if index == 2 else (earlier, earlier))
    os.utime(partial_of(out), (later - 1, later - 1))
    assert go(photos, model, kind, out) == Outcome(rated=3, skipped=0, before=4)  # p5 was torn, p2 changed, p6 is new
    assert not partial_of(out).exists()
    assert Counter(row["photo"] for row in read_output(out, kind)) == {str(photos / f"p{i}.jpg"): 1 for i in range(7)}
    by_photo = {row["photo"]: row for row in read_output(out, kind)}
    assert all(by_photo[row["photo"]] == row for row in whole)


@pytest.mark.parametrize("kind", RESUMABLE)
def test_a_whole_file_is_gone_on_with_too(photos: Path, model: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "ratings"
    go(photos, model, kind, out, resume=False)
    before = read_output(out, kind)
    assert go(photos, model, kind, out) == Outcome(0, 0, 6)
    assert read_output(out, kind) == before
    make_photos(tmp_path / "more", 2)
    assert go(tmp_path / "more", model, kind, out) == Outcome(2, 0)
    assert len(read_output(out, kind)) == 8


TEXTS = ("a.jpg", "two\nlines.jpg", 'quoted "name", with a comma.jpg', "Ærø 日本.jpg", "=1+1.jpg")


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_a_file_torn_at_any_byte_is_read_up_to_there(kind: str) -> None:
    stream = io.StringIO()
    writer = FORMATS[kind].writer(stream)
    for text in TEXTS:
        writer.write(a_rating(text, reasons=[text, "b"]))
    data = stream.getvalue().encode()
    read = FORMATS[kind].records
    assert read is not None
    whole = list(read(io.BytesIO(data)))
    assert [record.photo for record in whole if record.photo] == list(TEXTS)
    assert whole[-1].end == len(data)
    for cut in range(len(data)):
        assert list(read(io.BytesIO(data[:cut]))) == [record for record in whole if record.end <= cut], cut
    assert len(list(read(io.BytesIO(data + b"\0" * 4096)))) == len(whole)  # as after a power cut


@pytest.mark.parametrize("kind", RESUMABLE)
@pytest.mark.parametrize(
    "content", [b"My thesis", b"My thesis\nChapter 1\n", b"a,b\n1,2\n", b'{"photo": 1}\n{}\n', b"\xff\n"]
)
def test_a_file_of_something_else_is_refused_and_left_alone(
    photos: Path, model: Path, tmp_path: Path, kind: str, content: bytes
) -> None:
    out = tmp_path / "thesis"
    out.write_bytes(content)
    with pytest.raises(DataError, match="ratings"):
        go(photos, model, kind, out)
    assert out.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "thesis"}


def test_what_cannot_be_gone_on_with_is_said(photos: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "ratings.csv"
    partial_of(out).write_text("photo,model\n")
    with pytest.raises(ConfigError, match="--resume, or delete it"):
        go(photos, model, "csv", out, resume=False)
    partial_of(out).unlink()
    with pytest.raises(ConfigError, match="json, csv or parquet"):
        go(photos, model, "table", out)
    with pytest.raises(ConfigError, match="--out"):
        rate_paths([photos], model=str(model), output="json", out=None, resume=True)
    with pytest.raises(ConfigError, match="--out"):
        rate_paths([photos], model=str(model), output="parquet", out=None)
    out.write_text("photo,score,model\nx.jpg,0.5,another\n")
    with pytest.raises(ConfigError, match="by another, not by"):
        go(photos, model, "csv", out)
    out.write_text(f"photo,score,model\nx.jpg,0.5,{model}\n")
    with pytest.raises(DataError, match="have a column stars"):
        go(photos, model, "csv", out)
    assert out.read_text() == f"photo,score,model\nx.jpg,0.5,{model}\n"


def test_a_second_process_is_refused_until_the_first_has_ended(photos: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "ratings.json"
    first = Kept(out, FORMATS["json"], resume=False)
    first.write(a_rating("a.jpg"))
    for resume in (True, False):
        done = run_rate(photos, "--model", model, "--out", out, *(["--resume"] if resume else []))
        assert (done.returncode, "Another process is writing" in done.stderr) == (2, True)
        assert "Traceback" not in done.stderr
    first.finish()
    assert go(photos, model, "json", out, resume=False) == Outcome(6, 0)


def start(folder: Path, model: Path, out: Path) -> subprocess.Popen[str]:
    """Start rating and return once the first ratings are in the file."""
    running = subprocess.Popen(rate_command(folder, "--model", model, "--out", out), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (partial_of(out).exists() and partial_of(out).stat().st_size > 2000):
        assert running.poll() is None, running.stderr and running.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return running


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ctrl_c_keeps_what_was_rated_and_says_how_to_go_on(model: Path, tmp_path: Path, kind: str) -> None:
    folder, out = many_photos(tmp_path / "photos", 3000), tmp_path / f"ratings.{kind}"
    running = start(folder, model, out)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    rows = read_output(out, kind)
    assert f"Stopped; {len(rows)} rated photos are kept in {out}. Go on with the same command and --resume." in said
    assert 0 < len(rows) < 3000
    assert [row["photo"] for row in rows] == [str(folder / f"p{index:05d}.jpg") for index in range(len(rows))]
    for path in sorted(folder.iterdir())[len(rows) + 20 :]:
        path.unlink()
    os.utime(out, (time.time() + 10, time.time() + 10))  # removing links counts as a change of the file
    assert go(folder, model, kind, out) == Outcome(20, 0, len(rows))
    assert len(read_output(out, kind)) == len(rows) + 20


def test_a_kill_leaves_the_earlier_file_whole_and_what_was_rated_beside_it(model: Path, tmp_path: Path) -> None:
    folder, out = many_photos(tmp_path / "photos", 3000), tmp_path / "ratings.json"
    out.write_text("earlier\n")
    running = start(folder, model, out)
    running.kill()
    running.communicate(timeout=60)
    assert out.read_text() == "earlier\n"
    with partial_of(out).open("rb") as file:
        kept = [record.photo for record in json_lines.records(file)]
    assert kept == [str(folder / f"p{index:05d}.jpg") for index in range(len(kept))]
    for path in sorted(folder.iterdir())[len(kept) + 5 :]:
        path.unlink()
    os.utime(partial_of(out), (time.time() + 10, time.time() + 10))
    assert go(folder, model, "json", out) == Outcome(5, 0, len(kept))
    assert [row["photo"] for row in read_output(out, "json")] == [str(path) for path in sorted(folder.iterdir())]


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))


def test_a_full_disk_is_a_clear_error_and_keeps_what_was_written(model: Path, tmp_path: Path) -> None:
    folder, out = make_photos(tmp_path / "photos", 40), tmp_path / "ratings.json"
    done = run_rate(folder, "--model", model, "--out", out, preexec_fn=limited)
    rows = read_output(out, "json")
    assert done.returncode == 1
    assert "cannot be written: File too large" in done.stderr
    assert f"{len(rows)} rated photos are kept in {out}. Make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < len(rows) < 40
    assert go(folder, model, "json", out) == Outcome(40 - len(rows), 0, len(rows))
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            rate_command(folder, "--model", model, "--format", "json"),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, "Standard output cannot be written" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_names_remember_a_million_in_little_memory_and_know_the_last_of_each() -> None:
    names = Names()
    for name in ("a", "b", "a", "c", "b"):
        names.add(name)
    assert ("a" in names, "d" in names, len(names)) == (True, False, 5)
    assert names.last().tolist() == [False, False, True, True, True]
    assert Names().last().tolist() == []
    assert "a" not in Names()


@pytest.mark.parametrize("kind", RESUMABLE)
def test_however_often_a_new_run_is_stopped_the_earlier_file_stays_until_it_is_whole(
    photos: Path, model: Path, tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "ratings"
    go(photos, model, kind, out, resume=False)
    before, one = out.read_bytes(), a_rating_by(photos, model)
    for number, resume in enumerate((False, True, True)):
        kept = Kept(out, FORMATS[kind], resume=resume)
        kept.write(replace(one, photo=f"{number}.jpg"))
        assert kept.stop() == partial_of(out)
        assert out.read_bytes() == before
    assert go(photos, model, kind, out) == Outcome(6, 0)
    assert len(read_output(out, kind)) == 9


def test_what_changed_before_a_run_that_was_stopped_is_rated_by_the_next(
    photos: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ratings.json"
    go(photos, model, "json", out, resume=False)
    later = time.time() + 1000
    os.utime(photos / "p2.jpg", (later, later))
    kept = Kept(out, FORMATS["json"], resume=True)
    kept.write(a_rating("x.jpg", model=str(model)))
    assert kept.stop() == out
    os.utime(out, (later + 1, later + 1))
    assert go(photos, model, "json", out) == Outcome(rated=1, skipped=0, before=5)
    os.utime(out, (later + 1, later + 1))
    assert go(photos, model, "json", out) == Outcome(rated=0, skipped=0, before=6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "ratings.json"]


def test_a_stop_while_it_is_being_finished_finds_the_whole_file(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "ratings.json", FORMATS["json"], resume=False)
    kept.write(a_rating("a.jpg"))
    assert kept.finish() == kept.stop() == tmp_path / "ratings.json"

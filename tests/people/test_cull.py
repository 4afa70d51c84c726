"""`photoqual cull` on a folder as a camera would have filled it."""

import csv
import io
import json
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.errors import ConfigError, DataError
from photoqual.evaluation import evaluate
from photoqual.layout import Layout
from photoqual.photos.exposure import Exposure, read_exposure
from photoqual.rating.cull.command import Wish, cull, dropped_files
from photoqual.rating.cull.evidence import truth_from
from photoqual.rating.cull.journal import NAME
from photoqual.rating.cull.promise import promise
from photoqual.rating.cull.shots import find_shots
from tests.data.camera_files import dng
from tests.model.registered import RED, tiny_folder
from tests.people.cameras import START, bracket, burst, exif, panorama, photographs, save
from tests.people.moving import contents


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A burst, a bracket, a panorama, copies, a photo alone, a RAW beside its JPEG, sidecars, and files that are no photos."""
    folder = tmp_path_factory.mktemp("trip")
    pictures = {name: picture.copy() for name, picture in photographs().items()}
    for name, side in (("chelsea", 360), ("Dublin, Ireland", 300), ("coffee", 300)):
        pictures[name].thumbnail((side, side))
    burst(folder, "cat", pictures["chelsea"], START, 3)
    bracket(folder, "church", pictures["Dublin, Ireland"], START + timedelta(minutes=5), (0, -2, 2))
    panorama(folder, "skyline", pictures["Vancouver, Canada"].resize((700, 330)), START + timedelta(minutes=9), 4)
    alone = pictures["coffee"]
    save(alone, folder / "coffee.jpg", exif(START + timedelta(minutes=20)))
    save(alone.resize((150, 100)), folder / "web" / "small.jpg")
    (folder / "cat_0.DNG").write_bytes(dng(pictures["chelsea"].resize((48, 32))))
    for name in ("cat_0.xmp", "cat_0.DNG.xmp", "cat_2.jpg.xmp", "coffee.xmp"):
        (folder / name).write_text(f"<x>{name}</x>")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "linked.jpg").symlink_to(folder / "coffee.jpg")
    return folder


def test_a_trip_is_culled_moved_and_brought_back(trip: Path, tmp_path: Path) -> None:
    folder, dropped, out = tmp_path / "trip", tmp_path / "dropped", tmp_path / "list.csv"
    shutil.copytree(trip, folder, symlinks=True)
    before = contents(folder)
    command = ["cull", str(folder), "--model", "starter"]
    shown = CliRunner().invoke(app, [*command, "--out", str(out), "--move", str(dropped), "--dry-run"])
    assert shown.exit_code == 1, shown.output
    assert contents(folder) == before
    assert not dropped.exists()
    rows = {Path(row["photo"]).relative_to(folder).as_posix(): row for row in csv.DictReader(out.open())}
    decided = {name: row["keep"] for name, row in rows.items()}
    assert decided == {
        **{f"cat_{at}.jpg": "yes" if at == 1 else "no" for at in range(3)},
        "cat_0.DNG": "no",
        **{f"church_{at}.jpg": "yes" for at in range(3)},
        **{f"skyline_{at}.jpg": "yes" for at in range(4)},
        "coffee.jpg": "yes",
        "web/small.jpg": "no",
    }
    assert rows["cat_0.jpg"]["group"] == "burst 1"
    assert rows["cat_0.jpg"]["keeper"] == str(folder / "cat_1.jpg")
    assert rows["cat_0.DNG"]["reason"] == f"goes with {folder / 'cat_0.jpg'}"
    assert rows["church_2.jpg"]["reason"] == "bracket 1 of 3 is kept whole"
    assert rows["skyline_0.jpg"]["reason"] == "panorama 1 of 4 is kept whole"
    assert "would move" in shown.stderr
    assert "skipped" in shown.stderr
    assert "2 skipped; 1 bracket, 1 burst, 1 set of near duplicates, 1 panorama" in shown.stderr

    moved = CliRunner().invoke(app, [*command, "--format", "json", "--move", str(dropped)])
    assert [json.loads(line)["keep"] for line in moved.stdout.splitlines()].count(False) == 4
    gone = {"cat_0.jpg", "cat_0.DNG", "cat_0.xmp", "cat_0.DNG.xmp", "cat_2.jpg", "cat_2.jpg.xmp", "web/small.jpg"}
    assert set(contents(dropped)) == {*gone, NAME}
    assert set(contents(folder)) == set(before) - gone
    back = CliRunner().invoke(app, ["cull", "undo", str(dropped)])
    assert back.exit_code == 0, back.output
    assert contents(folder) == before
    assert not dropped.exists()


def test_a_folder_of_dropped_photos_within_the_gallery_is_left_out(tmp_path: Path) -> None:
    folder, model = tmp_path / "g", str(tiny_folder(tmp_path / "model", RED))
    for name in ("chelsea", "coffee", "flower"):
        save(photographs()[name].resize((90, 60)), folder / f"{name}.jpg")
    arguments = ["cull", str(folder), "--model", model, "--keep", "2"]
    assert CliRunner().invoke(app, [*arguments, "--move", str(folder / "dropped")]).exit_code == 0
    assert sum(path.suffix == ".jpg" for path in (folder / "dropped").iterdir()) == 1
    again = CliRunner().invoke(app, [*arguments, "--format", "txt"])
    assert [line.split("\t")[0] for line in again.stdout.splitlines()] == ["keep", "keep"]


def test_where_the_evaluation_supports_no_promise_all_is_kept_and_said_why(tmp_path: Path) -> None:
    model = tiny_folder(tmp_path / "model", RED)
    save(photographs()["chelsea"].resize((90, 60)), tmp_path / "g/cat.jpg")
    found = cull([tmp_path / "g"], Wish(top=0.05), model=str(model))
    assert [one.keep for one in found.decisions] == [True]
    assert "nothing can be promised: there is no evaluation of the model" in found.said[0]


def test_a_first_pass_drops_what_the_evaluation_of_the_model_lets_it_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, layout = tiny_folder(tmp_path / "model", RED), Layout(tmp_path)
    scores = np.linspace(0, 1, 400)
    predictions = {"photo_id": [f"{at:064x}" for at in range(400)], "good": 1, "score": scores, "label": "good"}
    rows = pd.DataFrame({**predictions, "group": None, "stars": 1 + 4 * scores})
    evaluate._write_predictions(layout.predictions, rows, "frozen", evaluate.model_digest(model))
    for name, red in (("red", 250), ("grey", 120)):
        save(Image.new("RGB", (90, 60), (red, 120, 120)), tmp_path / f"g/{name}.jpg")
    monkeypatch.chdir(tmp_path)
    found = cull([tmp_path / "g"], Wish(top=0.05), model=str(model))
    assert {Path(one.photo).name: one.keep for one in found.decisions} == {"red.jpg": True, "grey.jpg": False}
    assert found.said[0].startswith("With 95.2% confidence at least 1 of the best 1 photos stay")
    assert "would need 95 groups" in str(promise(truth_from(rows), 100, top=0.05, stay=0.95, confidence=0.95))


def test_a_sidecar_that_a_photo_which_stays_shares_stays(tmp_path: Path) -> None:
    model, folder = tiny_folder(tmp_path / "model", RED), tmp_path / "g"
    save(photographs()["chelsea"].resize((90, 60)), folder / "a.jpg")
    photographs()["flower"].resize((90, 60)).save(folder / "a.png")
    (folder / "a.xmp").write_text("shared")
    for name in ("a.jpg", "a.png"):
        (folder / f"{name}.xmp").write_text(name)
    one = cull([folder], Wish(keep="1"), model=str(model))
    (files,) = dropped_files(one)
    assert {file.name for file in files} == {files[0].name, f"{files[0].name}.xmp"}
    none = cull([folder], Wish(keep="0"), model=str(model))
    assert sorted(file.name for group in dropped_files(none) for file in group) == sorted(contents(folder))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep", "3", "--keep-top", "5%"], "two different questions"),
        (["--keep", "lots"], "no share or number"),
        (["--keep-top", "0%"], "no share"),
        (["--keep-top", "5%", "--confidence", "100%"], "no share"),
        (["--out", "list.parquet"], "does not tell its format"),
        (["--move", "."], "lie in"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(photographs()["chelsea"].resize((90, 60)), tmp_path / "cat.jpg")
    model = tiny_folder(tmp_path / "model", RED)
    found = CliRunner().invoke(app, ["cull", ".", "--model", str(model), *arguments])
    assert isinstance(found.exception, ConfigError), found.output
    assert message in str(found.exception)


def test_a_folder_without_photos_is_said_and_undo_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no photo"):
        cull([tmp_path], Wish(), model=str(tiny_folder(tmp_path / "model", RED)))
    found = CliRunner().invoke(app, ["cull", "undo", str(tmp_path)])
    assert "nothing to undo" in str(found.exception)


def test_exposure_is_read_and_nonsense_is_nothing(tmp_path: Path) -> None:
    block = exif(START, seconds=1 / 250, iso=400, aperture=5.6, bias=-1 / 3, focal=85, mode=2).removeprefix(b"Exif\0\0")
    found = read_exposure(io.BytesIO(block))
    assert (found.seconds, found.aperture, found.iso, found.focal) == (0.004, 5.6, 400, 85)
    assert found.bias == pytest.approx(-1 / 3, abs=1e-4)
    assert found.bracketing
    assert found.light == pytest.approx(-4.29, abs=0.01)
    assert Exposure().light is None
    for length in range(0, len(block), 7):
        read_exposure(io.BytesIO(block[:length]))
    assert read_exposure(io.BytesIO(b"")) == Exposure()
    assert read_exposure(io.BytesIO(exif(START, seconds=0, bias=99)[6:])).seconds is None
    assert read_exposure(io.BytesIO(exif(START, seconds=0, bias=99)[6:])).bias is None


def test_a_raw_goes_with_the_jpeg_that_is_named_alone(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    save(photographs()["chelsea"].resize((90, 60)), folder / "a.jpg")
    for name in ("a.cr2", "b.cr2"):
        (folder / name).write_bytes(b"raw")
    shots, skipped = find_shots([folder / "a.jpg"])
    assert [[file.name for file in shot.files] for shot in shots] == [["a.jpg", "a.cr2"]]
    assert skipped == []


def test_a_sidecar_that_is_shared_with_a_link_stays(tmp_path: Path) -> None:
    model, folder = tiny_folder(tmp_path / "model", RED), tmp_path / "g"
    save(photographs()["chelsea"].resize((90, 60)), folder / "a.jpg")
    save(photographs()["flower"].resize((90, 60)), tmp_path / "elsewhere.png")
    (folder / "a.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "a.xmp").write_text("shared")
    none = cull([folder], Wish(keep="0"), model=str(model))
    assert [[file.name for file in files] for files in dropped_files(none)] == [["a.jpg"]]

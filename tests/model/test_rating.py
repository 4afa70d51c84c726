"""Rating: good photos above bad ones, bad files skipped with reasons, three formats, no TensorFlow."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance

from photoqual.models.scorer import Scorer
from photoqual.rating.output.csv_rows import CsvRows
from photoqual.rating.output.table import as_table
from photoqual.rating.rater import Rating, Skipped, find_photos, rate
from photoqual.rating.reasons import reasons
from photoqual.training.train import train
from tests.conftest import encoded, scene
from tests.data.camera_files import heic
from tests.model.project import make_project


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model folder: bright photos are good."""
    import yaml

    from photoqual.config import parse_params
    from tests.conftest import PROJECT

    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values["model"].update(kind="logistic", image_width=64)
    values["train"].update(epochs=5, batch_size=8, optimizer={"name": "adam", "learning_rate": 0.003})
    layout = make_project(tmp_path_factory.mktemp("project"))
    train(layout, parse_params(values))
    return layout.challenger


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A folder with photos of every kind, in folders, and files that are none."""
    folder = tmp_path / "gallery"
    (folder / "trip").mkdir(parents=True)
    for index in range(4):
        picture = ImageEnhance.Brightness(scene(1000 + index, (120, 80))).enhance(1.1 if index % 2 else 0.45)
        (folder / "trip" / f"{'bright' if index % 2 else 'dark'}{index}.jpg").write_bytes(encoded(picture, quality=95))
    (folder / "flat.png").write_bytes(encoded(Image.new("RGBA", (50, 50), (255, 0, 0, 90)), "PNG"))
    (folder / "sliver.webp").write_bytes(encoded(Image.new("RGB", (2000, 3)), "WEBP"))
    (folder / "truncated.jpg").write_bytes(encoded(scene(1), quality=95)[:900])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "letter.jpg").write_text("not a photo")
    (folder / "notes.txt").write_text("not looked at")
    (folder / "loop").symlink_to(folder)
    return folder


def test_good_photos_come_above_bad_ones_and_skips_have_reasons(model: Path, gallery: Path) -> None:
    results = list(rate(Scorer.load(model), find_photos([gallery, gallery / "missing.jpg"]), "m"))
    rated = {Path(result.photo).name: result for result in results if isinstance(result, Rating)}
    skipped = {Path(result.photo).name: result.reason for result in results if isinstance(result, Skipped)}
    assert min(rated[f"bright{i}.jpg"].score for i in (1, 3)) > max(rated[f"dark{i}.jpg"].score for i in (0, 2))
    assert skipped == {
        "truncated.jpg": "truncated",
        "empty.jpg": "empty",
        "letter.jpg": "not_an_image",
        "missing.jpg": "not_found",
    }
    assert set(rated) == {"bright1.jpg", "bright3.jpg", "dark0.jpg", "dark2.jpg", "flat.png", "sliver.webp"}
    assert all(0 <= rating.score <= 1 and 1 <= rating.stars <= 5 for rating in rated.values())
    assert any("darker than most good photos" in why for why in rated["dark0.jpg"].reasons)


def test_reasons_name_what_is_unusual_the_furthest_first() -> None:
    ranges = {"brightness": (80.0, 180.0), "sharpness": (5.0, 8.0), "clipped_bright": (0.0, 0.1)}
    assert reasons({"brightness": 100, "sharpness": 6, "clipped_bright": 0.05}, ranges) == []
    found = reasons({"brightness": 60, "sharpness": 1, "clipped_bright": 0.11}, ranges)
    assert [why.split(" than")[0] for why in found] == ["less sharp", "darker", "more lost to white"]
    assert "(clipped_bright 11%, theirs 0% to 10%)" in found[2]


def rating(photo: str, **changes: Any) -> Rating:
    ordinary = Rating(photo, 0.75, 4, True, None, "good", {}, [], [], {}, "m")
    return replace(ordinary, **changes)


def test_the_table_names_a_long_common_folder_once_and_keeps_names_in_one_line() -> None:
    folder = "/" + "/".join(f"a folder with a long name {number}" for number in range(8))
    names = [f"{folder}/trip/DSC_{number:04d}.jpg" for number in range(3)] + [f"{folder}/home.jpg"]
    lines = as_table([rating(name, reasons=["flatter in contrast " * 4]) for name in names]).splitlines()
    assert "".join(lines).replace(" ", "").count(folder.replace(" ", "")) == 1
    for name in ("trip/DSC_0000.jpg", "trip/DSC_0001.jpg", "trip/DSC_0002.jpg", "home.jpg"):
        assert len([line for line in lines if name in line and "★★★★☆" in line]) == 1
    alone = as_table([rating(f"{folder}/one.jpg")])
    assert [line.split()[-1] for line in alone.splitlines() if "★" in line] == ["one.jpg"]
    mixed = as_table([rating("/a/x.jpg"), rating("y.jpg", score=0.2)])
    assert "/a/x.jpg" in mixed
    assert as_table([]).split() == ["stars", "score", "label", "sure", "photo", "first", "reason"]


def test_csv_has_a_column_for_every_defect() -> None:
    rows = io.StringIO()
    writer = CsvRows(rows)
    writer.write(rating("a.jpg", defects={"noise": 0.25, "tilt": 0.5}, familiar=False))
    writer.write(rating("b.jpg"))
    first, second = csv.DictReader(rows.getvalue().splitlines())
    assert (first["defect_noise"], first["defect_tilt"], first["familiar"]) == ("0.25", "0.5", "False")
    assert (second["defect_noise"], second["familiar"]) == ("", "")


def photoqual(*arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "photoqual", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_writes_three_formats(model: Path, gallery: Path, tmp_path: Path) -> None:
    outcome = tmp_path / "outcome.json"
    lines = photoqual(
        "rate", gallery, "--model", model, "--format", "json", cwd=tmp_path, PHOTOQUAL_OUTCOME_FILE=str(outcome)
    )
    assert lines.returncode == 1, "some were skipped"
    assert "3 skipped" in lines.stderr
    assert "letter.jpg: No decoder knows this file" in lines.stderr
    ratings = [json.loads(line) for line in lines.stdout.splitlines()]
    assert len(ratings) == 6
    assert list(ratings[0]) == [field.name for field in fields(Rating)]
    assert json.loads(outcome.read_text()) == {"ok": True, "result": {"rated": 6, "skipped": 3}}

    target = tmp_path / "ratings.csv"
    photoqual("rate", gallery / "trip", "--model", model, "--format", "csv", "--out", target, cwd=tmp_path)
    rows = list(csv.DictReader(target.read_text().splitlines()))
    by_name = {Path(row["photo"]).name: float(row["score"]) for row in rows}
    assert by_name == {Path(rating["photo"]).name: rating["score"] for rating in ratings if "trip" in rating["photo"]}

    table = photoqual("rate", gallery / "trip", "--model", model, "--format", "table", cwd=tmp_path)
    assert table.returncode == 0
    order = [line for line in table.stdout.splitlines() if ".jpg" in line]
    assert all("bright" in line for line in order[:2])
    assert all("dark" in line for line in order[2:])


def test_rating_loads_neither_tensorflow_nor_airflow(model: Path, gallery: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from photoqual.rating.command import rate_paths\n"
        f"rate_paths([Path({str(gallery)!r})], model={str(model)!r}, output='json', out=None)\n"
        "print(sorted({'tensorflow', 'keras', 'airflow', 'mlflow', 'dvc', 'great_expectations'} & set(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert run.stderr.strip().splitlines()[-1] == "[]"


def test_a_folder_that_is_no_model_is_a_clear_error(gallery: Path, tmp_path: Path) -> None:
    run = photoqual("rate", gallery, "--model", gallery, cwd=tmp_path)
    assert run.returncode == 1
    assert run.stderr.startswith("Error: ")
    assert "Traceback" not in run.stderr


def test_what_cannot_be_rated_by_its_name_or_kind_is_skipped_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.jpg").write_bytes(encoded(scene(1)))
    (tmp_path / "ours.xmp").write_text("a sidecar")
    (tmp_path / "phone.HEIC").write_bytes(heic(scene(3)))
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / os.fsdecode(b"caf\xe9.jpg")).write_bytes(encoded(scene(2)))
    found = list(find_photos([tmp_path]))
    assert [item for item in found if isinstance(item, Path)] == [tmp_path / "ours.jpg", tmp_path / "phone.HEIC"]
    reasons_seen = {item.reason for item in found if isinstance(item, Skipped)}
    assert reasons_seen == {"not_a_file", "name_is_not_utf8"}
    assert all(item.photo.encode() for item in found if isinstance(item, Skipped))
    monkeypatch.setattr("photoqual.photos.formats._installed", lambda package: False)
    missing = [item for item in find_photos([tmp_path / "phone.HEIC"]) if isinstance(item, Skipped)]
    assert [(item.reason, "photoqual[raw]" in item.message) for item in missing] == [("heic_decoder_missing", True)]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 1, "There is no photo in"),
        (["--out", "."], 2, "cannot be written"),
        (["--out", "no/x"], 2, "cannot be written"),
    ],
)
def test_nothing_to_rate_and_nowhere_to_write_are_clear_errors(
    model: Path, tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    command = [sys.executable, "-m", "photoqual", "rate", str(tmp_path), "--model", str(model), *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (code, True, False)

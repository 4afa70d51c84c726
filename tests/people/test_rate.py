"""`photoqual rate`: what it finds, how it writes, what it says, and that its numbers are those of training."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoqual.config import PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.models.info import read_info, write_info
from photoqual.models.scorer import Scorer, input_of
from photoqual.models.seen import look_at, say
from photoqual.photos import decode
from photoqual.rating import found
from photoqual.rating.command import Outcome, rate_paths
from photoqual.rating.found import Skipped, find_photos
from photoqual.rating.output import table
from photoqual.rating.output.formats import ENDINGS, FORMATS
from photoqual.rating.progress import told_of
from photoqual.rating.rater import rate_with
from photoqual.sources import _demo_photos
from photoqual.starter.model import starter_folder
from tests.conftest import encoded, scene
from tests.object_store import ObjectStore, object_store
from tests.people.rated import a_rating, make_photos, many_photos, quick_model, rate_command, read_output, run_rate


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quick_model(tmp_path_factory.mktemp("model"))


def test_all_formats_say_the_same(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos")
    for kind in ("json", "csv", "parquet"):
        assert rate_paths([photos], model=str(model), output=kind, out=tmp_path / kind) == Outcome(6, 0)
    lines = read_output(tmp_path / "json", "json")
    rows = read_output(tmp_path / "csv", "csv")
    groups = read_output(tmp_path / "parquet", "parquet")
    assert list(rows[0]) == list(groups[0])
    for line, row, group in zip(lines, rows, groups, strict=True):
        measures = {f"measure_{name}": value for name, value in line["measures"].items()}
        assert measures == {name: group[name] for name in measures} == {name: float(row[name]) for name in measures}
        assert (line["photo"], line["score"], line["strengths"]) == (group["photo"], group["score"], group["strengths"])
        assert (row["photo"], float(row["score"])) == (line["photo"], line["score"])
        assert row["strengths"] == "; ".join(line["strengths"])
    assert set(ENDINGS.values()) <= set(FORMATS)


def test_the_format_follows_the_ending_of_the_file(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 1)
    done = run_rate(photos, "--model", model, "--out", tmp_path / "ratings.CSV")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "1 rated\n")
    assert (tmp_path / "ratings.CSV").read_text().startswith("photo,score,stars,")


def test_the_table_keeps_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_SHOWN", 2)
    shown = table.as_table(a_rating(f"{name}.jpg", score=score) for name, score in (("a", 0.2), ("b", 0.9), ("c", 0.5)))
    assert [line.split()[-1] for line in shown.splitlines() if ".jpg" in line] == ["b.jpg", "c.jpg"]
    assert shown.splitlines()[-1].startswith("and 1 more with lower scores")
    odd = table.as_table([a_rating("s3://b/x.jpg"), a_rating("s3://b/:car:[red]\n.jpg")])
    assert "s3://b/x.jpg" in odd
    assert "s3://b/:car:[red]?.jpg" in odd


@pytest.mark.parametrize(
    ("done", "worked_on", "total", "seconds", "told"),
    [
        (0, 0, None, 0.0, "0"),
        (12, 12, None, 4.0, "12, 3.0 photos/s"),
        (1200, 200, 5000, 10.0, "1,200 of 5,000, 20.0 photos/s, 0:03:10 left"),
        (7, 0, 7, 3.0, "7 of 7"),
    ],
)
def test_progress_tells_speed_and_time_left(
    done: int, worked_on: int, total: int | None, seconds: float, told: str
) -> None:
    assert told_of(done, worked_on, total, seconds) == told


def test_a_reader_that_has_enough_ends_it_quietly(model: Path, tmp_path: Path) -> None:
    photos = many_photos(tmp_path / "photos", 500)
    rating = subprocess.Popen(
        rate_command(photos, "--model", model, "--format", "json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert rating.stdout is not None
    assert rating.stderr is not None
    assert json.loads(rating.stdout.readline())["photo"].endswith("p00000.jpg")
    rating.stdout.close()
    said = rating.stderr.read().decode()
    assert rating.wait(60) != 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_large_folders_come_in_parts_and_folders_may_vanish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "_SORTED", 2)
    make_photos(tmp_path / "a", 5)
    make_photos(tmp_path / "a/inside.jpg", 1)
    make_photos(tmp_path / "b", 3)
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "a/gone.jpg").symlink_to(tmp_path / "nowhere")
    walk = find_photos([tmp_path])
    first = [next(walk) for _ in range(6)]
    assert {str(item.relative_to(tmp_path)) for item in first if isinstance(item, Path)} == {
        f"a/p{index}.jpg" for index in range(5)
    }
    assert [item.reason for item in first if isinstance(item, Skipped)] == ["not_a_file"]
    shutil.rmtree(tmp_path / "b")
    rest = list(walk)
    assert [item for item in rest if isinstance(item, Path)] == [tmp_path / "a/inside.jpg/p0.jpg"]
    assert [(item.photo, item.reason) for item in rest if isinstance(item, Skipped)] == [
        (str(tmp_path / "b"), "unreadable_folder")
    ]
    assert [item.reason for item in find_photos([Path("a" * 5000)]) if isinstance(item, Skipped)] == ["unreadable_file"]
    assert [item.reason for item in find_photos([Path("a\0b.jpg")]) if isinstance(item, Skipped)] == ["not_found"]


def test_photos_come_in_order_with_what_was_made_of_their_images(model: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path, 30)
    (photos / "p15.jpg").write_bytes(b"no photo")
    scorer, asked = Scorer.load(model, threads=1), list(find_photos([photos]))
    given = list(rate_with(scorer, asked, "m", lambda image: image.size))
    names = [item.photo if isinstance(item, Skipped) else item[0].photo for item in given]
    assert names == [str(path) for path in asked]
    assert {item[1] for item in given if not isinstance(item, Skipped)} == {(72, 48)}  # 1.5 times the model's width
    assert [item.reason for item in given if isinstance(item, Skipped)] == ["not_an_image"]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


def test_a_bucket_is_rated_like_a_folder(
    running: ObjectStore, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos", 4)
    running.owner.create_bucket(Bucket="gallery")
    for path in sorted(photos.iterdir()):
        running.owner.upload_file(str(path), "gallery", f"trip/ä {path.name}")
    for key, body in {"trip/notes.txt": b"-", "trip/bad.jpg": b"-", "other/x.jpg": b"-"}.items():
        running.owner.put_object(Bucket="gallery", Key=key, Body=body)
    for name, value in {**running.environment, "AWS_ENDPOINT_URL": running.endpoint_url}.items():
        monkeypatch.setenv(name, value)
    local, remote = tmp_path / "local.json", tmp_path / "remote.json"
    rate_paths([photos], model=str(model), output="json", out=local)
    assert rate_paths(["s3://gallery/trip/"], model=str(model), output="json", out=remote) == Outcome(4, 1)
    here, there = read_output(local, "json"), read_output(remote, "json")
    assert [row["photo"] for row in there] == [f"s3://gallery/trip/ä p{index}.jpg" for index in range(4)]
    assert [row | {"photo": ""} for row in there] == [row | {"photo": ""} for row in here]
    again = rate_paths(["s3://gallery/trip/"], model=str(model), output="json", out=remote, resume=True)
    assert again == Outcome(0, 1, 4)
    with pytest.raises(SourceError, match=r"no bucket nowhere.*AWS_ENDPOINT_URL"):
        rate_paths(["s3://nowhere/x"], model=str(model), output="json", out=tmp_path / "no")
    with pytest.raises(ConfigError, match="names no bucket"):
        rate_paths(["s3://"], model=str(model), output="json", out=tmp_path / "no")
    assert not list(tmp_path.glob("no*"))


def large(photo: _demo_photos.DemoPhoto, size: tuple[int, int]) -> bytes:
    picture = _demo_photos._base_image(photo.base).crop(_demo_photos.crop_box(photo))
    return encoded(picture.resize(size, Image.Resampling.LANCZOS), quality=92)


def test_photos_decoded_near_the_models_size_score_as_their_working_copies(tmp_path: Path) -> None:
    folder = shutil.copytree(starter_folder(), tmp_path / "starter")
    write_info(folder, read_info(folder).model_copy(update={"image_width": 288}))
    scorer = Scorer.load(folder, threads=1)
    apart = []
    for photo in _demo_photos.photos(1)[:4]:
        data = large(photo, (2400, 1800))
        trained = scorer.score([input_of(decode.working_copy(data, PhotosParams()).jpeg, scorer.info)])[0]
        image, pixels = look_at(data, scorer.info)
        assert (image.size, pixels.shape) == ((432, 324), (224, 288, 3))
        apart.append(abs(say(scorer, pixels).score - trained))
    assert max(apart) < 0.01


@pytest.mark.parametrize("size", [(640, 480), (4000, 3000), (3024, 4032), (2000, 3), (31, 700), (20, 20), (1000, 750)])
@pytest.mark.parametrize("enlarge", [True, False])
def test_the_shape_is_that_of_the_working_copy(model: Path, size: tuple[int, int], enlarge: bool) -> None:
    info = read_info(model).model_copy(update={"image_width": 288, "enlarge": enlarge})
    data = encoded(Image.new("L", size, 90), "JPEG")
    assert look_at(data, info)[1].shape == input_of(decode.working_copy(data, PhotosParams()).jpeg, info).shape


def test_neither_neighbours_nor_threads_change_a_number() -> None:
    data = [encoded(scene(seed, (320, 240))) for seed in range(3)]
    alone, together = Scorer.load(starter_folder(), threads=1), Scorer.load(starter_folder(), threads=2)
    pixels = [look_at(photo, alone.info)[1] for photo in data]
    batch = together.answers_of(pixels)
    for index, photo in enumerate(pixels):
        single = alone.answers_of([photo])
        assert all(np.array_equal(batch[name][index], single[name][0]) for name in single)

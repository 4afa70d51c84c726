"""A gallery rated in parts: the same ratings as in one go, whatever is run again, on a disk and in a bucket."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from s3fs import S3FileSystem

from photoqual.errors import ConfigError, DataError, SourceError
from photoqual.models.scorer import Scorer
from photoqual.rating import parts
from photoqual.rating.found import find
from photoqual.rating.rater import Rating, rate
from tests.conftest import encoded, scene
from tests.model.registered import RED, tiny_model
from tests.object_store import object_store

PHOTOS = 7


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny_model(tmp_path / "model", RED)
    return tmp_path / "model"


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Seven photos in two folders, and a file that is none."""
    folder = tmp_path / "gallery"
    for number in range(PHOTOS):
        path = folder / ("a" if number < 4 else "b") / f"{number} ✨.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(number)))
    (folder / "b/broken.jpg").write_bytes(b"no photo")
    return folder


def plan(gallery: Path | str, output: Path | str, model: Path, **options: Any) -> parts.Plan:
    return parts.plan(str(gallery), str(output), run="r1", model=str(model), part_photos=3, **options)


def in_one_go(gallery: Path | str, model: Path) -> list[Rating]:
    results = rate(Scorer.load(model, threads=1), find([gallery]), str(model))
    return [result for result in results if isinstance(result, Rating)]


def test_parts_give_what_one_go_gives(gallery: Path, model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out/ratings.jsonl"
    made = plan(gallery, output, model, output_format="json")
    assert (made.parts, made.photos) == (3, PHOTOS + 1)
    counts = [parts.rate_part(str(output), "r1", part) for part in range(made.parts)]
    assert counts == [{"rated": 3, "skipped": 0}, {"rated": 3, "skipped": 0}, {"rated": 1, "skipped": 1}]
    told = parts.merge(str(output), "r1")
    assert (told["rated"], told["skipped"]) == (PHOTOS, {"not_an_image": 1})
    assert [Rating(**json.loads(line)) for line in output.read_text().splitlines()] == in_one_go(gallery, model)
    (skipped,) = map(json.loads, Path(f"{output}.skipped.jsonl").read_text().splitlines())
    assert (Path(skipped["photo"]).name, skipped["reason"]) == ("broken.jpg", "not_an_image")
    parts.clear(str(output), "r1")
    assert sorted(path.name for path in output.parent.iterdir()) == ["ratings.jsonl", "ratings.jsonl.skipped.jsonl"]


@pytest.mark.parametrize("output_format", parts.MERGED)
def test_every_step_can_be_run_again(gallery: Path, model: Path, tmp_path: Path, output_format: str) -> None:
    output = tmp_path / f"ratings.{output_format}"
    made = plan(gallery, output, model, output_format=output_format)
    (gallery / "late.jpg").write_bytes(encoded(scene(99)))
    assert plan(gallery, output, model, output_format=output_format) == made
    with pytest.raises(DataError, match="Part 0 of r1 is not rated"):
        parts.merge(str(output), "r1")
    assert not output.exists()
    for part in range(made.parts):
        parts.rate_part(str(output), "r1", part)
    work = next(tmp_path.glob(f"{output.name}.parts-*"))
    before = {path: path.stat().st_mtime_ns for path in work.iterdir()}
    assert parts.rate_part(str(output), "r1", 1) == {"rated": 3, "skipped": 0}
    assert {path: path.stat().st_mtime_ns for path in work.iterdir()} == before
    assert parts.merge(str(output), "r1") == parts.merge(str(output), "r1")
    rows = {
        "parquet": lambda: pq.read_metadata(output).num_rows,
        "json": lambda: len(output.read_text().splitlines()),
        "csv": lambda: len(output.read_text().splitlines()) - 1,
    }
    assert rows[output_format]() == PHOTOS
    parts.clear(str(output), "r1")
    parts.clear(str(output), "r1")


def test_two_runs_into_one_output_do_not_meet(gallery: Path, model: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "ratings.csv")
    for run in ("r1", "r2"):
        made = parts.plan(str(gallery), output, run=run, model=str(model), output_format="csv", part_photos=100)
        assert made.parts == 1
    for run in ("r1", "r2"):
        parts.rate_part(output, run, 0)
    told = [parts.merge(output, run) for run in ("r1", "r2")]
    assert told[0] == told[1]
    parts.clear(output, "r1")
    assert len(list(tmp_path.glob("ratings.csv.parts-*"))) == 1


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"output_format": "html"}, ConfigError, "no format html"),
        ({"part_photos": 0}, ConfigError, "too few"),
        ({"output": "s3://bucket/folder/"}, ConfigError, "names no file"),
        ({"output": "gopher://bucket/file"}, ConfigError, "cannot be written to"),
        ({"output": "/proc/nowhere/ratings.csv"}, DataError, "cannot be read or written"),
        ({"uri": "/nowhere"}, DataError, "There is no photo at /nowhere"),
        ({"uri": "s3:///x"}, ConfigError, "names no bucket"),
        ({"model": "/nowhere"}, Exception, "is not a model folder"),
    ],
)
def test_what_cannot_be_is_refused(
    gallery: Path, model: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], said: str
) -> None:
    given = {"uri": str(gallery), "output": str(tmp_path / "ratings.csv"), "model": str(model), **change}
    with pytest.raises(error, match=said) as caught:
        parts.plan(given.pop("uri"), given.pop("output"), run="r1", **given)
    assert getattr(caught.value, "next_step", "")


def test_too_many_parts_are_refused_with_the_size_to_take(
    gallery: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_PARTS", 2)
    with pytest.raises(ConfigError, match="more than 2 parts of 3 photos") as caught:
        plan(gallery, tmp_path / "ratings.csv", model)
    assert "30" in caught.value.next_step


def test_a_part_that_is_not_planned_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Part 0 of r1 is not planned"):
        parts.rate_part(str(tmp_path / "ratings.csv"), "r1", 0)
    with pytest.raises(DataError, match="r1 is not planned"):
        parts.merge(str(tmp_path / "ratings.csv"), "r1")


def test_from_a_bucket_into_a_bucket(
    gallery: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint_url)
        store.owner.create_bucket(Bucket="photos")
        for path in sorted(gallery.rglob("*.jpg")):
            key = path.relative_to(gallery).as_posix()
            store.owner.put_object(Bucket="photos", Key=f"2026/{key}", Body=path.read_bytes())
        output = "s3://photos/out/ratings.parquet"
        made = plan("s3://photos/2026/", output, model)
        assert (made.parts, made.photos) == (3, PHOTOS + 1)
        for part in reversed(range(made.parts)):
            parts.rate_part(output, "r1", part)
        assert parts.merge(output, "r1")["rated"] == PHOTOS
        parts.clear(output, "r1")
        kept = [item["Key"] for item in store.owner.list_objects_v2(Bucket="photos", Prefix="out/")["Contents"]]
        assert kept == ["out/ratings.parquet", "out/ratings.parquet.skipped.jsonl"]
        copy = tmp_path / "copy.parquet"
        store.owner.download_file("photos", "out/ratings.parquet", str(copy))
    rows = pq.read_table(copy).to_pylist()
    local = {Path(rating.photo).name: rating.score for rating in in_one_go(gallery, model)}
    assert {row["photo"].rpartition("/")[2]: row["score"] for row in rows} == local
    assert Counter(row["photo"].startswith("s3://photos/2026/") for row in rows) == {True: PHOTOS}


def test_a_store_that_does_not_give_its_photos_fails_the_part_and_not_the_photos(
    gallery: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = "s3://photos/out/ratings.csv"
    with object_store(tmp_path / "store") as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint_url)
        S3FileSystem.clear_instance_cache()
        store.owner.create_bucket(Bucket="photos")
        store.owner.put_object(Bucket="photos", Key="2026/a.jpg", Body=encoded(scene(1)))
        plan("s3://photos/2026/", output, model, output_format="csv")
        S3FileSystem.clear_instance_cache()
        lister = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), store.lister, strict=True))
        listed = json.loads(parts._work(output, "r1").read("0000.listed.json") or b"[]")
        for name, value in lister.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SourceError, match="did not give 1 photos"):
            parts._check_store(list(rate(Scorer.load(model, threads=1), parts._photos(listed), "m")))

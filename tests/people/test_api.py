"""`photoqual.load(…).rate(…)`: the numbers of the command line and of the served model, from whatever a photo comes as."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import photoqual
from photoqual.api import Rater
from photoqual.errors import ConfigError, ModelError, UnreadablePhoto
from photoqual.rating.command import rate_paths
from photoqual.rating.rater import Rating, Skipped
from photoqual.registry.served_model import ARTIFACT, PhotoRater
from photoqual.starter.model import starter_folder
from tests.conftest import encoded, scene
from tests.people.rated import quick_model, read_output


def picture(seed: int, size: tuple[int, int]) -> Image.Image:
    grain = np.random.default_rng(seed).normal(0, 9, (size[1], size[0], 1))
    return Image.fromarray((np.asarray(scene(seed, size)) + grain).clip(0, 255).astype(np.uint8))


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(4, (700, 500)), quality=90, exif=exif)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Photos of many kinds: large, small, turned by EXIF, in grey, with transparency, of other formats, and broken."""
    folder = tmp_path_factory.mktemp("photos")
    files = {
        "broken.jpg": encoded(picture(1, (200, 100)))[:500],
        "grey.png": encoded(picture(2, (300, 200)).convert("L"), "PNG"),
        "large.jpg": encoded(picture(3, (2600, 1950)), quality=90),
        "small.webp": encoded(picture(5, (90, 60)), "WEBP"),
        "transparent.png": encoded(picture(6, (640, 427)).convert("RGBA"), "PNG"),
        "turned.jpg": turned(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def rater() -> Rater:
    return photoqual.load("starter")


SHARED = ("score", "stars", "sure", "familiar", "label", "defects")


def said(rating: Any) -> dict[str, Any]:
    return {name: getattr(rating, name) for name in SHARED}


def test_command_line_python_and_server_give_the_same_numbers(photos: list[Path], rater: Rater, tmp_path: Path) -> None:
    out = tmp_path / "ratings.json"
    assert rate_paths(photos, model="starter", output="json", out=out)[:2] == (5, 1)
    told = {row["photo"]: row for row in read_output(out, "json")}
    given = rater.rate(photos)
    served = PhotoRater()
    served.load_context(SimpleNamespace(artifacts={ARTIFACT: str(starter_folder())}))
    rows = served.predict(None, pd.DataFrame({"photo": [path.read_bytes() for path in photos]}))
    assert [type(item) for item in given] == [Skipped, *[Rating] * 5]
    assert rows["skipped"].tolist() == ["truncated", *[""] * 5]
    for path, rating, row in zip(photos[1:], given[1:], rows.to_dict("records")[1:], strict=True):
        assert isinstance(rating, Rating)
        assert vars(rating) == told[str(path)]
        assert said(rating) == {name: row[name] for name in SHARED if name != "defects"} | {
            "defects": json.loads(row["defects"])
        }
        assert rater.rate(str(path)) == rating
    assert len({rating.score for rating in given[1:] if isinstance(rating, Rating)}) == 5


def test_bytes_images_and_pixels_give_the_same_numbers(photos: list[Path], rater: Rater) -> None:
    for path in photos[1:]:
        rating = said(rater.rate(path))
        data = path.read_bytes()
        assert said(rater.rate(data)) == rating
        for opened in (Image.open(path), Image.open(io.BytesIO(data))):
            assert said(rater.rate(opened)) == rating
            assert said(rater.rate(opened)) == rating, "the image is left as it was"
            opened.load()
            near = rater.rate(opened)
            assert (
                said(near) == rating
                if path.name != "large.jpg"
                else near.score == pytest.approx(rating["score"], abs=0.01)
            )
    pixels = np.asarray(Image.open(photos[3]).convert("RGB"))
    before = pixels.copy()
    assert said(rater.rate(pixels)) == said(rater.rate(photos[3]))
    assert np.array_equal(pixels, before)
    assert rater.rate(pixels[..., 0]).photo == ""
    assert [item.photo for item in rater.rate([photos[1], pixels, "nothing.jpg"])] == [
        str(photos[1]),
        "",
        "nothing.jpg",
    ]
    assert rater.rate([]) == []


@pytest.mark.parametrize(
    "given",
    [3.5, None, {1: 2}, np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8), [None], [3]],
)
def test_what_is_no_photo_is_a_clear_error(rater: Rater, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"is no photo\. Give a path"):
        rater.rate(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [(b"", "empty"), (b"text", "not_an_image"), ("missing.jpg", "unreadable_file"), ("/", "unreadable_file")],
)
def test_one_that_cannot_be_read_is_raised_and_one_of_several_is_skipped(
    rater: Rater, given: str | bytes, reason: str
) -> None:
    with pytest.raises(UnreadablePhoto) as raised:
        rater.rate(given)
    assert raised.value.reason == reason
    (skipped,) = rater.rate([given])
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason


def test_a_folder_is_loaded_by_path_and_one_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = quick_model(tmp_path / "model")
    loaded = photoqual.load(folder)
    assert (loaded.name, loaded.info.image_width) == (str(folder), 48)
    with pytest.raises(ModelError):
        photoqual.load(tmp_path)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        photoqual.nothing  # noqa: B018


def test_importing_loads_nothing_and_rating_no_tensorflow(photos: list[Path]) -> None:
    code = (
        "import sys, photoqual\n"
        "print(sorted({'numpy', 'PIL', 'pydantic', 'onnxruntime'} & set(sys.modules)))\n"
        f"photoqual.load('starter').rate({str(photos[1])!r})\n"
        "print(sorted({'tensorflow', 'keras', 'airflow', 'mlflow', 'dvc', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert run.stdout.split() == ["[]", "[]"]

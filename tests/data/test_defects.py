"""Damage to photos: seeded, stronger with its strength, alike at any size; a stored set is read back with its kinds."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from photoqual.config import Params
from photoqual.defects import blur, filters, stored
from photoqual.defects.damage import NAMES, STRENGTHS, damage, draw, table
from photoqual.defects.flare import flare
from photoqual.defects.sheet import sheet
from photoqual.errors import ConfigError, DataError, PhotoqualError
from photoqual.labels.rules import label, read_labels
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.measures import measure
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT, encoded, scene


def textured(width: int = 240, height: int = 160) -> np.ndarray:
    """Return a photo-like picture: large shapes and fine texture in middle tones, uint8 (height, width, 3)."""
    random = np.random.default_rng(8)
    shapes = np.asarray(scene(5, (width, height)), dtype=np.float32) * 0.6 + 50
    return filters.to_pixels(shapes + random.normal(0, 14, (height, width, 1)))


def damaged(name: str, strength: float, pixels: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    return damage(textured() if pixels is None else pixels, name, strength, np.random.default_rng(seed))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one.astype(float) - other.astype(float)) ** 2)))


def cast_of(pixels: np.ndarray) -> float:
    return float(np.ptp(pixels.reshape(-1, 3).mean(axis=0)))


@pytest.mark.parametrize("name", NAMES)
def test_damage_keeps_shape_and_kind_and_leaves_the_photo_as_it_was(name: str) -> None:
    photo = textured()
    before = photo.copy()
    photo.flags.writeable = False
    for strength in (*STRENGTHS, 1.5):
        made = damaged(name, strength, photo)
        assert (made.shape, made.dtype, made.flags.writeable) == (photo.shape, np.uint8, True)
    assert (photo == before).all()


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_pixels(name: str) -> None:
    assert (damaged(name, 2, seed=4) == damaged(name, 2, seed=4)).all()


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"defocus", "jpeg_loss"}))
def test_other_seeds_give_other_pixels(name: str) -> None:
    assert len({damaged(name, 2, seed=seed).tobytes() for seed in range(6)}) > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_higher_strength_is_farther_from_the_photo(name: str) -> None:
    for seed in range(3):
        away = [distance(damaged(name, strength, seed=seed), textured()) for strength in (1, 2, 3)]
        assert 1 < away[0] < away[1] < away[2], away


@pytest.mark.parametrize(
    ("name", "of", "least_change"),
    [
        ("too_dark", lambda pixels: -measure(pixels)["brightness"], 25),
        ("too_bright", lambda pixels: measure(pixels)["brightness"], 25),
        ("lens_flare", lambda pixels: float((pixels.min(axis=2) == 255).mean()), 0.001),  # the light itself is white
        ("motion_blur", lambda pixels: -measure(pixels)["sharpness"], 1),
        ("defocus", lambda pixels: -measure(pixels)["sharpness"], 1),
        ("noise", lambda pixels: measure(pixels)["sharpness"], 0.1),
        ("jpeg_loss", lambda pixels: -float(len(np.unique(pixels.reshape(-1, 3), axis=0))), 1000),
        ("regional_blur", lambda pixels: -measure(pixels)["sharpness"], 0.1),
        ("colour_cast", cast_of, 15),
        ("low_contrast", lambda pixels: -measure(pixels)["contrast"], 10),
    ],
)
def test_each_kind_does_what_it_is_called(name: str, of: Callable[[np.ndarray], float], least_change: float) -> None:
    before = of(textured())
    for seed in range(3):
        assert of(damaged(name, 1, seed=seed)) > before
        assert of(damaged(name, 3, seed=seed)) > before + least_change


def test_a_flare_only_adds_light() -> None:
    for seed in range(5):
        made = flare(textured(), 1.0, np.random.default_rng(seed))
        assert (made >= textured()).all()
        assert made.min(axis=2).max() == 255


def test_tilt_turns_by_its_degrees_and_leaves_no_empty_corner() -> None:
    lines = np.full((400, 600, 3), 128, np.uint8)
    lines[195:205] = 255
    turned = filters.tilt(lines, 6)[..., 0]
    assert turned.min() == 128
    line = [float(np.average(np.arange(400), weights=turned[:, column] - 128.0)) for column in (100, 500)]
    assert np.degrees(np.arctan2(line[0] - line[1], 400)) == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2])
def test_motion_blurs_along_its_direction_and_not_across(angle: float) -> None:
    point = np.zeros((81, 81, 3), np.uint8)
    point[40, 40] = 255
    spread = blur.smear(point, 31, angle)[..., 0].astype(float)
    rows, columns = np.indices(spread.shape) - 40
    along, across = columns * np.cos(angle) + rows * np.sin(angle), rows * np.cos(angle) - columns * np.sin(angle)
    assert np.sqrt(np.average(along**2, weights=spread)) == pytest.approx(31 / np.sqrt(12), rel=0.05)
    assert np.sqrt(np.average(across**2, weights=spread)) < 0.6


def test_a_defocused_point_is_an_even_disc_of_the_radius() -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    spread = blur.disc(point, 7.0)[..., 1]
    away = np.hypot(*(np.indices(spread.shape) - 20))
    assert np.ptp(spread[away < 6].astype(int)) <= 1
    assert spread[away < 6].min() > 0
    assert spread[away > 8].max() == 0


def test_defocus_keeps_what_is_even() -> None:
    even = np.full((30, 50, 3), 77, np.uint8)
    assert (blur.disc(even, 5.5) == even).all()


def test_tone_curve_moves_middle_grey_like_the_exposure_and_keeps_black_and_white() -> None:
    levels = np.array([[[0] * 3, [128] * 3, [255] * 3]], np.uint8)
    for stops in (-2.0, 0.8):
        bent = filters.bend(levels, stops)[0, :, 0]
        assert bent[1] == pytest.approx(int(filters.expose(levels, stops)[0, 1, 0]), abs=1)
        assert (bent[0], bent[2]) == (0, 255)


def test_a_cast_keeps_the_brightness_of_grey() -> None:
    grey = np.full((4, 4, 3), 110, np.uint8)
    for hue in np.arange(6):
        made = filters.cast(grey, 0.8, hue)
        assert cast_of(made) > 20
        assert measure(made)["brightness"] == pytest.approx(110, abs=6)


def test_sensor_noise_has_its_deviation_and_more_in_the_shadows() -> None:
    def deviation(level: int) -> float:
        made = filters.sensor_noise(np.full((200, 200, 3), level, np.uint8), 10, 1.0, np.random.default_rng(2))
        return float(made.std())

    assert deviation(128) == pytest.approx(10, rel=0.03)
    assert deviation(60) > 1.1 * deviation(128)


@pytest.mark.parametrize("name", ["noise", "jpeg_loss", "defocus", "motion_blur", "regional_blur"])
def test_a_strength_is_alike_at_any_size(name: str) -> None:
    """Damage done at 960 px and seen at 320 px is about as far from the photo as damage done at 320 px."""
    large = np.asarray(Image.fromarray(textured(480, 320)).resize((960, 640), Image.Resampling.BICUBIC))
    small = filters.resized(large, 320, 213)
    done_large = distance(filters.resized(damaged(name, 2, large), 320, 213), small)
    done_small = distance(damaged(name, 2, small), small)
    assert done_large == pytest.approx(done_small, rel=0.35)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (32, 32), (7, 300)])
def test_any_shape_can_be_damaged(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for name in NAMES:
        assert damaged(name, 3, pixels).shape == pixels.shape


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_grey_can_be_damaged(level: int) -> None:
    for name in NAMES:
        assert damaged(name, 3, np.full((40, 60, 3), level, np.uint8)).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("name", "strength", "pixels", "error", "says"),
    [
        ("blurry", 1, textured(), ConfigError, "no kind of damage 'blurry'.*motion_blur"),
        ("tilt", 0, textured(), ConfigError, "no strength 0"),
        ("tilt", 3.5, textured(), ConfigError, "no strength 3.5"),
        ("tilt", 1, textured()[..., 0], DataError, "uint8 pixels"),
        ("tilt", 1, textured().astype(float), DataError, "float64"),
        ("tilt", 1, np.zeros((4, 4, 4), np.uint8), DataError, r"\(4, 4, 4\)"),
        ("tilt", 1, np.zeros((0, 4, 3), np.uint8), DataError, r"\(0, 4, 3\)"),
    ],
)
def test_what_cannot_be_damaged_is_named(
    name: str, strength: float, pixels: np.ndarray, error: type[PhotoqualError], says: str
) -> None:
    with pytest.raises(error, match=says) as problem:
        damage(pixels, name, strength, np.random.default_rng(0))
    assert problem.value.next_step


def test_drawing_gives_every_kind_and_strength_alike() -> None:
    random = np.random.default_rng(3)
    drawn = [draw(random) for _ in range(3300)]
    counts = {pair: drawn.count(pair) for pair in set(drawn)}
    assert set(counts) == {(name, strength) for name in NAMES for strength in STRENGTHS}
    assert min(counts.values()) > 60
    assert {draw(random, ("tilt", "noise"), (2,)) for _ in range(20)} == {("tilt", 2), ("noise", 2)}


def test_the_page_of_defects_shows_the_table_as_it_is() -> None:
    assert table() in (PROJECT / "docs/how-to/defects.md").read_text()


def test_the_sheet_has_a_row_for_each_kind() -> None:
    few, pixels = sheet(textured()), textured(300, 100)
    assert few.size[1] > 12 * few.size[0] / 3 * 160 / 240
    assert sheet(pixels).size[0] == few.size[0]
    assert sheet(pixels).size[1] < few.size[1]


# --- stored sets


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Six photos, one of them a PNG with alpha, in a folder."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"harbour {number}.jpg").write_bytes(encoded(scene(number, (200, 120)), quality=60 + number))
    (folder / "é&.png").write_bytes(encoded(scene(9, (80, 120)).convert("RGBA"), "PNG"))
    return sorted(folder.iterdir())


def test_a_stored_set_is_read_by_the_folders_source_with_the_lines_it_prints(
    tmp_path: Path, photos: list[Path], make_params: Callable[..., Params]
) -> None:
    kinds = ("too_dark", "defocus", "tilt")
    made = stored.store(photos, tmp_path / "set", kinds=kinds, per_photo=2, seed=1)
    assert made.files["good"] == 6
    assert sum(made.files.values()) == 18
    lines = yaml.safe_load(stored.params_lines(made.folder))
    params = make_params(sources=lines["sources"], **{"labels.rule": lines["labels"]["rule"]})
    layout = Layout(tmp_path)
    assert refresh(layout, params)["photos"] == 18
    catalog = read_catalog(layout.catalog)
    assert sorted(catalog.groupby("group").size()) == [3] * 6
    assert catalog.groupby("group")["label_hint"].apply(lambda hints: (hints == "good").sum()).eq(1).all()
    assert label(layout, params) == {"rule": "folders", "good": 6, "bad": 12, "left_out": {}}
    labels = read_labels(layout)
    assert {tuple(names) for names in labels.loc[labels["good"] == 0, "defects"]} == {(kind,) for kind in kinds}
    assert {tuple(names) for names in labels.loc[labels["good"] == 1, "defects"]} == {()}


def test_every_file_of_a_set_is_encoded_alike(tmp_path: Path, photos: list[Path]) -> None:
    made = stored.store(photos, tmp_path / "set", per_photo=3)
    found = sorted(made.folder.rglob("*.*"))
    assert len(found) == 24
    assert {path.suffix for path in found} == {".jpg"}
    marks = set()
    for path in found:
        with Image.open(path) as image:
            marks.add((str(image.quantization), image.info.get("progressive"), tuple(sorted(image.info)), image.mode))
    assert len(marks) == 1


def test_what_is_drawn_for_a_photo_does_not_depend_on_the_others(tmp_path: Path, photos: list[Path]) -> None:
    def tree(folder: str, chosen: list[Path], seed: int = 0) -> dict[str, bytes]:
        made = stored.store(chosen, tmp_path / folder, per_photo=2, seed=seed).folder
        return {path.relative_to(made).as_posix(): path.read_bytes() for path in made.rglob("*.jpg")}

    alone, together = tree("alone", photos[2:3]), tree("together", photos[::-1])
    assert alone.items() <= together.items()
    assert tree("again", photos[2:3]) == alone
    assert tree("other seed", photos, seed=1).keys() != together.keys()


def test_photos_that_cannot_be_read_are_counted_and_the_others_kept(tmp_path: Path, photos: list[Path]) -> None:
    broken, copy = tmp_path / "broken.jpg", tmp_path / "copy.jpg"
    broken.write_bytes(photos[0].read_bytes()[:700])
    copy.write_bytes(photos[0].read_bytes())
    made = stored.store([broken, photos[0], copy, tmp_path / "gone.jpg"], tmp_path / "set")
    assert [(Path(skip.photo).name, skip.reason) for skip in made.skipped] == [
        ("broken.jpg", "truncated"),
        ("copy.jpg", "duplicate"),
        ("gone.jpg", "unreadable_file"),
    ]
    assert made.files["good"] == 1


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"kinds": ("tilt", "soft")}, ConfigError, "no kind of damage 'soft'.*defocus"),
        ({"kinds": ()}, ConfigError, "No kind"),
        ({"kinds": ("tilt", "tilt")}, ConfigError, "twice"),
        ({"strengths": (0, 1)}, ConfigError, r"\[0, 1\]"),
        ({"strengths": ()}, ConfigError, r"\[\]"),
        ({"per_photo": 0}, ConfigError, "1 to 11"),
        ({"per_photo": 2, "kinds": ("tilt",)}, ConfigError, "1 to 1"),
        ({"out": "photos"}, ConfigError, "not an empty folder"),
        ({"out": "photos/harbour 1.jpg"}, ConfigError, "not an empty folder"),
        ({"out": "photos/harbour 1.jpg/set"}, ConfigError, "cannot be made"),
        ({"photos": []}, DataError, "None of 0 photos"),
    ],
)
def test_a_set_that_cannot_be_made_says_why(
    tmp_path: Path, photos: list[Path], options: dict[str, Any], error: type[PhotoqualError], says: str
) -> None:
    chosen = options.pop("photos", photos)
    with pytest.raises(error, match=says) as problem:
        stored.store(chosen, tmp_path / options.pop("out", "set"), **options)
    assert problem.value.next_step
    assert len(list((tmp_path / "photos").iterdir())) == 6


def test_the_verb_prints_lines_for_params_and_lists_what_it_skipped(tmp_path: Path, photos: list[Path]) -> None:
    (photos[0].parent / "raw.nef").write_bytes(b"raw")
    command = [sys.executable, "-m", "photoqual", "damage", "photos", "--out", "set", "--kinds", "noise,tilt"]
    run = subprocess.run(
        [*command, "--strengths", "2"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 1, run.stderr
    assert yaml.safe_load(run.stdout)["sources"]["damaged"]["path"] == str(tmp_path / "set")
    assert "raw.nef" in run.stderr
    assert "6 good" in run.stderr
    assert {path.stem[-2:] for folder in ("noise", "tilt") for path in (tmp_path / "set" / folder).iterdir()} == {"-2"}

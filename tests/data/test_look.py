"""How a photo looks, as the refresh measures it: exact, cheap, and kept in the catalog."""

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoqual.config import PhotosParams, parse_params
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.decode import working_copy
from photoqual.photos.look import Look, look
from photoqual.photos.measures import measure
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene


@pytest.mark.parametrize("size", [(640, 480), (150, 105), (7, 300)])
def test_a_look_is_what_measures_say(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).normal(0, 12, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(np.asarray(scene(3, size)) + noise, 0, 255).astype(np.uint8))
    pixels = np.asarray(image)
    found, measures = look(image), measure(pixels)
    assert found.brightness == pytest.approx(measures["brightness"], abs=0.6)
    assert found.sharpness == pytest.approx(measures["sharpness"], abs=0.05)
    assert (found.red, found.green, found.blue) == tuple(np.rint(pixels.mean(axis=(0, 1))).astype(int))


def test_the_smallest_photo_has_a_look() -> None:
    assert look(Image.new("RGB", (1, 1), (10, 20, 30))) == Look(18.0, 0.0, 10, 20, 30)


def test_a_thumbnail_costs_far_less_than_its_decoding() -> None:
    thumbnail = encoded(scene(3).resize((150, 105)))
    image = scene(3).resize((150, 105))

    def fastest(what: object, *given: object) -> float:
        times = []
        for _ in range(30):
            begun = time.perf_counter()
            what(*given)  # type: ignore[operator]
            times.append(time.perf_counter() - begun)
        return min(times)

    assert fastest(look, image) < 0.5 * fastest(working_copy, thumbnail, PhotosParams())


def test_a_refresh_keeps_looks_in_the_catalog(tmp_path: Path) -> None:
    for number, folder in enumerate(("good", "bad")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "photo.jpg").write_bytes(encoded(scene(number)))
    (tmp_path / "bad/broken.jpg").write_bytes(b"no photo")
    sections = ("photos", "labels", "validation", "split", "model", "train", "evaluate", "promote")
    params = parse_params(
        {"sources": {"mine": {"kind": "folders", "path": str(tmp_path)}}, **{name: {} for name in sections}}
    )
    layout = Layout(tmp_path / "project")
    refresh(layout, params)
    catalog = read_catalog(layout.catalog, ["status", "brightness", "sharpness", "red", "green", "blue"])
    usable = catalog["status"] == "ok"
    assert usable.sum() == 2
    assert catalog[usable].notna().all(axis=None)
    assert catalog.loc[~usable, "brightness"].isna().all()
    copies = [working_copy(encoded(scene(number)), params.photos).look for number in range(2)]
    assert sorted(catalog.loc[usable, "red"]) == sorted(copy.red for copy in copies)

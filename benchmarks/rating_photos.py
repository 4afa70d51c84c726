"""Photos and models for the benchmark of rating: JPEGs of 12 megapixels, of 288 px, many small ones."""

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from photoqual.models.info import read_info, write_info
from photoqual.sources import _demo_photos
from photoqual.starter.model import starter_folder

WIDTH = 288
"""`model.image_width` of the shipped params.yaml."""
_LARGE = (4000, 3000)
_GRAIN, _TILE = 5.0, 1000


@dataclass(frozen=True)
class Model:
    """A model folder and what it is called in the table."""

    name: str
    folder: Path


def large_photos(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEGs of 12 megapixels with the grain of a sensor: crops of the demo's photographs, enlarged."""
    folder.mkdir()
    paths = []
    for index, photo in enumerate(_demo_photos.photos(1)[:count]):
        picture = _demo_photos._base_image(photo.base).crop(_demo_photos.crop_box(photo))
        size = _LARGE if picture.width >= picture.height else _LARGE[::-1]
        pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
        grain = np.random.default_rng(index).normal(0, _GRAIN, (_TILE, _TILE, 1)).astype(np.float32)
        pixels = pixels + np.tile(grain, (size[1] // _TILE, size[0] // _TILE, 1))
        paths.append(folder / f"{index:03d}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=94)
    return paths


def small_photos(folder: Path, count: int, side: int) -> list[Path]:
    """Write `count` photos of the demo as JPEGs whose long side is `side` px."""
    folder.mkdir()
    paths = []
    for index, data in enumerate(_rendered(count)):
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((side, side), Image.Resampling.LANCZOS)
            paths.append(folder / f"{index:03d}.jpg")
            image.save(paths[-1], quality=90)
    return paths


def many_photos(folder: Path, count: int, distinct: int = 50) -> Path:
    """Fill `folder` with `count` links to `distinct` photos of the demo, 400 to 480 px; return it."""
    folder.mkdir()
    originals = []
    for index, data in enumerate(_rendered(min(count, distinct))):
        originals.append(folder / f"{index:06d}.jpg")
        originals[-1].write_bytes(data)
    for index in range(len(originals), count):
        os.link(originals[index % distinct], folder / f"{index:06d}.jpg")
    return folder


def starter() -> Model:
    """Return the starter: EfficientNet-Lite0 at up to 640 px."""
    return Model("starter, 640 px", starter_folder())


def small_starter(folder: Path) -> Model:
    """Return the network of the starter at WIDTH: what a backbone trained by the shipped params costs."""
    shutil.copytree(starter_folder(), folder)
    write_info(folder, read_info(folder).model_copy(update={"image_width": WIDTH}))
    return Model(f"EfficientNet-Lite0, {WIDTH} px", folder)


def _rendered(count: int) -> Iterator[bytes]:
    yield from map(_demo_photos.render, _demo_photos.photos(1)[:count])

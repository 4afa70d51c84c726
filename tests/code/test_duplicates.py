"""Near duplicates: what sorting finds is what comparing all with all finds, however the hashes are spread."""

import itertools
import time
from datetime import timedelta

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse.csgraph import connected_components

from photoqual.photos import duplicates
from photoqual.photos.duplicates import near_duplicates, split_units
from photoqual.photos.fingerprints import perceptual_hash
from tests.conftest import NOW, scene
from tests.long import times


def texts(values: np.ndarray) -> pd.Series:
    return pd.Series([f"{int(value):016x}" for value in values], dtype=object)


def flipped(draw: np.random.Generator, values: np.ndarray, most: int) -> np.ndarray:
    """Return `values` with up to `most` bits of each turned over."""
    result = values.copy()
    for _ in range(most):
        turn = draw.random(len(values)) < 0.6
        result[turn] ^= np.uint64(1) << draw.integers(0, 64, int(turn.sum()), dtype=np.uint64)
    return result


def random(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 2**64, 300, dtype=np.uint64)


def families(draw: np.random.Generator) -> np.ndarray:
    return flipped(draw, np.repeat(draw.integers(0, 2**64, 60, dtype=np.uint64), 5), 4)


def one_quarter(draw: np.random.Generator) -> np.ndarray:
    return flipped(draw, np.repeat(draw.integers(0, 2**48, 150, dtype=np.uint64), 2), 3)


def few_bits(draw: np.random.Generator) -> np.ndarray:
    return draw.integers(0, 2**11, 300, dtype=np.uint64) << np.uint64(27)


def even_words(draw: np.random.Generator) -> np.ndarray:
    """Words of a code with distance 2: many that are close, fewer that are near."""
    words = draw.integers(0, 2**20, 300, dtype=np.uint64)
    return words << np.uint64(1) | (np.bitwise_count(words) & np.uint8(1)).astype(np.uint64)


def few(draw: np.random.Generator) -> np.ndarray:
    return flipped(draw, np.repeat(draw.integers(0, 2**64, 1, dtype=np.uint64), int(draw.integers(1, 4))), 2)


SPREADS = [few, random, families, one_quarter, few_bits, even_words]


def by_force(values: np.ndarray, bits: int, minutes: list[int | None]) -> np.ndarray:
    """Return the label of each by comparing all with all."""
    size = len(values)
    near = np.zeros((size, size), dtype=bool)
    for one, other in itertools.combinations(range(size), 2):
        mine, yours = minutes[one], minutes[other]
        same_time = mine is None or yours is None or abs(mine - yours) <= 1
        near[one, other] = same_time and (int(values[one]) ^ int(values[other])).bit_count() <= bits
    return connected_components(near, directed=False)[1]


def same_parts(one: np.ndarray, other: np.ndarray) -> bool:
    return len(set(zip(one, other, strict=True))) == len(set(one)) == len(set(other))


@pytest.mark.parametrize("crowded", [2, 64])
@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("timed", ["none", "all", "half"])
def test_sorting_finds_what_comparing_all_with_all_finds(
    monkeypatch: pytest.MonkeyPatch, spread: object, timed: str, crowded: int
) -> None:
    monkeypatch.setattr(duplicates, "_CROWDED", crowded)
    for seed in range(times(2, 40)):
        draw = np.random.default_rng(seed)
        values = spread(draw)  # type: ignore[operator]
        bits = seed % 4 if seed > 1 else 3 - seed
        told = {"none": 0.0, "all": 1.0, "half": 0.5}[timed]
        seconds = draw.integers(0, 60 * 8, len(values))
        known = draw.random(len(values)) < told
        taken = pd.Series([NOW + timedelta(seconds=int(s)) if k else None for s, k in zip(seconds, known, strict=True)])
        minutes = [int(s) // 60 if k else None for s, k in zip(seconds, known, strict=True)]
        found = near_duplicates(texts(values), bits, taken)
        assert same_parts(found, by_force(values, bits, minutes)), (seed, bits)


@pytest.mark.parametrize("dtype", ["object", "arrow"])
def test_one_photo_on_two_sources_is_one_unit_and_one_motif_every_day_is_not(dtype: str) -> None:
    hour = timedelta(hours=1)
    rows = [
        ("original", "site/a", "00000000000000ff", NOW),
        ("smaller copy", "club/b", "00000000000000fe", None),
        ("edited copy", "blog/c", "00000000000000ef", NOW + timedelta(seconds=50)),
        ("webcam at one", "cam/d", "ffff0000ffff0000", NOW),
        ("webcam at two", "cam/e", "ffff0000ffff0000", NOW + hour),
        ("original", "mirror/f", "", NOW + hour),
        ("without hash", "site/g", "", None),
    ]
    photos = pd.DataFrame(rows, columns=["photo_id", "group", "phash", "taken_at"])
    if dtype == "arrow":
        photos = photos.convert_dtypes(dtype_backend="pyarrow")
    units = split_units(photos)
    assert units[0] == units[1] == units[2] == units[5]
    assert len({units[0], units[3], units[4], units[6]}) == 4
    assert split_units(photos.drop(columns="taken_at"))[3] == split_units(photos.drop(columns="taken_at"))[4]


WORST = {
    "random": lambda draw, size: draw.integers(0, 2**64, size, dtype=np.uint64),
    "all equal": lambda draw, size: np.full(size, 7, dtype=np.uint64),
    "one quarter": lambda draw, size: draw.integers(0, 2**48, size, dtype=np.uint64),
    "two quarters": lambda draw, size: draw.integers(0, 2**32, size, dtype=np.uint64),
    "twenty bits": lambda draw, size: draw.integers(0, 2**20, size, dtype=np.uint64),
}


@pytest.mark.parametrize("worst", WORST)
def test_no_spread_of_hashes_makes_it_quadratic(worst: str) -> None:
    size = times(5_000, 250_000)
    hashes = [texts(WORST[worst](np.random.default_rng(1), count)) for count in (size, 4 * size)]
    spent = []
    for some in hashes:
        start = time.process_time()
        near_duplicates(some)
        spent.append(time.process_time() - start)
    assert spent[1] < 10 * spent[0] + 0.5


def test_the_hash_is_that_of_imagehash_bit_for_bit() -> None:
    draw = np.random.default_rng(3)
    for seed in range(times(40, 2000)):
        image = scene(seed, tuple(int(side) for side in draw.integers(8, 200, 2)))  # type: ignore[arg-type]
        if seed % 4 == 0:
            image = image.convert("L").point(lambda level: 255 * (level > 128))
        if seed % 5 == 0:
            image = Image.merge("RGB", [image.convert("L").transpose(Image.Transpose.FLIP_LEFT_RIGHT)] * 3)
        if seed % 7 == 0:
            image = Image.fromarray(np.tile(np.linspace(0, 255, image.width).astype(np.uint8), (image.height, 1)))
        assert perceptual_hash(image) == str(imagehash.phash(image))

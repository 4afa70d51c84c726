"""Damages and harmless changes: each does to a photo what it says, the same every time, on photos of any shape."""

import numpy as np
import pytest

from photoqual.evaluation import checks
from tests.conftest import scene

ALL = checks.DAMAGES | checks.HARMLESS
PHOTO = np.asarray(scene(5, (480, 320)))
GREY = np.full((64, 96, 3), 128, dtype=np.uint8)


def changed(name: str, pixels: np.ndarray = PHOTO, photo_id: str = "a") -> np.ndarray:
    return checks.changed(pixels, photo_id)[name]


def test_three_stops_are_an_eighth_of_the_light() -> None:
    assert (changed("darkened", GREY) == 50).all()
    light = ((changed("darkened") / 255.0) ** 2.2).mean() / ((PHOTO / 255.0) ** 2.2).mean()
    assert light == pytest.approx(1 / 8, rel=0.01)


def test_blur_is_wider_on_a_larger_copy() -> None:
    edge = np.zeros((640, 640, 3), dtype=np.uint8)
    edge[:, 320:] = 200
    for step in (1, 4):
        soft = changed("blurred", edge[::step, ::step])[0, :, 0].astype(int)
        between = int(((soft > 20) & (soft < 180)).sum())
        assert between == pytest.approx(2.56 * 4 / step, abs=2)


def test_compression_leaves_blocks() -> None:
    blocky = changed("compressed").astype(int)
    steps = np.abs(np.diff(blocky.mean(axis=2), axis=1)).mean(axis=0)
    at_edges = np.arange(1, blocky.shape[1]) % 8 == 0
    assert steps[at_edges].mean() > 3 * steps[~at_edges].mean()


def test_noise_has_the_strength_stated_and_no_drift() -> None:
    apart = changed("noisy", GREY).astype(float) - 128
    assert apart.std() == pytest.approx(checks.NOISE, rel=0.05)
    assert abs(apart.mean()) < 2


def test_noise_and_compression_are_seen_on_a_large_copy_too() -> None:
    large = np.full((1280, 1920, 3), 128, dtype=np.uint8)
    assert changed("noisy", large).shape == (427, 640, 3)
    assert changed("compressed", large).shape == (427, 640, 3)


def test_a_black_frame_shows_nothing() -> None:
    assert not changed("black").any()


def test_a_flip_turns_back() -> None:
    assert not np.array_equal(changed("flipped"), PHOTO)
    assert np.array_equal(changed("flipped", changed("flipped")), PHOTO)


def test_a_crop_is_the_middle_of_the_photo() -> None:
    cut = changed("cropped")
    assert cut.shape == (294, 442, 3)
    assert np.array_equal(cut, PHOTO[13:307, 19:461])


@pytest.mark.parametrize("name", ALL)
def test_equal_photos_are_changed_alike_and_left_as_they_were(name: str) -> None:
    before = PHOTO.copy()
    before.flags.writeable = False
    first = changed(name, before)
    assert first.dtype == np.uint8
    assert np.array_equal(first, changed(name, before))
    assert np.array_equal(before, PHOTO)
    assert not np.shares_memory(first, before)


def test_two_photos_get_different_noise() -> None:
    assert not np.array_equal(changed("noisy", GREY, "a"), changed("noisy", GREY, "b"))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (33, 47), (1, 2000)])
@pytest.mark.parametrize("name", ALL)
def test_photos_of_any_shape_can_be_changed(name: str, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    found = changed(name, pixels)
    assert found.ndim == 3
    assert found.shape[2] == 3
    assert min(found.shape) > 0
    if name != "cropped" and max(shape) <= checks.SEEN_AT:
        assert found.shape == pixels.shape


@pytest.mark.parametrize("name", sorted(set(ALL) - {"noisy"}))
def test_grey_stays_grey(name: str) -> None:
    grey = np.repeat(PHOTO.mean(axis=2).astype(np.uint8)[..., None], 3, axis=2)
    found = changed(name, grey).astype(int)
    assert np.ptp(found, axis=2).max() <= 1


def test_the_choice_of_photos_is_the_same_in_any_order() -> None:
    ids = [f"{index:064x}" for index in range(40)]
    ten = checks.chosen(ids, 10)
    assert len(ten) == 10
    assert ten == checks.chosen(reversed(ids), 10)
    assert checks.chosen(ids, 5) < ten
    assert ten != set(ids[:10])
    assert checks.chosen(ids, 100) == set(ids)
    assert checks.chosen([], 3) == frozenset()

"""What belongs together: brackets, panoramas, bursts, near duplicates; on tables of examples and on photographs."""

import itertools
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from photoqual.photos.exposure import Exposure
from photoqual.photos.fingerprints import perceptual_hash
from photoqual.rating.cull.brackets import brackets
from photoqual.rating.cull.frames import Frame
from photoqual.rating.cull.groups import group
from photoqual.rating.cull.panoramas import overlap_of, panoramas
from tests.people.cameras import START, frame, photographs


def shot(at: float, name: str = "", **facts: object) -> Frame:
    """Return a frame that was taken `at` seconds after the start."""
    return Frame(photo=name or f"{at:07.2f}.jpg", taken=START + timedelta(seconds=at), camera="c", **facts)  # type: ignore[arg-type]


def exposed(at: float, bias: float | None = None, seconds: float = 1 / 125, **more: object) -> Frame:
    return shot(at, exposure=Exposure(seconds=seconds, aperture=8.0, iso=100.0, bias=bias, focal=35.0, **more))  # type: ignore[arg-type]


BRACKETS = {
    "three by compensation": ([exposed(0, 0), exposed(1, -2), exposed(2, 2)], [[0, 1, 2]]),
    "five, darkest first": ([exposed(at / 2, at - 2.0) for at in range(5)], [[0, 1, 2, 3, 4]]),
    "two in a row": ([exposed(at, bias) for at, bias in enumerate((0, -1, 1, 0, -1, 1))], [[0, 1, 2], [3, 4, 5]]),
    "by time alone, as cameras round it": (
        [exposed(0, 0, 1 / 125), exposed(1, 0, 1 / 500), exposed(2, 0, 1 / 30)],
        [[0, 1, 2]],
    ),
    "long exposures": ([exposed(0, 0, 4), exposed(5, -2, 1), exposed(7, 2, 16)], [[0, 1, 2]]),
    "thirds, told by the camera": (
        [exposed(at, 0, time, bracketing=True) for at, time in enumerate((1 / 100, 1 / 125, 1 / 160))],
        [[0, 1, 2]],
    ),
    "thirds, as automatic exposure drifts": ([exposed(at, 0, 1 / time) for at, time in enumerate((100, 125, 160))], []),
    "a burst": ([exposed(at / 3, 0) for at in range(6)], []),
    "two frames": ([exposed(0, -1), exposed(1, 1)], []),
    "uneven steps": ([exposed(0, 0), exposed(1, -1), exposed(2, 2)], []),
    "too slow": ([exposed(0, 0), exposed(4, -2), exposed(8, 2)], []),
    "zoomed between": (
        [exposed(0, 0), exposed(1, -2), replace(exposed(2, 2), exposure=Exposure(1 / 125, 8.0, 100.0, 2.0, 50.0))],
        [],
    ),
    "after a single photo": ([exposed(0, 0), exposed(10, 0), exposed(11, -1), exposed(12, 1)], [[1, 2, 3]]),
    "no EXIF": ([Frame("a"), Frame("b"), Frame("c")], []),
}


@pytest.mark.parametrize("name", BRACKETS)
def test_brackets_are_equal_steps_in_quick_succession(name: str) -> None:
    frames, expected = BRACKETS[name]
    assert brackets(frames) == expected


def small(image: Image.Image) -> np.ndarray:
    grey = image.convert("L")
    grey.thumbnail((64, 64), Image.Resampling.BOX)
    return np.asarray(grey)


def swept(image: Image.Image, step: float, count: int, **facts: object) -> list[Frame]:
    """Return frames of 0.3 of the width, each `step` of a frame's width further, slightly turned and unevenly bright."""
    draw = np.random.default_rng(1)
    found = []
    for at in range(count):
        cut = frame(image, 0.02 + at * step * 0.3, 0.1, 0.3, 0.8)
        turned = ImageEnhance.Brightness(cut.rotate(draw.uniform(-1, 1), Image.Resampling.BICUBIC)).enhance(
            draw.uniform(0.95, 1.05)
        )
        exposure = Exposure(1 / 125, 8.0, 100.0, 0.0, 35.0)
        found.append(replace(shot(2 * at, small=small(turned), size=cut.size, exposure=exposure), **facts))  # type: ignore[arg-type]
    return found


WIDE = ("Vancouver, Canada", "Dallas, USA", "Rome, Italy", "Sydney, Australia", "Tokyo, Japan", "Seattle, USA")


@pytest.mark.parametrize("name", WIDE)
def test_a_sweep_over_a_photograph_is_a_panorama_and_other_sequences_are_none(name: str) -> None:
    image = photographs()[name]
    sweep = swept(image, 0.55, 5)
    assert panoramas(sweep) == [[0, 1, 2, 3, 4]]
    assert panoramas(sweep[::-1]) == [[0, 1, 2, 3, 4]]
    assert panoramas(swept(image, 0.04, 6)) == []
    assert panoramas([sweep[0], sweep[1], sweep[0], sweep[1]]) == []
    assert panoramas(sweep[:2]) == []
    brighter = replace(sweep[1], exposure=replace(sweep[1].exposure, seconds=1 / 60))
    assert panoramas([sweep[0], brighter, sweep[2]]) == []
    assert panoramas([replace(one, exposure=Exposure()) for one in sweep]) == []


def test_overlap_tells_the_shift_and_unrelated_photographs_do_not_overlap() -> None:
    image = photographs()["Vancouver, Canada"]
    found = overlap_of(small(frame(image, 0, 0, 0.5, 0.9)), small(frame(image, 0.2, 0.1, 0.5, 0.9)))
    wide = small(frame(image, 0, 0, 0.5, 0.9)).shape[1]
    assert found.right == pytest.approx(0.4 * wide, abs=2)
    assert found.correlation > 0.8
    others = [small(photo.resize((600, 400))) for photo in list(photographs().values())[:14]]
    pairs = [(one, other) for one, other in itertools.pairwise(others)]
    assert sum(overlap_of(one, other).correlation >= 0.6 for one, other in pairs) <= 1
    flat = np.full((40, 64), 128, np.uint8)
    assert overlap_of(flat, flat).correlation < 0.6


def direction(*values: float) -> np.ndarray:
    found = np.zeros(128, np.float16)
    found[: len(values)] = values
    return (found / np.linalg.norm(found)).astype(np.float16)


ONE, NEAR, OTHER = direction(1, 0), direction(1, 0.3), direction(0, 1)


def told(frames: list[Frame], seconds: float = 3.0) -> list[tuple[str, tuple[int, ...]]]:
    return [(found.name, found.members) for found in group(frames, seconds=seconds)]


def test_a_burst_is_what_shows_the_same_within_seconds_of_one_camera() -> None:
    frames = [
        shot(0, vector=ONE),
        shot(1, vector=NEAR),
        shot(2, vector=OTHER),
        shot(3, vector=OTHER),
        shot(9, vector=ONE),
    ]
    assert told(frames) == [("burst 1", (0, 1)), ("burst 2", (2, 3))]
    assert told(frames, seconds=0) == []
    assert told([replace(one, taken=None) for one in frames]) == []
    assert told([frames[0], replace(frames[1], camera="another")]) == []
    by_hash = [shot(0, phash="0" * 16), shot(1, phash="00000000000003ff"), shot(2, phash="f" * 16)]
    assert told(by_hash) == [("burst 1", (0, 1))]


def test_a_scene_that_changes_slowly_is_not_one_burst_from_end_to_end() -> None:
    turn = [direction(np.cos(at * 0.2), np.sin(at * 0.2)) for at in range(16)]
    found = told([shot(at, vector=vector) for at, vector in enumerate(turn)])
    assert [members for _, members in found] == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11), (12, 13, 14, 15)]


def test_near_duplicates_are_copies_and_retakes() -> None:
    copy = [Frame("a", phash="0" * 16, vector=ONE), Frame("b", phash="0" * 15 + "1", vector=NEAR)]
    assert told(copy) == [("duplicates 1", (0, 1))]
    assert told([copy[0], replace(copy[1], vector=OTHER)]) == []
    assert told([replace(one, vector=None) for one in copy]) == [("duplicates 1", (0, 1))]
    assert told([replace(one, phash="") for one in copy]) == []
    near = direction(1, 0.2)
    retake = [shot(0, phash="0" * 16, vector=ONE), shot(40, phash="00000000000000ff", vector=near)]
    assert told(retake) == [("duplicates 1", (0, 1))]
    assert told([retake[0], replace(retake[1], taken=START + timedelta(seconds=80))]) == []


def test_brackets_and_panoramas_never_count_as_duplicates() -> None:
    image = photographs()["Rome, Italy"]
    same = {"vector": ONE, "phash": perceptual_hash(image)}
    bracket = [replace(exposed(at, bias), **same) for at, bias in enumerate((0.0, -2.0, 2.0))]  # type: ignore[arg-type]
    sweep = [
        replace(one, photo=f"p{at}", taken=START + timedelta(minutes=1, seconds=2 * at), **same)  # type: ignore[arg-type]
        for at, one in enumerate(swept(image, 0.5, 3))
    ]
    copy = Frame("z", **same)  # type: ignore[arg-type]
    assert told([*bracket, *sweep, copy]) == [("bracket 1", (0, 1, 2)), ("panorama 1", (3, 4, 5))]


def test_many_photos_of_a_day_are_grouped_without_comparing_all_with_all() -> None:
    draw = np.random.default_rng(0)
    hashes = [f"{value:016x}" for value in draw.integers(0, 2**63, 5000)]
    frames = [shot(5 * at, vector=direction(*draw.normal(size=64)), phash=hashes[at]) for at in range(5000)]
    assert told(frames) == []


def test_a_scene_that_changes_slowly_for_long_is_not_one_motif() -> None:
    hashes = [f"{(1 << at) - 1:016x}" for at in range(40)]
    turn = [direction(np.cos(at * 0.2), np.sin(at * 0.2)) for at in range(40)]
    frames = [shot(30 * at, vector=turn[at], phash=hashes[at]) for at in range(40)]
    members = [found for _, found in told(frames)]
    assert members
    assert max(map(len, members)) <= 13


def test_without_bursts_photos_of_one_second_are_photos_of_their_own() -> None:
    pair = [shot(0, phash="0" * 16), shot(0, phash="00000000000003ff")]
    assert told(pair) == [("burst 1", (0, 1))]
    assert told(pair, seconds=0) == []

"""Which photos are kept, and why: tables of examples."""

from pathlib import Path

import pytest

from photoqual.errors import ConfigError
from photoqual.photos.formats import RAW_SUFFIXES
from photoqual.rating.cull.choose import best_of, choose, first_pass, parse_keep
from photoqual.rating.cull.frames import Frame
from photoqual.rating.cull.groups import Group
from photoqual.rating.cull.shots import Shot, companions, pair


def frames(*scores: float) -> list[Frame]:
    return [Frame(name, score=score) for name, score in zip("abcdefghij", scores, strict=False)]


def kept(
    found: list,
) -> str:  # type: ignore[type-arg]
    return "".join(one.photo for one in found if one.keep)


BURST = Group("burst", 1, (0, 1, 2))
BRACKET = Group("bracket", 1, (3, 4, 5))
SCORES = (0.5, 0.9, 0.7, 0.1, 0.6, 0.2, 0.8, 0.3)
"""Of a burst a, b, c, a bracket d, e, f and two photos alone, g and h."""


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (None, "bdefgh"),
        (8, "abcdefgh"),
        (7, "bcdefgh"),
        (6, "bdefgh"),
        (5, "bdefg"),
        (4, "bcgh"),
        (3, "bgh"),
        (1, "b"),
        (0, ""),
    ],
)
def test_what_stands_for_itself_comes_first_and_brackets_stay_whole(keep: int | None, expected: str) -> None:
    assert kept(choose(frames(*SCORES), [BURST, BRACKET], keep)) == expected


def test_each_decision_has_its_reason() -> None:
    found = {one.photo: one for one in choose(frames(*SCORES), [BURST, BRACKET], 4)}
    assert found["a"].reason == "in burst 1 with b, which scores 0.900"
    assert (found["b"].reason, found["b"].group, found["b"].keeper) == ("best of burst 1", "burst 1", "b")
    assert found["c"].reason == "there is room for it; in burst 1 with b, which scores 0.900"
    assert found["d"].reason == "bracket 1 of 3 is not among the best 4"
    assert found["h"].reason == "no other like it"
    assert choose(frames(0.5), [], 0)[0].reason == "not among the best 0"
    double = choose(frames(0.5, 0.505), [Group("duplicates", 2, (0, 1))])
    assert [one.reason for one in double] == [
        "best of duplicates 2",
        "near duplicate of a, which is as good and as sharp",
    ]


def test_the_keeper_is_the_best_and_among_equals_the_sharpest() -> None:
    def best(*rows: tuple[float, float, int]) -> int:
        made = [
            Frame(name, score=row[0], sharpness=row[1], pixels=row[2]) for name, row in zip("abc", rows, strict=False)
        ]
        return best_of(made, range(len(made)))

    assert best((0.5, 9.0, 0), (0.6, 1.0, 0)) == 1
    assert best((0.590, 9.0, 0), (0.600, 1.0, 0)) == 0
    assert best((0.01, 5.0, 0), (0.005, 6.0, 0), (0.0, 7.0, 0)) == 2
    assert best((0.6, 5.0, 10), (0.6, 5.0, 20)) == 1
    assert best((0.9, 5.0, 9), (0.6, 4.0, 20)) == 1
    assert best((0.9, 5.0, 0), (0.6, 4.0, 20)) == 0
    assert best((0.6, 5.0, 10), (0.6, 5.0, 10)) == 0


def test_a_first_pass_drops_by_score_alone_but_keeps_what_is_whole_or_unknown() -> None:
    made = frames(0.05, 0.9, 0.7, 0.1, 0.6, 0.2, 0.8, 0.1)
    made[7] = Frame("h", score=0.1, familiar=False)
    found = first_pass(made, [BURST, BRACKET], 0.5)
    assert kept(found) == "bcdefgh"
    assert {one.photo: one.reason for one in found if one.photo in "adh"} == {
        "a": "scores under 0.5000",
        "d": "bracket 1 is kept whole",
        "h": "not the kind of photo that the model knows",
    }
    assert kept(first_pass(made, [BURST, BRACKET], None)) == "abcdefgh"


@pytest.mark.parametrize(
    ("text", "expected"), [("60%", 6), ("40", 10), ("4", 4), ("0%", 0), ("100%", 10), ("33.3%", 3)]
)
def test_keep_is_a_share_or_a_number(text: str, expected: int) -> None:
    assert parse_keep(text, 10) == expected


@pytest.mark.parametrize("text", ["101%", "-1", "-1%", "nan%", "2.5", "many", "", "%", "1e400%"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--keep"):
        parse_keep(text, 10)


def test_a_raw_and_its_jpeg_are_one_shot_and_other_files_are_not() -> None:
    photos = [Path("t", name) for name in ("a.CR2", "a.JPG", "b.jpg", "b.png", "c.nef", "d.heic", "d.dng", "u/a.jpg")]
    found = {shot.photo.as_posix(): [twin.name for twin in shot.twins] for shot in pair(photos)}
    assert found == {
        "t/a.JPG": ["a.CR2"], "t/b.jpg": [], "t/b.png": [], "t/c.nef": [], "t/d.heic": ["d.dng"], "t/u/a.jpg": [],
    }  # fmt: skip
    assert ".cr2" in RAW_SUFFIXES


def test_sidecars_go_with_their_photo_unless_another_photo_needs_them() -> None:
    beside = [Path(name) for name in ("a.xmp", "a.JPG.xmp", "a.CR2.XMP", "a.CR2", "a.JPG", "ab.xmp", "a.txt")]
    shot = Shot(Path("a.JPG"), (Path("a.CR2"),))
    assert [path.name for path in companions(shot, beside, [])] == ["a.xmp", "a.JPG.xmp", "a.CR2.XMP"]
    alone = [path.name for path in companions(Shot(Path("a.JPG")), beside, [Path("a.CR2")])]
    assert alone == ["a.JPG.xmp"]

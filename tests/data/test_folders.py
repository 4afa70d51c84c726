"""Folders as a source: the folder is the label, groups come from paths or a table, and nothing outside is read."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from photoqual.config import FoldersSource, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.sources._files import mark
from photoqual.sources.folders import Folders, label_hint
from photoqual.sources.records import Fetched, Known
from tests.conftest import encoded, scene


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A folder with a photo that may be read, and a secret beside it that may not."""
    top = tmp_path / "photos"
    put(top / "good/1.jpg")
    put(tmp_path / "secret/9.jpg")
    return top


def put(path: Path, seed: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(scene(seed)))


def harvest(
    root: Path, *, known: dict[str, Known] | None = None, limit: int | None = None, **options: Any
) -> tuple[dict[str, Fetched], Counter[str]]:
    """Return what the folder `photos` under `root` gives: photos by key, and how much was passed over and why."""
    config = FoldersSource(**{"path": "photos", **options})
    events = list(Folders(config, PhotosParams(max_megabytes=0.1), root).harvest(known or {}, limit=limit))
    found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
    return found, Counter(event.reason for event in events if not isinstance(event, Fetched))


@pytest.mark.parametrize(
    ("folders", "good", "bad", "expected"),
    [
        (("good",), ["good"], None, "good"),
        (("bad",), ["good"], None, "bad"),
        (("motion blur",), ["good"], None, "bad:motion blur"),
        (("2024", "dark"), ["good"], None, "bad:dark"),
        (("dark", "good"), ["good"], None, "good"),
        (("good", "raw"), ["good"], None, "good"),
        ((), ["good"], None, None),
        (("good",), ["good"], ["bad"], "good"),
        (("bad", "2024"), ["good"], ["bad"], "bad"),
        (("dark",), ["good"], ["dark", "soft"], "bad:dark"),
        (("other",), ["good"], ["bad"], None),
        (("good", "rejects"), ["good"], ["rejects"], "bad:rejects"),
        (("keep",), ["keep", "best"], ["Bad"], "good"),
        (("Bad",), ["keep", "best"], ["Bad"], "bad"),
    ],
)
def test_the_nearest_named_folder_is_the_label(
    folders: tuple[str, ...], good: list[str], bad: list[str] | None, expected: str | None
) -> None:
    assert label_hint(folders, good, bad) == expected


def test_each_photo_comes_with_its_bytes_key_label_and_title(top: Path) -> None:
    put(top / "too dark/deep/Zoë 2.JPG", 2)
    found, passed = harvest(top.parent)
    assert {key: event.record.label_hint for key, event in found.items()} == {
        "good/1.jpg": "good",
        "too dark/deep/Zoë 2.JPG": "bad:deep",
    }
    event = found["too dark/deep/Zoë 2.JPG"]
    assert (event.data, event.record.title, event.record.votes_count) == (encoded(scene(2)), "Zoë 2", None)
    assert passed == Counter()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"good/1.jpg": None, "good/tripA_7.jpg": None, "soft/tripA_8.jpg": None}),
        (
            {"group_pattern": r"(trip[A-Z])_"},
            {"good/1.jpg": None, "good/tripA_7.jpg": "tripA", "soft/tripA_8.jpg": "tripA"},
        ),
        ({"group_pattern": "^[^/]+"}, {"good/1.jpg": "good", "good/tripA_7.jpg": "good", "soft/tripA_8.jpg": "soft"}),
        ({"group_pattern": "1(x)?"}, {"good/1.jpg": None, "good/tripA_7.jpg": None, "soft/tripA_8.jpg": None}),
        (
            {"groups_csv": "groups.csv", "groups_image": "file", "groups_group": "where"},
            {"good/1.jpg": "harbour", "good/tripA_7.jpg": "hill", "soft/tripA_8.jpg": None},
        ),
        (
            {"groups_csv": "groups.csv", "groups_image": "file", "groups_group": "where", "group_pattern": "trip."},
            {"good/1.jpg": "harbour", "good/tripA_7.jpg": "hill", "soft/tripA_8.jpg": "tripA"},
        ),
    ],
    ids=["none", "first group", "whole match", "group without match", "table", "table before pattern"],
)
def test_groups_come_from_the_path_or_a_table(
    top: Path, options: dict[str, Any], expected: dict[str, str | None]
) -> None:
    put(top / "good/tripA_7.jpg", 7)
    put(top / "soft/tripA_8.jpg", 8)
    (top.parent / "groups.csv").write_text("file;where\n1.jpg;harbour\ngood/tripA_7.jpg;hill\ntripA_8.jpg;\n")
    found, _ = harvest(top.parent, **options)
    assert {key: event.record.group for key, event in found.items()} == expected


def test_what_is_no_photo_of_the_folder_is_counted_and_never_read(top: Path) -> None:
    (top / "good/notes.txt").write_text("no photo")
    (top / "good/film.mov").write_bytes(b"film")
    (top / "good/.hidden.jpg").write_bytes(b"hidden")
    put(top / ".trash/3.jpg")
    put(top / "lost.jpg")
    (top / "good/secret.jpg").symlink_to(top.parent / "secret/9.jpg")
    (top / "good/gone.jpg").symlink_to(top / "nowhere.jpg")
    (top / "good/loop.jpg").symlink_to(top / "good/loop.jpg")
    (top / "linked").symlink_to(top.parent / "secret")
    (top / "good/up").symlink_to(top)
    os.mkfifo(top / "good/pipe.jpg")
    (top / "good/inside.jpg").symlink_to(top / "good/1.jpg")
    found, passed = harvest(top.parent)
    assert sorted(found) == ["good/1.jpg", "good/inside.jpg"]
    assert passed == {
        "not_an_image_file": 2,
        "folder_without_label": 1,
        "leaves_folder": 1,
        "no_such_file": 3,
        "linked_folder": 2,
    }


def test_a_name_that_is_not_utf_8_is_counted_and_the_others_are_kept(top: Path) -> None:
    folder = os.fsencode(top / "good")
    with open(folder + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123 - a name that pathlib cannot write
        file.write(encoded(scene(3)))
    found, passed = harvest(top.parent)
    assert list(found) == ["good/1.jpg"]
    assert passed == {"name_is_not_utf8": 1}


def test_a_file_that_the_catalog_holds_is_not_read_again_until_it_changes(top: Path) -> None:
    put(top / "good/2.jpg", 2)
    known = {f"good/{number}.jpg": Known(None, mark(top / f"good/{number}.jpg")) for number in (1, 2)}
    put(top / "good/2.jpg", 3)
    found, _ = harvest(top.parent, known=known)
    assert found["good/1.jpg"].data is None
    assert found["good/1.jpg"].record.label_hint == "good"
    assert found["good/2.jpg"].data == encoded(scene(3))


def test_a_file_over_the_size_limit_is_refused_without_reading_it(top: Path) -> None:
    with (top / "good/huge.jpg").open("wb") as file:
        file.truncate(10**12)
    found, _ = harvest(top.parent)
    assert (found["good/huge.jpg"].data, found["good/huge.jpg"].refused) == (None, "too_many_bytes")


def test_a_limit_counts_new_photos_only(top: Path) -> None:
    for number in (2, 3, 4):
        put(top / f"good/{number}.jpg", number)
    known = {"good/1.jpg": Known(None, mark(top / "good/1.jpg"))}
    found, _ = harvest(top.parent, known=known, limit=2)
    assert [(key, event.data is not None) for key, event in found.items()] == [
        ("good/1.jpg", False),
        ("good/2.jpg", True),
        ("good/3.jpg", True),
    ]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"path": "missing"}, SourceError, r"missing is not a folder.*`path`"),
        ({"path": "photos/good/1.jpg"}, SourceError, "is not a folder"),
        ({"group_pattern": "(trip"}, ConfigError, "not a regular expression"),
        ({"groups_csv": "none.csv"}, SourceError, r"none\.csv does not exist"),
        (
            {"groups_csv": "table.csv"},
            SourceError,
            r"no column 'filename', 'group'; it has image, place.*`groups_image`",
        ),
        ({"groups_csv": "table.csv", "groups_image": "image"}, SourceError, r"no column 'group'.*`groups_group`"),
        ({"groups_csv": "photos"}, SourceError, "cannot be read"),
    ],
)
def test_a_wrong_setting_says_what_to_mend(
    top: Path, options: dict[str, Any], error: type[SourceError | ConfigError], says: str
) -> None:
    (top.parent / "table.csv").write_text("image,place\n1.jpg,harbour\n")
    with pytest.raises(error, match=says) as problem:
        harvest(top.parent, **options)
    assert problem.value.next_step


def test_an_absolute_path_and_a_linked_top_folder_are_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(top)
    for path in (str(top), "link", "./photos/../photos"):
        assert list(harvest(tmp_path, path=path)[0]) == ["good/1.jpg"]

"""A photographer's library as a source: sidecars and embedded ratings, groups, and what a changed rating costs."""

import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from photoqual.config import Params, PhotosParams, XmpSource
from photoqual.errors import EmptySource, SourceError
from photoqual.labels.rules import label_photos
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.sources._sidecars import Shot, bursts
from photoqual.sources.records import Fetched, Known, Record
from photoqual.sources.refresh import refresh
from photoqual.sources.xmp import Library
from tests.data.xmp_photos import MODEL, PERCENT, RATING, exif, packet, photo, rated


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A library with one rated photo, and a secret beside it."""
    put(tmp_path / "library/2024/1.jpg", photo(xmp=rated(4)))
    put(tmp_path / "secret.xmp", rated(5))
    return tmp_path / "library"


def put(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def harvest(
    root: Path, *, known: dict[str, Known] | None = None, limit: int | None = None, **options: Any
) -> tuple[dict[str, Fetched], Counter[str]]:
    """Return what the folder `library` under `root` gives: photos by key, and how much was passed over and why."""
    config = XmpSource(**{"path": "library", **options})
    events = list(Library(config, PhotosParams(), root).harvest(known or {}, limit=limit))
    found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
    return found, Counter(event.reason for event in events if not isinstance(event, Fetched))


def judgement(record: Record) -> tuple[int | None, float | None, str | None]:
    return record.votes_count, record.votes_mean, record.label_hint


JUDGED = {-1: (1, 1.0, "bad"), 1: (1, 1.0, None), 3.5: (1, 3.5, None), 5: (1, 5.0, None)}


@pytest.mark.parametrize("rating", JUDGED)
def test_a_rating_is_one_vote_and_a_rejected_photo_is_bad(top: Path, rating: float) -> None:
    put(top / "2024/1.jpg", photo(xmp=rated(rating)))
    record = harvest(top.parent)[0]["2024/1.jpg"].record
    assert judgement(record) == JUDGED[rating]
    assert (record.rating_scale, record.title) == ((1.0, 5.0), "1")


@pytest.mark.parametrize(
    ("sidecars", "embedded", "mean"),
    [
        ({}, rated(4), 4.0),
        ({"1.xmp": rated(2)}, None, 2.0),
        ({"1.jpg.xmp": rated(2)}, None, 2.0),
        ({"1.XMP": rated(2)}, None, 2.0),
        ({"1.xmp": rated(2)}, rated(4), 2.0),
        ({"1.jpg.xmp": rated(2), "1.xmp": rated(3)}, rated(4), 2.0),
        ({"1.jpg.xmp": packet(), "1.xmp": rated(3)}, rated(4), 3.0),
        ({"1.xmp": packet()}, rated(4), 4.0),
        ({"1.xmp": rated(0)}, rated(4), None),
        ({"1.cr2.xmp": rated(2)}, rated(4), 4.0),
        ({"2.xmp": rated(2)}, rated(4), 4.0),
        ({"1.xmp": packet('MicrosoftPhoto:Rating="75"')}, rated(1), 4.0),
        ({}, packet('MicrosoftPhoto:Rating="4"'), 1.0),
        ({}, packet('MicrosoftPhoto:Rating="99" xmp:Rating="0"'), None),
        ({}, rated(0), None),
        ({}, packet(), None),
        ({}, None, None),
    ],
)
def test_the_nearest_statement_decides(top: Path, sidecars: dict[str, str], embedded: str | None, mean: float) -> None:
    put(top / "2024/1.jpg", photo(xmp=embedded))
    for name, xml in sidecars.items():
        put(top / "2024" / name, xml)
    found, passed = harvest(top.parent)
    assert [event.record.votes_mean for event in found.values()] == ([] if mean is None else [mean])
    assert passed["unrated"] == (mean is None)


def test_one_sidecar_belongs_to_raw_and_jpeg_of_one_name(top: Path) -> None:
    for name, kind in {"IMG_1.JPG": "JPEG", "IMG_1.CR2": "TIFF", "IMG_2.NEF": "TIFF"}.items():
        put(top / name, photo(kind))
    put(top / "IMG_1.xmp", rated(5))
    put(top / "IMG_2.NEF.xmp", rated(-1))
    put(top / "IMG_9.xmp", rated(1))
    put(top / "IMG_8.cr2.xmp", rated(1))
    found, passed = harvest(top.parent)
    assert {key: judgement(event.record) for key, event in found.items() if key.startswith("IMG")} == {
        "IMG_1.JPG": JUDGED[5],
        "IMG_1.CR2": JUDGED[5],
        "IMG_2.NEF": JUDGED[-1],
    }
    assert found["IMG_1.JPG"].record.group == found["IMG_1.CR2"].record.group == "IMG_1"
    assert passed == {"sidecar_without_photo": 2}


@pytest.mark.parametrize(
    ("tags", "xml", "mean"),
    [
        ({RATING: 4}, None, 4.0),
        ({RATING: 4, PERCENT: 25}, None, 4.0),
        ({PERCENT: 75}, None, 4.0),
        ({RATING: 4}, rated(2), 2.0),
        ({RATING: 4}, rated(0), None),
        ({RATING: 0}, None, None),
        ({RATING: 99}, None, None),
        ({RATING: 4}, "<broken", 4.0),
    ],
)
def test_exif_ratings_count_where_no_xmp_states_one(
    top: Path, tags: dict[int, int], xml: str | None, mean: float | None
) -> None:
    put(top / "2024/1.jpg", photo(xmp=xml, facts=exif(tags)))
    found, passed = harvest(top.parent)
    assert [event.record.votes_mean for event in found.values()] == ([] if mean is None else [mean])
    assert passed["xmp_broken"] == (xml == "<broken")


def test_time_and_camera_come_with_the_photo_and_days_are_groups_by_the_cameras_clock(top: Path) -> None:
    put(top / "a.jpg", photo(xmp=rated(4), facts=exif({MODEL: "X 1"}, taken="2024:05:02 00:30:00", zone="+09:00")))
    put(top / "b.jpg", photo(xmp=rated(4), facts=exif(taken="2024:05:02 23:59:59")))
    put(top / "c.jpg", photo())
    put(top / "c.xmp", packet('xmp:Rating="3" exif:DateTimeOriginal="2024-05-03T08:00:00" tiff:Model="Z"'))
    records = {key: event.record for key, event in harvest(top.parent)[0].items()}
    assert (records["a.jpg"].taken_at, records["a.jpg"].camera) == (datetime(2024, 5, 1, 15, 30, tzinfo=UTC), "X 1")
    assert (records["c.jpg"].taken_at, records["c.jpg"].camera) == (datetime(2024, 5, 3, 8, tzinfo=UTC), "Z")
    groups = {key: record.group for key, record in records.items()}
    assert groups == {"a.jpg": "2024-05-02", "b.jpg": "2024-05-02", "c.jpg": "2024-05-03", "2024/1.jpg": "2024/1"}


def at(seconds: float, key: str, camera: str | None = "X") -> Shot:
    taken = datetime(2024, 5, 1, 23, 59, 57) + timedelta(seconds=seconds)
    return Shot(key, camera, taken.replace(tzinfo=UTC) if int(seconds) % 2 else taken)


@pytest.mark.parametrize(
    ("shots", "groups"),
    [
        ([], []),
        ([at(0, "a")], [["a"]]),
        ([at(0, "a"), at(3, "b"), at(6, "c"), at(9.01, "d")], [["a", "b", "c"], ["d"]]),
        ([at(6, "c"), at(0, "a"), at(3, "b")], [["a", "b", "c"]]),
        ([at(0, "a"), at(1, "b", "Y"), at(2, "c")], [["a", "c"], ["b"]]),
        ([at(0, "a", None), at(1, "b", None), at(1, "c", "X")], [["a", "b"], ["c"]]),
        ([at(0, "b"), at(0, "a")], [["a", "b"]]),
    ],
)
def test_a_burst_goes_on_while_its_camera_does(shots: list[Shot], groups: list[list[str]]) -> None:
    found = bursts(shots, 3.0)
    by_name: dict[str, list[str]] = {}
    for key in sorted(found):
        by_name.setdefault(found[key], []).append(key)
    assert sorted(by_name.values()) == groups
    assert all(name == keys[0] for name, keys in by_name.items() if len(keys) > 1)


def test_bursts_are_groups_and_unrated_photos_hold_them_together(top: Path) -> None:
    for second, name in ((10, "a"), (12, "b"), (14, "c"), (40, "d")):
        stars = rated(0 if name == "b" else 4)
        put(top / f"{name}.jpg", photo(xmp=stars, facts=exif({MODEL: "X"}, taken=f"2024:05:02 00:30:{second}")))
    found, passed = harvest(top.parent, group="burst", burst_seconds=2.0)
    groups = {key: event.record.group for key, event in found.items()}
    assert groups == {"a.jpg": "a.jpg", "c.jpg": "a.jpg", "d.jpg": "d.jpg", "2024/1.jpg": "2024/1"}
    assert passed == {"unrated": 1}


def hostile_sidecars(top: Path) -> dict[str, str]:
    """Put a hostile sidecar beside each of some photos; return the reasons by the photo's name."""
    (top / "outside.xmp").symlink_to(top.parent / "secret.xmp")
    (top / "gone.xmp").symlink_to(top / "nowhere.xmp")
    os.mkfifo(top / "pipe.xmp")
    (top / "folder.xmp").mkdir()
    put(top / "broken.xmp", "<x")
    put(top / "garbage.xmp", rated(9))
    put(top / "laughs.xmp", '<!DOCTYPE x [<!ENTITY a "ha">]><x>&a;</x>')
    with (top / "huge.xmp").open("wb") as file:
        file.truncate(MAX_PACKET_BYTES * 6)
    return {
        "outside": "sidecar_leaves_folder",
        "gone": "sidecar_no_such_file",
        "pipe": "sidecar_no_such_file",
        "folder": "sidecar_no_such_file",
        "broken": "xmp_broken",
        "garbage": "xmp_rating_not_understood",
        "laughs": "xmp_broken",
        "huge": "xmp_too_large",
    }


def test_a_sidecar_that_cannot_be_read_is_counted_and_hides_the_rating(top: Path) -> None:
    reasons = hostile_sidecars(top)
    for name in reasons:
        put(top / f"{name}.jpg", photo(xmp=rated(4)))
    found, passed = harvest(top.parent, known={"broken.jpg": Known(None, "1-1")})
    assert list(found) == ["2024/1.jpg"]
    assert passed == Counter(reasons.values())


def test_a_photo_with_a_broken_packet_is_counted_as_such_and_not_as_unrated(top: Path) -> None:
    put(top / "a.jpg", photo(xmp="<broken"))
    put(top / "b.png", photo("PNG", rated(77)))
    assert harvest(top.parent)[1] == {"xmp_broken": 1, "xmp_rating_not_understood": 1}


def test_a_known_photo_costs_its_bytes_only_when_its_picture_changes(top: Path) -> None:
    path = top / "2024/1.jpg"
    first = harvest(top.parent)[0]["2024/1.jpg"]
    assert first.data == path.read_bytes()
    known = {"2024/1.jpg": Known(None, first.record.etag)}

    put(top / "2024/1.xmp", rated(2))
    with_sidecar = harvest(top.parent, known=known)[0]["2024/1.jpg"]
    assert (with_sidecar.data, with_sidecar.record.votes_mean) == (None, 2.0)
    assert with_sidecar.record.etag == first.record.etag

    (top / "2024/1.xmp").unlink()
    put(path, photo(xmp=rated(5)))
    os.utime(path, ns=(1, 1))
    embedded = harvest(top.parent, known=known)[0]["2024/1.jpg"]
    assert (embedded.data, embedded.record.votes_mean) == (None, 5.0)
    assert embedded.record.etag != first.record.etag

    put(path, photo(xmp=rated(5), seed=9))
    assert harvest(top.parent, known=known)[0]["2024/1.jpg"].data == path.read_bytes()


def test_a_photo_that_is_no_longer_rated_loses_its_vote(top: Path) -> None:
    known = {"2024/1.jpg": Known(None, "1-1"), "2.jpg": Known(None, None, forgotten=True)}
    put(top / "2024/1.jpg", photo(xmp=rated(0)))
    put(top / "2.jpg", photo(xmp=rated(5)))
    found, passed = harvest(top.parent, known=known)
    assert list(found) == ["2024/1.jpg"]
    assert (found["2024/1.jpg"].data, judgement(found["2024/1.jpg"].record)) == (None, (None, None, None))
    assert passed == {"forgotten": 1}


def test_a_limit_counts_new_photos_and_a_missing_library_is_told(top: Path) -> None:
    for name in "abc":
        put(top / f"{name}.jpg", photo(xmp=rated(4)))
    assert len(harvest(top.parent, limit=2)[0]) == 2
    with pytest.raises(SourceError, match="is not a folder"):
        harvest(top.parent, path="nowhere")


def refreshed(root: Path, params: Params) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Refresh; return what became of the photos, and the rows of the catalog by key."""
    summary = refresh(Layout(root), params)["sources"]["mine"]
    rows = read_catalog(Layout(root).catalog).to_dict("records")
    return summary, {row["source_key"]: row for row in rows}


@pytest.mark.parametrize(("kind", "decoded"), [("JPEG", False), ("TIFF", True)])
def test_a_rating_written_into_the_file_leaves_it_one_photo(
    tmp_path: Path, make_params: Any, kind: str, decoded: bool
) -> None:
    params = make_params(sources={"mine": {"kind": "xmp", "path": "library"}})
    path = put(tmp_path / "library" / f"1.{kind.lower()}", photo(kind, rated(1)))
    put(tmp_path / "library/2.jpg", photo(xmp=rated(5), seed=2))
    summary, rows = refreshed(tmp_path, params)
    assert (summary["new"], rows[path.name]["votes_mean"]) == (2, 1.0)
    first = rows[path.name]

    put(path, photo(kind, rated(5)))
    os.utime(path, ns=(1, 1))
    summary, rows = refreshed(tmp_path, params)
    assert (summary["new"], summary["updated"], summary["unchanged"]) == (0, 1, 1)
    assert (len(rows), rows[path.name]["votes_mean"]) == (2, 5.0)
    assert (rows[path.name]["photo_id"] != first["photo_id"]) == decoded
    assert (rows[path.name]["shard"] != first["shard"]) == decoded

    put(path.with_suffix(".xmp"), rated(-1))
    summary, rows = refreshed(tmp_path, params)
    assert (summary["updated"], summary["unchanged"], rows[path.name]["label_hint"]) == (1, 1, "bad")
    assert refreshed(tmp_path, params)[0]["unchanged"] == 2
    labels, _ = label_photos(read_catalog(Layout(tmp_path).catalog), params.labels)
    assert sorted(labels["good"].tolist()) == [0, 1]


def test_a_library_without_a_rating_says_so(tmp_path: Path, make_params: Any) -> None:
    put(tmp_path / "library/1.jpg", photo())
    with pytest.raises(EmptySource, match="1 unrated"):
        refresh(Layout(tmp_path), make_params(sources={"mine": {"kind": "xmp", "path": "library"}}))

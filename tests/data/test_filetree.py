"""A file tree as a source, against Caddy: what is new is fetched once, dates and labels come from paths, copies are whole."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from photoqual.config import FiletreeSource, Params, PhotosParams
from photoqual.errors import SourceError
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos.catalog import read_catalog
from photoqual.sources._bulk import Bulk
from photoqual.sources.filetree import Filetree
from photoqual.sources.records import FORGOTTEN, Fetched, Known, Record, Skipped
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.object_store import ObjectStore, object_store
from tests.web import caddy

HASTY = {"delay_seconds": 0.0, "concurrency": 8, "timeout_seconds": 30.0, "allow_private_addresses": True}


class Tree:
    """Folders served by Caddy, and what a harvest of them gives."""

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.last: Filetree | None = None

    def put(self, path: str, seed: int = 1, data: bytes | None = None) -> bytes:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(scene(seed)) if data is None else data)
        return file.read_bytes()

    def config(self, **options: Any) -> dict[str, Any]:
        polite = {**HASTY, **options.pop("politeness", {})}
        return {"kind": "filetree", "start": [self.url], "politeness": polite, **options}

    def harvest(
        self, known: dict[str, Known] | None = None, *, limit: int | None = None, **options: Any
    ) -> tuple[dict[str, Fetched], Counter[str]]:
        """Return photos by key, and how much was passed over and why."""
        self.last = Filetree(FiletreeSource.model_validate(self.config(**options)), PhotosParams(max_megabytes=0.1))
        events = list(self.last.harvest(known or {}, limit=limit))
        found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
        return found, Counter(event.reason for event in events if isinstance(event, Skipped))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    root = tmp_path_factory.mktemp("tree")
    with caddy(root, tmp_path_factory.mktemp("caddy"), more="@hidden path */secret/*\n    respond @hidden 403") as url:
        yield root, url


@pytest.fixture
def tree(served: tuple[Path, str], request: pytest.FixtureRequest) -> Tree:
    root, url = served
    name = request.node.name.partition("[")[0]
    (root / name).mkdir()
    return Tree(root / name, f"{url}/{name}")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked for, index pages and photos alike."""
    addresses: list[str] = []
    ask = Bulk.ask

    def noted(self: Bulk, url: str, **options: Any) -> int:
        addresses.append(url)
        return ask(self, url, **options)

    monkeypatch.setattr(Bulk, "ask", noted)
    return addresses


def known_of(found: dict[str, Fetched]) -> dict[str, Known]:
    records = {key: event.record for key, event in found.items()}
    return {
        key: Known(one.image_url, one.etag, page_etag=one.page_etag, uploaded_at=one.uploaded_at, label_hint=one.label_hint)
        for key, one in records.items()
    }  # fmt: skip


def test_files_are_picked_by_pattern_and_dated_grouped_and_labelled_by_path(tree: Tree) -> None:
    for number, day in enumerate(["2024-05-17", "2024-05-18"]):
        for pano in ("good/a b", "blurred/ü#1"):
            for part in range(3):
                tree.put(f"{day}/{pano}/slice_{part}.jpg", part)
            tree.put(f"{day}/{pano}/stitched.jpg", number)
    tree.put("2024-05-17/good/empty/notes.txt", data=b"no photo")
    tree.put("elsewhere/good/a/stitched.jpg")
    tree.put("2024-13-01/good/a/stitched.jpg")
    tree.put("2024-05-17/unjudged/a/stitched.jpg")
    found, passed = tree.harvest(
        pattern="*/*/*/stitched.jpg",
        date_pattern=r"^(?P<year>\d+)-(?P<month>\d+)-(?P<day>\d+)/",
        label_pattern="^[^/]+/(?P<label>[^/]+)/",
        bad=["blurred"],
    )
    assert list(found) == [
        f"{day}/{pano}/stitched.jpg" for day in ("2024-05-17", "2024-05-18") for pano in ("blurred/ü#1", "good/a b")
    ]
    record = found["2024-05-18/blurred/ü#1/stitched.jpg"].record
    folder = f"{tree.url}/2024-05-18/blurred/%C3%BC%231/"
    assert record == Record(
        source_key="2024-05-18/blurred/ü#1/stitched.jpg",
        page_url=folder,
        image_url=f"{folder}stitched.jpg",
        group="2024-05-18",
        title="stitched",
        uploaded_at=record.uploaded_at,
        taken_at=datetime(2024, 5, 18, tzinfo=UTC),
        label_hint="bad:blurred",
        etag=record.etag,
        page_etag=record.page_etag,
    )
    assert found["2024-05-17/good/a b/stitched.jpg"].record.label_hint == "good"
    assert found["2024-05-17/good/a b/stitched.jpg"].data == encoded(scene(0))
    assert passed == {"not_picked": 13, "no_date": 1, "impossible_date": 1, "label_not_named": 1}
    assert tree.last is not None
    folders = 1 + sum(path.is_dir() for path in tree.root.rglob("*"))
    assert tree.last.report() == {"folders": folders, "addresses_asked": folders + len(found)}


def test_only_what_is_new_or_changed_is_asked_for_again(tree: Tree, asked: list[str]) -> None:
    for number in range(6):
        tree.put(f"d{number % 2}/{number}.jpg", number)
    known = known_of(tree.harvest()[0])
    assert len(known) == 6
    asked.clear()
    tree.put("d1/3.jpg", 33)
    tree.put("d0/6.jpg", 6)
    (tree.root / "d1/1.jpg").touch()
    (tree.root / "d1/5.jpg").unlink()
    os.utime(tree.root / "d0/0.jpg", (1_600_000_000, 1_600_000_000))
    found, passed = tree.harvest(known)
    folders = [f"{tree.url}/", f"{tree.url}/d0/", f"{tree.url}/d1/"]
    assert sorted(asked) == sorted([*folders, *(f"{tree.url}/{path}.jpg" for path in ("d0/0", "d0/6", "d1/1", "d1/3"))])
    assert sorted(found) == [f"d0/{number}.jpg" for number in (0, 2, 4, 6)] + ["d1/1.jpg", "d1/3.jpg"]
    assert found["d1/3.jpg"].data == encoded(scene(33))
    assert {key for key, event in found.items() if event.data is None} == {"d0/2.jpg", "d0/4.jpg"}
    assert not passed
    asked.clear()
    again, _ = tree.harvest(known_of(found))
    assert asked == folders
    assert not any(event.data or event.refused for event in again.values())
    assert {key: event.record for key, event in again.items()} == {key: event.record for key, event in found.items()}


def test_a_file_that_its_page_says_nothing_of_is_asked_for_by_its_mark(tree: Tree, asked: list[str]) -> None:
    tree.put("1.jpg", 1)
    (tree.root / "2.jpg").symlink_to("1.jpg")
    found, _ = tree.harvest()
    assert found["2.jpg"].record.page_etag is None
    asked.clear()
    again, _ = tree.harvest(known_of(found))
    assert asked == [f"{tree.url}/", f"{tree.url}/2.jpg"]
    assert again["2.jpg"].data is None
    tree.put("1.jpg", 2)
    assert tree.harvest(known_of(found))[0]["2.jpg"].data == encoded(scene(2))


def test_a_limit_bounds_the_new_photos_exactly(tree: Tree, asked: list[str]) -> None:
    for number in range(9):
        tree.put(f"{number}.jpg", number)
    known = known_of(tree.harvest(limit=2)[0])
    assert sorted(known) == ["0.jpg", "1.jpg"]
    asked.clear()
    found, _ = tree.harvest(known, limit=3)
    assert sorted(key for key, event in found.items() if event.data) == [f"{number}.jpg" for number in range(2, 5)]
    assert sum(url.endswith(".jpg") for url in asked) == 3
    assert tree.last is not None
    assert not tree.last.told_all()


def test_what_is_forgotten_is_neither_asked_for_nor_named(tree: Tree, asked: list[str]) -> None:
    tree.put("1.jpg", 1)
    tree.put("2.jpg", 2)
    source = Filetree(FiletreeSource.model_validate(tree.config()), PhotosParams())
    events = list(source.harvest({"1.jpg": Known(None, None, forgotten=True)}))
    assert events[0] is FORGOTTEN
    assert [event.record.source_key for event in events[1:] if isinstance(event, Fetched)] == ["2.jpg"]
    assert f"{tree.url}/1.jpg" not in asked


def test_hostile_names_links_and_closed_folders_are_passed_over_and_counted(tree: Tree) -> None:
    tree.put("ok/\u202egpj.1.jpg")
    for name in (
        "new\nline.jpg",
        "back\\slash.jpg",
        "bell\a.jpg",
        "%2e%2e",
        ".hidden.jpg",
        "<script>alert('x')&\".jpg",
    ):
        tree.put(f"names/{name}")
    tree.put("secret/1.jpg")
    tree.put("large.jpg", data=b"." * 100_001)
    (tree.root / "ok/up").symlink_to(tree.root)
    (tree.root / "etc").symlink_to("/etc")
    (tree.root / "names" / os.fsdecode(b"latin-\xe9.jpg")).write_bytes(b"x")
    found, passed = tree.harvest(pattern="**/*")
    assert {key: event.refused for key, event in found.items()} == {
        "large.jpg": "too_many_bytes",
        "names/<script>alert('x')&\".jpg": None,
        "ok/\u202egpj.1.jpg": None,
    }
    assert passed == {"unsafe_name": 4, "name_is_not_utf8": 1, "hidden": 1, "linked_folder": 2, "http_403": 1}


def test_a_second_tree_keeps_its_keys_apart_and_may_fail_alone(tree: Tree) -> None:
    tree.put("a/x/1.jpg", 1)
    tree.put("b/x/1.jpg", 2)
    found, passed = tree.harvest(start=[f"{tree.url}/a", f"{tree.url}/b/", f"{tree.url}/gone"])
    assert {key: event.data for key, event in found.items()} == {
        "x/1.jpg": encoded(scene(1)),
        f"{tree.url}/b/x/1.jpg": encoded(scene(2)),
    }
    assert passed == {"http_404": 1}
    assert tree.last is not None
    assert not tree.last.told_all()


def test_a_refresh_by_params_fills_the_catalog_and_finds_nothing_new_the_second_time(
    tree: Tree, tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    for number in range(5):
        tree.put(f"2024-05-1{number % 2}/{number}/stitched.jpg", number)
    tree.put("2024-05-10/broken/stitched.jpg", data=b"no photo")
    options = {"pattern": "*/*/stitched.jpg", "date_pattern": r"(?P<year>\d+)-(?P<month>\d+)-(?P<day>\d+)"}
    layout = Layout(tmp_path)
    params = make_params(sources={"trees": tree.config(**options)})
    first = refresh(layout, params)
    assert first["sources"]["trees"]["new"] == 5
    catalog = read_catalog(layout.catalog).set_index("source_key")
    row = catalog.loc["2024-05-11/3/stitched.jpg"]
    assert (row["group"], str(row["taken_at"])[:19]) == ("trees/2024-05-11", "2024-05-11 00:00:00")
    assert row["photo_id"] == hashlib.sha256(encoded(scene(3))).hexdigest()
    assert catalog.loc["2024-05-10/broken/stitched.jpg"]["status"] != "ok"
    second = refresh(layout, params)["sources"]["trees"]
    assert (second["new"], second["updated"], second["unchanged"]) == (0, 0, 6)
    assert second["report"]["addresses_asked"] == second["report"]["folders"]
    (tree.root / "2024-05-11/3/stitched.jpg").unlink()
    refresh(layout, params)
    status = read_catalog(layout.catalog).set_index("source_key")["status"]
    assert (status["2024-05-11/3/stitched.jpg"], status["2024-05-11/1/stitched.jpg"]) == (catalogs.GONE, catalogs.OK)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("weed")) as running:
        yield running


def test_what_is_fetched_is_mirrored_byte_for_byte_and_only_once(
    tree: Tree, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    client = store.owner
    client.create_bucket(Bucket="mirror")
    originals = {f"d {number}/é+{number}.jpg": tree.put(f"d {number}/é+{number}.jpg", number) for number in range(5)}
    mirror = {"bucket": "mirror", "prefix": "from/tree/", "endpoint_url": store.endpoint_url}

    def copies() -> dict[str, bytes]:
        keys = [item["Key"] for item in client.list_objects_v2(Bucket="mirror").get("Contents", ())]
        return {key: client.get_object(Bucket="mirror", Key=key)["Body"].read() for key in keys}

    def sent() -> tuple[int, int]:
        assert tree.last is not None
        report = tree.last.report()
        return report["mirrored"], report["mirrored_before"]

    found, _ = tree.harvest(mirror=mirror)
    assert tree.last is not None
    assert tree.last.told_all()
    assert copies() == {f"from/tree/{path}": data for path, data in originals.items()}
    assert sent() == (5, 0)
    tree.harvest(known_of(found), mirror=mirror)
    assert sent() == (0, 0)
    client.put_object(Bucket="mirror", Key="from/tree/d 0/é+0.jpg", Body=b"damaged")
    found, _ = tree.harvest(mirror=mirror)
    assert sent() == (1, 4)
    assert copies() == {f"from/tree/{path}": data for path, data in originals.items()}
    with pytest.raises(SourceError, match="no bucket nowhere"):
        tree.harvest(mirror={**mirror, "bucket": "nowhere"})


def test_a_store_that_fails_loses_no_photo_to_the_catalog_that_was_not_copied(
    tree: Tree, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), store.reader, strict=True):
        monkeypatch.setenv(name, value)
    store.owner.create_bucket(Bucket="closed")
    tree.put("1.jpg")
    config = tree.config(mirror={"bucket": "closed", "endpoint_url": store.endpoint_url})
    layout = Layout(tmp_path)
    with pytest.raises(SourceError, match="do not give the right"):
        refresh(layout, make_params(sources={"trees": config}))
    assert len(read_catalog(layout.catalog)) == 0


def test_robots_txt_is_obeyed_unless_it_is_ones_own_server(tree: Tree, served: tuple[Path, str]) -> None:
    tree.put("open/1.jpg", 1)
    tree.put("shut/2.jpg", 2)
    robots = served[0] / "robots.txt"
    robots.write_text("User-agent: *\nDisallow: /*/shut/\nCrawl-delay: 0.3\n")
    try:
        began = time.monotonic()
        found, passed = tree.harvest()
        assert (list(found), passed) == (["open/1.jpg"], {"robots_txt": 1})
        assert time.monotonic() - began > 0.3 * 2
        assert len(tree.harvest(politeness={"obey_robots": False})[0]) == 2
        robots.write_text("User-agent: photoqual\nDisallow: /\n")
        with pytest.raises(SourceError, match=r"closed to crawlers by its robots\.txt") as error:
            tree.harvest()
        assert "obey_robots" in error.value.next_step
    finally:
        robots.unlink()

"""A bucket as a source, against SeaweedFS: what is new is fetched once, labels and votes follow, in bounded memory."""

import contextlib
import hashlib
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from photoqual.config import BucketSource, Params, PhotosParams
from photoqual.errors import EmptySource, SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.sources import _objects
from photoqual.sources.bucket import Bucket
from photoqual.sources.records import FORGOTTEN, Fetched, Known, Skipped
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.long import times
from tests.object_store import ObjectStore, object_store


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        yield store


@pytest.fixture
def store(running: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The store, with its keys in the environment."""
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    return running


class Photos:
    """A bucket of its own, and what a harvest of it gives."""

    def __init__(self, store: ObjectStore, name: str, root: Path) -> None:
        self.store, self.name, self.root = store, name, root
        self.client = store.owner
        with contextlib.suppress(self.client.exceptions.BucketAlreadyOwnedByYou):
            self.client.create_bucket(Bucket=name)

    def put(self, key: str, seed: int = 1, data: bytes | None = None, **options: Any) -> None:
        body = encoded(scene(seed)) if data is None else data
        self.client.put_object(Bucket=self.name, Key=key, Body=body, **options)

    def source(self, **options: Any) -> Bucket:
        given = {"bucket": self.name, "endpoint_url": self.store.endpoint_url, "concurrency": 4, **options}
        return Bucket(BucketSource(**given), PhotosParams(max_megabytes=0.1), self.root)

    def harvest(
        self, known: dict[str, Known] | None = None, *, limit: int | None = None, **options: Any
    ) -> tuple[dict[str, Fetched], Counter[str]]:
        """Return photos by key, and how much was passed over and why."""
        events = list(self.source(**options).harvest(known or {}, limit=limit))
        found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
        return found, Counter(event.reason for event in events if isinstance(event, Skipped))


@pytest.fixture
def photos(store: ObjectStore, request: pytest.FixtureRequest, tmp_path: Path) -> Photos:
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:50].strip("-").lower()
    return Photos(store, name.replace("--", "-"), tmp_path)


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys whose bytes, and `tags of` keys whose tags, were asked for."""
    asked: list[str] = []
    get, tags = _objects.Objects.get, _objects.Objects.tags

    def noted_get(self: _objects.Objects, item: _objects.Listed) -> tuple[bytes, str]:
        asked.append(item.key)
        return get(self, item)

    def noted_tags(self: _objects.Objects, key: str) -> dict[str, str]:
        asked.append(f"tags of {key}")
        return tags(self, key)

    monkeypatch.setattr(_objects.Objects, "get", noted_get)
    monkeypatch.setattr(_objects.Objects, "tags", noted_tags)
    return asked


def known_of(found: dict[str, Fetched]) -> dict[str, Known]:
    return {
        key: Known(event.record.image_url, event.record.etag, label_hint=event.record.label_hint)
        for key, event in found.items()
    }


def test_each_image_comes_with_its_bytes_address_and_time_in_the_order_of_keys(photos: Photos) -> None:
    keys = ["2024/a b+c.jpg", "2024/é.JPG", "b.png", "q?x=1#f%2F.jpg"]
    for seed, key in enumerate(keys):
        photos.put(key, seed)
    photos.put("2024/notes.txt")
    photos.put("elsewhere/4.jpg")
    events = list(photos.source(prefix="2024/").harvest({})) + list(photos.source(prefix="b").harvest({}))
    fetched = [event for event in events if isinstance(event, Fetched)]
    assert [(event.record.source_key, event.data) for event in fetched] == [
        (key, encoded(scene(seed))) for seed, key in enumerate(keys[:3])
    ]
    assert fetched[0].record.image_url == f"s3://{photos.name}/2024/a%20b%2Bc.jpg"
    assert (fetched[0].record.title, fetched[0].record.label_hint) == ("a b+c", None)
    assert fetched[0].record.uploaded_at is not None
    assert [event for event in events if isinstance(event, Skipped)] == [
        Skipped("not_an_image_file", f"s3://{photos.name}/2024/notes.txt")
    ]
    found, _ = photos.harvest(suffixes=[".jpg"])
    assert sorted(found) == sorted([*(key for key in keys if key.lower().endswith("jpg")), "elsewhere/4.jpg"])


def test_only_what_is_new_or_changed_is_fetched(photos: Photos, fetches: list[str]) -> None:
    for number in range(6):
        photos.put(f"{number}.jpg", number)
    known = known_of(photos.harvest()[0])
    assert sorted(fetches) == [f"{number}.jpg" for number in range(6)]
    fetches.clear()
    photos.put("3.jpg", 33)
    photos.put("6.jpg", 6)
    photos.put("1.jpg", 1)  # written again, the same bytes
    found, _ = photos.harvest(known)
    assert sorted(fetches) == ["3.jpg", "6.jpg"]
    assert {key for key, event in found.items() if event.data is not None} == {"3.jpg", "6.jpg"}
    assert found["3.jpg"].data == encoded(scene(33))
    fetches.clear()
    assert not any(event.data for event in photos.harvest(known_of(found))[0].values())
    assert fetches == []


@pytest.mark.parametrize(
    ("options", "expected", "passed"),
    [
        (
            {"label_pattern": r"^(?P<label>[^/]+)/"},
            {"good/1.jpg": "good", "blurred/2.jpg": "bad:blurred", "bad/3.jpg": "bad"},
            {"no_label": 1},
        ),
        (
            {"label_pattern": r"^(?P<label>[^/]+)/", "bad": ["blurred"], "group_pattern": r"(\d)\.jpg"},
            {"good/1.jpg": "good", "blurred/2.jpg": "bad:blurred"},
            {"no_label": 1, "label_not_named": 1},
        ),
        ({"label_tag": "verdict"}, {"good/1.jpg": "bad:noise", "4.jpg": "good"}, {"no_label": 2}),
        (
            {"label_tag": "verdict", "label_pattern": r"^(?P<label>[^/]+)/"},
            {"good/1.jpg": "bad:noise", "blurred/2.jpg": "bad:blurred", "bad/3.jpg": "bad", "4.jpg": "good"},
            {},
        ),
        (
            {"manifest": "s3:labels/votes.csv"},
            {"good/1.jpg": "good", "blurred/2.jpg": None},
            {"no_label": 2, "no_such_object": 1},
        ),
        (
            {"manifest": "s3:labels/votes.csv", "label_tag": "verdict", "label_pattern": r"^(?P<label>[^/]+)/"},
            {"good/1.jpg": "good", "blurred/2.jpg": None, "bad/3.jpg": "bad", "4.jpg": "good"},
            {"no_such_object": 1},
        ),
    ],
    ids=["key", "key with bad named", "tag", "tag before key", "manifest", "manifest before tag before key"],
)
def test_a_label_comes_from_the_manifest_a_tag_or_the_key(
    store: ObjectStore, tmp_path: Path, options: dict[str, Any], expected: dict[str, str | None], passed: dict[str, int]
) -> None:
    photos = Photos(store, "labels", tmp_path)
    photos.put("good/1.jpg", Tagging="verdict=noise")
    photos.put("blurred/2.jpg", Tagging="other=good")
    photos.put("bad/3.jpg")
    photos.put("4.jpg", Tagging="verdict=good&other=bad")
    table = (
        "key;label;mean;count;group;category\ngood/1.jpg;good;;;walk;city\nblurred/2.jpg;;4,5;12;;\nlost.jpg;bad;;;;\n"
    )
    photos.put("labels/votes.csv", data=table.encode("utf-8-sig"))
    found, skipped = photos.harvest(**options)
    assert {key: event.record.label_hint for key, event in found.items()} == expected
    skipped.pop("not_an_image_file")
    assert skipped == passed
    if "manifest" in options:
        rated, labelled = found["blurred/2.jpg"].record, found["good/1.jpg"].record
        assert (rated.votes_mean, rated.votes_count, rated.rating_scale) == (4.5, 12, (1.0, 5.0))
        assert (labelled.votes_mean, labelled.group, labelled.category) == (None, "walk", "city")
    if "group_pattern" in options:
        assert {event.record.group for event in found.values()} == {"1", "2"}


def test_a_tag_that_changes_is_seen_unless_that_is_too_dear(photos: Photos, fetches: list[str]) -> None:
    for number in (1, 2):
        photos.put(f"{number}.jpg", number, Tagging="label=good")
    known = known_of(photos.harvest(label_tag="label")[0])
    photos.client.put_object_tagging(
        Bucket=photos.name, Key="2.jpg", Tagging={"TagSet": [{"Key": "label", "Value": "dark"}]}
    )
    photos.put("3.jpg", 3, Tagging="label=bad")
    for recheck, label, asked in ((True, "bad:dark", 3), (False, "good", 1)):
        fetches.clear()
        found, _ = photos.harvest(known, label_tag="label", recheck_tags=recheck)
        labels = {key: (event.record.label_hint, event.data is not None) for key, event in found.items()}
        assert labels == {"1.jpg": ("good", False), "2.jpg": (label, False), "3.jpg": ("bad", True)}
        assert len([name for name in fetches if name.startswith("tags of")]) == asked


def test_votes_in_a_manifest_are_updated_without_fetching(
    photos: Photos, fetches: list[str], make_params: Callable[..., Params]
) -> None:
    """Through a whole refresh: shards, catalog, a second refresh that finds nothing and a third with other votes."""
    for number in range(5):
        photos.put(f"{number}.jpg", number)
    photos.put("broken.jpg", data=b"no image")
    table = photos.root / "votes.jsonl"
    row = '{{"key": "{}.jpg", "mean": {}, "count": {}}}\n'
    table.write_text("".join(row.format(name, 3.5, 4) for name in (*range(5), "broken")))
    source = {
        "kind": "bucket",
        "bucket": photos.name,
        "endpoint_url": photos.store.endpoint_url,
        "manifest": "votes.jsonl",
    }
    params, layout = make_params(sources={"store": source}), Layout(photos.root)
    first = refresh(layout, params)["sources"]["store"]
    assert (first["new"], first["quarantined"]) == (5, {"not_an_image": 1})
    assert len(fetches) == 6
    second = refresh(layout, params)["sources"]["store"]
    assert (second["new"], second["updated"], second["unchanged"]) == (0, 0, 6)
    table.write_text("".join(row.format(name, 2, 5 + (name == 3)) for name in range(5)) + row.format("broken", 3.5, 4))
    third = refresh(layout, params)["sources"]["store"]
    assert (third["new"], third["updated"], third["unchanged"]) == (0, 5, 1)
    assert len(fetches) == 6
    catalog = read_catalog(layout.catalog)
    votes = catalog[catalog["status"] == "ok"].set_index("source_key")["votes_count"].to_dict()
    assert votes == {f"{number}.jpg": 5 + (number == 3) for number in range(5)}


def test_a_limit_counts_new_photos_only_and_fetches_no_more(photos: Photos, fetches: list[str]) -> None:
    for number in range(8):
        photos.put(f"{number}.jpg", number)
    known = known_of(photos.harvest(limit=2)[0])
    assert (sorted(known), sorted(fetches)) == (["0.jpg", "1.jpg"], ["0.jpg", "1.jpg"])
    found, _ = photos.harvest(known, limit=3)
    assert [(key, event.data is not None) for key, event in found.items()] == [
        (f"{number}.jpg", number > 1) for number in range(5)
    ]
    assert sorted(fetches) == [f"{number}.jpg" for number in range(5)]
    assert photos.harvest(known, limit=0)[0].keys() == known.keys()


def test_a_forgotten_photo_is_neither_fetched_nor_named(photos: Photos, fetches: list[str]) -> None:
    photos.put("secret.jpg")
    photos.put("2.jpg", 2)
    events = list(photos.source().harvest({"secret.jpg": Known(None, None, forgotten=True)}))
    assert FORGOTTEN in events
    assert fetches == ["2.jpg"]


def test_odd_keys_are_fetched_or_counted(photos: Photos) -> None:
    photos.put("folder/", data=b"")
    photos.put("line\nbreak.jpg")
    photos.put("bell\x07.jpg")
    photos.put("x\u202egpj.exe.jpg", 2)
    photos.put("k" * 200 + "/" + "k" * 200 + ".jpg", 3)
    photos.put("empty.jpg", data=b"")
    found, passed = photos.harvest()
    assert passed == {"folder_marker": 1, "unsafe_key": 2}
    assert sorted(found) == sorted(["x\u202egpj.exe.jpg", "k" * 200 + "/" + "k" * 200 + ".jpg", "empty.jpg"])


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("a/1.jpg", None),
        ("a..b/…/1.jpg", None),
        ("שלום/\u200f1.jpg", None),
        ("k" * 1024, None),
        ("k" * 4000 + ".jpg", "key_too_long"),
        ("é" * 513, "key_too_long"),
        ("../1.jpg", "unsafe_key"),
        ("a/../../1.jpg", "unsafe_key"),
        ("./1.jpg", "unsafe_key"),
        ("a\0b.jpg", "unsafe_key"),
        ("a\n.jpg", "unsafe_key"),
        ("a\x7f.jpg", "unsafe_key"),
        ("a\ufffd.jpg", "name_is_not_utf8"),
        ("a/", "folder_marker"),
        ("", None),
    ],
)
def test_a_key_is_passed_over_with_its_reason(key: str, problem: str | None) -> None:
    assert _objects.key_problem(key) == problem


def test_an_object_over_the_limit_is_refused_before_it_is_fetched(photos: Photos, fetches: list[str]) -> None:
    photos.put("huge.jpg", data=b"\xff" * 100_001)
    photos.put("fits.jpg", data=b"\xff" * 100_000)
    found, _ = photos.harvest()
    assert (found["huge.jpg"].refused, found["huge.jpg"].data) == ("too_many_bytes", None)
    assert fetches == ["fits.jpg"]
    assert photos.harvest(known_of(found))[0]["huge.jpg"].refused is None


def test_what_changes_between_listing_and_fetching_is_counted_or_kept_as_it_is_then(photos: Photos) -> None:
    for number in range(9):
        photos.put(f"{number}.jpg", number)
    events = photos.source(concurrency=1).harvest({})
    first = next(events)
    photos.client.delete_object(Bucket=photos.name, Key="6.jpg")
    photos.put("7.jpg", 77)
    photos.put("8.jpg", data=b"\xff" * 100_001)
    rest = list(events)
    assert isinstance(first, Fetched)
    found = {event.record.source_key: event for event in rest if isinstance(event, Fetched)}
    assert sorted(found) == [f"{number}.jpg" for number in (1, 2, 3, 4, 5, 7, 8)]
    assert [event.reason for event in rest if isinstance(event, Skipped)] == ["object_gone"]
    assert (found["7.jpg"].data, found["8.jpg"].refused) == (encoded(scene(77)), "too_many_bytes")
    again, _ = photos.harvest(known_of({"7.jpg": found["7.jpg"]}))
    assert again["7.jpg"].data is None


def test_memory_does_not_grow_with_the_bucket(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    """All objects are known, so what is measured is the listing and what is said of each object, with its votes."""
    monkeypatch.setattr(_objects, "PAGE", 100)
    few, many = 300, times(900, 20_000)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: photos.put(f"{number:06d}.jpg", data=b"x"), range(many)))
    mark = _objects.mark_of(hashlib.md5(b"x", usedforsecurity=False).hexdigest(), 1, None)
    known = {f"{number:06d}.jpg": Known(None, mark) for number in range(many)}
    table = "".join(f"{key},4,10\n" for key in known)
    (photos.root / "votes.csv").write_text(f"key,mean,count\n{table}")
    peaks = []
    for number in (few, many):
        events = photos.source(manifest="votes.csv", concurrency=1).harvest(known)
        next(events)
        tracemalloc.start()
        taken = sum(isinstance(next(events), Fetched) for _ in range(number - 1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert taken == number - 1
    assert not list(events)
    assert peaks[1] < peaks[0] + 400_000  # to hold what 600 objects gave would take twice as much


@pytest.mark.parametrize(
    ("options", "keys", "says"),
    [
        ({"bucket": "no-such-bucket"}, None, r"no bucket no-such-bucket at http://127\.0\.0\.1:\d+\..*`endpoint_url`"),
        ({"bucket": "Not A Bucket"}, None, r"'Not A Bucket' is not a bucket's name.*`bucket`"),
        ({"prefix": "/2024"}, None, r"no object below prefix '/2024'.*no slash in front"),
        ({}, ("", ""), r"no credentials.*AWS_ACCESS_KEY_ID.*`connection`"),
        ({}, ("nobody", "secret"), r"does not accept the credentials \(InvalidAccessKeyId\).*Renew"),
        ({}, ("tester", "secret"), r"does not accept the credentials \(SignatureDoesNotMatch\).*Renew"),
        ({}, ("stranger", "secret-of-the-stranger"), r"not give the right to bucket errors.*s3:ListBucket"),
        ({"endpoint_url": "http://127.0.0.1:9"}, None, r"http://127\.0\.0\.1:9 cannot be reached.*`endpoint_url`"),
        ({"manifest": "s3:none.csv"}, None, r"no object none\.csv in bucket errors.*`manifest`"),
        ({"manifest": "none.csv"}, None, r"none\.csv does not exist.*s3:KEY"),
        ({"manifest": "s3:wrong.csv"}, None, r"no column 'key'; it has image, stars"),
        ({"manifest": "s3:groups.csv"}, None, r"neither a column 'label' nor 'mean'"),
        ({"manifest": "s3:photo.xlsx"}, None, r"no kind of table"),
    ],
    ids=lambda value: None,
)
def test_what_is_wrong_with_a_bucket_says_what_to_do(
    store: ObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    keys: tuple[str, str] | None,
    says: str,
) -> None:
    photos = Photos(store, "errors", tmp_path)
    for key, text in (("wrong.csv", "image,stars\n"), ("groups.csv", "key,group\n"), ("photo.xlsx", "PK")):
        photos.put(key, data=text.encode())
    if keys is not None:
        for name, value in zip(store.environment, keys, strict=True):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(SourceError, match=says) as problem:
        photos.harvest(**options)
    assert problem.value.next_step
    assert "secret" not in f"{problem.value} {problem.value.details}"


def test_a_bucket_without_photos_says_what_it_holds(photos: Photos, make_params: Callable[..., Params]) -> None:
    photos.put("notes.txt", data=b"text")
    source = {"kind": "bucket", "bucket": photos.name, "endpoint_url": photos.store.endpoint_url}
    with pytest.raises(EmptySource, match=r"gave no usable photo; passed over: 1 not_an_image_file"):
        refresh(Layout(photos.root), make_params(sources={"store": source}))

"""A file tree on a server that is ill or means harm, and a refresh of it that is killed: every file's fate is counted."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from photoqual.config import FiletreeSource, Params, PhotosParams, Politeness, parse_params
from photoqual.errors import SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.shards import orphans, read_photos
from photoqual.sources import _bulk, _downloader, _walk
from photoqual.sources._bulk import Bulk
from photoqual.sources.filetree import SETTLED_SECONDS, Filetree
from photoqual.sources.records import Event, Fetched, Known, Skipped
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT
from tests.data.gallery_site import (
    GallerySite,
    Handler,
    Reply,
    answer,
    broken_off,
    dripping,
    endless,
    failing,
    moved,
    photo_bytes,
    silent,
    zipped,
)
from tests.long import times
from tests.web import apache_page, caddy, nginx_page

HASTY: dict[str, Any] = {
    "delay_seconds": 0.0,
    "concurrency": 8,
    "timeout_seconds": 20.0,
    "retries": 1,
    "allow_private_addresses": True,
}
ELSEWHERE = "http://elsewhere.example/tree/1.jpg"
METADATA = "http://169.254.169.254/latest/meta-data"
DATE = "17-May-2024 06:19"


def source(site: GallerySite, **changes: Any) -> Filetree:
    polite = {**HASTY, **changes.pop("politeness", {})}
    values = {"start": [f"{site.url}/tree/"], "politeness": polite, **changes}
    return Filetree(FiletreeSource.model_validate(values), PhotosParams(max_megabytes=0.05))


def index(*names: str) -> Reply:
    return answer(nginx_page("/tree/", [(name, DATE, "-" if name.endswith("/") else "17") for name in names]))


def fetched(events: list[Event]) -> dict[str, Fetched]:
    return {event.record.source_key: event for event in events if isinstance(event, Fetched)}


def passed(events: list[Event]) -> Counter[str]:
    return Counter(event.reason for event in events if isinstance(event, Skipped))


def reset(handler: Handler) -> None:
    """Break the connection off without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def no_http(handler: Handler) -> None:
    """Answer what is not HTTP."""
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    handler.close_connection = True


FATES: list[tuple[str, str, Reply]] = [
    ("http_500", "01.jpg", failing(500)),
    ("http_404", "02.jpg", failing(404)),
    ("timeout", "03.jpg", silent),
    ("timeout", "04.jpg", dripping),
    ("connection_lost", "05.jpg", broken_off),
    ("connection_lost", "06.jpg", reset),
    ("not_http", "07.jpg", no_http),
    ("other_host", "08.jpg", moved(ELSEWHERE)),
    ("other_host", "09.jpg", moved(METADATA)),
    ("not_http", "10.jpg", moved("file:///etc/passwd")),
    ("leaves_tree", "11.jpg", moved("/etc/passwd")),
    ("leaves_tree", "12.jpg", moved("../secret.jpg")),
    ("leaves_tree", "13.jpg", moved("/tree/%2e%2e/secret.jpg")),
    ("too_many_redirects", "14.jpg", moved("/tree/14.jpg")),
    ("http_429", "15.jpg", failing(429, Retry_After="999999")),
    ("http_304", "16.jpg", answer(b"", status=304)),
    ("not_http", "17.jpg", moved("http://[::1")),
    ("http_204", "18.jpg", answer(b"", status=204)),
    ("other_host", "f1/", moved(f"{ELSEWHERE}/")),
    ("redirected", "f2/", moved("/tree/f9/")),
    ("not_a_page", "f3/", answer(photo_bytes(1), kind="image/jpeg")),
    ("leaves_tree", "f4/", moved("/")),
    ("loop", "f5/", index("f6/", "1.jpg")),
    ("too_many_bytes", "f7/", endless),
]
REFUSED: list[tuple[str, Reply]] = [
    ("20.jpg", endless),
    ("21.jpg", answer(b"." * 50_001, kind="image/jpeg")),
    ("22.jpg", zipped(b"." * 60_000)),
]
WELL: list[tuple[str, Reply, bytes]] = [
    ("30.jpg", answer(photo_bytes(30), kind="text/plain"), photo_bytes(30)),
    ("31.jpg", moved("/tree/30.jpg"), photo_bytes(30)),
    ("32.jpg", answer(photo_bytes(32), Content_Length="9"), photo_bytes(32)[:9]),
    ("33.jpg", answer(b""), b""),
]


@pytest.fixture(scope="module")
def events() -> Iterator[list[Event]]:
    replies = [one[-2:] for one in FATES] + REFUSED + [one[:2] for one in WELL]
    site = GallerySite(replies={f"/tree/{name}": [reply] for name, reply in replies})
    names = [name for name, _ in replies]
    site.replies["/tree/"] = [index(*names, "f9/")]
    site.replies["/tree/f5/f6/"] = site.replies["/tree/f5/"]
    site.replies["/tree/f9/"] = [answer(apache_page("/tree/f9/", [("9.jpg", "2024-05-17 06:19", "1K")]))]
    site.replies["/tree/f9/9.jpg"] = site.replies["/tree/f5/1.jpg"] = [answer(photo_bytes(9))]
    with site, pytest.MonkeyPatch.context() as patch:
        patch.setattr(_walk, "PAGE_BYTES", 1_000_000)
        yield list(source(site, politeness={"timeout_seconds": 3.0, "concurrency": 16}).harvest({}))


@pytest.mark.parametrize(("reason", "name"), [one[:2] for one in FATES], ids=[" ".join(one[:2]) for one in FATES])
def test_what_cannot_be_had_is_counted_with_its_reason(events: list[Event], reason: str, name: str) -> None:
    where = "/tree/f5/f6/" if reason == "loop" else f"/tree/{name}"
    said = [event.reason for event in events if isinstance(event, Skipped) and event.where.endswith(where)]
    assert said == [reason]
    assert name not in fetched(events)


def test_everything_else_comes_and_nothing_is_counted_twice(events: list[Event]) -> None:
    assert sorted(passed(events).elements()) == sorted(reason for reason, _, _ in FATES)
    found = fetched(events)
    assert {key: event.refused for key, event in found.items() if event.refused} == {
        name: "too_many_bytes" for name, _ in REFUSED
    }
    well = {name: data for name, _, data in WELL} | {"f9/9.jpg": photo_bytes(9), "f5/1.jpg": photo_bytes(9)}
    assert {key: event.data for key, event in found.items() if not event.refused} == well


SITES: list[tuple[str, dict[str, Reply], dict[str, Any], str, str]] = [
    ("gone", {}, {}, "answered 404", "Correct `start`"),
    ("a photo", {"/tree/": answer(b"\xff\xd8", kind="image/jpeg")}, {}, "is no index page", "Set `start` to a folder"),
    ("robots ill", {"/robots.txt": failing(500), "/tree/": index("1.jpg")}, {}, "robots.txt", "refresh again"),
    ("private", {}, {"allow_private_addresses": False}, "private address", "allow_private_addresses"),
]


@pytest.mark.parametrize(("replies", "polite", "said", "step"), [one[1:] for one in SITES], ids=[s[0] for s in SITES])
def test_a_start_that_shows_nothing_is_an_error_with_a_next_step(
    replies: dict[str, Reply], polite: dict[str, Any], said: str, step: str
) -> None:
    with (
        GallerySite(replies={path: [reply] for path, reply in replies.items()}) as site,
        pytest.raises(SourceError) as error,
    ):
        list(source(site, politeness={"retries": 0, **polite}).harvest({}))
    assert said in error.value.message
    assert step in error.value.next_step


def test_a_name_that_leads_to_a_private_address_is_refused_before_it_is_asked() -> None:
    with GallerySite() as site:
        start = [f"http://localhost:{site.host.rpartition(':')[2]}/tree/"]
        with pytest.raises(SourceError, match="leads to a private address"):
            list(source(site, start=start, politeness={"allow_private_addresses": False}).harvest({}))
        assert site.requests == []


def test_a_server_that_breaks_down_is_left_in_peace_and_what_came_before_is_kept() -> None:
    names = [f"{number:03d}.jpg" for number in range(200)]
    with GallerySite() as site:
        site.replies["/tree/"] = [index(*names)]
        site.replies["/tree/000.jpg"] = [answer(photo_bytes(1))]
        for name in names[1:]:
            site.replies[f"/tree/{name}"] = [failing(500)]
        events: list[Event] = []
        with pytest.raises(SourceError, match=f"failed {_bulk.TROUBLES} times in a row") as error:
            events.extend(source(site, politeness={"retries": 0, "concurrency": 2}).harvest({}))
        assert "kept" in error.value.next_step
        assert len(site.requests) < 2 + _bulk.TROUBLES + 10


def test_a_tree_without_an_end_is_left() -> None:
    class Endless(GallerySite):
        def _usual(self, path: str) -> Reply:
            return index(f"{path.count('/')}/", "notes.txt") if path.startswith("/tree/") else failing(404)

    with Endless() as site:
        events = list(source(site).harvest({}))
        assert passed(events)["too_deep"] == 1
        assert passed(events)["not_picked"] == _walk.MAX_DEPTH + 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_walk, "MAX_FRUITLESS", 10)
            with pytest.raises(SourceError, match="folder after folder"):
                list(source(site).harvest({}))


def test_requests_keep_their_distance_and_a_server_that_asks_for_rest_gets_it() -> None:
    with GallerySite() as site:
        site.replies["/tree/"] = [index(*(f"{number}.jpg" for number in range(6)))]
        for number in range(6):
            site.replies[f"/tree/{number}.jpg"] = [answer(photo_bytes(number))]
        site.replies["/tree/2.jpg"].insert(0, failing(503, Retry_After="1"))
        events = list(source(site, politeness={"delay_seconds": 0.1, "concurrency": 3}).harvest({}))
        assert len(fetched(events)) == 6
        at = [seen.at for seen in site.requests]
        pauses = [later - earlier for earlier, later in pairwise(at)]
        assert min(pauses) > 0.06
        refused = [seen.path for seen in site.requests].index("/tree/2.jpg")
        assert max(pauses[refused : refused + 3]) > 0.75
        assert {seen.headers["User-Agent"] for seen in site.requests} == {Politeness().user_agent}


def test_a_time_to_the_minute_is_trusted_only_once_it_has_passed() -> None:
    new, old = (
        format_datetime(datetime.now(UTC) - timedelta(seconds=ago), usegmt=True)
        for ago in (SETTLED_SECONDS - 30, SETTLED_SECONDS + 1)
    )

    with GallerySite() as site:
        site.replies["/tree/"] = [index("new.jpg", "old.jpg", "unknown.jpg")]
        site.replies["/tree/new.jpg"] = [answer(photo_bytes(1), Last_Modified=new)]
        site.replies["/tree/old.jpg"] = [answer(photo_bytes(1), Last_Modified=old)]
        site.replies["/tree/unknown.jpg"] = [answer(photo_bytes(1))]
        found = fetched(list(source(site).harvest({})))
        marks = {key: event.record.page_etag for key, event in found.items()}
        assert marks == {"new.jpg": None, "old.jpg": f"{DATE} 17", "unknown.jpg": None}
        known = {key: Known(None, one.record.etag, page_etag=one.record.page_etag) for key, one in found.items()}
        site.requests.clear()
        again = fetched(list(source(site).harvest(known)))
        assert [key for key, event in again.items() if event.data is not None] == ["unknown.jpg"]
        headers = {seen.path: seen.headers for seen in site.requests}
        assert "/tree/old.jpg" not in headers
        assert headers["/tree/new.jpg"]["If-Modified-Since"] == new


def high_water(process: int) -> float:
    """Return the most memory that a process has held, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return float(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_bodies_that_nobody_takes_are_held_only_up_to_a_bound_and_all_come_in_any_order(tmp_path: Path) -> None:
    size, number = 4_000_000, 60
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree/1.bin").open("wb") as file:
        file.truncate(size)
    polite = Politeness.model_validate({**HASTY, "concurrency": number})
    with caddy(tmp_path / "tree", tmp_path / "caddy") as url, Bulk(polite, [url.partition("//")[2]]) as bulk:
        asked = [bulk.ask(f"{url}/1.bin", within=f"{url}/", max_bytes=10**7) for _ in range(number)]
        for one in reversed(asked):
            assert len(bulk.answer(one).data) == size
        assert high_water(bulk._child.pid) < _downloader.HELD_BYTES + 110e6


def test_a_downloader_that_is_killed_is_an_error_and_one_whose_parent_is_gone_ends() -> None:
    with GallerySite() as site:
        site.replies["/tree/1.jpg"] = [silent]
        with Bulk(Politeness.model_validate(HASTY), [site.host]) as bulk:
            number = bulk.ask(f"{site.url}/tree/1.jpg", within=f"{site.url}/tree/", max_bytes=10**6)
            bulk._child.kill()
            with pytest.raises(SourceError, match="The downloader broke off"):
                bulk.answer(number)
        with Bulk(Politeness.model_validate(HASTY), [site.host]) as bulk:
            bulk._in.close()
            assert bulk._child.wait(60) == 0


LASTING = ["source_key", "photo_id", "phash", "group", "status", "original_width", "shard", "row", "etag", "page_etag"]


@pytest.mark.parametrize("seed", range(times(1, 50)))
def test_a_refresh_after_one_that_was_killed_gives_what_one_without_a_kill_gives(
    tmp_path: Path, whole: "Whole", seed: int
) -> None:
    layout = Layout(tmp_path)
    layout.params.write_text(yaml.safe_dump(whole.params.model_dump(mode="json")))
    with subprocess.Popen(
        [sys.executable, "-m", "photoqual", "refresh"],
        cwd=layout.root,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        shards = random.Random(seed).randrange(whole.shards)
        until = time.monotonic() + 120
        while len(list(layout.photos.rglob("*.parquet"))) < shards and process.poll() is None:
            assert time.monotonic() < until
            threading.Event().wait(0.002)
        threading.Event().wait(random.Random(seed).random() * 0.1)
        process.send_signal(signal.SIGKILL)
    assert refresh(layout, whole.params)["photos"] == len(whole.catalog)
    catalog = read_catalog(layout.catalog)
    pd.testing.assert_frame_equal(catalog[LASTING], whole.catalog[LASTING])
    assert dict(read_photos(layout.photos, catalog)) == whole.photos
    assert orphans(layout.photos, catalog) == []


class Whole:
    """What a refresh without an interruption gives."""

    def __init__(self, layout: Layout, params: Params) -> None:
        refresh(layout, params)
        self.params = params
        self.catalog = read_catalog(layout.catalog)
        self.photos = dict(read_photos(layout.photos, self.catalog))
        self.shards = len(list(layout.photos.rglob("*.parquet")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    tree = tmp_path_factory.mktemp("tree")
    for number in range(24):
        folder = tree / f"2024-05-{1 + number // 4:02d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.jpg").write_bytes(photo_bytes(number))
    with caddy(tree, tmp_path_factory.mktemp("caddy")) as url:
        values = yaml.safe_load((PROJECT / "params.yaml").read_text())
        polite = {**HASTY, "delay_seconds": 0.01}
        values["sources"] = {"trees": {"kind": "filetree", "start": [url], "politeness": polite}}
        values["photos"] |= {"shard_photos": 4, "max_side": 64}
        yield Whole(Layout(tmp_path_factory.mktemp("whole")), parse_params(values))

"""The demo site: the same for ever, scraped over HTTP like any other, growing, poisoned, and closed to strangers."""

import hashlib
import http.client
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest

from photoqual.config import DemoSource, PhotosParams
from photoqual.photos.fingerprints import photo_id
from photoqual.sources import _demo_photos as demo
from photoqual.sources._demo_defects import DEFECTS
from photoqual.sources.demo import STABLE, Demo, DemoSite, unseen
from photoqual.sources.records import Fetched, Known
from tests.conftest import PROJECT, scene

FIRST, SECOND = demo.PHOTOS[0], sum(demo.PHOTOS[:2])
SAMPLE = (0, 17, 250, FIRST + 5)


@pytest.fixture
def site() -> Iterator[DemoSite]:
    with DemoSite() as site:
        yield site


@pytest.fixture(scope="module")
def second_edition() -> dict[str, Fetched]:
    """What a crawl of the second edition gives to a catalog that holds the first, scraped when the port was another."""
    known = {f"/photos/{photo.number}": Known(f"{STABLE}/images/{photo.number}.jpg", None) for photo in demo.photos(1)}
    events = list(Demo(DemoSource(edition=2), PhotosParams()).harvest(known))
    found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
    assert len(found) == len(events), "something was skipped, or came twice"
    return found


def ask(site: DemoSite, method: str, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", int(site.url.rpartition(":")[2]), timeout=20)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_grown_site_gives_the_bytes_of_its_new_photos_only(second_edition: dict[str, Fetched]) -> None:
    assert len(second_edition) == SECOND
    with_bytes = {key for key, event in second_edition.items() if event.data is not None}
    assert with_bytes == {f"/photos/{photo.number}" for photo in demo.photos(2)[FIRST:]}
    for index in range(FIRST, SECOND, 60):
        photo = demo.photos(2)[index]
        assert second_edition[f"/photos/{photo.number}"].data == demo.render(photo)


def test_a_grown_site_brings_the_votes_that_came_since(second_edition: dict[str, Fetched]) -> None:
    for photo in demo.photos(2):
        votes = demo.votes(photo, 2)
        record = second_edition[f"/photos/{photo.number}"].record
        assert record.votes_count == len(votes)
        assert record.votes_mean == pytest.approx(votes.mean(), abs=0.051)
        assert record.rating_scale == (1.0, 5.0)
    first = demo.photos(1)[0]
    assert len(demo.votes(first, 1)) < len(demo.votes(first, 2))


def test_all_variants_of_a_photograph_are_of_one_group(second_edition: dict[str, Fetched]) -> None:
    groups = defaultdict(set)
    for photo in demo.photos(2):
        groups[second_edition[f"/photos/{photo.number}"].record.group].add(photo.base)
    assert all(len(bases) == 1 for bases in groups.values())
    assert len(groups) == sum(demo.ALBUMS[:2])


def test_the_catalog_sees_one_address_wherever_the_site_listens(second_edition: dict[str, Fetched]) -> None:
    record = second_edition["/photos/700"].record
    assert (record.page_url, record.image_url) == (f"{STABLE}/photos/700", f"{STABLE}/images/700.jpg")


def test_bytes_and_votes_are_the_same_in_every_process() -> None:
    program = (
        "from photoqual.photos.fingerprints import photo_id\n"
        "from photoqual.sources import _demo_photos as demo\n"
        f"for photo in [demo.photos(2)[index] for index in {SAMPLE}]:\n"
        "    print(photo_id(demo.render(photo)), *demo.votes(photo, 3))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, env={"PYTHONHASHSEED": "4"}, capture_output=True, check=True
    )
    photos = [demo.photos(2)[index] for index in SAMPLE]
    expected = [f"{photo_id(demo.render(photo))} {' '.join(map(str, demo.votes(photo, 3)))}" for photo in photos]
    assert said.stdout.decode().splitlines() == expected


@pytest.mark.parametrize(
    ("defect", "digest"),
    [
        ("too dark", "a4befa7b0a986a2f"),
        ("too bright", "c57c8752e6fe3db7"),
        ("motion blur", "6a87c342d7ea1c9d"),
        ("defocus", "2446bad5da0cc1f1"),
        ("noise", "bc9359726a063456"),
        ("JPEG loss", "b6f21e44667635d5"),
        ("low contrast", "d5c9328674a9831b"),
    ],
)
def test_the_sites_defects_are_the_same_for_ever(defect: str, digest: str) -> None:
    """Figures published of the demo hold for these pixels."""
    damaged = [DEFECTS[defect](scene(3), strength, np.random.default_rng(5)) for strength in (0.0, 0.35, 1.0)]
    pixels = b"".join(np.asarray(photo).tobytes() for photo in damaged)
    assert hashlib.sha256(pixels).hexdigest().startswith(digest)


@pytest.mark.parametrize("edition", [1, 2, 3, 5])
def test_a_later_edition_only_adds(edition: int) -> None:
    earlier, later = demo.photos(edition), demo.photos(edition + 1)
    assert later[: len(earlier)] == earlier
    assert len(later) > len(earlier)
    for photo in earlier[::50]:
        before, after = demo.votes(photo, edition), demo.votes(photo, edition + 1)
        assert list(after[: len(before)]) == list(before)
        assert set(after) <= {1, 2, 3, 4, 5}


def test_a_vandal_adds_five_stars_to_every_photo_and_leaves_without_a_trace(site: DemoSite) -> None:
    source = Demo(DemoSource(url=site.url + "/"), PhotosParams())

    def votes() -> dict[str, tuple[int | None, float | None]]:
        events = [event for event in source.harvest({}, limit=2) if isinstance(event, Fetched)]
        return {event.record.source_key: (event.record.votes_count, event.record.votes_mean) for event in events}

    assert ask(site, "POST", "/poison")[0] == 303
    poisoned = votes()
    assert len(poisoned) == 2
    for key, (count, mean) in poisoned.items():
        photo = demo.photos(1)[int(key.rpartition("/")[2]) - 1]
        honest = demo.votes(photo, 1)
        stars = np.concatenate([honest, np.full(demo.VANDAL_VOTES, 5)])
        assert (count, mean) == (len(stars), pytest.approx(stars.mean(), abs=0.051))
    assert ask(site, "POST", "/heal")[0] == 303
    assert site.poisoned is False


def test_the_home_pages_buttons_change_the_site(site: DemoSite) -> None:
    own = {"Origin": site.url}
    for path, edition, poisoned in (("/grow", 2, False), ("/poison", 2, True), ("/heal", 2, False)):
        assert ask(site, "POST", path, **own) == (303, b"")
        assert (site.edition, site.poisoned) == (edition, poisoned)
    assert f"<h1>{SECOND} photos" in ask(site, "GET", "/")[1].decode()


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/grow", {"Origin": "http://evil.example"}, 403),
        ("POST", "/poison", {"Origin": "http://127.0.0.1:1"}, 403),
        ("POST", "/poison", {"Origin": "null"}, 403),
        ("POST", "/grow", {"Host": "evil.example"}, 403),
        ("POST", "/grow", {"Host": "[::1"}, 403),
        ("POST", "/nothing", {}, 404),
        ("GET", "/grow", {}, 404),
        ("GET", "/photos/0", {}, 404),
        ("GET", f"/photos/{FIRST + 1}", {}, 404),
        ("GET", "/photos/1x", {}, 404),
        ("GET", "/photos/../../etc/passwd", {}, 404),
        ("GET", "/images/1.png", {}, 404),
        ("GET", "/photos?page=0", {}, 404),
        ("GET", "/photos?page=%3Cscript%3E", {}, 404),
        ("GET", "/photos?page=9999", {}, 200),
        ("HEAD", "/photos/1", {}, 200),
    ],
)
def test_strangers_and_wrong_addresses_change_nothing(
    site: DemoSite, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    found, body = ask(site, method, path, **headers)
    assert found == status
    assert b"<script" not in body
    assert (site.edition, site.poisoned) == (1, False)


@pytest.mark.parametrize("length", ["-1", "many"])
def test_a_wrong_length_does_not_hold_the_site_up(site: DemoSite, length: str) -> None:
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=5) as connection:
        request = f"POST /grow HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(request.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 403")
    assert site.edition == 1


@pytest.mark.parametrize("sent", [b"", b"GET /pho", b"GET /photos HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_a_visitor_who_hangs_up_is_no_news(site: DemoSite, capfd: pytest.CaptureFixture[str], sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(sent)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with urllib.request.urlopen(f"{site.url}/robots.txt") as answer:
        assert answer.status == 200
    serving = [thread for thread in threading.enumerate() if "process_request" in thread.name]
    for thread in serving:
        thread.join(10)
    assert capfd.readouterr() == ("", "")


def test_every_page_says_that_the_votes_are_simulated(site: DemoSite) -> None:
    for path in ("/", "/photos", "/photos/1", "/nowhere"):
        assert b"all votes are simulated" in ask(site, "GET", path)[1]


def test_what_the_next_edition_brings_is_in_none_before() -> None:
    seen = {photo.number for photo in demo.photos(1)}
    coming = dict(unseen(1))
    assert len(coming) == 3
    assert sum(name.startswith("undamaged") for name in coming) == 1
    assert seen.isdisjoint(int(name.rpartition("-")[2]) for name in coming)


def test_the_site_runs_alone_until_it_is_told_to_end() -> None:
    command = [sys.executable, "-m", "photoqual.sources.demo", "--port", "0", "--edition", "2", "--poisoned"]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(word for word in process.stdout.readline().split() if word.startswith("http://127.0.0.1:"))
            with urllib.request.urlopen(url) as page:
                shown = page.read().decode()
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "edition 2" in shown
    assert "Send the vandal away" in shown

"""The gallery source on a site that is ill or means harm: every photo's fate is counted, every dead site is an error."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from photoqual.errors import ConfigError, SourceError
from photoqual.sources._addresses import is_public, refusal
from photoqual.sources.records import Event, Fetched, Skipped
from tests.data.gallery_site import (
    GallerySite,
    Reply,
    answer,
    broken_off,
    claiming,
    crawl,
    dripping,
    endless,
    failing,
    microdata,
    moved,
    photo_bytes,
    reset,
    silent,
    zipped,
)

ELSEWHERE = "http://elsewhere.example/images/1.jpg"
METADATA = "http://169.254.169.254/latest/meta-data"
CIRCLE = '<script type="application/ld+json">{}</script>'.format(
    json.dumps({"@id": "#a", "@type": "Photograph", "about": {"@id": "#a"}, "image": {"@id": "#a"}})
)
FATES: list[tuple[str, str, Reply]] = [
    ("http_500", "/photos/1", failing(500)),
    ("http_404", "/photos/2", failing(404)),
    ("timeout", "/photos/3", silent),
    ("timeout", "/photos/4", dripping),
    ("connection_lost", "/photos/5", broken_off),
    ("too_many_bytes", "/photos/6", claiming("1000000000")),
    ("too_many_bytes", "/photos/7", zipped(b" " * 11_000_000)),
    ("other_host", "/photos/8", moved(ELSEWHERE)),
    ("other_host", "/photos/9", moved(METADATA)),
    ("http_302", "/photos/10", moved("file:///etc/passwd")),
    ("too_many_redirects", "/photos/11", moved("/photos/11?again=1")),
    ("not_a_page", "/photos/12", answer(photo_bytes(12), kind="image/jpeg")),
    ("no_rating", "/photos/13", answer("")),
    ("no_rating", "/photos/14", answer(microdata(14, votes=0))),
    ("no_rating", "/photos/15", answer(microdata(15, votes=10**40))),
    ("no_rating", "/photos/16", answer(CIRCLE)),
    ("vote_outside_scale", "/photos/17", answer(microdata(17, mean=9))),
    ("vote_outside_scale", "/photos/18", answer(microdata(18, mean=-1))),
    ("image_other_host", "/photos/19", answer(microdata(19, image=ELSEWHERE))),
    ("image_other_host", "/photos/20", answer(microdata(20, image=METADATA))),
    ("image_not_http", "/photos/21", answer(microdata(21, image="data:image/png;base64,AAAA"))),
    ("image_not_http", "/photos/22", answer(microdata(22, image="file:///etc/passwd"))),
    ("image_other_host", "/images/23.jpg", moved(ELSEWHERE)),
    ("image_http_404", "/images/24.jpg", failing(404)),
    ("image_timeout", "/images/25.jpg", silent),
    ("image_connection_lost", "/images/26.jpg", broken_off),
    ("http_429", "/photos/27", failing(429, Retry_After="999999")),
    ("image_too_many_redirects", "/images/28.jpg", moved("/images/28.jpg")),
    ("too_many_redirects", "/photos/29", moved("/photos/29")),
    ("connection_lost", "/photos/30", reset),
    ("image_connection_lost", "/images/31.jpg", reset),
    ("image_other_host", "/images/32.jpg", moved(METADATA)),
    ("image_http_302", "/images/33.jpg", moved("file:///etc/passwd")),
    ("image_connection_lost", "/images/34.jpg", claiming("many")),
    ("image_connection_lost", "/images/35.jpg", claiming("-5")),
    ("image_timeout", "/images/36.jpg", claiming("9999", b"....")),
    ("image_address_too_long", "/photos/37", answer(microdata(37, image="/" + "a" * 4000))),
]
AGAIN = {f"/photos/11?again={turn}": moved(f"/photos/11?again={turn + 1}") for turn in range(1, 9)}
LINKS = ["javascript:void(0)", "mailto:club@example.org", "http://[::1", "http://elsewhere.example/photos/1"]
ODD = ["/photos/../../etc/passwd", "/photos/\u202e\x00\u200f1", "/photos/" + "a" * 4000, "/photos/<script>&quot;"]
WELL = len(FATES) + 1
"""The number of the first photo that nothing is wrong with."""
HEAVY: list[tuple[str, Reply]] = [
    (f"/images/{WELL + 2}.jpg", endless),
    (f"/images/{WELL + 3}.jpg", answer(b"." * 60_000, kind="image/jpeg")),
    (f"/images/{WELL + 4}.jpg", zipped(b"." * 60_000)),
    (f"/images/{WELL + 5}.jpg", claiming("1000000000", b"....")),
]


@pytest.fixture(scope="module")
def site() -> Iterator[GallerySite]:
    bad = {path: reply for _, path, reply in FATES} | dict(HEAVY) | AGAIN
    replies = {path: [reply] for path, reply in bad.items()}
    with GallerySite(photos=WELL + 6, per_page=20, replies=replies, extra_links=LINKS + ODD) as site:
        site.replies[f"/images/{WELL + 6}.jpg"] = [claiming("100", photo_bytes(1))]
        yield site


@pytest.fixture(scope="module")
def events(site: GallerySite) -> list[Event]:
    return list(crawl(site.source(politeness={"timeout_seconds": 2.0}), max_megabytes=0.05))


@pytest.mark.parametrize(("reason", "path", "reply"), FATES, ids=[f"{reason} {path}" for reason, path, _ in FATES])
def test_what_cannot_be_used_is_counted_with_its_reason(
    site: GallerySite, events: list[Event], reason: str, path: str, reply: Reply
) -> None:
    number = path.rpartition("/")[2].removesuffix(".jpg")
    own = {f"{site.url}/photos/{number}", f"{site.url}/images/{number}.jpg", f"{site.url}/photos/{number}?again=5"}
    about = own | {ELSEWHERE, METADATA}
    assert reason in [event.reason for event in events if isinstance(event, Skipped) and event.where in about]
    assert f"/photos/{number}" not in [event.record.source_key for event in events if isinstance(event, Fetched)]


def test_everything_is_counted_once_and_no_more(events: list[Event]) -> None:
    skipped = [event.reason for event in events if isinstance(event, Skipped)]
    expected = (
        [reason for reason, _, _ in FATES] + ["not_http"] * 3 + ["other_host", "address_too_long"] + ["http_404"] * 3
    )
    assert sorted(skipped) == sorted(expected)


def test_the_photos_that_nothing_is_wrong_with_come_all_the_same(events: list[Event]) -> None:
    found = {event.record.source_key: event.data for event in events if isinstance(event, Fetched) and event.data}
    too_few = found.pop(f"/photos/{WELL + 6}")
    assert found == {f"/photos/{number}": photo_bytes(number) for number in (WELL, WELL + 1)}
    assert too_few == photo_bytes(1)[:100]


def test_an_image_that_is_too_heavy_is_refused_for_good(events: list[Event]) -> None:
    refused = {event.record.source_key: event.refused for event in events if isinstance(event, Fetched)}
    assert {key: reason for key, reason in refused.items() if reason} == {
        f"/photos/{number}": "too_many_bytes" for number in range(WELL + 2, WELL + 6)
    }


NOTHING = answer("<html><body>Under construction</body></html>")
SITES: list[tuple[str, dict[str, Reply], dict[str, Any], str, str]] = [
    ("ill for ever", {"/photos": failing(500)}, {}, "answered 500", "run the refresh again"),
    (
        "overrun for ever",
        {"/photos": failing(429, Retry_After="1")},
        {"retries": 1},
        "answered 429",
        "run the refresh again",
    ),
    ("asks for too much patience", {"/photos": failing(503, Retry_After="86400")}, {}, "answered 503", "again"),
    ("silent", {"/photos": silent, "/robots.txt": silent}, {"timeout_seconds": 1.0}, "in time", "again"),
    ("moved away", {"/photos": moved(ELSEWHERE)}, {}, "a host that the source does not name", "image_hosts"),
    ("closed to us", {"/robots.txt": answer("User-agent: *\nDisallow: /")}, {}, "robots.txt", "obey_robots"),
    (
        "asks for days",
        {"/robots.txt": answer("User-agent: *\nCrawl-delay: 86400")},
        {},
        "wait for minutes",
        "obey_robots",
    ),
    ("private", {}, {"allow_private_addresses": False}, "private address", "allow_private_addresses"),
    ("empty", {"/photos": NOTHING}, {}, "shows no photo link", "photo_links"),
    ("a file", {"/photos": answer(b"\x89PNG\r\n\x1a\n", kind="image/png")}, {}, "is not an HTML page", "again"),
    ("unrated", {f"/photos/{number}": NOTHING for number in range(1, 5)}, {}, "no_rating", "selectors"),
]


@pytest.mark.parametrize(
    ("replies", "polite", "said", "next_step"), [one[1:] for one in SITES], ids=[s[0] for s in SITES]
)
def test_a_site_that_gives_nothing_is_an_error_with_a_next_step(
    replies: dict[str, Reply], polite: dict[str, Any], said: str, next_step: str
) -> None:
    with (
        GallerySite(replies={path: [reply] for path, reply in replies.items()}) as site,
        pytest.raises(SourceError) as error,
    ):
        list(crawl(site.source(politeness={"retries": 0, **polite})))
    assert said in error.value.message
    assert error.value.details["start"] == [f"{site.url}/photos"]
    assert next_step in error.value.next_step
    assert error.value.details["reasons"]


def test_a_site_that_is_down_is_an_error_with_a_next_step() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with GallerySite() as site:
            source = site.source(start=[f"http://127.0.0.1:{taken.getsockname()[1]}/photos"], politeness={"retries": 0})
            with pytest.raises(SourceError, match="refused the connection") as error:
                list(crawl(source))
    assert "run the refresh again" in error.value.next_step


def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    with GallerySite() as site:
        port = site.host.rpartition(":")[2]
        source = site.source(start=[f"http://localhost:{port}/photos"], politeness={"allow_private_addresses": False})
        with pytest.raises(SourceError, match="leads to a private address"):
            list(crawl(source))
        assert site.requests == []


def test_a_site_that_breaks_down_is_left_in_peace_and_what_came_before_is_kept() -> None:
    photos, well = 60, 5
    with GallerySite(photos=photos) as site:
        site.per_page = well
        site.replies["/photos"] = [answer(site.listing(1))]
        site.per_page = photos
        site.replies["/photos?page=2"] = [answer(site.listing(1))]
        for number in range(well + 1, photos + 1):
            site.replies[f"/photos/{number}"] = [failing(500)]
        events = list(crawl(site.source(politeness={"retries": 0, "concurrency": 2})))
        assert sum(isinstance(event, Fetched) for event in events) == well
        assert [event.reason for event in events if isinstance(event, Skipped)].count("gave_up") == 1
        assert len([request for request in site.requests if request.path.startswith("/photos/")]) < photos - 10


def test_many_links_that_lead_elsewhere_do_not_end_a_crawl() -> None:
    links = [f"http://elsewhere.example/photos/{number}" for number in range(40)]
    with GallerySite(photos=3, extra_links=links) as site:
        events = list(crawl(site.source()))
        assert sum(isinstance(event, Fetched) for event in events) == 3
        assert [event.reason for event in events if isinstance(event, Skipped)] == ["other_host"] * 40


@pytest.mark.parametrize("option", ["photo_links", "next_links", "group"])
def test_a_selector_that_is_none_is_named_before_anything_is_asked_for(option: str) -> None:
    with GallerySite() as site, pytest.raises(ConfigError, match=rf"{option} 'a\[\[' is not a CSS selector"):
        list(crawl(site.source(**{option: "a[["})))
    assert site.requests == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://club.example/photos", None),
        ("http://club.example:443/photos", "other_host"),
        ("https://club.example:8443/photos", None),
        ("https://CLUB.example./photos", None),
        ("https://evil.example/club.example", "other_host"),
        ("https://club.example@evil.example/", "other_host"),
        ("https://club.example.evil.example/", "other_host"),
        ("ftp://club.example/", "not_http"),
        ("//club.example/photos", "not_http"),
        ("http://[::1/", "not_http"),
        ("http://club.example:99999/", "not_http"),
        ("", "not_http"),
        ("http://10.0.0.8/", "private_address"),
        ("http://[::1]/", "private_address"),
        ("http://93.184.216.34/", None),
    ],
)
def test_only_named_hosts_and_public_addresses_may_be_asked(url: str, expected: str | None) -> None:
    allowed = {"club.example", "club.example:8443", "10.0.0.8", "::1", "93.184.216.34"}
    assert refusal(url, allowed, allow_private=False) == expected


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        *((address, False) for address in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254")),
        *((address, False) for address in ("0.1.2.3", "100.64.0.1", "224.0.0.1", "255.255.255.255", "::", "::1")),
        *((address, False) for address in ("fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "2002:7f00:1::")),
        *((address, False) for address in ("64:ff9b::7f00:1", "::127.0.0.1", "", "localhost", "127.1")),
    ],
)
def test_what_counts_as_a_public_address(address: str, public: bool) -> None:
    assert is_public(address) is public

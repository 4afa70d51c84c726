"""The gallery source on a site that is well: what a crawl finds, how it behaves as a guest, and what it asks twice."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from photoqual.errors import SourceError
from photoqual.photos.forgotten import Forgotten, key_digest
from photoqual.sources.records import FORGOTTEN, Event, Fetched, Known, KnownPhotos, Record, Skipped
from tests.data.gallery_site import GallerySite, answer, crawl, failing, moved, photo_bytes, votes_of

ROBOTS = answer("User-agent: *\nDisallow: /photos/5\n", kind="text/plain")


@pytest.fixture(scope="module")
def site() -> Iterator[GallerySite]:
    """Seven photos on three listing pages, the fifth closed by robots.txt, the sixth linked twice and once moved."""
    with GallerySite(photos=7, per_page=3, replies={"/robots.txt": [ROBOTS], "/old/6": [moved("/photos/6")]}) as site:
        site.extra_links = ["/old/6", "/photos/1#comments"]
        yield site


@pytest.fixture(scope="module")
def events(site: GallerySite) -> list[object]:
    source = site.source(group=".trip", politeness={"user_agent": "tester/1.0 (+https://example.org/about)"})
    return list(crawl(source))


def photos_of(events: Sequence[object]) -> dict[str, Fetched]:
    found = [event for event in events if isinstance(event, Fetched)]
    by_key = {event.record.source_key: event for event in found}
    assert len(by_key) == len(found), "a photo came twice"
    return by_key


def test_every_photo_of_every_listing_page_is_found_once(events: list[object]) -> None:
    found = photos_of(events)
    assert sorted(found) == [f"/photos/{number}" for number in (1, 2, 3, 4, 6, 7)]
    assert all(event.data == photo_bytes(int(key.rpartition("/")[2])) for key, event in found.items())


def test_a_page_gives_votes_category_group_date_and_size(site: GallerySite, events: list[object]) -> None:
    mean, votes = votes_of(3)
    assert photos_of(events)["/photos/3"].record == Record(
        source_key="/photos/3",
        page_url=f"{site.url}/photos/3",
        image_url=f"{site.url}/images/3.jpg",
        group="Trip 1",
        category="night",
        title="Photo 3",
        uploaded_at=datetime(2024, 5, 3, tzinfo=UTC),
        original_width=3003,
        original_height=2000,
        votes_count=votes,
        votes_mean=mean,
        rating_scale=(1.0, 5.0),
    )


def test_robots_txt_is_asked_first_and_obeyed(site: GallerySite, events: list[object]) -> None:
    assert site.requests[0].path == "/robots.txt"
    assert site.times_asked("/photos/5") == 0
    assert [(event.reason, event.where) for event in events if isinstance(event, Skipped)] == [
        ("robots_txt", f"{site.url}/photos/5")
    ]


def test_every_request_says_who_asks_and_no_page_is_asked_for_twice(site: GallerySite, events: list[object]) -> None:
    assert events
    agents = {request.headers["User-Agent"] for request in site.requests}
    assert agents == {"tester/1.0 (+https://example.org/about)"}
    assert all("Cookie" not in request.headers for request in site.requests)
    assert all(site.times_asked(f"/images/{number}.jpg") == 1 for number in (1, 2, 3, 4, 6, 7))


def test_what_is_known_is_not_fetched_again_and_a_moved_image_is() -> None:
    with GallerySite(photos=3) as site:
        known = {
            "/photos/1": Known(f"{site.url}/images/1.jpg", None),
            "/photos/2": Known(f"{site.url}/images/old.jpg", None),
        }
        found = photos_of(list(crawl(site.source(), known=known)))
        assert {key: event.data for key, event in found.items()} == {
            "/photos/1": None,
            "/photos/2": photo_bytes(2),
            "/photos/3": photo_bytes(3),
        }
        assert site.times_asked("/images/1.jpg") == 0
        assert found["/photos/1"].record.votes_mean == votes_of(1)[0]


def test_what_was_forgotten_is_not_even_asked_for() -> None:
    with GallerySite(photos=3) as site:
        listed = Forgotten(keys=frozenset({key_digest("club", "/photos/2")}))
        events = list(crawl(site.source(), known=KnownPhotos("club", {}, listed)))
        assert sorted(photos_of(events)) == ["/photos/1", "/photos/3"]
        assert [event for event in events if isinstance(event, Skipped)] == [FORGOTTEN]
        assert site.times_asked("/photos/2") == 0


def test_a_listing_that_shows_nothing_any_more_is_an_error_though_known_pages_answer() -> None:
    with GallerySite(photos=1, replies={"/photos": [failing(404)]}) as site:
        known = {"/photos/1": Known(f"{site.url}/images/1.jpg", None, page_url=f"{site.url}/photos/1")}
        events = crawl(site.source(), known=known)
        assert {event.record.source_key for event in events_until_error(events)} == {"/photos/1"}


def events_until_error(events: Iterator[Event]) -> list[Fetched]:
    """Return the photos that came before the error that says that the listing answered 404."""
    came: list[Event] = []
    with pytest.raises(SourceError, match="/photos answered 404"):
        came.extend(events)
    return [event for event in came if isinstance(event, Fetched)]


def test_the_delay_lies_between_any_two_requests() -> None:
    with GallerySite(photos=2) as site:
        list(crawl(site.source(politeness={"delay_seconds": 0.4})))
        times = sorted(request.at for request in site.requests)
        assert len(times) == 6
        assert min(later - earlier for earlier, later in pairwise(times)) > 0.3


def gaps(site: GallerySite) -> list[float]:
    """Return the seconds between the site's requests, the shortest first."""
    times = sorted(request.at for request in site.requests)
    return sorted(later - earlier for earlier, later in pairwise(times))


def test_the_delay_that_robots_txt_asks_for_is_kept_though_the_site_is_fast() -> None:
    robots = answer("User-agent: *\nCrawl-delay: 0.5\n", kind="text/plain")
    with GallerySite(photos=2, replies={"/robots.txt": [robots]}) as site:
        assert len(photos_of(list(crawl(site.source(politeness={"adaptive": True}))))) == 2
        assert gaps(site)[1] > 0.4, "the first page follows robots.txt at once"


def test_a_slow_site_is_asked_for_about_one_thing_at_a_time() -> None:
    with GallerySite(photos=6, latency=0.3) as site:
        assert len(photos_of(list(crawl(site.source(politeness={"adaptive": True}))))) == 6
        assert gaps(site)[len(site.requests) // 2] > 0.2


def test_a_server_that_is_overrun_is_left_in_peace_by_all_requests_for_as_long_as_it_asks() -> None:
    with GallerySite(photos=8, per_page=8) as site:
        site.replies["/photos/4"] = [failing(429, Retry_After="3"), site.reply_to("/photos/4")]
        source = site.source(politeness={"concurrency": 2, "delay_seconds": 0.1})
        assert len(photos_of(list(crawl(source)))) == 8
        first = next(request.at for request in site.requests if request.path == "/photos/4")
        assert [request.path for request in site.requests if 0.5 < request.at - first < 2.8] == []


def test_robots_txt_may_be_overridden_for_a_site_of_ones_own() -> None:
    with GallerySite(photos=2, replies={"/robots.txt": [answer("User-agent: *\nDisallow: /\n")]}) as site:
        assert len(photos_of(list(crawl(site.source(politeness={"obey_robots": False}))))) == 2
        assert site.times_asked("/robots.txt") == 0


def test_a_limit_stops_at_that_many_new_photos() -> None:
    with GallerySite(photos=9, per_page=3) as site:
        known = {"/photos/1": Known(f"{site.url}/images/1.jpg", None)}
        source = site.source(politeness={"concurrency": 1})
        found = photos_of(list(crawl(source, known=known, limit=2)))
        assert sum(event.data is not None for event in found.values()) == 2
        assert site.times_asked("/photos?page=3") == 0


def test_a_server_in_trouble_is_asked_again_when_it_wants_to_be() -> None:
    with GallerySite(photos=3) as site:
        for path, replies in {
            "/photos": [failing(500)],
            "/photos/1": [failing(429, Retry_After="2"), failing(503)],
            "/images/2.jpg": [failing(502)],
        }.items():
            site.replies[path] = [*replies, site.reply_to(path)]
        assert len(photos_of(list(crawl(site.source(politeness={"retries": 2}))))) == 3
        asked = [request.at for request in site.requests if request.path == "/photos/1"]
        assert len(asked) == 3
        assert asked[1] - asked[0] >= 1.9
        assert (site.times_asked("/photos"), site.times_asked("/images/2.jpg")) == (2, 2)


def test_a_site_that_shows_its_last_page_for_ever_comes_to_an_end() -> None:
    with GallerySite(photos=2) as site:
        for page in range(2, 40):
            body = site.listing(1) + f'<a rel="next" href="/photos?page={page + 1}">older</a>'
            site.replies[f"/photos?page={page}"] = [answer(body)]
        site.replies["/photos"] = [answer(site.listing(1) + '<a rel="next" href="/photos?page=2">older</a>')]
        assert len(photos_of(list(crawl(site.source())))) == 2
        assert site.times_asked("/photos?page=3") == 0


def test_two_start_addresses_that_show_the_same_photos_are_both_walked_to_their_ends() -> None:
    with GallerySite(photos=6, per_page=3) as site:
        site.replies["/newest"] = [answer(site.listing(1).replace("page=2", "page=9"))]
        source = site.source(start=[f"{site.url}/newest", f"{site.url}/photos"])
        assert sorted(photos_of(list(crawl(source)))) == [f"/photos/{number}" for number in range(1, 7)]

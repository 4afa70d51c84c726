"""The profile of numbered microdata: a site whose pages, thumbnails and dates follow one number is read with no selector."""

from collections.abc import Iterator

import pytest
from parsel import Selector

from photoqual.config import GallerySource, Selectors
from photoqual.sources._markup import facts_of
from photoqual.sources._pages import key_of
from photoqual.sources._profiles import filled
from photoqual.sources.records import Event, Fetched, Skipped
from tests.data.gallery_site import GallerySite, answer, crawl, photo_bytes

FIRST = 329440
MENU = "".join(f'<li><a href="/photos/?category={number}">Category {number}</a></li>' for number in (1, 2, 7))


def page(number: int) -> str:
    """Write a page as such a site does: the rating in whole stars, the thumbnail not marked up, the category a link."""
    return f"""<ul>{MENU}</ul><div itemscope itemtype="https://schema.org/CreativeWork"><h1 itemprop="name">Ridge</h1>
<img src="/logo.png"><img src="/cdn/i/{number}.jpg?fm=1"> in <a href="/photos/?category=7">Landscapes</a>
<div itemprop="aggregateRating" itemscope itemtype="https://schema.org/AggregateRating">
<meta itemprop="ratingValue" content="{number % 5 + 1}">(<span itemprop="ratingCount">1,0{number % 10}2</span> votes)
</div></div><img src="/cdn/i/{number + 1}.jpg">"""


@pytest.fixture(scope="module")
def site() -> Iterator[GallerySite]:
    with GallerySite() as site:
        numbers = range(FIRST + 4, FIRST, -1)
        links = [f'<a href="/photos/a_ridge-{number}"><img></a>' for number in numbers]
        twice = f'<a href="/photos/another_ridge-{FIRST + 2}">again</a>'
        rest = '<a href="/user/12">who</a><a href="mailto:me"></a><a rel="next" href="/photos/?page=2">older</a>'
        site.replies["/photos/"] = [answer(f"<ul>{MENU}</ul>" + "".join(links[:3]) + twice + rest)]
        site.replies["/photos/?page=2"] = [answer(f"<ul>{MENU}</ul>" + links[3])]
        for number in numbers:
            site.replies[f"/photos/a_ridge-{number}"] = [answer(page(number))]
            site.replies[f"/cdn/i/{number}.jpg?fm=1"] = [answer(photo_bytes(number - FIRST), kind="image/jpeg")]
        yield site


@pytest.fixture(scope="module")
def events(site: GallerySite) -> list[Event]:
    return list(crawl(site.source(profile="numbered_microdata", start=[f"{site.url}/photos/"])))


def test_pages_are_told_by_their_numbers_and_read_by_their_markup(site: GallerySite, events: list[Event]) -> None:
    found = {event.record.source_key: event for event in events if isinstance(event, Fetched)}
    assert {key: event.data for key, event in found.items()} == {
        str(FIRST + number): photo_bytes(number) for number in range(1, 5)
    }
    record = found[str(FIRST + 1)].record
    assert (record.votes_mean, record.votes_count, record.rating_scale) == (2.0, 1012, (1.0, 5.0))
    assert (record.category, record.title, record.group) == ("7", "Ridge", str(FIRST + 1))


def test_a_number_that_two_photos_have_is_counted_and_one_of_them_kept(site: GallerySite, events: list[Event]) -> None:
    assert [(event.reason, event.where) for event in events if isinstance(event, Skipped)] == [
        ("same_key", f"{site.url}/photos/another_ridge-{FIRST + 2}")
    ]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("https://club.example/photos/a_ridge-329441", "329441"),
        ("https://club.example/photos/329441/", "329441"),
        ("https://club.example/photos/dbpage.php?id=329441", "329441"),
        ("https://club.example/photos/dbpage.html?a=1&id=329441&b=2", "329441"),
        ("https://club.example/photos/?category=7", None),
        ("https://club.example/photos/?page=12", None),
        ("https://club.example/news/12", None),
        ("https://club.example/photos/", None),
    ],
)
def test_the_number_of_an_address(address: str, key: str | None) -> None:
    pattern = filled(GallerySource(profile="numbered_microdata", start=[address])).key_pattern
    assert key_of(address, pattern, one_site=True) == key


def test_options_that_are_given_go_before_those_of_the_profile() -> None:
    given = GallerySource(profile="numbered_microdata", start=["http://x"], newest_first=False, photo_links=".photo a")
    config = filled(given)
    assert (config.newest_first, config.photo_links) == (False, ".photo a")
    assert config.selectors is not None
    assert filled(GallerySource(start=["http://x"])) == GallerySource(start=["http://x"])


@pytest.mark.parametrize("key", ['"],*[src="', "a b", "", "1'"])
def test_a_key_that_is_no_plain_word_gets_into_no_selector(key: str) -> None:
    html = page(FIRST).replace('src="/logo.png"', 'itemprop="thumbnailUrl" src="/marked.jpg"')
    selectors = Selectors(image='img[src*="/{key}."]::attr(src)')
    assert facts_of(Selector(html), html, "http://x/", selectors, key).image == "http://x/marked.jpg"

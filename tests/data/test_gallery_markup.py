"""From a photo's page to its facts: the syntaxes of schema.org, CSS selectors, and pages that mean harm."""

import json
import time
from datetime import UTC, datetime

import pytest
from parsel import Selector

from photoqual.config import Selectors
from photoqual.sources._markup import Facts, PageProblem, facts_from_schema, facts_from_selectors
from photoqual.sources._text import count, date, number
from tests.data.gallery_site import microdata

URL = "https://photos.example/p/7"
JSON_LD = """<title>A photo</title><script type="application/ld+json">{}</script>"""
RATED = {"@type": "AggregateRating", "ratingValue": "4.5", "bestRating": 5, "worstRating": 1, "ratingCount": "12"}
PHOTO = {
    "@context": "https://schema.org",
    "@type": "Photograph",
    "name": "Photo 7",
    "thumbnailUrl": "/images/7.jpg",
    "genre": "night",
    "uploadDate": "2024-05-07T10:00:00+02:00",
    "width": {"@type": "QuantitativeValue", "value": 3007},
    "height": "2000 px",
    "aggregateRating": RATED,
}
RDFA = """<div vocab="https://schema.org/" typeof="Photograph"><h1 property="name">Photo 7</h1>
<img property="thumbnailUrl" src="/images/7.jpg"><span property="genre">night</span>
<time property="uploadDate" content="2024-05-07">May</time><b property="width">3007</b><b property="height">2000</b>
<p property="aggregateRating" typeof="AggregateRating"><b property="ratingValue">4.5</b>
<b property="bestRating">5</b><b property="worstRating">1</b><b property="ratingCount">12</b></p></div>"""
SELECTED = """<h1 class="t">Photo   7</h1><img id="p" src="../images/7.jpg"><b class="s">Score: 4,5 / 5</b>
<b class="v">1.012 votes</b><i class="c"><a>night</a></i><i class="d">7 May 2024</i><i class="w">3,007 px</i>"""
SELECTORS = Selectors(
    rating=".s", votes=".v::text", image="#p::attr(src)", category=".c", uploaded=".d", width=".w", title=".t"
)


def json_ld(value: object) -> str:
    return JSON_LD.format(json.dumps(value))


def facts(html: str) -> Facts:
    return facts_from_schema(Selector(html), html, URL)


def graph(*nodes: dict[str, object]) -> str:
    return json_ld({"@context": "https://schema.org", "@graph": list(nodes)})


@pytest.mark.parametrize(
    "html",
    [
        microdata(7, mean=4.5, votes=12),
        json_ld(PHOTO),
        json_ld([{"@type": "WebSite", "name": "elsewhere"}, PHOTO]),
        graph({**PHOTO, "aggregateRating": {"@id": "#r"}}, {"@id": "#r", **RATED}),
        RDFA,
    ],
    ids=["microdata", "json-ld", "json-ld in a list", "json-ld by reference", "rdfa"],
)
def test_every_syntax_of_schema_org_gives_the_same_facts(html: str) -> None:
    found = facts(html)
    assert (found.votes_mean, found.votes_count, found.scale) == (4.5, 12, (1.0, 5.0))
    assert (found.image, found.title, found.category) == ("https://photos.example/images/7.jpg", "Photo 7", "night")
    assert (found.width, found.height) == (3007, 2000)
    assert found.uploaded is not None
    assert found.uploaded.date() == datetime(2024, 5, 7, tzinfo=UTC).date()


def test_selectors_read_a_site_without_markup() -> None:
    assert facts_from_selectors(Selector(SELECTED), SELECTORS, URL) == Facts(
        image="https://photos.example/images/7.jpg",
        votes_mean=4.5,
        votes_count=1012,
        category="night",
        title="Photo 7",
        uploaded=datetime(2024, 5, 7, tzinfo=UTC),
        width=3007,
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"thumbnailUrl": None, "thumbnail": {"@type": "ImageObject", "url": "/t.jpg"}, "image": "/big.jpg"}, "/t.jpg"),
        ({"thumbnailUrl": None, "image": ["", "/first.jpg", "/second.jpg"]}, "/first.jpg"),
        ({"thumbnailUrl": None, "contentUrl": "/full.jpg", "image": {"url": "/image.jpg"}}, "/full.jpg"),
        ({"thumbnailUrl": "//cdn.example/t.jpg"}, "https://cdn.example/t.jpg"),
    ],
)
def test_the_smallest_stated_rendering_is_taken(change: dict[str, object], expected: str) -> None:
    found = facts(json_ld({**PHOTO, **change})).image
    assert found == (expected if "://" in expected else f"https://photos.example{expected}")


def test_a_photo_wins_over_anything_else_that_is_rated() -> None:
    shop = {"@type": "Product", "name": "A frame", "image": "/frame.jpg", "aggregateRating": RATED}
    assert facts(json_ld([shop, PHOTO])).title == "Photo 7"


def test_a_rating_may_name_the_photo_that_it_is_of() -> None:
    photo = {name: value for name, value in PHOTO.items() if name != "aggregateRating"}
    assert facts(json_ld({**RATED, "itemReviewed": photo})).title == "Photo 7"


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("", "no_rating"),
        ("<p>itemprop but no markup</p>", "no_rating"),
        (microdata(7, votes=0), "no_rating"),
        (microdata(7, votes="none yet"), "no_rating"),
        (microdata(7, votes="-3"), "no_rating"),
        (microdata(7, votes="9" * 5000), "no_rating"),
        (microdata(7, votes=10**19), "no_rating"),
        (microdata(7, mean="unrated"), "no_rating"),
        (microdata(7, mean="9" * 400), "no_rating"),
        (json_ld({**PHOTO, "aggregateRating": {**RATED, "ratingCount": 1e999}}), "no_rating"),
        (json_ld({**PHOTO, "aggregateRating": {**RATED, "ratingCount": float("nan")}}), "no_rating"),
        (json_ld({**PHOTO, "aggregateRating": {**RATED, "ratingCount": -4}}), "no_rating"),
        (json_ld({**PHOTO, "aggregateRating": {**RATED, "ratingValue": None}}), "no_rating"),
        (json_ld({**PHOTO, "aggregateRating": "5 stars"}), "no_rating"),
        (json_ld({**PHOTO, "thumbnailUrl": " "}), "no_image"),
        (JSON_LD.format('{"aggregateRating": '), "no_rating"),
        (JSON_LD.format("[" * 200_000), "no_rating"),
        (json_ld({**PHOTO, "thumbnailUrl": "http://[::1/7.jpg"}), "no_image"),
    ],
)
def test_a_page_without_a_usable_rating_or_image_says_so(html: str, reason: str) -> None:
    with pytest.raises(PageProblem) as problem:
        facts(html)
    assert str(problem.value) == reason


def test_sizes_beyond_reason_are_left_out_and_the_photo_is_kept() -> None:
    found = facts(json_ld({**PHOTO, "width": 10**30, "height": 1e999}))
    assert (found.votes_count, found.width, found.height) == (12, None, None)


def test_text_that_no_file_can_hold_is_mended() -> None:
    html = JSON_LD.format(json.dumps({**PHOTO, "name": "Photo \ud800 7", "thumbnailUrl": "/\udfff.jpg"}))
    found = facts(html)
    assert found.title is not None
    assert found.title.encode() == b"Photo ? 7"
    assert found.image.encode() == b"https://photos.example/?.jpg"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\x00b\nc\r\td\x1b[31m", "a b c d [31m"),
        ("\u202egnp.exe\u202c \u200fphoto", "gnp.exe photo"),
        ("a" * 4000, "a" * 499 + "…"),
        ("\x00\u202e", None),
    ],
)
def test_titles_are_one_line_without_control_characters_and_not_long(name: str, expected: str | None) -> None:
    stated = json.dumps({**PHOTO, "name": name, "genre": name}).replace("</", "<\\/")
    found = facts(JSON_LD.format(stated))
    assert (found.title, found.category) == (expected, expected)
    found = facts_from_selectors(Selector(SELECTED.replace("Photo   7", name.replace("<", "&lt;"))), SELECTORS, URL)
    assert found.title == (expected if name[1] != "\x00" else "ab c d [31m")


def test_a_block_of_json_ld_that_is_malformed_does_not_spoil_the_others() -> None:
    assert facts(JSON_LD.format('{"a": ') + json_ld(PHOTO) + JSON_LD.format("[" * 200_000)).title == "Photo 7"


def crowd(nodes: int) -> list[dict[str, object]]:
    """Every node refers to every node: to follow all ways through them would take for ever."""
    everyone = [{"@id": f"#{index}"} for index in range(nodes)]
    return [{"@id": f"#{index}", "@type": "Thing", "about": everyone, "image": everyone} for index in range(nodes)]


def deep(levels: int) -> object:
    value: object = "bottom"
    for _ in range(levels):
        value = {"@type": "Thing", "about": [value]}
    return value


@pytest.mark.parametrize(
    "html",
    [
        graph({**PHOTO, "@id": "#a", "about": {"@id": "#b"}}, {"@id": "#b", "@type": "Thing", "about": {"@id": "#a"}}),
        graph({**PHOTO, "@id": "#a", "thumbnail": {"@id": "#a"}}),
        graph({**PHOTO, "about": {"@id": "#0"}}, *crowd(40)),
        graph({**PHOTO, "thumbnailUrl": [{"@id": "#0"}, "/images/7.jpg"]}, *crowd(40)),
        json_ld({**PHOTO, "about": deep(300)}),
        JSON_LD.format('{"a": ' + "[" * 600 + "]" * 600 + "," + json.dumps(PHOTO)[1:]),
    ],
    ids=["circle", "itself", "crowd", "crowd of images", "deep", "deep lists"],
)
def test_markup_that_refers_in_circles_or_goes_deep_is_read_soon(html: str) -> None:
    begun = time.process_time()
    assert facts(html).image == "https://photos.example/images/7.jpg"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (number, "4.25 of 5", 4.25),
        (number, "Note: 3,5", 3.5),
        (number, "-1", -1.0),
        (number, "five", None),
        (number, None, None),
        (number, "9" * 400, None),
        (count, "1,234,567 votes", 1234567),
        (count, "1 234", 1234),
        (count, "12.0", 12),
        (count, 12.0, 12),
        (count, "no votes", None),
        (count, float("inf"), None),
        (count, float("nan"), None),
        (count, -5, None),
        (count, "-5", None),
        (count, 10**30, None),
        (count, "9" * 5000, None),
        (date, "2024-02-30", None),
        (date, "2024:05:07 08:09:10", datetime(2024, 5, 7, 8, 9, 10, tzinfo=UTC)),
        (date, "May 7, 2024", datetime(2024, 5, 7, tzinfo=UTC)),
        (date, "0001-01-01T00:00:00+14:00", None),
        (date, "", None),
    ],
)
def test_numbers_and_dates_in_all_their_spellings(read: object, text: object, expected: object) -> None:
    assert callable(read)
    assert read(text) == expected

"""A gallery that is harvested for years: what is looked at when, asked for how, and never lost however a refresh ends."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from photoqual.config import Params
from photoqual.config.sources import Revisit
from photoqual.layout import Layout
from photoqual.photos import parts
from photoqual.photos.catalog import read_catalog, write_catalog
from photoqual.photos.fingerprints import photo_id
from photoqual.sources._gallery_walks import KnownPages, Page, Walk, pack
from photoqual.sources._revisits import conditions, due, validator
from photoqual.sources.refresh import refresh
from tests.conftest import PROJECT, encoded, scene
from tests.data.gallery_site import GallerySite, failing, microdata, photo_bytes
from tests.long import times

NOW = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
SCHEDULE = Revisit(share_of_age=0.1, at_least_days=1.0, at_most_days=90.0)
EVERY_FIVE_DAYS = {"share_of_age": 0.0, "at_least_days": 5.0}


@pytest.mark.parametrize(
    ("age_at_last_look", "days_since", "expected"),
    [
        (0.0, 0.0, False),
        (0.0, 0.6, False),
        (0.0, 0.99, True),
        (5.0, 0.99, True),
        (100.0, 6.5, False),
        (100.0, 9.9, True),
        (4000.0, 60.0, False),
        (4000.0, 89.9, True),
        (-50.0, 0.6, False),
        (-50.0, 0.99, True),
        (0.0, -1.0, True),
    ],
)
def test_young_photos_are_due_often_and_old_ones_rarely(
    age_at_last_look: float, days_since: float, expected: bool
) -> None:
    looked = NOW - timedelta(days=days_since)
    for key in ("/photos/1", "/photos/2", "", "a\udc80"):
        assert due(key, looked - timedelta(days=age_at_last_look), looked, NOW, SCHEDULE) is expected


def test_what_was_never_looked_at_is_due_and_a_limit_of_no_days_makes_all_due() -> None:
    assert due("a", NOW, None, NOW, SCHEDULE)
    assert due("a", None, NOW, NOW, Revisit(at_most_days=0.0))
    assert not due("a", None, NOW, NOW, SCHEDULE)


def test_photos_that_were_found_together_come_due_on_different_days() -> None:
    looked, born = NOW - timedelta(days=75), NOW - timedelta(days=4000)
    share = sum(due(f"/photos/{number}", born, looked, NOW, SCHEDULE) for number in range(1000)) / 1000
    assert 0.35 < share < 0.65


@pytest.mark.parametrize(
    ("headers", "mark", "asked"),
    [
        ({"ETag": b'"abc"', "Last-Modified": b"x"}, '"abc"', {"If-None-Match": '"abc"'}),
        ({"ETag": b'W/"abc"'}, 'W/"abc"', {"If-None-Match": 'W/"abc"'}),
        ({"ETag": b"bare"}, "bare", {"If-None-Match": "bare"}),
        (
            {"Last-Modified": b"Wed, 21 Oct 2015 07:28:00 GMT"},
            "Wed, 21 Oct 2015 07:28:00 GMT",
            {"If-Modified-Since": "Wed, 21 Oct 2015 07:28:00 GMT"},
        ),
        ({"ETag": b'"' + b"a" * 5000 + b'"'}, None, {}),
        ({"ETag": b'"a\r\nCookie: b"'}, None, {}),
        ({"ETag": '"ä"'.encode()}, None, {}),
        ({}, None, {}),
    ],
)
def test_a_state_is_asked_for_by_the_mark_that_the_server_gave(
    headers: dict[str, bytes | None], mark: str | None, asked: dict[str, str]
) -> None:
    assert validator(headers) == mark
    assert conditions(mark) == asked


def test_known_pages_keep_what_is_due_whole_and_of_the_rest_the_time() -> None:
    page = Page("b", 7, "http://x/b", "http://x/b.jpg", '"1"', None, holds_photo=True)
    known = KnownPages([pack(Page("a", 5), due=False), pack(page, due=True)])
    assert (known.first_seen("a"), known.first_seen("b"), known.first_seen("c")) == (5, 7, None)
    assert (known.is_due("a"), known.is_due("b"), known.is_due("c")) == (False, True, True)
    assert list(known.still_due()) == [("b", "http://x/b")]
    assert (known.take("b"), known.take("b")) == (page, None)


@pytest.mark.parametrize(
    ("covered", "first_seen", "expected"),
    [(10, 10, True), (10, 11, False), (10, None, False), (None, 5, False)],
)
def test_only_what_was_seen_before_the_last_complete_walk_is_covered_ground(
    covered: int | None, first_seen: int | None, expected: bool
) -> None:
    assert Walk("http://x/", covered).is_covered(first_seen) is expected


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


@pytest.fixture
def run(layout: Layout, make_params: Callable[..., Params]) -> Callable[..., dict[str, Any]]:
    """Return a function that refreshes from a site and says what became of its photos."""

    def run(site: GallerySite, *, limit: int | None = None, shard_photos: int = 100, **options: Any) -> dict[str, Any]:
        site.requests.clear()
        summary = refresh(layout, make_params(**in_params(site, shard_photos, **options)), limit=limit)
        found: dict[str, Any] = summary["sources"]["club"]
        return found

    return run


def in_params(site: GallerySite, shard_photos: int, **options: Any) -> dict[str, Any]:
    source = site.source(**{"newest_first": True, "revisit": EVERY_FIVE_DAYS, **options})
    return {"sources": {"club": source}, "photos.max_side": 64, "photos.shard_photos": shard_photos}


def let_days_pass(layout: Layout, days: float) -> None:
    """Make the catalog older than it is."""
    catalog = read_catalog(layout.catalog)
    for column in ("first_seen", "last_checked"):
        catalog[column] = catalog[column] - pd.Timedelta(days=days)
    write_catalog(layout.catalog, catalog)


def photos(layout: Layout) -> pd.DataFrame:
    """Return what the catalog holds, without what is only kept in mind."""
    catalog = read_catalog(layout.catalog).set_index("source_key")
    return catalog[~catalog["status"].str.startswith("page:")]


def asked_for(site: GallerySite) -> set[str]:
    return {seen.path for seen in site.requests}


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified"][: times(1, 2)])
def test_a_gallery_over_some_weeks(layout: Layout, run: Callable[..., dict[str, Any]], mark: str) -> None:
    more_votes: set[int] = set()

    def page(number: int) -> str:
        return microdata(number, votes=50 + number if number in more_votes else None)

    with GallerySite(photos=12, per_page=3, newest_first=True, marked_by=mark, page=page) as site:
        assert run(site)["new"] == 12
        before = parts.digest(layout.catalog)

        assert {name: count for name, count in run(site).items() if count} == {"not_due": 12}
        assert asked_for(site) == {"/robots.txt", "/photos"}
        assert parts.digest(layout.catalog) == before

        site.photos = 17
        let_days_pass(layout, 1)
        found = run(site)
        assert (found["new"], found["not_due"], found["updated"]) == (5, 12, 0)
        new = {f"/{kind}/{n}{end}" for n in range(13, 18) for kind, end in (("photos", ""), ("images", ".jpg"))}
        assert asked_for(site) == {"/robots.txt", "/photos", "/photos?page=2", "/photos?page=3"} | new

        more_votes.update({4, 15})
        site.images[3] = encoded(scene(99))
        site.replies["/photos/2"] = [failing(404)]
        let_days_pass(layout, 6)
        old = photos(layout)
        found = run(site)
        assert (found["new"], found["updated"], found["unchanged"], found["not_due"]) == (0, 3, 13, 0)
        assert found["skipped"] == {"gone": 1}
        assert "/photos?page=2" not in asked_for(site)
        asked = "If-None-Match" if mark == "ETag" else "If-Modified-Since"
        pages = [seen for seen in site.requests if seen.path[:8] in ("/photos/", "/images/")]
        assert [seen.path for seen in pages if asked not in seen.headers] == ["/photos/3", "/images/3.jpg"]
        rows = photos(layout)
        assert set(rows["status"]) == {"ok"}
        assert [rows.loc[f"/photos/{n}", "votes_count"] for n in (4, 5, 15)] == [54, 8, 65]
        assert rows.loc["/photos/3", "photo_id"] == photo_id(site.images[3])
        assert rows["photo_id"].drop("/photos/3").equals(old["photo_id"].drop("/photos/3"))

        let_days_pass(layout, 3)
        assert (run(site)["not_due"], asked_for(site)) == (17, {"/robots.txt", "/photos"})
        let_days_pass(layout, 31)
        run(site, revisit={"at_least_days": 90.0})
        assert asked_for(site) == {"/robots.txt", "/photos", *(f"/photos?page={number}" for number in range(2, 7))}


def test_what_failed_or_had_no_votes_is_found_later_though_walks_stop_early(
    layout: Layout, run: Callable[..., dict[str, Any]]
) -> None:
    unrated = {4}
    with GallerySite(
        photos=9,
        per_page=3,
        newest_first=True,
        page=lambda number: microdata(number, votes=0 if number in unrated else 7),
    ) as site:
        site.replies["/photos?page=3"] = [failing(500)]
        found = run(site, politeness={"retries": 0})
        assert (found["new"], found["skipped"]) == (5, {"http_500": 1, "no_rating": 1})

        del site.replies["/photos?page=3"]
        site.photos = 10
        site.replies["/photos/3"] = [failing(503)]
        site.replies["/images/2.jpg"] = [failing(404)]
        found = run(site, politeness={"retries": 0})
        assert (found["new"], found["skipped"]) == (2, {"http_503": 1, "image_http_404": 1})
        assert found["quarantined"] == {}

        site.replies.clear()
        unrated.clear()
        found = run(site)
        assert (found["new"], asked_for(site)) == (1, {"/robots.txt", "/photos", "/photos/3", "/images/3.jpg"})
        catalog = read_catalog(layout.catalog).set_index("source_key")
        assert catalog.loc[["/photos/2", "/photos/4"], "status"].tolist() == ["page:image_http_404", "page:no_rating"]
        assert catalog["photo_id"].notna().sum() == 8

        let_days_pass(layout, 6)
        run(site)
        assert sorted(photos(layout)["photo_id"]) == sorted(photo_id(photo_bytes(number)) for number in range(1, 11))
        assert read_catalog(layout.catalog)["photo_id"].isna().sum() == 2, "the walk, and the walk to the end"


ENDS = ["killed", "cut by its limit", "listing fails"]


@pytest.mark.parametrize("seed", range(times(1, 25)))
def test_whatever_ends_a_refresh_the_next_whole_one_finds_every_photo(
    layout: Layout, run: Callable[..., dict[str, Any]], make_params: Callable[..., Params], seed: int
) -> None:
    chance = random.Random(seed)
    ends = [ENDS[seed % 3], *chance.choices(ENDS, k=times(1, 3))]
    with GallerySite(photos=8, per_page=2, newest_first=True) as site:
        if seed % 2:
            run(site)
        for end in ends:
            site.photos += chance.randint(1, 5)
            after, shard_photos = chance.randint(1, 6), chance.choice([1, 2, 100])
            if end == "killed":
                kill_a_refresh(layout, make_params(**in_params(site, shard_photos)), site, after)
            elif end == "listing fails":
                site.replies[f"/photos?page={chance.randint(2, 3)}"] = [failing(500)]
                run(site, politeness={"retries": 0}, shard_photos=shard_photos)
                site.replies.clear()
            else:
                run(site, limit=after, shard_photos=shard_photos)
        run(site)
        expected = [photo_id(photo_bytes(number)) for number in range(1, site.photos + 1)]
        assert sorted(photos(layout)["photo_id"]) == sorted(expected)
        assert "/photos?page=2" not in (run(site) and asked_for(site))


def kill_a_refresh(layout: Layout, params: Params, site: GallerySite, images: int) -> None:
    """Run a refresh as a process of its own and kill it when it asks for its `images`th image, or let it end."""
    site.requests.clear()
    layout.params.write_text(yaml.safe_dump(params.model_dump(mode="json")))
    with subprocess.Popen(
        [sys.executable, "-m", "photoqual", "refresh"],
        cwd=layout.root,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while process.poll() is None and sum("/images/" in seen.path for seen in site.requests) < images:
            time.sleep(0.005)
        process.kill()

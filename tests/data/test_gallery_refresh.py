"""A gallery from its pages to the catalog: every markup gives the same row, bad images are set aside, votes follow."""

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from PIL import Image

from photoqual.config import Params
from photoqual.errors import SourceError
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.photos.fingerprints import photo_id
from photoqual.sources.records import Fetched
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.data.gallery_site import GallerySite, answer, crawl, microdata, photo_bytes, silent, votes_of

SELECTORS = {
    "rating": ".score",
    "votes": ".score::attr(data-votes)",
    "image": "img::attr(src)",
    "category": ".kind",
    "uploaded": "time::attr(datetime)",
    "width": ".wide",
    "height": ".high",
    "title": "h1",
}


def json_ld(number: int) -> str:
    mean, votes = votes_of(number)
    return f"""<script type="application/ld+json">{
        json.dumps(
            {
                "@context": "https://schema.org",
                "@type": "Photograph",
                "name": "Photo",
                "thumbnailUrl": f"/images/{number}.jpg",
                "genre": "night",
                "uploadDate": "2024-05-01",
                "width": "3000",
                "height": 2000,
                "aggregateRating": {
                    "@type": "AggregateRating",
                    "ratingValue": mean,
                    "ratingCount": votes,
                    "bestRating": "5",
                    "worstRating": "1",
                },
            }
        )
    }</script>"""


def rdfa(number: int) -> str:
    mean, votes = votes_of(number)
    return f"""<div vocab="https://schema.org/" typeof="ImageObject"><h1 property="name">Photo</h1>
<img property="thumbnailUrl" src="/images/{number}.jpg"><i property="genre">night</i>
<time property="uploadDate" content="2024-05-01">May</time><i property="width">3000</i><i property="height">2000</i>
<p property="aggregateRating" typeof="AggregateRating"><b property="ratingValue">{mean}</b>
<b property="ratingCount">{votes}</b><b property="bestRating">5</b><b property="worstRating">1</b></p></div>"""


def plain(number: int) -> str:
    mean, votes = votes_of(number)
    return f"""<h1>Photo</h1><img src="/images/{number}.jpg"><p class="kind">night</p>
<p class="score" data-votes="{votes}">{mean} of 5</p><time datetime="2024-05-01">May</time>
<i class="wide">3000 px</i> <i class="high">2000 px</i>"""


def as_microdata(number: int) -> str:
    usual = microdata(number, image=f"/images/{number}.jpg")
    for mine, common in (
        (f">Photo {number}<", ">Photo<"),
        (f"2024-05-{number:02d}", "2024-05-01"),
        (f">{3000 + number}<", ">3000<"),
        (">city<", ">night<"),
    ):
        usual = usual.replace(mine, common)
    return usual


@pytest.mark.parametrize(
    ("page", "options"),
    [(as_microdata, {}), (json_ld, {}), (rdfa, {}), (plain, {"selectors": SELECTORS})],
    ids=["microdata", "json-ld", "rdfa", "selectors"],
)
def test_every_markup_gives_the_same_rows(
    tmp_path: Path, make_params: Callable[..., Params], page: Callable[[int], str], options: dict[str, Any]
) -> None:
    with GallerySite(photos=5, per_page=2, page=page) as site:
        layout = Layout(tmp_path)
        refresh(layout, make_params(sources={"club": site.source(group="category", **options)}))
        host = site.url
    columns = ["source_key", "image_url", "photo_id", "votes_mean", "votes_count", "rating_min", "rating_max"]
    facts = ["group", "category", "title", "original_width", "original_height", "status"]
    catalog = read_catalog(layout.catalog)
    assert catalog[columns].to_dict("records") == [
        dict(
            zip(
                columns,
                (f"/photos/{n}", f"{host}/images/{n}.jpg", photo_id(photo_bytes(n)), *votes_of(n), 1.0, 5.0),
                strict=True,
            )
        )
        for n in range(1, 6)
    ]
    assert catalog[facts].drop_duplicates().to_numpy().tolist() == [
        ["club/night", "night", "Photo", 3000, 2000, "ok"],
    ]
    assert {f"{date:%Y-%m-%d}" for date in catalog["uploaded_at"]} == {"2024-05-01"}


IMAGES = {
    2: (encoded(scene(2, (300, 200)))[:3000], "truncated"),
    3: (encoded(Image.new("1", (3000, 2000)), "PNG"), "too_many_pixels"),
    4: (b"<html>Please log in</html>", "not_an_image"),
    5: (b"", "empty"),
    6: (bytes(300_000), "too_many_bytes"),
}


def test_bad_images_are_set_aside_and_asked_for_again_only_at_another_address(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    layout, voted = Layout(tmp_path), 0

    def page(number: int) -> str:
        image = "/images/40.jpg" if number == 4 and voted else None
        return microdata(number, image=image, votes=9 + voted)

    with GallerySite(photos=7, per_page=7, page=page) as site:
        for number, (data, _) in IMAGES.items():
            site.replies[f"/images/{number}.jpg"] = [answer(data, kind="image/jpeg")]
        limits = {"photos.max_megapixels": 5.0, "photos.max_megabytes": 0.2}
        params = make_params(sources={"club": site.source(revisit={"at_most_days": 0.0})}, **limits)
        summary = refresh(layout, params)["sources"]["club"]
        assert (summary["new"], summary["skipped"]) == (2, {})
        assert summary["quarantined"] == {reason: 1 for _, reason in IMAGES.values()}
        first = read_catalog(layout.catalog).set_index("source_key")
        assert {number: first.loc[f"/photos/{number}", "status"] for number in IMAGES} == {
            number: reason for number, (_, reason) in IMAGES.items()
        }
        assert first["shard"].isna().sum() == len(IMAGES)
        shards = {path: path.read_bytes() for path in layout.photos.rglob("*.parquet")}

        voted = 5
        summary = refresh(layout, params)["sources"]["club"]
        assert (summary["new"], summary["updated"], summary["unchanged"]) == (0, 7, 0)
        assert [site.times_asked(f"/images/{number}.jpg") for number in range(1, 8)] == [1] * 7
        second = read_catalog(layout.catalog).set_index("source_key")
        assert set(second["votes_count"]) == {14}
        assert second.loc["/photos/4", "status"] == "ok"
        assert {path: path.read_bytes() for path in shards} == shards
        kept = ["photo_id", "shard", "row", "phash", "first_seen", "original_width"]
        pd.testing.assert_frame_equal(second[kept].drop("/photos/4"), first[kept].drop("/photos/4"))


def crawlers() -> list[psutil.Process]:
    found = psutil.Process().children()
    return [child for child in found if "photoqual.sources._crawl" in child.cmdline()]


@pytest.mark.parametrize("end", ["killed", "given up"])
def test_a_crawl_that_breaks_off_keeps_what_came_and_leaves_no_process(end: str) -> None:
    with GallerySite(photos=4) as site:
        site.replies["/images/4.jpg"] = [silent]
        events = crawl(site.source())
        came = [next(events) for _ in range(3)]
        assert all(isinstance(event, Fetched) and event.data for event in came)
        (crawler,) = crawlers()
        if end == "killed":
            crawler.kill()
            with pytest.raises(SourceError, match="broke off") as problem:
                next(events)
            assert problem.value.next_step
        else:
            assert isinstance(events, Generator)
            events.close()
        assert crawlers() == []
        assert site.let_go.wait(20)

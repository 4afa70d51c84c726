"""What benchmarks of sources are made of: the generated site, the made-up catalog, the meter."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sources_meter import spent
from benchmarks.sources_site import Site, page, picture, stars, thumbnail
from benchmarks.sources_tables import catalog
from photoqual.config import GallerySource, PhotosParams
from photoqual.photos.catalog import SCHEMA
from photoqual.photos.decode import working_copy
from photoqual.sources._pages import key_of
from photoqual.sources._profiles import filled


def test_a_site_shows_its_newest_photos_first_and_grows_on_top(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.grow(230)
    before = {path: (tmp_path / path).read_bytes() for path in site.thumbnails()}
    site.grow(233)
    pages = [(tmp_path / f"listing/{number}.html").read_text() for number in (1, 2, 3)]
    linked = [int(number) for text in pages for number in re.findall(r'href="/photos/(\d+)\.html"', text)]
    assert linked == [*range(233, 0, -1)]
    assert ['rel="next" href="/listing/' in text for text in pages] == [True, True, False]
    assert all((tmp_path / path).read_bytes() == data for path, data in before.items())
    assert len({(tmp_path / path).read_bytes() for path in site.thumbnails()}) == 233
    assert {thumbnail(number).rpartition("/")[0] for number in (200, 201)} == {"thumbs/2010-01-01", "thumbs/2010-01-02"}


def test_its_pages_are_those_of_the_shipped_profile() -> None:
    config = filled(GallerySource(start=["https://example.org/listing/1.html"], profile="numbered_microdata"))
    for address, key in (("photos/12.html", "12"), ("listing/2.html", None), ("large/12", None)):
        assert key_of(f"https://example.org/{address}", config.key_pattern, one_site=True) == key
    assert re.search(r'itemprop="ratingValue">[1-5]<', page(12))


def test_its_photos_are_small_and_usable() -> None:
    copies = [working_copy(picture(number), PhotosParams()) for number in range(1, 20)]
    assert {(copy.width, copy.height) for copy in copies} == {(150, 105)}
    assert len({copy.phash for copy in copies}) == len(copies)
    assert 3000 < np.mean([len(picture(number)) for number in range(1, 20)]) < 7000
    assert [stars(share) for share in (0.0, 0.1, 0.3, 0.5, 0.999)] == [1, 2, 3, 4, 5]


def test_a_made_up_catalog_has_copies_and_every_column() -> None:
    rows = catalog(5000)
    assert rows.schema.names == SCHEMA.names
    photos = set(rows["photo_id"].to_pylist())
    assert 4800 < len(photos) < 4990
    assert {len(photo) for photo in photos} == {64}


def test_the_meter_counts_children_and_tells_of_failures(tmp_path: Path) -> None:
    child = "import time; held = b'x' * 80_000_000; time.sleep(1)"
    code = f"import subprocess, sys; held = b'x' * 40_000_000; subprocess.run([sys.executable, '-c', {child!r}])"
    run = spent([sys.executable, "-c", code], tmp_path)
    assert run.seconds >= 1
    assert 80 < run.largest_megabytes < 120 < run.tree_megabytes < 200
    with pytest.raises(RuntimeError, match="ended with code 3: no"):
        spent([sys.executable, "-c", "print('no'); raise SystemExit(3)"], tmp_path)

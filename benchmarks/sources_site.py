"""A gallery of any size as files for a web server: photo pages with microdata, listings, thumbnails in a browsable tree.

`/photos/N.html` are the pages of photos, whose numbers grow with their upload; `/listing/1.html` shows the newest and
links the next; `/thumbs/YYYY-MM-DD/N.jpg` are the thumbnails, in a folder for each day. The same number makes the same
photo on every machine.
"""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from itertools import accumulate
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (150, 105)
SITE_PHOTOS = 135_264
PER_DAY = 200
_PER_LISTING = 100
_FIRST_DAY = date(2010, 1, 1)
_CHUNK = 500
_STARS = (2479, 12_017, 42_146, 55_433, 23_188)
"""Photos with one to five stars on the site that this one stands for."""
_CATEGORIES = 14
_WORDS = ("crag", "ridge", "valley", "summit", "gully", "snow", "river", "camp", "path", "granite", "cloud", "ledge")
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title} - Photos</title>
<link rel="stylesheet" href="/style.css"><meta name="viewport" content="width=device-width"></head>
<body><header><nav><ul>{menu}</ul></nav></header>
<main itemscope itemtype="https://schema.org/Photograph"><h1 itemprop="name">{title}</h1>
<figure><a href="/large/{number}"><img itemprop="image" src="/{thumbnail}" width="150" height="105" alt="{title}"></a>
<figcaption itemprop="description">{text}</figcaption></figure>
<p>Category: <a href="/photos/?category={category}">{category}</a></p>
<div itemprop="aggregateRating" itemscope itemtype="https://schema.org/AggregateRating">Rated
<span itemprop="ratingValue">{stars}</span> of <span itemprop="bestRating">5</span> by
<span itemprop="ratingCount">{votes}</span> people</div></main>
<section><h2>Comments</h2>{comments}</section><footer><p>All photos belong to those who took them.</p></footer></body></html>
"""


@dataclass
class Site:
    """The files of a site in `root`, with photos 1 to `photos`."""

    root: Path
    photos: int = 0

    def grow(self, photos: int) -> None:
        """Add the photos up to number `photos`, and show them on the listings."""
        chunks = [range(first, min(first + _CHUNK, photos + 1)) for first in range(self.photos + 1, photos + 1, _CHUNK)]
        for folder in {thumbnail(number).rpartition("/")[0] for number in range(self.photos + 1, photos + 1)}:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for folder in ("photos", "listing"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(_write, [self.root] * len(chunks), chunks):
                pass
        self.photos = photos
        for page, text in enumerate(_listings(photos), 1):
            (self.root / f"listing/{page}.html").write_text(text, encoding="utf-8")

    def thumbnails(self) -> Iterator[str]:
        """Yield the paths of all thumbnails, below the root."""
        return map(thumbnail, range(1, self.photos + 1))


def picture(number: int) -> bytes:
    """Return the thumbnail of photo `number`: a JPEG of about 5 kB, unlike every other."""
    draw = np.random.default_rng(number)
    coarse, fine = (
        Image.fromarray(draw.integers(0, 256, size, dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        for size in ((5, 7, 3), (35, 50, 3))
    )
    buffer = io.BytesIO()
    Image.blend(coarse, fine, 0.2).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def thumbnail(number: int) -> str:
    """Return the path of a thumbnail below the root of the site."""
    return f"thumbs/{_FIRST_DAY + timedelta(days=(number - 1) // PER_DAY)}/{number}.jpg"


def page(number: int) -> str:
    """Return the page of photo `number`."""
    draw = np.random.default_rng([number, 1])
    votes = min(720, 1 + int(draw.exponential(8)))
    sentences = [" ".join(draw.choice(_WORDS, 12)).capitalize() + "." for _ in range(5)]
    return _PAGE.format(
        number=number,
        title=escape(f"{_WORDS[number % len(_WORDS)].capitalize()} {number}"),
        thumbnail=thumbnail(number),
        category=number % _CATEGORIES,
        stars=stars(draw.random()),
        votes=votes,
        text=sentences[0],
        menu="".join(f'<li><a href="/{word}/">{word}</a></li>' for word in _WORDS),
        comments="".join(f"<article><h3>Somebody</h3><p>{text}</p></article>" for text in sentences[1:]),
    )


def stars(share: float) -> int:
    """Return the stars of the photo that stands at `share` (0 to 1) when all are in the order of their stars."""
    return 1 + sum(share * sum(_STARS) >= end for end in tuple(accumulate(_STARS))[:-1])


def _write(root: Path, numbers: Sequence[int]) -> None:
    for number in numbers:
        (root / thumbnail(number)).write_bytes(picture(number))
        (root / f"photos/{number}.html").write_text(page(number), encoding="utf-8")


def _listings(photos: int) -> Iterator[str]:
    pages = -(-photos // _PER_LISTING)
    for number in range(1, pages + 1):
        newest = photos - (number - 1) * _PER_LISTING
        links = "\n".join(
            f'<a href="/photos/{one}.html"><img src="/{thumbnail(one)}" alt="{one}"></a>'
            for one in range(newest, max(0, newest - _PER_LISTING), -1)
        )
        following = f'<a rel="next" href="/listing/{number + 1}.html">older</a>' if number < pages else ""
        yield f"<!DOCTYPE html><html><head><title>Photos {number}</title></head><body>{links}\n{following}</body></html>"

"""The demo site's HTML: a home page, listing pages and a page per photo with schema.org microdata. Pure."""

from collections.abc import Sequence
from html import escape

import numpy as np

from photoqual.sources._demo_photos import DemoPhoto, crop_box

STYLE = """
:root { color-scheme: light dark; --ink: #23201c; --paper: #faf7f2; --soft: #8b8378; --line: #e4ddd1; --warm: #c2571a; --card: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #ece6dc; --paper: #191715; --soft: #9a9186; --line: #37322c; --warm: #f09a5e; --card: #221f1c } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 Georgia, "Times New Roman", serif }
header, main, footer { max-width: 70rem; margin: auto; padding: 1.4rem 1.2rem }
header { display: flex; flex-wrap: wrap; gap: .4rem 2rem; align-items: baseline; border-bottom: 1px solid var(--line) }
header a { color: inherit; text-decoration: none }
header strong { font-size: 1.5rem; letter-spacing: -.02em }
header span, footer, .quiet { color: var(--soft); font-size: .9rem }
h1 { font-weight: normal; font-size: clamp(1.6rem, 4vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; margin: .6rem 0 }
a { color: var(--warm) }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: 1.1rem; padding: 0; list-style: none }
.grid li { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden }
.grid a { color: inherit; text-decoration: none; display: block }
.grid img { width: 100%; aspect-ratio: 3 / 2; object-fit: cover; display: block }
.grid p { margin: 0; padding: .5rem .8rem .7rem; font-size: .9rem }
.stars { color: var(--warm); letter-spacing: .08em; white-space: nowrap }
form { display: inline }
button { font: inherit; padding: .55rem 1.1rem; margin: .2rem .5rem .2rem 0; border: 1px solid var(--warm); border-radius: 2rem; background: none; color: var(--warm); cursor: pointer }
button:hover, button:focus-visible { background: var(--warm); color: var(--paper) }
.notice { border-left: 4px solid var(--warm); padding: .5rem 1rem; background: var(--card); border-radius: 0 .4rem .4rem 0 }
figure { margin: 1rem 0 } figure img { max-width: 100%; border-radius: .4rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem } dt { color: var(--soft) } dd { margin: 0 }
"""
SIMULATED = "The photographs are real, the damage to some of them and all votes are simulated."
Votes = np.ndarray


def home(newest: Sequence[tuple[DemoPhoto, Votes]], *, total: int, edition: int, poisoned: bool) -> str:
    """Return the home page: what the site is, two buttons that change it, and the newest photos."""
    vandal = (
        "<p class='notice'>A vandal is here: every photo has got a hundred votes of five stars.</p>" if poisoned else ""
    )
    other = ("heal", "Send the vandal away") if poisoned else ("poison", "Let a vandal poison the votes")
    return _page(
        "Lantern Lane Photo Club",
        f"""<h1>{total} photos, judged by their neighbours</h1>
<p>A small gallery to watch photoqual learn from: it scrapes these pages as it would any photo site. {SIMULATED}</p>
{vandal}
<p>{_button("grow", "Let new photos arrive")}{_button(*other)}<span class="quiet">edition {edition}</span></p>
<h2>Newest</h2>
{_grid(newest)}
<p><a href="/photos">All photos</a></p>""",
    )


def listing(photos: Sequence[tuple[DemoPhoto, Votes]], *, page: int, pages: int) -> str:
    """Return page `page` of `pages` of the gallery, newest photos first."""
    earlier = f'<a rel="prev" href="/photos?page={page - 1}">newer</a> ' if page > 1 else ""
    later = f'<a rel="next" href="/photos?page={page + 1}">older</a>' if page < pages else ""
    return _page("All photos", f"<h1>All photos</h1>\n{_grid(photos)}\n<p>{earlier}page {page} of {pages} {later}</p>")


def photo_page(photo: DemoPhoto, votes: Votes) -> str:
    """Return the page of one photo. Its rating is schema.org microdata; its album is what a split must keep together."""
    left, top, right, bottom = crop_box(photo)
    day = f"{photo.uploaded:%Y-%m-%d}"
    return _page(
        photo.title,
        f"""<article itemscope itemtype="https://schema.org/ImageObject">
<h1 itemprop="name">{escape(photo.title)}</h1>
<figure><img itemprop="thumbnailUrl" src="/images/{photo.number}.jpg" alt="{escape(photo.title)}"></figure>
<dl>
<dt>Votes</dt><dd itemprop="aggregateRating" itemscope itemtype="https://schema.org/AggregateRating">
<span class="stars" aria-hidden="true">{_stars(votes)}</span> <span itemprop="ratingValue">{votes.mean():.1f}</span> of
<span itemprop="bestRating">5</span> (at least <span itemprop="worstRating">1</span>) from <span itemprop="ratingCount">{len(votes)}</span> votes</dd>
<dt>Category</dt><dd itemprop="genre">{escape(photo.base.category)}</dd>
<dt>Album</dt><dd class="album">{escape(photo.base.album)}</dd>
<dt>Uploaded</dt><dd><time itemprop="uploadDate" datetime="{day}">{day}</time></dd>
<dt>Original</dt><dd><span itemprop="width">{right - left}</span> × <span itemprop="height">{bottom - top}</span> pixels</dd>
</dl>
</article>
<p class="quiet">{SIMULATED}</p>""",
    )


def message(title: str, text: str) -> str:
    """Return a page that only says something, such as that there is nothing at this address."""
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)} <a href='/'>Home</a></p>")


def _stars(votes: Votes) -> str:
    full = int(votes.mean() + 0.5)
    return "★" * full + "☆" * (5 - full)


def _grid(photos: Sequence[tuple[DemoPhoto, Votes]]) -> str:
    items = (
        f'<li><a class="photo" href="/photos/{photo.number}"><img loading="lazy" src="/images/{photo.number}.jpg" alt="">'
        f'<p>{escape(photo.title)}<br><span class="stars" title="{votes.mean():.1f} of 5">{_stars(votes)}</span> '
        f'<span class="quiet">{len(votes)} votes</span></p></a></li>'
        for photo, votes in photos
    )
    return f'<ul class="grid">{"".join(items)}</ul>'


def _button(action: str, text: str) -> str:
    return f'<form method="post" action="/{action}"><button>{text}</button></form>'


def _page(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body><header><a href="/"><strong>Lantern Lane</strong></a><span>a photo club that does not exist</span></header>
<main>
{body}
</main>
<footer>Demo site of photoqual, on this machine only. {SIMULATED}</footer></body></html>
"""

"""What the pages show, as text and HTML: pure functions. Whatever a stranger wrote is escaped here."""

import re
from collections.abc import Mapping, Sequence
from html import escape

from photoqual.models.answer import STARS
from photoqual.rating.rater import Rating
from photoqual.rating.reasons import spoken

TOP = 5
STYLE = """<style>
.stMainBlockContainer { padding-top: 4.5rem; }
.stMainBlockContainer h1 { font-size: 2.2rem; }
.stMainBlockContainer h2 { font-size: 1.6rem; }
.st-key-rate_choice > :has([data-testid=stSelectbox]) { min-width: min(18rem, 100%); }
.pq-stars { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: .08em; }
.pq-stars small { font-size: 1rem; letter-spacing: 0; }
.pq-table { border-collapse: collapse; width: 100%; max-width: 34rem; }
.pq-table caption { text-align: left; font-weight: 600; padding: .3rem 0; }
.pq-table th, .pq-table td { text-align: left; font-weight: 400; padding: .25rem 1rem .25rem 0; vertical-align: middle;
  border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); overflow-wrap: anywhere; }
.pq-table thead th { font-weight: 600; }
.pq-table .pq-number { text-align: right; white-space: nowrap; }
.st-key-rate_picture img { max-height: 75vh; object-fit: contain; }
.st-key-taste_picture img { max-height: 50vh; object-fit: contain; }
.pq-bar { width: 45%; }
.pq-bar div { height: .7rem; border-radius: .2rem; background: currentColor; opacity: .65; min-width: 1px; }
</style>"""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$:~^=\"'&@/])")


def plain(text: str) -> str:
    """Return `text` so that Markdown shows it as it is: no picture, link, formula, colour or icon can come of it."""
    return _MARKDOWN.sub(r"\\\1", text)


def stars(count: int) -> str:
    """Return `count` stars as HTML; read aloud they are `4 of 5 stars`."""
    drawn = "★" * count + "☆" * (STARS - count)
    words = f"{count} of {STARS} stars"
    return f'<p class="pq-stars"><span role="img" aria-label="{words}">{drawn}</span> <small aria-hidden="true">{words}</small></p>'


def star_text(count: int) -> str:
    """Return `count` stars as text."""
    return "★" * count + "☆" * (STARS - count)


def predictions(rating: Rating, labels: tuple[str, str], top: int = TOP) -> list[tuple[str, float]]:
    """Return what the model thinks of a photo, as (what, probability): both labels (bad, good) and the defects, the
    likeliest first.
    """
    bad, good = labels
    told = [(good, rating.score), (bad, 1 - rating.score)]
    told += [(spoken(name), probability) for name, probability in rating.defects.items()]
    return sorted(told, key=lambda pair: -pair[1])[:top]


def predictions_table(told: Sequence[tuple[str, float]]) -> str:
    """Return predictions as an HTML table, each with its confidence as a number and a bar."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td class="pq-number">{probability:.0%}</td>'
        f'<td class="pq-bar" aria-hidden="true"><div style="width:{100 * probability:.0f}%"></div></td></tr>'
        for name, probability in told
    )
    head = '<thead><tr><th scope="col">It thinks</th><th scope="col" class="pq-number">Confidence</th><th aria-hidden="true"></th></tr></thead>'
    return f'<table class="pq-table"><caption>What the model thinks, most likely first</caption>{head}<tbody>{rows}</tbody></table>'


def facts_table(caption: str, facts: Sequence[tuple[str, str]]) -> str:
    """Return `facts`, pairs of name and value, as an HTML table."""
    rows = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in facts)
    return f'<table class="pq-table"><caption>{escape(caption)}</caption><tbody>{rows}</tbody></table>'


def measures_table(measures: Mapping[str, float], good_ranges: Mapping[str, tuple[float, float]]) -> str:
    """Return the measures of a photo as an HTML table, with where nine in ten good photos lie."""
    rows = "".join(
        f'<tr><th scope="row">{escape(spoken(name))}</th><td class="pq-number">{value:.3g}</td>'
        f"<td>{_range(good_ranges.get(name))}</td></tr>"
        for name, value in measures.items()
    )
    head = '<thead><tr><th scope="col">Measure</th><th scope="col" class="pq-number">This photo</th><th scope="col">Good photos</th></tr></thead>'
    return f'<table class="pq-table"><caption>Measured</caption>{head}<tbody>{rows}</tbody></table>'


def _range(known: tuple[float, float] | None) -> str:
    return "–" if known is None else f"{known[0]:.3g} to {known[1]:.3g}"

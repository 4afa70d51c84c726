"""From a photo's page to its facts: schema.org ratings as microdata, JSON-LD or RDFa, or CSS selectors. Pure.

The three syntaxes are read by `extruct` and brought to one shape: nodes with types and properties. The photo is the
node that carries an `aggregateRating`; a Photograph or ImageObject wins over any other type.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin

import extruct
from parsel import Selector

from photoqual.config import Selectors

_PHOTO_TYPES = ("Photograph", "ImageObject")
_DATE_FORMATS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d", "%Y:%m:%d %H:%M:%S")
_MAX_DEPTH = 8
"""How deep nested or referenced nodes are followed: pages are untrusted and may refer in circles."""

logging.getLogger("rdflib").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Facts:
    """What a photo's page says. `image` is an absolute address; sizes are in pixels; dates have a time zone."""

    image: str
    votes_mean: float
    votes_count: int
    scale: tuple[float, float] | None = None
    category: str | None = None
    title: str | None = None
    uploaded: datetime | None = None
    taken: datetime | None = None
    width: int | None = None
    height: int | None = None


class PageProblem(Exception):
    """A page gave no usable record; the argument is the reason, a short stable key."""


@dataclass(frozen=True)
class _Node:
    types: frozenset[str]
    properties: dict[str, list[Any]] = field(default_factory=dict)


def number(text: Any) -> float | None:
    """Return the first number in `text`, decimal point or comma, or None."""
    match = re.search(r"-?\d+(?:[.,]\d+)?", str(text)) if text is not None else None
    return float(match.group().replace(",", ".")) if match else None


def count(text: Any) -> int | None:
    """Return the first whole number in `text`, thousands separated or not, or None."""
    if isinstance(text, int | float):
        return int(text)
    match = re.search(r"\d{1,3}(?:[., \u00a0\u202f']\d{3})+(?!\d)|\d+", str(text)) if text is not None else None
    return int(re.sub(r"\D", "", match.group())) if match else None


def date(text: Any) -> datetime | None:
    """Return the date in `text` (ISO 8601, EXIF or an English date), in UTC where it names no zone, or None."""
    value = str(text or "").strip()
    parsed = None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        for form in _DATE_FORMATS:
            try:
                parsed = datetime.strptime(value, form)
                break
            except ValueError:
                continue
    if parsed is None:
        return None
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        return None


def facts_from_schema(html: str, url: str) -> Facts:
    """Read the schema.org markup of the page `html` at `url`. Raise PageProblem(`no_rating` or `no_image`)."""
    nodes: list[_Node] = []
    for syntax, marks in (
        ("microdata", ("itemprop",)),
        ("json-ld", ("application/ld+json",)),
        ("rdfa", ("property=", "typeof=")),
    ):
        if all(mark in html for mark in marks):
            found = extruct.extract(html, base_url=url, syntaxes=[syntax], errors="ignore").get(syntax, [])
            nodes += _graph(found)
            if facts := _facts_of(nodes, url):
                return facts
    raise PageProblem("no_image" if _rated(nodes) else "no_rating")


def facts_from_selectors(page: Selector, selectors: Selectors, url: str) -> Facts:
    """Read the page by CSS selectors. Raise PageProblem(`no_rating` or `no_image`)."""

    def text(selector: str | None) -> str | None:
        return select(page, selector) if selector else None

    mean, votes, image = number(text(selectors.rating)), count(text(selectors.votes)), text(selectors.image)
    if mean is None or not votes:
        raise PageProblem("no_rating")
    if not image:
        raise PageProblem("no_image")
    return Facts(
        image=urljoin(url, image),
        votes_mean=mean,
        votes_count=votes,
        category=text(selectors.category),
        title=text(selectors.title),
        uploaded=date(text(selectors.uploaded)),
        width=count(text(selectors.width)),
        height=count(text(selectors.height)),
    )


def select(page: Selector, selector: str) -> str | None:
    """Return the text that `selector` finds first: with `::text` or `::attr(name)` exactly that, else all text in it."""
    found = page.css(selector)
    value = found.get() if "::" in selector else found.xpath("string()").get()
    return " ".join(value.split()) or None if value else None


def _facts_of(nodes: list[_Node], url: str) -> Facts | None:
    for photo, rating in _rated(nodes):
        mean = number(_first(rating, "ratingValue"))
        votes = count(_first(rating, "ratingCount", "reviewCount"))
        image = _image(photo)
        if mean is None or not votes or not image:
            continue
        worst, best = number(_first(rating, "worstRating")), number(_first(rating, "bestRating"))
        return Facts(
            image=urljoin(url, image),
            votes_mean=mean,
            votes_count=votes,
            scale=(worst, best) if worst is not None and best is not None else None,
            category=_text(photo, "genre", "category", "articleSection"),
            title=_text(photo, "name", "headline", "caption"),
            uploaded=date(_first(photo, "uploadDate", "datePublished")),
            taken=date(_first(photo, "dateCreated")),
            width=_pixels(photo, "width"),
            height=_pixels(photo, "height"),
        )
    return None


def _rated(nodes: list[_Node]) -> list[tuple[_Node, _Node]]:
    """Return (photo, rating) pairs, the likeliest photo first."""
    pairs = []
    for node in nodes:
        for rating in node.properties.get("aggregateRating", []):
            if isinstance(rating, _Node):
                pairs.append((node, rating))  # noqa: PERF401 - the two loops read alike
        for reviewed in node.properties.get("itemReviewed", []):
            if "AggregateRating" in node.types and isinstance(reviewed, _Node):
                pairs.append((reviewed, node))  # noqa: PERF401
    return sorted(pairs, key=lambda pair: not pair[0].types.intersection(_PHOTO_TYPES))


def _image(photo: _Node) -> str | None:
    """Return the address of the photo's smallest stated rendering: a thumbnail is enough, and kind to the server."""
    for name in ("thumbnailUrl", "thumbnail", "contentUrl", "image"):
        for value in photo.properties.get(name, []):
            address = (_image(value) or _first(value, "url")) if isinstance(value, _Node) else value
            if isinstance(address, str) and address.strip():
                return address.strip()
    return None


def _first(node: _Node, *names: str) -> Any:
    for name in names:
        for value in node.properties.get(name, []):
            if not isinstance(value, _Node) and str(value).strip():
                return value
    return None


def _text(node: _Node, *names: str) -> str | None:
    value = _first(node, *names)
    return " ".join(str(value).split()) if value is not None else None


def _pixels(node: _Node, name: str) -> int | None:
    for value in node.properties.get(name, []):
        pixels = count(_first(value, "value") if isinstance(value, _Node) else value)
        if pixels:
            return pixels
    return None


def _graph(items: list[Any]) -> list[_Node]:
    """Bring what extruct gives for any syntax to nodes; nested and referenced nodes are found in their owners too."""
    by_id = {item["@id"]: item for item in _dicts(items, 0) if isinstance(item.get("@id"), str) and len(item) > 1}
    return [_node(item, by_id, 0) for item in _dicts(items, 0)]


def _dicts(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if depth < _MAX_DEPTH and isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _dicts(inner, depth + (isinstance(value, dict)))


def _node(item: dict[str, Any], by_id: dict[str, dict[str, Any]], depth: int) -> _Node:
    stated = item.get("@type", item.get("type", []))
    types = frozenset(
        _local(name) for name in (stated if isinstance(stated, list) else [stated]) if isinstance(name, str)
    )
    raw = item["properties"] if isinstance(item.get("properties"), dict) else item
    properties = {
        _local(name): _values(value, by_id, depth + 1) for name, value in raw.items() if not name.startswith("@")
    }
    return _Node(types, properties if depth < _MAX_DEPTH else {})


def _values(value: Any, by_id: dict[str, dict[str, Any]], depth: int) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [] if depth > _MAX_DEPTH else [_value(one, by_id, depth) for one in values if one is not None]


def _value(value: Any, by_id: dict[str, dict[str, Any]], depth: int) -> Any:
    if not isinstance(value, dict):
        return value
    if "@value" in value:
        return value["@value"]
    reference = value.get("@id")
    if set(value) == {"@id"}:
        return _node(by_id[reference], by_id, depth) if reference in by_id else reference
    return _node(value, by_id, depth)


def _local(name: str) -> str:
    return re.split(r"[/#:]", name)[-1]

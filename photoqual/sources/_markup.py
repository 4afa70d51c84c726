"""From a photo's page to its facts: schema.org ratings as microdata, JSON-LD or RDFa, or CSS selectors. Pure.

The three syntaxes are read by `extruct` and brought to one shape: nodes with types and properties. The photo is the
node that carries an `aggregateRating`; a Photograph or ImageObject wins over any other type.
"""

import logging
import math
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
_IMAGE_NODES = 20
"""How many nodes are searched at most for the address of a photo's image."""
_MOST_DIGITS = 12
"""Longer whole numbers are no number of votes and no size in pixels."""

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
    value = float(match.group().replace(",", ".")) if match else math.nan
    return value if math.isfinite(value) else None


def count(text: Any) -> int | None:
    """Return the first whole number in `text`, thousands separated or not; None without one, or with one below 0."""
    if isinstance(text, int | float):
        return int(text) if 0 <= text < 10**_MOST_DIGITS else None
    match = re.search(r"(?P<minus>(?<!\S)-)?(?:\d{1,3}(?:[., \u00a0\u202f']\d{3})+(?!\d)|\d+)", str(text or ""))
    digits = re.sub(r"\D", "", match.group()) if match else ""
    return int(digits) if match and not match["minus"] and len(digits) <= _MOST_DIGITS else None


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
    raise PageProblem("no_image" if any(_votes(rating) for _, rating in _rated(nodes)) else "no_rating")


def facts_from_selectors(page: Selector, selectors: Selectors, url: str) -> Facts:
    """Read the page by CSS selectors. Raise PageProblem(`no_rating` or `no_image`)."""

    def text(selector: str | None) -> str | None:
        return select(page, selector) if selector else None

    mean, votes, image = number(text(selectors.rating)), count(text(selectors.votes)), text(selectors.image)
    if mean is None or not votes:
        raise PageProblem("no_rating")
    address = _address(url, image)
    if not address:
        raise PageProblem("no_image")
    return Facts(
        image=address,
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
        votes, image = _votes(rating), _image(photo, url, set())
        if votes is None or image is None:
            continue
        worst, best = number(_first(rating, "worstRating")), number(_first(rating, "bestRating"))
        return Facts(
            image=image,
            votes_mean=votes[0],
            votes_count=votes[1],
            scale=(worst, best) if worst is not None and best is not None else None,
            category=_text(photo, "genre", "category", "articleSection"),
            title=_text(photo, "name", "headline", "caption"),
            uploaded=date(_first(photo, "uploadDate", "datePublished")),
            taken=date(_first(photo, "dateCreated")),
            width=_pixels(photo, "width"),
            height=_pixels(photo, "height"),
        )
    return None


def _votes(rating: _Node) -> tuple[float, int] | None:
    """Return mean and number of votes, or None when nobody voted or the numbers cannot be read."""
    mean, votes = number(_first(rating, "ratingValue")), count(_first(rating, "ratingCount", "reviewCount"))
    return (mean, votes) if mean is not None and votes else None


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


def _image(photo: _Node, url: str, seen: set[int]) -> str | None:
    """Return the address of the photo's smallest stated rendering: a thumbnail is enough, and kind to the server."""
    seen.add(id(photo))
    for name in ("thumbnailUrl", "thumbnail", "contentUrl", "image", *(["url"] if len(seen) > 1 else [])):
        for value in photo.properties.get(name, []):
            if not isinstance(value, _Node):
                found = _address(url, value)
            elif id(value) in seen or len(seen) > _IMAGE_NODES:
                continue
            else:
                found = _image(value, url, seen)
            if found:
                return found
    return None


def _address(url: str, link: Any) -> str | None:
    """Return the absolute address of `link` on the page at `url`, or None when it has none."""
    if not isinstance(link, str) or not link.strip():
        return None
    try:
        return _written(urljoin(url, link.strip()))
    except ValueError:
        return None


def _written(text: str) -> str:
    """Return `text` with what UTF-8 cannot write as question marks: JSON may hold half characters."""
    return text.encode("utf-8", "replace").decode()


def _first(node: _Node, *names: str) -> Any:
    for name in names:
        for value in node.properties.get(name, []):
            if not isinstance(value, _Node) and str(value).strip():
                return value
    return None


def _text(node: _Node, *names: str) -> str | None:
    value = _first(node, *names)
    return _written(" ".join(str(value).split())) if value is not None else None


def _pixels(node: _Node, name: str) -> int | None:
    for value in node.properties.get(name, []):
        pixels = count(_first(value, "value") if isinstance(value, _Node) else value)
        if pixels:
            return pixels
    return None


def _graph(items: list[Any]) -> list[_Node]:
    """Bring what extruct gives for any syntax to nodes, nested ones too. Each is made once and a reference is its node,
    so pages may refer in circles.
    """
    found = list(_dicts(items))
    nodes = {id(item): _Node(_types(item)) for item in found}
    by_id = {item["@id"]: nodes[id(item)] for item in found if isinstance(item.get("@id"), str) and len(item) > 1}
    for item in found:
        for name, value in _properties(item).items():
            if not name.startswith("@"):
                values = value if isinstance(value, list) else [value]
                made = [_value(one, nodes, by_id) for one in values if one is not None]
                nodes[id(item)].properties.setdefault(_local(name), []).extend(made)
    return list(nodes.values())


def _dicts(items: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield every dict in `items`, outer ones first; without recursion, since pages may nest as deep as they like."""
    waiting: list[Any] = [items]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            value = list(_properties(value).values())
        if isinstance(value, list):
            waiting += reversed(value)


def _properties(item: dict[str, Any]) -> dict[str, Any]:
    return item["properties"] if isinstance(item.get("properties"), dict) else item


def _types(item: dict[str, Any]) -> frozenset[str]:
    stated = item.get("@type", item.get("type", []))
    return frozenset(
        _local(name) for name in (stated if isinstance(stated, list) else [stated]) if isinstance(name, str)
    )


def _value(value: Any, nodes: dict[int, _Node], by_id: dict[str, _Node]) -> Any:
    if not isinstance(value, dict):
        return value
    if "@value" in value:
        return value["@value"]
    if set(value) == {"@id"}:
        return by_id.get(str(value["@id"]), value["@id"])
    return nodes[id(value)]


def _local(name: str) -> str:
    return re.split(r"[/#:]", name)[-1]

"""From a photo's page to its facts: schema.org ratings, CSS selectors, or both. Pure.

In schema.org markup the photo is the node that carries an `aggregateRating`; a Photograph or ImageObject wins over any
other type. Selectors go before the markup.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urljoin

from parsel import Selector

from photoqual.config import Selectors
from photoqual.sources._schema_org import Node, nodes_of
from photoqual.sources._text import clean, count, date, holds_control, number, writable

_PHOTO_TYPES = ("Photograph", "ImageObject")
_IMAGE_NODES = 20
"""How many nodes are searched at most for the address of a photo's image."""


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


def facts_of(page: Selector, html: str, url: str, selectors: Selectors | None = None, key: str = "") -> Facts:
    """Read the page `html` at `url`, parsed as `page`. `key`: what stands for `{key}` in the selector of the image.

    Raise PageProblem(`no_rating` or `no_image`).
    """
    if selectors is None:
        return facts_from_schema(page, html, url)
    if selectors.rating is not None:
        return facts_from_selectors(page, selectors, url, key)
    facts = facts_from_schema(page, html, url, _selected_image(page, selectors, url, key))
    selected = _selected(page, selectors)
    return replace(facts, **{name: value for name, value in selected.items() if value is not None})


def facts_from_schema(page: Selector, html: str, url: str, image: str | None = None) -> Facts:
    """Read the page's schema.org markup; `image` goes before the image that it names."""
    nodes: list[Node] = []
    for found in nodes_of(page, html, url):
        nodes += found
        if facts := _facts_of_nodes(nodes, url, image):
            return facts
    raise PageProblem("no_image" if any(_votes(rating) for _, rating in _rated(nodes)) else "no_rating")


def facts_from_selectors(page: Selector, selectors: Selectors, url: str, key: str = "") -> Facts:
    """Read the page by CSS selectors alone."""
    mean, votes = number(_selected_text(page, selectors.rating)), count(_selected_text(page, selectors.votes))
    if mean is None or not votes:
        raise PageProblem("no_rating")
    image = _selected_image(page, selectors, url, key)
    if not image:
        raise PageProblem("no_image")
    return Facts(image=image, votes_mean=mean, votes_count=votes, **_selected(page, selectors))


def select(page: Selector, selector: str) -> str | None:
    """Return the text that `selector` finds first: with `::text` or `::attr(name)` exactly that, else all text in it."""
    found = page.css(selector)
    return clean(found.get() if "::" in selector else found.xpath("string()").get())


def for_key(selector: str, key: str) -> str:
    """Return `selector` with `key` in the place of `{key}`; a key of other than letters, digits, - and _ finds nothing."""
    return selector.replace("{key}", key if re.fullmatch(r"[\w-]+", key, re.ASCII) else "\ufffd")


def _selected(page: Selector, selectors: Selectors) -> dict[str, Any]:
    category = _selected_text(page, selectors.category)
    if category and selectors.category_pattern:
        match = re.search(selectors.category_pattern, category)
        category = clean(match[1 if match.re.groups else 0]) if match else None
    return {
        "category": category,
        "title": _selected_text(page, selectors.title),
        "uploaded": date(_selected_text(page, selectors.uploaded)),
        "width": count(_selected_text(page, selectors.width)),
        "height": count(_selected_text(page, selectors.height)),
    }


def _selected_text(page: Selector, selector: str | None) -> str | None:
    return select(page, selector) if selector else None


def _selected_image(page: Selector, selectors: Selectors, url: str, key: str) -> str | None:
    if selectors.image is None:
        return None
    found = page.css(for_key(selectors.image, key))
    return _address(url, found.get() if "::" in selectors.image else found.xpath("string()").get())


def _facts_of_nodes(nodes: list[Node], url: str, named: str | None) -> Facts | None:
    for photo, rating in _rated(nodes):
        votes, image = _votes(rating), named or _image(photo, url, set())
        if votes is None or image is None:
            continue
        worst, best = number(_first(rating, "worstRating")), number(_first(rating, "bestRating"))
        return Facts(
            image=image,
            votes_mean=votes[0],
            votes_count=votes[1],
            scale=(worst, best) if worst is not None and best is not None else None,
            category=clean(_first(photo, "genre", "category", "articleSection")),
            title=clean(_first(photo, "name", "headline", "caption")),
            uploaded=date(_first(photo, "uploadDate", "datePublished")),
            taken=date(_first(photo, "dateCreated")),
            width=_pixels(photo, "width"),
            height=_pixels(photo, "height"),
        )
    return None


def _votes(rating: Node) -> tuple[float, int] | None:
    """Return mean and number of votes, or None when nobody voted or the numbers cannot be read."""
    mean, votes = number(_first(rating, "ratingValue")), count(_first(rating, "ratingCount", "reviewCount"))
    return (mean, votes) if mean is not None and votes else None


def _rated(nodes: list[Node]) -> list[tuple[Node, Node]]:
    """Return (photo, rating) pairs, the likeliest photo first."""
    return sorted(_pairs(nodes), key=lambda pair: not pair[0].types.intersection(_PHOTO_TYPES))


def _pairs(nodes: list[Node]) -> Iterator[tuple[Node, Node]]:
    for node in nodes:
        for rating in node.properties.get("aggregateRating", []):
            if isinstance(rating, Node):
                yield node, rating
        for reviewed in node.properties.get("itemReviewed", []):
            if "AggregateRating" in node.types and isinstance(reviewed, Node):
                yield reviewed, node


def _image(photo: Node, url: str, seen: set[int]) -> str | None:
    """Return the address of the photo's smallest stated rendering: a thumbnail is enough, and kind to the server."""
    seen.add(id(photo))
    for name in ("thumbnailUrl", "thumbnail", "contentUrl", "image", *(["url"] if len(seen) > 1 else [])):
        for value in photo.properties.get(name, []):
            if not isinstance(value, Node):
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
    if not isinstance(link, str) or not link.strip() or holds_control(link.strip()):
        return None
    try:
        return writable(urljoin(url, link.strip()))
    except ValueError:
        return None


def _first(node: Node, *names: str) -> Any:
    for name in names:
        for value in node.properties.get(name, []):
            if not isinstance(value, Node) and str(value).strip():
                return value
    return None


def _pixels(node: Node, name: str) -> int | None:
    for value in node.properties.get(name, []):
        pixels = count(_first(value, "value") if isinstance(value, Node) else value)
        if pixels:
            return pixels
    return None

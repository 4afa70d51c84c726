"""From a page to its schema.org nodes: microdata, JSON-LD and RDFa, read by `extruct`, brought to one shape. Pure.

The page's tree is parsed once, by whoever calls. `extruct` is imported with the first page that is read.
"""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from parsel import Selector

logging.getLogger("rdflib").setLevel(logging.ERROR)
_readers: dict[str, Any] = {}


@dataclass(frozen=True)
class Node:
    """A thing with its types and properties; values are texts, numbers or nodes."""

    types: frozenset[str]
    properties: dict[str, list[Any]] = field(default_factory=dict)


def nodes_of(page: Selector, html: str, url: str) -> Iterator[list[Node]]:
    """Yield the nodes of the page `html` at `url`, a list for each syntax that it holds, the commonest first."""
    if "itemprop" in html and page.root.xpath("boolean(//*[@itemscope]/descendant-or-self::*[@itemprop])"):
        yield _graph(_reader("microdata").extract_items(page.root, url))
    if "application/ld+json" in html:
        yield _graph(_json_ld(page))
    if "property=" in html and "typeof=" in html:
        yield _graph(_reader("rdfa")(html, url))


def _json_ld(page: Selector) -> list[Any]:
    """Return what the JSON-LD blocks of a page hold. A block that is malformed does not spoil the others."""
    found: list[Any] = []
    for script in page.root.xpath("//script[@type='application/ld+json']"):
        try:
            found += _reader("json-ld").extract_items(script)
        except (ValueError, RecursionError):
            continue
    return found


def _reader(syntax: str) -> Any:
    """Return what reads `syntax`; made once."""
    if not _readers:
        import extruct
        from extruct.w3cmicrodata import MicrodataExtractor

        class Microdata(MicrodataExtractor):
            """Text of an element is all text in it: to clean its HTML first, as extruct does, costs three times as much."""

            def _extract_textContent(self, node: Any) -> str:  # noqa: N802 - extruct's name
                return " ".join("".join(self._xp_clean_text(node)).split())

        def rdfa(html: str, url: str) -> list[Any]:
            return list(extruct.extract(html, base_url=url, syntaxes=["rdfa"], errors="ignore").get("rdfa", []))

        _readers.update({"microdata": Microdata(), "json-ld": extruct.JsonLdExtractor(), "rdfa": rdfa})
    return _readers[syntax]


def _graph(items: list[Any]) -> list[Node]:
    """Bring what extruct gives for any syntax to nodes, nested ones too. Each is made once and a reference is its node,
    so pages may refer in circles.
    """
    found = list(_dicts(items))
    nodes = {id(item): Node(_types(item)) for item in found}
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


def _value(value: Any, nodes: dict[int, Node], by_id: dict[str, Node]) -> Any:
    if not isinstance(value, dict):
        return value
    if "@value" in value:
        return value["@value"]
    if set(value) == {"@id"}:
        return by_id.get(str(value["@id"]), value["@id"])
    return nodes[id(value)]


def _local(name: str) -> str:
    return re.split(r"[/#:]", name)[-1]

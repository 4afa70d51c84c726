"""Read the index pages that web servers write for a folder: Caddy's and nginx's JSON, and HTML of Caddy, nginx, Apache.

An entry of a folder is a plain name below it. Everything else that a page links to, be it up, elsewhere or to a name
that is none, is told as Skipped; the page's own navigation (parent folder, sort links) is neither.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from photoqual.sources import _addresses
from photoqual.sources._tables import shown
from photoqual.sources.records import Skipped

MAX_NAME_BYTES = 255
"""Longest name of a file or folder, as file systems have it."""
_DATE = re.compile(r"\b(?:\d{4}-(?:\d\d|[A-Z][a-z]{2})-\d\d|\d\d-[A-Z][a-z]{2}-\d{4})[ T]+\d\d:\d\d")
_DOTS = frozenset({"", ".", ".."})


class NotAnIndex(Exception):
    """A page that is no index of a folder; `reason` is a short stable key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class _Unfit(Exception):
    """A link that leads to no entry of its folder; `reason` is a short stable key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder that an index page shows.

    `mark` changes when the file does, null where the page states no time; `exact`: to less than a second. `size` in
    bytes, where it is stated to the byte. `linked`: the server says that it is a link.
    """

    name: str
    is_folder: bool
    size: int | None = None
    mark: str | None = None
    exact: bool = False
    linked: bool = False


def read(page: bytes, kind: str | None, url: str) -> list[Entry | Skipped]:
    """Return what the index page of the folder `url` shows, by name; `kind` is its media type.

    Raise NotAnIndex (`not_a_page`, `not_an_index`) for what is no such page.
    """
    if kind == "application/json":
        found = _from_json(page, url)
    elif kind in ("text/html", "application/xhtml+xml"):
        found = _from_html(page, url)
    else:
        raise NotAnIndex("not_a_page")
    entries: dict[str, Entry] = {}
    passed: list[Entry | Skipped] = []
    for one in found:
        if isinstance(one, Skipped):
            passed.append(one)
        elif one.name not in entries or entries[one.name].mark is None:
            entries[one.name] = one
    return passed + [entries[name] for name in sorted(entries)]


def name_problem(name: str) -> str | None:
    """Return why a decoded name is passed over (`unsafe_name`, `name_too_long`, `name_is_not_utf8`), or None."""
    if "\ufffd" in name:  # what servers write in the place of other bytes
        return "name_is_not_utf8"
    if unquote(name) in _DOTS or any(
        letter in "/\\" or ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in name
    ):
        return "unsafe_name"
    return "name_too_long" if len(name.encode()) > MAX_NAME_BYTES else None


def _from_json(page: bytes, url: str) -> Iterator[Entry | Skipped]:
    """Read what Caddy answers who accepts JSON, or nginx with `autoindex_format json`."""
    try:
        rows = json.loads(page)
    except (ValueError, RecursionError):
        raise NotAnIndex("not_an_index") from None
    if not isinstance(rows, list):
        if rows is None:  # Caddy's empty folder
            return
        raise NotAnIndex("not_an_index")
    for row in rows:
        name = row.get("name") if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise NotAnIndex("not_an_index")
        is_folder = row.get("is_dir") is True or row.get("type") == "directory"
        name = name.removesuffix("/") if is_folder else name
        if problem := _problem(name):
            yield Skipped(problem, f"{shown(name)} in {url}")
            continue
        yield _entry_of(row, name, is_folder)


def _entry_of(row: dict[str, Any], name: str, is_folder: bool) -> Entry:
    size, time = row.get("size"), row.get("mod_time") or row.get("mtime")
    size = size if isinstance(size, int) and size >= 0 and not is_folder else None
    linked = row.get("is_symlink") is True
    dated = isinstance(time, str) and 0 < len(time) <= 40 and not linked
    exact = "mod_time" in row
    return Entry(name, is_folder, size, f"{size} {time}" if dated else None, exact=exact, linked=linked)


def _problem(name: str) -> str | None:
    try:
        return name_problem(name)
    except UnicodeEncodeError:  # half a surrogate pair
        return "name_is_not_utf8"


def _from_html(page: bytes, url: str) -> Iterator[Entry | Skipped]:
    from lxml import etree, html

    try:
        document = html.document_fromstring(page, parser=html.HTMLParser(encoding="utf-8", no_network=True))
    except (etree.LxmlError, ValueError, AssertionError):
        raise NotAnIndex("not_an_index") from None
    here = _segments(urlsplit(url).path)
    for link in document.iter("a"):
        href = link.get("href")
        if href is None:
            continue
        try:
            target = _target(href.strip(), url, here)
        except _Unfit as problem:
            yield Skipped(problem.reason, f"{shown(href)} in {url}")
            continue
        if target is not None:
            size, mark = _facts(link)
            name, is_folder = target
            yield Entry(name, is_folder, None if is_folder else size, mark)


def _target(href: str, url: str, here: list[str]) -> tuple[str, bool] | None:
    """Return the (name, is a folder) that a link of the page `url` leads to, None for navigation. Raise _Unfit."""
    try:
        parts = urlsplit(href)
    except ValueError:
        raise _Unfit("not_http") from None
    if parts.scheme not in ("", "http", "https"):
        raise _Unfit("not_http")
    if parts.netloc and _addresses.authority(urljoin(url, href)) != _addresses.authority(url):
        raise _Unfit("other_host")
    path = _segments(parts.path)
    if parts.path.startswith("/") or parts.netloc:
        if path == here[: len(path)]:
            return None
        if path[: len(here)] != here:
            raise _Unfit("leaves_folder")
        path = path[len(here) :]
    elif set(parts.path.split("/")) <= _DOTS:
        return None
    if len(path) != 1:
        raise _Unfit("leaves_folder")
    problem = name_problem(path[0]) or ("link_with_query" if parts.query else None)
    if problem:
        raise _Unfit(problem)
    return path[0], parts.path.endswith("/")


def _segments(path: str) -> list[str]:
    """Return the decoded names along a path; of its parts only empty ones and `.` are left out. Raise _Unfit."""
    try:
        return [unquote(name, errors="strict") for name in path.split("/") if name not in ("", ".")]
    except UnicodeDecodeError:
        raise _Unfit("name_is_not_utf8") from None


def _facts(link: Any) -> tuple[int | None, str | None]:
    """Return the (size in bytes, mark) that the row of a link states."""
    row = next(link.iterancestors("tr"), None)
    if row is None:
        words = " ".join((link.tail or "").split())
    else:
        said = []
        for cell in row.iterchildren("td"):
            if next(cell.iter("a"), None) is None:
                said += [str(cell.get("data-size") or cell.get("data-order") or ""), *_times(cell)]
                said.append(str(cell.text_content()))
        words = " ".join(" ".join(said).split())
    if not _DATE.search(words):
        return None, None
    last = words.rpartition(" ")[2]
    return (int(last) if row is None and last.isascii() and last.isdigit() and len(last) < 16 else None), words[:200]


def _times(cell: Any) -> list[str]:
    return [str(time.get("datetime") or "") for time in cell.iter("time")]

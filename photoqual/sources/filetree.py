"""Provider: a tree of folders that a web server shows as index pages (Caddy, nginx, Apache and what looks like them).
Terms: yours to read: robots.txt and the delay are honoured, the rest is between you and the server's owner.
Rate limit: `politeness` in params.yaml; by default one request a second, two at a time. For a server of your own
`delay_seconds: 0` and `concurrency: 16` fetch thousands of small photos a second.
Rating scale: none; with `label_pattern` a part of the path is judged by `good` and `bad` like a folder.
Output: a record per file that `pattern` picks, its bytes where they are new or have changed.

A file is asked for only when the index page states another time or size than at the last refresh; where it states none,
the server is asked whether the file has changed (ETag, Last-Modified). Links that lead up or out of the tree, to linked
folders and in circles are refused and counted.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from photoqual.config import FiletreeSource, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.sources import _addresses, _paths
from photoqual.sources._bulk import Answer, Bulk, Wanted
from photoqual.sources._globs import Glob
from photoqual.sources._mirror import Copies
from photoqual.sources._walk import File, Walk
from photoqual.sources.folders import label_hint
from photoqual.sources.records import FORGOTTEN, Event, Fetched, Known, Record, Skipped

SETTLED_SECONDS = 120.0
"""Age that a file must have before a time to the minute tells its states apart."""
_STATUS = {
    "timeout": "did not answer in time",
    "connection_refused": "refused the connection",
    "connection_lost": "broke the connection off",
    "unknown_host": "has no address",
    "bad_certificate": "has no certificate that is trusted",
    "robots_txt": "is closed to crawlers by its robots.txt",
    "robots_txt_unreadable": "fails when asked for its robots.txt",
    "other_host": "leads to another host",
    "leaves_tree": "leads out of the tree",
    "redirected": "leads to another folder",
    "private_address": "leads to a private address",
    "not_a_page": "is no index page",
    "not_an_index": "is no index page",
}
_NEXT_STEPS = {
    "robots_txt": "Ask the server's owner; for a server of your own set politeness.obey_robots to false.",
    "other_host": "Put the address that it leads to into `start`.",
    "leaves_tree": "Put the address that it leads to into `start`.",
    "redirected": "Put the address that it leads to into `start`.",
    "private_address": "For a server on your own network set politeness.allow_private_addresses to true.",
    "not_a_page": "Open it in a browser: it has to list files. Set `start` to a folder.",
    "not_an_index": "Open it in a browser: it has to list files. Set `start` to a folder.",
    "http_404": "Correct `start` in params.yaml.",
}


class Filetree:
    """A browsable file tree."""

    def __init__(self, config: FiletreeSource, photos: PhotosParams) -> None:
        self.config = config
        self.max_bytes = int(photos.max_megabytes * 1e6)
        self._found: dict[str, Any] = {}
        self._whole = False

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Event]:
        """Walk the tree. Raise SourceError when no start address shows an index page, when the server fails again and
        again, or when the mirror does not take a copy; ConfigError for an option that cannot be read.
        """
        config = self.config
        starts = _starts(config.start)
        glob = Glob(config.pattern)
        self._date = _paths.date_pattern(config.date_pattern)
        self._label = _paths.label_pattern(config.label_pattern)
        self._found, self._whole = {}, False
        copies = Copies(config.mirror) if config.mirror else None
        with ExitStack() as stack:
            bulk = stack.enter_context(Bulk(config.politeness, {_addresses.authority(start) for start in starts}))
            walks = [Walk(bulk, start, glob) for start in starts]
            events = bulk.in_order(self._plans(walks, known), self._settle, limit)
            yield from copies.made_of(events) if copies else events
            self._found = {"folders": sum(walk.folders for walk in walks), "addresses_asked": bulk.asked}
            if copies:
                self._found |= {"mirrored": copies.sent, "mirrored_before": copies.present}

    def report(self) -> dict[str, Any]:
        """Return how many folders were read and addresses asked for, and copies made."""
        return self._found

    def told_all(self) -> bool:
        """Return whether the last harvest went through every folder, so that photos it did not name are gone."""
        return self._whole

    def _plans(self, walks: list[Walk], known: Mapping[str, Known]) -> Iterator[Event | Wanted]:
        """Yield what is to be done about each file. Raise SourceError when no walk came past its start."""
        for number, walk in enumerate(walks):
            for found in walk.files():
                if isinstance(found, Skipped):
                    yield found
                    continue
                key = f"{walk.start}{found.path}" if number else found.path
                yield self._plan(walk, found, key, known.get(key))
        failed = [walk.failed for walk in walks if walk.failed]
        if len(failed) == len(walks):
            raise _nothing(failed[0], self.config.start)
        self._whole = not any(walk.unread for walk in walks)

    def _plan(self, walk: Walk, file: File, key: str, held: Known | None) -> Event | Wanted:
        """Decide about one file from what its index page, its path and the catalog say of it."""
        if held is not None and held.forgotten:
            return FORGOTTEN
        try:
            taken_at = _paths.date(self._date, file.path)
            label = _paths.label(self._label, file.path)
        except _paths.Untold as problem:
            return Skipped(problem.reason, file.url)
        hint = label_hint((label,), self.config.good, self.config.bad) if label else None
        if label and hint is None:
            return Skipped("label_not_named", file.url)
        record = Record(
            source_key=key,
            page_url=file.folder_url,
            image_url=file.url,
            group=taken_at.date().isoformat() if taken_at else None,
            title=PurePosixPath(file.path).stem,
            uploaded_at=held.uploaded_at if held else None,
            taken_at=taken_at,
            label_hint=hint,
            etag=held.etag if held else None,
            page_etag=file.entry.mark,
        )
        if held is not None and held.page_etag is not None and held.page_etag == file.entry.mark:
            return Fetched(record)
        if file.entry.size is not None and file.entry.size > self.max_bytes:
            return Fetched(record, refused="too_many_bytes")
        exact = file.entry.exact
        return Wanted(file.url, walk.start, self.max_bytes, record, record.etag, exact)

    def _settle(self, wanted: Wanted, answer: Answer) -> Event:
        """Return what came of asking for a file."""
        refused = answer.reason if answer.reason == "too_many_bytes" else None
        if (answer.reason and not refused) or (answer.status == 304 and not wanted.mark):
            gone = answer.reason in ("http_404", "http_410")
            return Skipped(answer.reason or "http_304", wanted.url, None if gone else wanted.record.source_key)
        changed, asked = _time(answer.modified), _time(answer.date)
        settled = changed and asked and (asked - changed).total_seconds() >= SETTLED_SECONDS
        record = replace(wanted.record, page_etag=wanted.record.page_etag if wanted.exact or settled else None)
        if answer.status == 304 or (wanted.mark and answer.mark == wanted.mark):
            return Fetched(record)
        record = replace(record, etag=answer.mark, uploaded_at=changed)
        return Fetched(record, refused=refused) if refused else Fetched(record, answer.data)


def _starts(addresses: list[str]) -> list[str]:
    """Return the start addresses in one form, with a slash at their ends. Raise ConfigError for one that is no folder."""
    starts: list[str] = []
    for address in addresses:
        start = quote(address, safe="/:%?#[]@!$&'()*+,;=~") + ("" if address.endswith("/") else "/")
        try:
            parts = urlsplit(start)
            unfit = not _addresses.is_http(start) or parts.query or parts.fragment or "@" in parts.netloc
        except ValueError:
            unfit = True
        if unfit or not {".", ".."}.isdisjoint(parts.path.split("/")):
            raise ConfigError(
                f"start {address!r} is not the address of a folder.",
                next_step="Write it as https://host/folder/, without ?, # and a user's name.",
            )
        if any(start.startswith(other) or other.startswith(start) for other in starts):
            raise ConfigError(
                f"start {address!r} lies within another start, or the other way round.", next_step="Name it once."
            )
        starts.append(start)
    return starts


def _time(header: str | None) -> datetime | None:
    """Return the time that a header states."""
    try:
        found = parsedate_to_datetime(header or "")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _nothing(answer: Answer, start: list[str]) -> SourceError:
    """Say why no start address showed a folder."""
    reason = answer.reason or ""
    said = _STATUS.get(
        reason, f"answered {reason.removeprefix('http_')}" if reason.startswith("http_") else f"failed: {reason}"
    )
    return SourceError(
        f"The tree shows nothing: {answer.url} {said}.",
        next_step=_NEXT_STEPS.get(reason, "Open it in a browser; if the server is well again, run the refresh again."),
        start=start,
        reason=reason,
    )

"""Walk the folders of a file tree by their index pages, from the top down and in the order of names."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote

from photoqual.errors import SourceError
from photoqual.sources import _index_pages
from photoqual.sources._bulk import Answer, Bulk
from photoqual.sources._globs import Glob, States
from photoqual.sources._index_pages import Entry, NotAnIndex
from photoqual.sources.records import Skipped

PAGE_BYTES = 32_000_000
"""Largest index page that is read: some 200,000 files."""
MAX_DEPTH = 32
MAX_PATH_BYTES = 1024
MAX_FRUITLESS = 20_000
"""Folders in a row without a file that is picked, after which the tree is taken for one without an end."""
_ACCEPT = "application/json, text/html;q=0.9, application/xhtml+xml;q=0.9"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the tree that is picked; `path` is its decoded path below the start."""

    path: str
    url: str
    folder_url: str
    entry: Entry


@dataclass(slots=True)
class _Folder:
    path: str
    url: str
    states: States
    above: tuple[int, ...]
    """What tells the listings of the folders above apart."""
    number: int | None = None
    """By which its page is to be had, once it was asked for."""


class Walk:
    """A walk below one start address, which ends with a slash."""

    def __init__(self, bulk: Bulk, start: str, glob: Glob) -> None:
        self.bulk, self.start, self.glob = bulk, start, glob
        self.folders = self.unread = 0
        """Folders whose page was read, and whose was not."""
        self.failed: Answer | None = None
        """What the start address answered, when that was no index page."""

    def files(self) -> Iterator[File | Skipped]:
        """Yield the files that are picked. Raise SourceError for a tree that seems to have no end."""
        stack = [_Folder("", self.start, self.glob.start, ())]
        fruitless = 0
        while stack:
            for folder in reversed(stack[-2 * self.bulk.politeness.concurrency :]):
                if folder.number is None:
                    folder.number = self.bulk.ask(folder.url, within=self.start, max_bytes=PAGE_BYTES, accept=_ACCEPT)
            folder = stack.pop()
            below: list[_Folder] = []
            fruitless += 1
            for found in self._look_into(folder):
                if isinstance(found, _Folder):
                    below.append(found)
                    continue
                if isinstance(found, File):
                    fruitless = 0
                yield found
            stack += reversed(below)
            if fruitless > MAX_FRUITLESS:
                raise SourceError(
                    f"{self.start} shows folder after folder without a file that is picked, last {folder.url}.",
                    next_step="Check `pattern`; write it so that it leads to the photos, for example */*/*.jpg.",
                )

    def _look_into(self, folder: _Folder) -> Iterator[File | Skipped | _Folder]:
        """Yield what the page of a folder shows."""
        answer = self.bulk.answer(folder.number or 0)
        reason = answer.reason
        if reason is None and unquote(answer.url.rpartition("/")[0]) + "/" != unquote(folder.url):
            reason = "redirected"
        try:
            entries = [] if reason else _index_pages.read(answer.data, answer.kind, folder.url)
        except NotAnIndex as problem:
            reason, entries = problem.reason, []
        above = folder.above
        shown = tuple(entry for entry in entries if isinstance(entry, Entry))
        if any(entry.is_folder for entry in shown):
            above = (*above, hash(shown))
            if above[-1] in folder.above:
                reason = "loop"
        if reason:
            self.unread += reason != "loop"
            if not folder.path:
                self.failed = Answer(answer.url or folder.url, answer.status, reason)
            yield Skipped(reason, folder.url)
            return
        self.folders += 1
        for entry in entries:
            yield entry if isinstance(entry, Skipped) else self._judge(folder, entry, above)

    def _judge(self, folder: _Folder, entry: Entry, above: tuple[int, ...]) -> File | Skipped | _Folder:
        """Decide about one entry of a folder."""
        path = f"{folder.path}/{entry.name}" if folder.path else entry.name
        url = folder.url + quote(entry.name, safe="") + ("/" if entry.is_folder else "")
        states = self.glob.step(folder.states, entry.name)
        problem = None
        if entry.name.startswith("."):
            problem = "hidden"
        elif entry.is_folder and entry.linked:
            problem = "linked_folder"
        elif not states if entry.is_folder else not self.glob.picks(states):
            problem = "folder_not_picked" if entry.is_folder else "not_picked"
        elif len(path.encode()) > MAX_PATH_BYTES:
            problem = "path_too_long"
        elif entry.is_folder and path.count("/") >= MAX_DEPTH:
            problem = "too_deep"
        if problem:
            return Skipped(problem, url)
        if entry.is_folder:
            return _Folder(path, url, states, above)
        return File(path, url, folder.url, entry)

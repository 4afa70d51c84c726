"""Provider: folders of photos on this machine, sorted by a person: the folder's name is the judgement.
Terms: your own files; they are read, never changed.
Rate limit: none.
Rating scale: none; the label rule `folders` reads `label_hint`: `good`, `bad`, or `bad:<name of the defect's folder>`.
Output: a record per image file, the bytes of those that are new or have changed.

A photo belongs to the nearest folder above it that `good` or `bad` names; without `bad`, every other folder is a
class of its own. Links that leave the folder are not followed.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from photoqual.config import FoldersSource, PhotosParams
from photoqual.errors import ConfigError
from photoqual.sources import _files
from photoqual.sources.records import Fetched, Known, Record, Skipped


class Folders:
    """Photos in good and bad folders, or in one folder per class."""

    def __init__(self, config: FoldersSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Walk the folder. Raise SourceError when it is missing."""
        yield from _files.limited(self._all(known), limit)

    def _all(self, known: Mapping[str, Known]) -> Iterator[Fetched | Skipped]:
        top = _files.folder(self.config.path, self.root, "path")
        groups = self._groups()
        pattern = _compiled(self.config.group_pattern)
        for path in _files.images(top):
            if isinstance(path, Skipped):
                yield path
                continue
            key = _files.key(path, top)
            hint = label_hint(Path(key).parent.parts, self.config.good, self.config.bad)
            if hint is None:
                yield Skipped("folder_without_label", str(path))
                continue
            group = groups.get(key) or groups.get(path.name) or _group(pattern, key)
            record = Record(source_key=key, group=group, title=path.stem, label_hint=hint, etag=_files.mark(path))
            yield _files.fetch(path, record, known, self.max_megabytes)

    def _groups(self) -> dict[str, str]:
        """Return the group of each file name or path in the table of groups."""
        config = self.config
        if config.groups_csv is None:
            return {}
        columns: dict[str, str | None] = {"groups_image": config.groups_image, "groups_group": config.groups_group}
        rows = _files.table(config.groups_csv, self.root, columns)
        return {row[config.groups_image]: row[config.groups_group] for row in rows if row[config.groups_group]}


def label_hint(folders: tuple[str, ...], good: list[str], bad: list[str] | None) -> str | None:
    """Return the judgement of a photo that lies in `folders` (outermost first): `good`, `bad`, `bad:<folder>` or None.

    The nearest named folder decides; a folder simply called `bad` names no defect.
    """
    for name in reversed(folders):
        if name in good:
            return "good"
        if bad is not None and name in bad:
            return _bad(name)
    return _bad(folders[-1]) if bad is None and folders else None


def _bad(name: str) -> str:
    return "bad" if name.lower() == "bad" else f"bad:{name}"


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern) if pattern else None
    except re.error as error:
        raise ConfigError(
            f"group_pattern {pattern!r} is not a regular expression: {error}.", next_step="Mend it in params.yaml."
        ) from None


def _group(pattern: re.Pattern[str] | None, key: str) -> str | None:
    match = pattern.search(key) if pattern else None
    if match is None:
        return None
    return match.group(1) if match.re.groups else match.group()

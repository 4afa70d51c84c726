"""Provider: folders of photos on this machine, sorted by a person: the folder's name is the judgement.
Terms: your own files; they are read, never changed.
Rate limit: none.
Rating scale: none; the label rule `folders` reads `label_hint`: `good`, `bad`, or `bad:<name of the defect's folder>`.
Output: a record per image file, the bytes of those that are new or have changed.

A photo belongs to the nearest folder above it that `good` or `bad` names; without `bad`, every other folder is a
class of its own. All photos in the folders `also_good` are good. Links that leave their folder are not followed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from photoqual.config import FoldersSource, PhotosParams
from photoqual.errors import ConfigError
from photoqual.sources import _files, _tables
from photoqual.sources.records import Fetched, Known, Record, Skipped


class Folders(_files.Telling):
    """Photos in good and bad folders, or in one folder per class."""

    def __init__(self, config: FoldersSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Walk the folder. Raise SourceError when it is missing."""
        yield from self.tell(self._all(known), limit)

    def _all(self, known: Mapping[str, Known]) -> Iterator[Fetched | Skipped]:
        tops = self._tops()
        groups = self._groups()
        pattern = _compiled(self.config.group_pattern)
        for top, name in tops.items():
            within = [other for other in tops if other != top and other.is_relative_to(top)]
            for shot in _shots(path for path in _files.images(top) if not _lies_in(path, within)):
                if isinstance(shot, Skipped):
                    yield shot
                    continue
                keys = [_files.key(path, top) for path in shot]
                found = (groups.get(key) or groups.get(Path(key).name) or _group(pattern, key) for key in keys)
                group = next(filter(None, found), None)
                if group is None and len(shot) > 1:
                    group = name + keys[0].removesuffix(shot[0].suffix)
                for path, key in zip(shot, keys, strict=True):
                    yield self._photo(path, key, name, group, known)

    def _photo(
        self, path: Path, key: str, name: str, group: str | None, known: Mapping[str, Known]
    ) -> Fetched | Skipped:
        config = self.config
        hint = "good" if name else label_hint(Path(key).parent.parts, config.good, config.bad)
        if hint is None:
            return Skipped("folder_without_label", str(path))
        try:
            mark = _files.mark(path)
        except OSError:
            return Skipped("unreadable_file", str(path), name + key)
        record = Record(source_key=name + key, group=group, title=path.stem, label_hint=hint, etag=mark)
        return _files.fetch(path, record, known, self.max_megabytes)

    def _tops(self) -> dict[Path, str]:
        """Return the folders to walk, each with what its photos' keys begin with: nothing for `path` itself."""
        tops = {_files.folder(self.config.path, self.root, "path"): ""}
        for path in self.config.also_good:
            top = _files.folder(path, self.root, "also_good")
            if top in tops:
                raise ConfigError(f"The source names {top} twice.", next_step="Name it once in `path` and `also_good`.")
            tops[top] = f"also_good:{path.rstrip('/')}/"
        return tops

    def _groups(self) -> dict[str, str]:
        """Return the group of each file name or path in the table of groups."""
        config = self.config
        if config.groups_csv is None:
            return {}
        columns = {"groups_image": config.groups_image, "groups_group": config.groups_group}
        images, groups = (
            _tables.texts(column) for _, column in _tables.read(config.groups_csv, self.root, columns).frame.items()
        )
        return {image: group for image, group in zip(images, groups, strict=True) if group}


def _lies_in(found: Path | Skipped, folders: list[Path]) -> bool:
    path = Path(found.where) if isinstance(found, Skipped) else found
    return any(path.is_relative_to(folder) for folder in folders)


def _shots(images: Iterable[Path | Skipped]) -> Iterator[list[Path] | Skipped]:
    """Yield the files of each shot together: those of one folder and name, such as IMG_1.CR2 and IMG_1.JPG."""
    shots: dict[str, list[Path]] = {}
    folder = None
    for found in images:
        if isinstance(found, Skipped):
            yield found
            continue
        if found.parent != folder:
            yield from shots.values()
            folder, shots = found.parent, {}
        shots.setdefault(found.stem, []).append(found)
    yield from shots.values()


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

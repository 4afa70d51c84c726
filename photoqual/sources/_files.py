"""What the sources on disk share: finding images without leaving their folder, and reading those that are new."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from photoqual.errors import SourceError
from photoqual.photos import formats
from photoqual.photos.decode import SUFFIXES
from photoqual.sources.records import FORGOTTEN, Fetched, Known, Record, Skipped

UNREADABLE_FOLDER = "unreadable_folder"


def located(path: str, root: Path) -> Path:
    """Return where `path` (`~` expanded, relative to `root`) lies, resolved. Raise SourceError for a home of nobody."""
    try:
        return (root / Path(path).expanduser()).resolve()
    except RuntimeError as error:
        raise SourceError(f"{path} cannot be located: {error}.", next_step="Correct the path in params.yaml.") from None


def folder(path: str, root: Path, option: str) -> Path:
    """Return the folder `path` (`~` expanded, relative to `root`), resolved. Raise SourceError when there is none."""
    found = located(path, root)
    if not found.is_dir():
        raise SourceError(
            f"{found} is not a folder.",
            next_step=f"Set `{option}` of the source in params.yaml to a folder of photos.",
            path=str(found),
        )
    return found


def images(top: Path) -> Iterator[Path | Skipped]:
    """Yield the image files under `top` in a stable order; what is passed over comes as Skipped. A folder that cannot be
    read comes as `unreadable_folder`: nobody knows then what is gone.
    """
    unread: list[OSError] = []
    for here, folders, names in os.walk(top, followlinks=False, onerror=unread.append):
        for name in [name for name in folders if (Path(here) / name).is_symlink()]:
            yield Skipped("linked_folder", str(Path(here) / name))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here) / name
            if name.startswith("."):
                continue
            if not _is_utf8(str(path)):
                yield Skipped("name_is_not_utf8", os.fsencode(path).decode(errors="replace"))
            elif path.suffix.lower() not in SUFFIXES:
                yield Skipped("not_an_image_file", str(path))
            elif problem := unsafe(path, top):
                yield Skipped(problem, str(path))
            else:
                yield path
    yield from (Skipped(UNREADABLE_FOLDER, str(error.filename)) for error in unread)


def _is_utf8(name: str) -> bool:
    """Tell whether `name` can be written into the catalog; a name of other bytes comes with surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unsafe(path: Path, top: Path) -> str | None:
    """Return why the file `path` may not be read (`leaves_folder`, `no_such_file`), or None. `top` is resolved."""
    try:
        real = path.resolve()
        if not real.is_relative_to(top):
            return "leaves_folder"
        return None if real.is_file() else "no_such_file"
    except (OSError, ValueError, RuntimeError):
        return "no_such_file"


def mark(path: Path) -> str:
    """Return what changes when the file does: its size in bytes and the time of its last change."""
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def fetch(path: Path, record: Record, known: Mapping[str, Known], max_megabytes: float) -> Fetched | Skipped:
    """Return `record` with the bytes of `path`, where the catalog does not hold this state of the file yet. A file whose
    decoder is not installed is passed over, so that it comes once it is.
    """
    held = known.get(record.source_key)
    if held is not None and held.forgotten:
        return FORGOTTEN
    if held is not None and held.etag == record.etag:
        return Fetched(record)
    if missing := formats.missing_decoder(path.suffix):
        return Skipped(missing, f"{path} (to decode it, install {formats.EXTRA})", record.source_key)
    try:
        if path.stat().st_size > max_megabytes * 1e6:
            return Fetched(record, refused="too_many_bytes")
        return Fetched(record, path.read_bytes())
    except OSError:
        return Skipped("unreadable_file", str(path), record.source_key)


def limited(events: Iterator[Fetched | Skipped], limit: int | None) -> Iterator[Fetched | Skipped]:
    """Yield `events` up to the first new photo beyond `limit`."""
    new = 0
    for event in events:
        if isinstance(event, Fetched) and (event.data is not None or event.refused):
            if new == limit:
                return
            new += 1
        yield event


def key(path: Path, top: Path) -> str:
    """Return the key of a file: its path under `top`, with forward slashes on every system."""
    return PurePosixPath(path.relative_to(top)).as_posix()


class Telling:
    """Whether a harvest named all there is, for sources that are read to their end: see `records.Tells`."""

    _told_all = False

    def told_all(self) -> bool:
        return self._told_all

    def tell(self, events: Iterator[Fetched | Skipped], limit: int | None) -> Iterator[Fetched | Skipped]:
        """Yield `events` up to the first new photo beyond `limit`, and note whether they came to their end."""
        self._told_all, readable = False, True

        def noted() -> Iterator[Fetched | Skipped]:
            nonlocal readable
            for event in events:
                readable &= not (isinstance(event, Skipped) and event.reason == UNREADABLE_FOLDER)
                yield event
            self._told_all = readable

        yield from limited(noted(), limit)

"""What the sources on disk share: finding images without leaving their folder, and reading tables of a person's making."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from photoqual.errors import SourceError
from photoqual.photos.decode import SUFFIXES
from photoqual.sources.records import Fetched, Known, Record, Skipped


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
    """Yield the image files under `top` in a stable order; what is passed over comes as Skipped."""
    for here, folders, names in os.walk(top, followlinks=False):
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
    """Return `record` with the bytes of `path`, where the catalog does not hold this state of the file yet."""
    held = known.get(record.source_key)
    if held is not None and held.etag == record.etag:
        return Fetched(record)
    try:
        if path.stat().st_size > max_megabytes * 1e6:
            return Fetched(record, refused="too_many_bytes")
        return Fetched(record, path.read_bytes())
    except OSError:
        return Skipped("unreadable_file", str(path))


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


def table(path: str, root: Path, columns: dict[str, str | None]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file (comma, semicolon or tab; UTF-8 with or without a mark), once its header is right.

    `columns` maps an option of the source to the column that it names; None: not used. Raise SourceError that names
    what is missing and what there is.
    """
    file = located(path, root)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SourceError(
            f"{file} does not exist.", next_step="Correct the path of the table in params.yaml.", path=str(file)
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"{file} cannot be read as UTF-8 text: {error}.", next_step="Save it as CSV in UTF-8.", path=str(file)
        ) from None
    header = next(iter(text.splitlines()), "")
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    try:
        yield from _checked(rows, file, columns)
    except csv.Error as error:
        raise SourceError(
            f"{file} is not valid CSV after line {rows.line_num}: {error}.",
            next_step="Mend the line that follows; a quote that is never closed reaches to the end of the file.",
            path=str(file),
        ) from None


def _checked(rows: "csv.DictReader[str]", file: Path, columns: dict[str, str | None]) -> Iterator[dict[str, str]]:
    """Yield `rows` with trimmed values once the header is right."""
    present = [name.strip() for name in rows.fieldnames or []]
    rows.fieldnames = present
    missing = {option: column for option, column in columns.items() if column is not None and column not in present}
    if missing:
        raise SourceError(
            f"{file} has no column {', '.join(repr(column) for column in missing.values())}; it has {', '.join(present) or 'none'}.",
            next_step=f"Set {', '.join(f'`{option}`' for option in missing)} of the source in params.yaml to the right column.",
            path=str(file),
        )
    for row in rows:
        yield {
            name: (value or "").strip()
            for name, value in row.items()
            if isinstance(name, str) and not isinstance(value, list)
        }

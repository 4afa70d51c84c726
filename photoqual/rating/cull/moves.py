"""Move files to a folder and bring them back: nothing is overwritten, lost or doubled, whatever instant a process is
killed at.

A name is reserved by an empty file before the file itself is renamed over it, since a rename alone would overwrite. Across
file systems a file is copied beside its new place, read again and compared, renamed, and only then removed. The journal
is ahead of all this: a file found under both paths is therefore one that was not finished, and is told by its bytes.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from photoqual.rating.cull.journal import BACK, MOVE, Entry, Journal, held, sync_folder, units

_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_CHUNK = 1 << 20


@dataclass
class Outcome:
    """How many files were moved, and (path, why) of those that were not."""

    files: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)


def move(groups: Sequence[Sequence[Path]], top: Path, folder: Path) -> Outcome:
    """Move the files of each of `groups`, which lie under `top`, to the same path under `folder`; a group moves whole or not
    at all. What an earlier move did not finish is finished first.

    Raise ConfigError where `folder` cannot be used: see `journal.held`.
    """
    outcome = Outcome()
    with held(folder, top) as journal:
        try:
            settled = _settle(journal)
        except OSError as error:
            outcome.problems.append((str(folder), f"what was begun earlier is not finished: {error.strerror or error}"))
            return outcome
        outcome.files += len(settled)
        number = max((entry.unit for entry in journal.entries), default=0)
        for at, whole in enumerate(groups):
            group = [file for file in whole if file not in settled]
            if not group:
                continue
            number += 1
            try:
                _move_group(journal, group, number)
                outcome.files += len(group)
            except OSError as error:
                outcome.problems.append((str(group[0]), f"{error.strerror or error}"))
                if error.errno in _HOPELESS:
                    outcome.problems += [(str(rest[0]), "not tried after that") for rest in groups[at + 1 :]]
                    break
    return outcome


def undo(folder: Path) -> Outcome:
    """Bring back all that was moved to `folder`. What cannot be brought back stays in it, and in its journal.

    Raise ConfigError where there is nothing to undo, DataError for a damaged journal.
    """
    outcome = Outcome()
    with held(folder) as journal:
        ours = _begun_back(journal)
        waiting = journal.moves()[::-1]
        journal.write([Entry(BACK, entry.path, entry.size, entry.unit) for entry in waiting])
        stay = []
        for entry in waiting:
            try:
                if _bring_back(journal, entry, reserved=entry.path in ours):
                    outcome.files += 1
            except OSError as error:
                outcome.problems.append((entry.path, f"{error.strerror or error}"))
                if (folder / entry.path).exists():
                    stay.append(entry)
        journal.keep_only(stay[::-1])
        _remove_empty(folder, [folder / entry.path for entry in waiting])
    return outcome


def _move_group(journal: Journal, group: Sequence[Path], number: int) -> None:
    """Move the files of one group; none of them when one cannot be moved."""
    pairs = [(file, journal.folder / file.relative_to(journal.top)) for file in group]
    for file, target in pairs:
        _check_target(target, journal.folder)
        file.stat()
    paths = [file.relative_to(journal.top).as_posix() for file in group]
    journal.write([Entry(MOVE, path, file.stat().st_size, number) for path, file in zip(paths, group, strict=True)])
    done = []
    try:
        for file, target in pairs:
            carry(file, target)
            done.append((file, target))
    except OSError:
        for file, target in done:
            carry(target, file)
        raise


def _check_target(target: Path, folder: Path) -> None:
    """Raise OSError where something is at `target` already, or its folder leads elsewhere."""
    if os.path.lexists(target):
        raise OSError(errno.EEXIST, f"There is a file {target} already")
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise OSError(errno.EPERM, f"{target.parent} leads out of {folder}")


def _settle(journal: Journal) -> set[Path]:
    """Undo what is half done of each file, then finish a group of which some files moved when a process was killed.
    Return what was moved for that, by its old paths.
    """
    ours = _begun_back(journal)
    last = [entry for entry in journal.moves() if entry.unit == max(units(journal.entries))]
    for entry in journal.moves():
        source, target = journal.top / entry.path, journal.folder / entry.path
        _clear(source, target, reserved=entry.path in ours)
    missing = [entry for entry in last if _is_at(journal.top, entry) and not _is_at(journal.folder, entry)]
    if len(missing) < len(last) and not ours & {entry.path for entry in last}:
        for entry in missing:
            carry(journal.top / entry.path, journal.folder / entry.path)
        return {journal.top / entry.path for entry in missing}
    return set()


def _bring_back(journal: Journal, entry: Entry, *, reserved: bool) -> bool:
    """Bring one file back; tell whether that was still to do. Raise OSError where its place is taken or it is gone."""
    source, target = journal.top / entry.path, journal.folder / entry.path
    _clear(source, target, reserved=reserved)
    if not os.path.lexists(target):
        if not os.path.lexists(source):
            raise OSError(errno.ENOENT, "it is neither there nor in its old place any more")
        return False
    if os.path.lexists(source):
        raise OSError(errno.EEXIST, f"another file is at {source} by now, so it stays in {journal.folder}")
    carry(target, source)
    return True


def _clear(source: Path, target: Path, *, reserved: bool) -> None:
    """Remove what a killed process left of one file: half a copy, a reserved name, one of two whole copies. `reserved`: an
    empty file at `source` is a name that was reserved for bringing it back.
    """
    for place in (source, target):
        _part(place).unlink(missing_ok=True)
    if not (source.is_file() and target.is_file()):
        return
    if target.stat().st_size == 0:
        target.unlink()
    elif reserved and source.stat().st_size == 0:
        source.unlink()
    elif _digest(source) == _digest(target):
        target.unlink()


def carry(source: Path, target: Path) -> None:
    """Move a file to `target`, where nothing is; make the folders it needs. Raise OSError, FileExistsError among them."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        try:
            source.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, target)
            sync_folder(target.parent)
            source.unlink()
    except OSError:
        _part(target).unlink(missing_ok=True)
        if source.exists() or target.stat().st_size == 0:
            target.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    sync_folder(source.parent)


def _copy(source: Path, target: Path) -> None:
    """Copy a file over `target`, with its times and permissions; it appears whole. Raise OSError when it reads differently."""
    part = _part(target)
    shutil.copyfile(source, part)
    shutil.copystat(source, part)
    with part.open("rb") as written:
        os.fsync(written.fileno())
        os.posix_fadvise(written.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if _digest(part) != _digest(source):
        raise OSError(errno.EIO, f"The copy of {source} reads differently")
    part.replace(target)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.photoqual-part")


def _digest(path: Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def _begun_back(journal: Journal) -> set[str]:
    """Return the files that a killed process began to bring back."""
    last = {entry.path: entry.event for entry in journal.entries}
    return {path for path, event in last.items() if event == BACK}


def _is_at(folder: Path, entry: Entry) -> bool:
    return os.path.lexists(folder / entry.path)


def _remove_empty(folder: Path, files: Sequence[Path]) -> None:
    """Remove the folders under `folder` that held `files` and are empty now, and `folder` itself if it is."""
    parents = {parent for file in files for parent in file.parents if parent.is_relative_to(folder)}
    for parent in sorted(parents, key=lambda path: -len(path.parts)):
        with suppress(OSError):
            parent.rmdir()

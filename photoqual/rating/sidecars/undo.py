"""`photoqual xmp undo`: take out of sidecars what we wrote, and nothing else."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from photoqual.errors import UnusableSidecar
from photoqual.photos.xmp import NAMESPACE
from photoqual.rating.found import Skipped
from photoqual.rating.sidecars import edit, store
from photoqual.rating.sidecars.places import sidecar_of, sidecars_under
from photoqual.rating.sidecars.told import Told
from photoqual.sources._sidecars import SUFFIX, Sidecars

RESTORED, DELETED, UNTOUCHED = "restored", "deleted", "without_ours"


def undo(paths: Iterable[Path], *, write: bool) -> Told:
    """Take out what we wrote in the sidecars among `paths`: photos, sidecars, and folders with all below them."""
    told = Told((RESTORED, DELETED, UNTOUCHED), write)
    for item in _found(paths):
        if isinstance(item, Skipped):
            told.skipped.append(item)
            continue
        try:
            with store.held(item.parent):
                told.sidecars[_undo_one(item, write)] += 1
        except UnusableSidecar as error:
            told.skip(_shown(item), error.reason, error.message)
    return told


def _undo_one(sidecar: Path, write: bool) -> str:
    before = store.read(sidecar)
    if before is None or NAMESPACE.encode() not in before:
        return UNTOUCHED
    after = edit.remove(before)
    if after == before:
        return UNTOUCHED
    if write:
        store.replace(sidecar, before, after)
    return DELETED if after is None else RESTORED


def _found(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    sidecars = Sidecars()
    for path in paths:
        if path.is_dir():
            yield from sidecars_under(path)
        elif path.suffix.lower() == SUFFIX and path.is_file():
            yield path
        elif path.is_file():
            sidecar = sidecar_of(path, sidecars)
            if sidecar.exists():
                yield sidecar
        else:
            yield Skipped(_shown(path), "not_found", "There is no such file or folder.")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")

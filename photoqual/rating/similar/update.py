"""Bring an index up to date with its folders: only photos that are new or have changed are looked at."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from photoqual.models.scorer import Scorer
from photoqual.rating.rater import Skipped, find_photos
from photoqual.rating.similar.features import placed
from photoqual.rating.similar.store import State, Store

_KEPT_AFTER = 64
"""Photos after which the index is written: what a kill costs at most."""
Progress = Callable[[list[Path]], Iterable[Path]]


@dataclass
class Updated:
    """What an update did: photos taken in, photos left out since they are gone, and photos that could not be read."""

    added: int = 0
    removed: int = 0
    skipped: list[Skipped] = field(default_factory=list)


def update(store: Store, scorer: Scorer, folders: Sequence[Path], *, model: str, progress: Progress = iter) -> Updated:
    """Take the photos in `folders` (absolute) into the index, leave out those that are gone from them, and say what was
    done. A photo that is there but cannot be read any more is left out too; those of a folder
    that is not there, as of a disk that is not mounted, stay.
    """
    done = Updated()
    known = store.states()
    new, seen = _compare(known, folders, done)
    waiting = {state.path: state for state in new}
    photos = progress([Path(state.path) for state in new])
    results = placed(scorer, photos, model, lambda _: None)
    for batch in _batches(results):
        store.put(
            [
                (waiting[found.rating.photo], np.asarray(found.vector))
                for found in batch
                if not isinstance(found, Skipped)
            ]
        )
        bad = [found for found in batch if isinstance(found, Skipped)]
        store.forget(skip.photo for skip in bad if skip.photo in known)
        done.skipped += bad
        done.added += len(batch) - len(bad)
    there = [folder for folder in folders if folder.is_dir()]
    gone = [path for path in known if path not in seen and lies_in(path, there) and _is_gone(path)]
    store.forget(gone)
    done.removed = len(gone)
    return done


def _compare(known: dict[str, State], folders: Sequence[Path], done: Updated) -> tuple[list[State], set[str]]:
    """Return the photos that are new or have changed, and the paths of all."""
    new: list[State] = []
    seen: set[str] = set()
    for found in find_photos(folders):
        if isinstance(found, Skipped):
            done.skipped.append(found)
            continue
        try:
            state = State.of(found)
        except OSError as error:
            done.skipped.append(Skipped(str(found), "unreadable_file", f"{error.strerror or error}."))
            continue
        if state.path in seen:
            continue
        seen.add(state.path)
        if known.get(state.path) != state:
            new.append(state)
    return new, seen


def _batches(items: Iterator) -> Iterator[list]:  # type: ignore[type-arg]
    while batch := list(itertools.islice(items, _KEPT_AFTER)):
        yield batch


def lies_in(path: str, folders: Sequence[Path]) -> bool:
    """Tell whether the photo at `path` lies in one of `folders`."""
    return any(Path(path).is_relative_to(folder) for folder in folders)


def _is_gone(path: str) -> bool:
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False

"""`photoqual similar`: the photos of some folders that are most like one photo."""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from photoqual.errors import ConfigError, DataError
from photoqual.models.info import ONNX
from photoqual.models.scorer import Scorer
from photoqual.rating.rater import Skipped
from photoqual.rating.similar.features import placed
from photoqual.rating.similar.space import Space
from photoqual.rating.similar.store import State, Store, default_folder, opened
from photoqual.rating.similar.update import Updated, lies_in, update
from photoqual.starter.model import resolve
from photoqual.terminal import plain


@dataclass(frozen=True)
class Alike:
    """A photo and how alike it is: the cosine, 1 for the same picture, about 0 for pictures with nothing in common."""

    photo: str
    similarity: float


def find_similar(
    photo: Path, *, folders: list[Path], index: Path | None, model: str | None, k: int
) -> tuple[list[Alike], Updated]:
    """Return the `k` photos most like `photo`, the likest first, and what had to be done to the index for it.

    Without `folders` they are those that the index in folder `index` holds already, else the folder of the photo. Raise
    ConfigError for a photo or a folder that is not there, DataError for one that cannot be read.
    """
    if not photo.is_file():
        raise ConfigError(f"There is no photo {photo}.", next_step="Name a file that exists.")
    if missing := [folder for folder in folders if not folder.is_dir()]:
        raise ConfigError(f"{missing[0]} is not a folder.", next_step="Name folders of photos with --in.")
    if find_spec("usearch") is None:  # before a folder is made or a model loaded for nothing
        raise ModuleNotFoundError("Searching needs USearch.", name="usearch")
    name, model_folder = resolve(model)
    scorer = Scorer.load(model_folder, threads=1)
    meaning = f"{hashlib.sha256((model_folder / ONNX).read_bytes()).hexdigest()}-{Space.of(scorer).digest}"
    chosen = [folder.resolve() for folder in folders]
    if not chosen and index is None:
        chosen = [photo.resolve().parent]
    home = (default_folder(chosen) if index is None else index) / hashlib.sha256(meaning.encode()).hexdigest()[:16]
    with opened(home, meaning=meaning) as store:
        store.add_folders(str(folder) for folder in chosen)
        if not store.folders:
            raise ConfigError(f"There is no index of this model in {index}.", next_step="Name folders with --in.")
        looked_in = chosen or [Path(folder) for folder in store.folders]
        done = update(store, scorer, looked_in, model=name, progress=_progress)
        vector = _vector(store, scorer, photo, name)
        return _nearest(store, vector, photo.resolve(), k, looked_in), done


def _nearest(store: Store, vector: np.ndarray, photo: Path, k: int, folders: list[Path]) -> list[Alike]:
    """Return the `k` photos of `folders` that are nearest to `vector`, but for `photo` itself; more and more are looked
    at where the index holds other folders, too.
    """
    index, asked = store.index(len(vector)), k + 1
    while True:
        keys, distances = index.search(vector[None], asked)
        paths = store.paths(keys[0])
        found = [
            Alike(path, round(1 - float(distance), 4))
            for key, distance in zip(keys[0], distances[0], strict=True)
            if (path := paths.get(int(key))) and path != str(photo) and lies_in(path, folders)
        ]
        if len(found) >= k or len(keys[0]) < asked:
            return found[:k]
        asked *= 4


def _vector(store: Store, scorer: Scorer, photo: Path, model: str) -> np.ndarray:
    held = store.vector(State.of(photo.resolve()))
    if held is not None:
        return held
    found = next(placed(scorer, [photo.resolve()], model, lambda _: None))
    if isinstance(found, Skipped):
        raise DataError(f"{photo} cannot be used: {found.message}", next_step="Name another photo.")
    return found.vector


def _progress(photos: list[Path]) -> Iterable[Path]:
    errors = Console(stderr=True)
    if photos and errors.is_terminal:
        return track(photos, "looking", console=errors, transient=True)
    return photos


def show(found: list[Alike], done: Updated, output: str) -> None:
    """Print photos as a table or as JSON lines on standard output, and what was done to the index on standard error."""
    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    for skip in done.skipped:
        errors.print(f"skipped {skip.photo}: {skip.message}")
    errors.print(f"{done.added} taken in, {done.removed} gone, {len(done.skipped)} skipped")
    if output == "json":
        sys.stdout.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in found)
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("similarity", justify="right")
    table.add_column("photo", overflow="fold")
    for one in found:
        table.add_row(f"{one.similarity:.3f}", plain(one.photo))
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160).print(table)


def summary(found: list[Alike], done: Updated) -> dict[str, Any]:
    """Return what was found and done, for the pipeline."""
    return {"similar": [asdict(one) for one in found], "added": done.added, "removed": done.removed}

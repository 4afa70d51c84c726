"""What the sessions of the label page share: the photos of each desk, their pictures, and what the model makes of them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from photoqual.app.label_look import SAMPLE, Look
from photoqual.app.label_pictures import Pictures
from photoqual.labels.desk import Desk
from photoqual.labels.desk_photos import Photos, find_photos
from photoqual.labels.tournament import is_fair, shuffled

_LABELLED = 500
"""Labelled photos that a model looks at beside the sample, so that none like them is put first."""


@dataclass
class Table:
    """One desk's photos. `refused`: why photos cannot be shown, by id."""

    photos: Photos
    pictures: Pictures
    refused: dict[str, str] = field(default_factory=dict)
    looks: dict[Path, Look] = field(default_factory=dict)


_tables: dict[tuple[Path, str], Table] = {}
_lock = threading.Lock()


def table_of(desk: Desk, progress: Callable[[int], None], *, again: bool = False) -> Table:
    """Return the table of `desk`; the first call, and one `again`, looks through the folder. Raise DataError."""
    key = desk.folder.resolve(), desk.settings.photos
    with _lock:
        if again or key not in _tables:
            photos = find_photos(desk.photos, desk.index, progress)
            _tables[key] = Table(photos, Pictures(photos))
        return _tables[key]


def look_of(desk: Desk, table: Table, model: Path, labelled: list[str]) -> Look:
    """Return what the model in the folder `model` makes of a sample of the photos, and of those `labelled` already."""
    with _lock:
        if model not in table.looks:
            seed = desk.settings.seed
            others = [photo for photo in table.photos.paths if not is_fair(photo, seed)]
            held = [photo for photo in labelled[-_LABELLED:] if photo in table.photos.paths]
            wanted = list(dict.fromkeys([*shuffled(others, seed, 0)[:SAMPLE], *held]))
            table.looks = {model: Look(model, table.photos, wanted, desk.folder / "looks")}
        return table.looks[model]

"""The photos of a folder as labels know them: by the SHA-256 of their bytes, so that renamed photos keep their labels.

Reading every byte takes its time once; `photos.parquet` in the folder of labels keeps what was found, and only files
that are new or have changed are read again.
"""

import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.config import PhotosParams
from photoqual.errors import DataError
from photoqual.photos import formats
from photoqual.photos.containers import find_metadata
from photoqual.photos.exif import Exif, read_exif
from photoqual.sources import _files
from photoqual.sources._sidecars import Shot, bursts
from photoqual.sources.records import Skipped

BURST_SECONDS = 3.0
"""Photos of one camera at most this far apart are of one burst."""
LIMITS = PhotosParams()
_KEEP_SECONDS = 30.0
"""How much work is lost at most when looking through a folder is broken off."""
_SCHEMA = pa.schema([(name, pa.string()) for name in ("path", "mark", "photo_id", "taken", "camera")])
_Row = dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """The photos under `top`: by id the path under it and, where it is one of several, the burst or shot it is of.

    `skipped` counts by reason the files that cannot be labelled; `unread` of them are whole folders.
    """

    top: Path
    paths: dict[str, str]
    groups: dict[str, str]
    skipped: Counter[str] = field(default_factory=Counter)

    def without(self, refused: Mapping[str, str]) -> list[str]:
        """Return the ids of the photos that are not `refused`, in the order of their paths."""
        return [photo for photo in self.paths if photo not in refused]


def find_photos(top: Path, index: Path, progress: Callable[[int], None] = lambda _: None) -> Photos:
    """Look through the folder `top` with the help of `index`, and keep that up to date. `progress` is told how many
    files were looked at. Raise DataError when there is no such folder, or the index cannot be written.
    """
    top = top.resolve()
    if not top.is_dir():
        raise DataError(f"{top} is not a folder.", next_step="Name the folder of the photos to label.", path=str(top))
    known = _read_index(index)
    rows: list[_Row] = []
    skipped: Counter[str] = Counter()
    new, kept = 0, time.monotonic()
    for count, path in enumerate(_files.images(top), start=1):
        row = _row(path, top, known, skipped)
        if row is not None:
            rows.append(row)
            new += row is not known.get(row["path"])
            if time.monotonic() - kept > _KEEP_SECONDS:
                _write_index(index, {**known, **{row["path"]: row for row in rows}}.values())
                kept = time.monotonic()
        progress(count)
    if new or len(rows) != len(known):
        _write_index(index, rows)
    paths: dict[str, str] = {}
    for row in rows:
        if row["photo_id"] in paths:
            skipped["same_photo_again"] += 1
        else:
            paths[row["photo_id"]] = row["path"]
    return Photos(top, paths, _groups(rows), skipped)


def read_photo(photos: Photos, photo: str) -> bytes:
    """Return the bytes of `photo`. Raise DataError when its file is gone, has changed or leads out of the folder."""
    path = photos.top / photos.paths[photo]
    problem = _files.unsafe(path, photos.top)
    if problem is None:
        try:
            if path.stat().st_size <= LIMITS.max_megabytes * 1e6:
                data = path.read_bytes()
                if hashlib.sha256(data).hexdigest() == photo:
                    return data
            problem = "file_changed"
        except OSError:
            problem = "unreadable_file"
    raise DataError(f"{path} cannot be shown: {problem}.", next_step="Look through the folder again.", reason=problem)


def _row(path: Path | Skipped, top: Path, known: Mapping[str, _Row], skipped: Counter[str]) -> _Row | None:
    """Return the row of a file, taken from `known` where it has not changed; None, counted, where it is no photo."""
    if isinstance(path, Skipped):
        skipped[path.reason] += 1
        return None
    key = _files.key(path, top)
    reason = formats.missing_decoder(path.suffix)
    try:
        status = path.stat()
        if reason is None and status.st_size > LIMITS.max_megabytes * 1e6:
            reason = "too_many_bytes"
        if reason is None:
            held = known.get(key)
            mark = _files.mark(path)
            return held if held is not None and held["mark"] == mark else _looked_at(path, key, mark)
    except OSError:
        reason = "unreadable_file"
    skipped[reason] += 1
    return None


def _looked_at(path: Path, key: str, mark: str) -> _Row:
    data = path.read_bytes()
    metadata = find_metadata(io.BytesIO(data))
    exif = read_exif(metadata.exif) if metadata.exif else Exif()
    return {
        "path": key,
        "mark": mark,
        "photo_id": hashlib.sha256(data).hexdigest(),
        "taken": exif.taken.isoformat() if exif.taken else None,
        "camera": exif.camera,
    }


def _groups(rows: list[_Row]) -> dict[str, str]:
    """Return by id the group of the photos that are one of several: a burst, or files of one name in one folder."""
    timed = [row for row in rows if row["taken"]]
    shots = [Shot(row["path"], row["camera"], datetime.fromisoformat(row["taken"])) for row in timed]
    burst = bursts(shots, BURST_SECONDS)
    stems = {row["path"]: PurePosixPath(row["path"]).with_suffix("").as_posix() for row in rows}
    leaders: dict[str, str] = {}
    for path, stem in stems.items():  # twins of one name share the burst of whichever of them tells its time
        leaders.setdefault(stem, burst.get(path, stem))
        if path in burst:
            leaders[stem] = burst[path]
    named = {row["photo_id"]: leaders[stems[row["path"]]] for row in rows}
    sizes = Counter(named.values())
    return {photo: group for photo, group in named.items() if sizes[group] > 1}


def _read_index(index: Path) -> dict[str, _Row]:
    """Return the rows of `index` by path; none where there is no index of ours, for it can be made anew."""
    try:
        table = pq.read_table(index)
    except (OSError, pa.ArrowException):
        return {}
    return {row["path"]: row for row in table.to_pylist()} if table.schema.equals(_SCHEMA) else {}


def _write_index(index: Path, rows: Any) -> None:
    try:
        with files.atomic(index) as temporary:
            pq.write_table(pa.Table.from_pylist(list(rows), schema=_SCHEMA), temporary, compression="zstd")
    except OSError as error:
        raise DataError(
            f"{index} cannot be written: {error.strerror or error}.",
            next_step="Name a folder for the labels that you may write to, on a disk with room.",
            path=str(index),
        ) from None

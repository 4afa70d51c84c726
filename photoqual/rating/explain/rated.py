"""The rated photos most like a photo, and how people voted on them: what the model's opinion can be held against.

They are those of the workspace: its catalog, labels and shards. Where they lie in the model's space is kept in
$XDG_CACHE_HOME/photoqual/rated (default ~/.cache), a file per workspace and model; vectors go by the photo's id, which
is the digest of its bytes, so that only new photos are computed, and photos that are gone from the catalog go from the
file.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.labels.rules.table import read_labels
from photoqual.layout import Layout
from photoqual.models.heads import FEATURES
from photoqual.models.info import ONNX
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.catalog import OK, read_catalog
from photoqual.photos.forgotten import read_forgotten
from photoqual.photos.overview import stars_of
from photoqual.photos.shards import read_photos
from photoqual.rating.similar.space import Space, nearest

MOST = 2000
"""Rated photos that are looked among, at most: those with the most votes."""
_AT_ONCE = 32
_COLUMNS = (
    "source", "source_key", "photo_id", "title", "page_url", "shard", "row", "status", "label_hint",
    "votes_count", "votes_mean", "votes_histogram", "rating_min", "rating_max",
)  # fmt: skip
Progress = Callable[[Iterable[tuple[str, bytes]], int], Iterable[tuple[str, bytes]]]
"""Passes photos on and shows how far it is; the number tells how many will come."""


@dataclass(frozen=True)
class Voted:
    """What people said of a photo. `stars`: mean of the votes on 1 to 5, None without votes. `histogram`: votes by value,
    the lowest first, where the source tells. `good`: the label, None without one. `source`: where it comes from.
    """

    photo_id: str
    title: str
    source: str
    page_url: str | None
    stars: float | None
    votes: int
    histogram: tuple[int, ...]
    good: bool | None


@dataclass(frozen=True)
class Alike:
    """A rated photo, how alike it is (cosine, 1 for the same), and the JPEG of its working copy."""

    voted: Voted
    cosine: float
    jpeg: bytes


@dataclass(frozen=True)
class Neighbours:
    """The rated photos most like a photo, most alike first; `itself` tells of the photo where it is a rated one. `among`:
    how many were looked at, of `rated` that there are.
    """

    alike: list[Alike]
    itself: Voted | None
    among: int
    rated: int


def neighbours(
    scorer: Scorer, pixels: np.ndarray, photo_id: str, layout: Layout, *, k: int = 8, progress: Progress | None = None
) -> Neighbours:
    """Return the `k` rated photos of the workspace most like `pixels`, uint8 (height, width, 3) by `models.seen.look_at`.

    `photo_id` tells the photo itself, which is left out. Raise ConfigError for a model without features, MissingData
    where there is no catalog or a shard is missing.
    """
    space = Space.of(scorer)
    rows, rated = rated_photos(layout)
    if not len(rows):
        return Neighbours([], None, 0, rated)
    vectors = _vectors(scorer, space, layout, rows, progress)
    here = space.place(scorer.answers_of([pixels], (FEATURES,))[FEATURES])
    others = np.flatnonzero((rows["photo_id"] != photo_id).to_numpy())
    near, apart = nearest(vectors[others], here, k)
    chosen = rows.iloc[others[near[0]]]
    jpegs = dict(read_photos(layout.photos, chosen))
    alike = [
        Alike(_voted(row), 1 - float(distance), jpegs[str(row.photo_id)])
        for row, distance in zip(chosen.itertuples(), apart[0], strict=True)
    ]
    itself = next((_voted(row) for row in rows[rows["photo_id"] == photo_id].itertuples()), None)
    return Neighbours(alike, itself, len(rows), rated)


def rated_photos(layout: Layout, most: int = MOST) -> tuple[pd.DataFrame, int]:
    """Return a row for each usable photo that has votes or a label, at most `most` of them, and how many there are."""
    rows = read_catalog(layout.catalog, _COLUMNS)
    rows = rows[(rows["status"] == OK) & rows["shard"].notna()]
    forgotten = read_forgotten(layout.forgotten)
    if forgotten:
        kept = [
            not forgotten.is_forgotten(*place)
            for place in zip(rows.source, rows.source_key, rows.photo_id, strict=True)
        ]
        rows = rows[np.array(kept, dtype=bool)]
    labels = (
        read_labels(layout, ["photo_id", "good"]).set_index("photo_id")["good"] if layout.labels.is_file() else None
    )
    votes = rows["votes_count"].fillna(0).astype("int64").to_numpy()
    stars = np.where(votes > 0, stars_of(rows["votes_mean"], rows["rating_min"], rows["rating_max"]), np.nan)
    made = rows.assign(
        photo_id=rows["photo_id"].astype(str).to_numpy(),
        votes=votes,
        stars=stars,
        good=rows["photo_id"].map(labels).astype("Int8") if labels is not None else pd.NA,
    ).sort_values(["votes", "photo_id"], ascending=[False, True], kind="stable")
    made = made.drop_duplicates("photo_id")  # of a photo on several sources that with the most votes
    made = made[np.isfinite(made["stars"]) | made["good"].notna()]
    return made.head(most), len(made)


def _vectors(scorer: Scorer, space: Space, layout: Layout, rows: pd.DataFrame, progress: Progress | None) -> np.ndarray:
    """Return where `rows` lie, (n, dims), by what is kept and what has to be computed; what was is kept too."""
    place = _kept_at(scorer, space, layout)
    known = _read(place)
    ids = list(rows["photo_id"])
    missing = rows[[photo not in known for photo in ids]]
    if len(missing):
        photos = read_photos(layout.photos, missing)
        try:
            _compute(scorer, space, progress(photos, len(missing)) if progress else photos, known)
        finally:
            _write(place, {photo: known[photo] for photo in ids if photo in known})
    elif len(known) > len(ids):
        _write(place, {photo: known[photo] for photo in ids})
    return np.array([known[photo] for photo in ids], np.float32).reshape(len(ids), -1)


def _compute(scorer: Scorer, space: Space, photos: Iterable[tuple[str, bytes]], known: dict[str, np.ndarray]) -> None:
    batch: dict[str, np.ndarray] = {}

    def flush() -> None:
        features = scorer.answers_of(list(batch.values()), (FEATURES,))[FEATURES]
        known.update(zip(batch, space.place(features).astype(np.float16), strict=True))
        batch.clear()

    for photo, jpeg in photos:
        batch[photo] = input_of(jpeg, scorer.info)
        if len(batch) == _AT_ONCE:
            flush()
    if batch:
        flush()


def _kept_at(scorer: Scorer, space: Space, layout: Layout) -> Path:
    model = hashlib.sha256((scorer.folder / ONNX).read_bytes()).hexdigest()
    named = hashlib.sha256(f"{layout.root.resolve()}\0{model}\0{space.digest}".encode()).hexdigest()[:24]
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "photoqual/rated" / f"{named}.npz"


def _read(place: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(place, allow_pickle=False) as kept:
            return dict(zip((str(name) for name in kept["ids"]), kept["vectors"], strict=True))
    except Exception:  # a file that is missing, damaged or of another kind: computed anew
        return {}


def _write(place: Path, vectors: dict[str, np.ndarray]) -> None:
    """Keep `vectors`; a cache that cannot be written costs time, never an answer."""
    try:
        with files.atomic(place) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=np.array(list(vectors)), vectors=np.array(list(vectors.values()), np.float16))
    except OSError:
        pass


def _voted(row: Any) -> Voted:
    histogram = row.votes_histogram
    return Voted(
        photo_id=str(row.photo_id),
        title=str(row.title) if isinstance(row.title, str) else "",
        source=str(row.source),
        page_url=row.page_url if isinstance(row.page_url, str) else None,
        stars=float(row.stars) if np.isfinite(row.stars) else None,
        votes=int(row.votes),
        histogram=() if histogram is None or histogram is pd.NA else tuple(int(count) for count in histogram),
        good=None if pd.isna(row.good) else bool(row.good),
    )

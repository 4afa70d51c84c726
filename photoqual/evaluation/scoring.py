"""Score stored photos with a model, a few at a time: memory stays bounded however many photos there are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from photoqual.errors import DataError, MissingData
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.shards import read_photos

_MEGABYTES = 64
"""Decoded photos that are held before they are scored."""

Observer = Callable[[str, np.ndarray], None]


def score_photos(photos: Path, rows: pd.DataFrame, scorer: Scorer, *, observe: Observer | None = None) -> np.ndarray:
    """Return the score of each of `rows` (columns `photo_id`, `shard`, `row`), (n,), in their order.

    `photos` is the folder of shards. `observe` sees the id and the pixels of each photo as the model sees them. Raise
    MissingData when a photo is not in its shard, DataError when the model gives something that is not a number.
    """
    found: dict[str, float] = {}
    names: list[str] = []
    waiting: list[np.ndarray] = []

    def flush() -> None:
        found.update(zip(names, scorer.score(waiting).tolist(), strict=True))
        names.clear()
        waiting.clear()

    size = 0
    for photo_id, jpeg in read_photos(photos, rows):
        pixels = input_of(jpeg, scorer.info)
        if observe is not None:
            observe(photo_id, pixels)
        names.append(photo_id)
        waiting.append(pixels)
        size += pixels.nbytes
        if size > _MEGABYTES * 1e6:
            flush()
            size = 0
    flush()
    missing = [photo_id for photo_id in rows["photo_id"] if photo_id not in found]
    if missing:
        raise MissingData(
            f"{len(missing)} of {len(rows)} photos are not in any shard; the first is {missing[0][:12]}.",
            next_step="Run `dvc checkout` to bring photos and rows to one revision.",
        )
    scores = np.array([found[photo_id] for photo_id in rows["photo_id"]], dtype=float)
    if not np.isfinite(scores).all():
        raise DataError(
            f"The model in {scorer.folder} gives no number for {int((~np.isfinite(scores)).sum())} of {len(scores)} photos.",
            next_step="Train the model again; a lower learning rate avoids this.",
        )
    return scores

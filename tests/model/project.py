"""A small project on disk for tests: photos made by arithmetic, bright ones good and dark ones bad, ready to train."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import ImageEnhance

from photoqual.config import PhotosParams
from photoqual.labels.splits import write_frozen, write_splits
from photoqual.layout import Layout
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from tests.conftest import NOW, encoded, scene

SHARD = "made/2026-11/00000.parquet"
SIZES = [(96, 64), (64, 96), (96, 72)]


def make_project(root: Path, photos: int = 96) -> Layout:
    """Write shard, splits and frozen test set for `photos` photos in groups of two, one good and one bad."""
    layout = Layout(root)
    rows, stored = [], []
    for index in range(photos):
        good = index % 2
        picture = ImageEnhance.Brightness(scene(index // 2, SIZES[index % 3])).enhance(1.1 if good else 0.45)
        data = encoded(picture, "PNG")
        copy = working_copy(data, PhotosParams())
        ids = {
            "photo_id": photo_id(data),
            "phash": copy.phash,
            "width": copy.width,
            "height": copy.height,
        }
        stored.append(
            {
                **ids,
                "image": {"bytes": copy.jpeg, "path": None},
                "source": "made",
                "source_key": str(index),
                "fetched_at": NOW,
            }
        )
        split = ("train", "train", "train", "validation", "test")[(index // 2) % 5]
        rows.append(
            {
                **ids,
                "split": split,
                "group": f"g{index // 2}",
                "good": good,
                "weight": 1.0,
                "shard": SHARD,
                "row": index,
                "stars": 1.0 + 4 * good,
                "source": "made",
                "category": None,
                "uploaded_at": NOW,
            }
        )
    write_shard(layout.photos / SHARD, stored)
    frame = pd.DataFrame(rows)
    write_splits(layout.splits, frame)
    write_frozen(layout.frozen_test, frame[frame["split"] == "test"])
    return layout


def frozen_pixels(layout: Layout, image_width: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the frozen photos as a model sees them, and their labels, in one order."""
    from photoqual.labels.splits import read_frozen
    from photoqual.photos.decode import stored_input
    from photoqual.photos.shards import read_photos

    frozen = read_frozen(layout.frozen_test).set_index("photo_id", drop=False)
    read = [
        (frozen.loc[name, "good"], stored_input(jpeg, image_width)) for name, jpeg in read_photos(layout.photos, frozen)
    ]
    return [pixels for _, pixels in read], np.array([good for good, _ in read])

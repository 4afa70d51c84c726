"""A workspace of rated photos for tests: demo photographs, their votes, labels, and shards, without a refresh."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from photoqual.config import PhotosParams
from photoqual.labels.rules.table import SCHEMA as LABELS
from photoqual.labels.rules.table import write_labels
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from photoqual.sources._demo_photos import DemoPhoto, photos, render, votes
from tests.conftest import NOW

SHARD = "demo/2026-11/00000.parquet"


def voted_workspace(root: Path, count: int) -> tuple[Layout, list[DemoPhoto]]:
    """Write `count` demo photos with their votes into a new workspace; the last has a label and no votes."""
    layout, chosen = Layout(root), list(photos(1)[:count])
    stored, rows, labels = [], [], []
    for place, photo in enumerate(chosen):
        data, given = render(photo), votes(photo, 1)
        copy, name = working_copy(data, PhotosParams()), photo_id(data)
        good = bool(given.mean() > 3)
        voted = photo is not chosen[-1]
        ids = {"photo_id": name, "phash": copy.phash, "source": "demo", "source_key": str(place)}
        image = {"bytes": copy.jpeg, "path": None}
        stored.append({**ids, "image": image, "width": copy.width, "height": copy.height, "fetched_at": NOW})
        rows.append(
            {
                **ids,
                "title": photo.title,
                "votes_count": len(given) if voted else None,
                "votes_mean": float(given.mean()) if voted else None,
                "votes_histogram": np.bincount(given, minlength=6)[1:].tolist() if voted else None,
                "rating_min": 1.0 if voted else None,
                "rating_max": 5.0 if voted else None,
                "shard": SHARD,
                "row": place,
                "first_seen": NOW,
                "last_checked": NOW,
                "status": "ok",
            }
        )
        labels.append({"photo_id": name, "good": int(good), "weight": 1.0, "rule": "votes"})
    write_shard(layout.photos / SHARD, stored)
    catalogs.write_catalog(layout.catalog, frame(rows, catalogs.SCHEMA))
    write_labels(layout.labels, frame(labels, LABELS))
    return layout, chosen


def frame(rows: list[dict[str, object]], schema: pa.Schema) -> pd.DataFrame:
    """Return `rows` as a frame with the columns of `schema`; what a row leaves out is missing."""
    return pa.Table.from_pylist(rows, schema=schema).to_pandas(types_mapper=pd.ArrowDtype)

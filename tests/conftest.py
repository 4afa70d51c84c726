"""What all tests share: a checked Params with small sizes, and rows for catalogs and photos made by arithmetic."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from photoqual.config import Params, parse_params
from photoqual.photos import catalog as catalogs

PROJECT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def project_root() -> Path:
    return PROJECT


@pytest.fixture
def make_params() -> Callable[..., Params]:
    """Return a function: the shipped params.yaml with changes by dotted name, `make_params(**{"split.seed": 3})`."""

    def make(**changes: Any) -> Params:
        values = yaml.safe_load((PROJECT / "params.yaml").read_text())
        for name, value in changes.items():
            *path, last = name.split(".")
            place = values
            for part in path:
                place = place[part]
            place[last] = value
        return parse_params(values)

    return make


@pytest.fixture
def make_catalog() -> Callable[..., pd.DataFrame]:
    """Return a function: a catalog with one row per dict given; what a dict leaves out is ordinary."""

    def make(*rows: dict[str, Any]) -> pd.DataFrame:
        ordinary = {
            "source": "site",
            "page_url": None,
            "image_url": None,
            "category": "landscape",
            "title": None,
            "uploaded_at": NOW,
            "taken_at": None,
            "original_width": 600,
            "original_height": 400,
            "votes_count": 10,
            "votes_mean": 3.0,
            "votes_histogram": None,
            "rating_min": 1.0,
            "rating_max": 5.0,
            "label_hint": None,
            "shard": "site/2026-11/00000.parquet",
            "first_seen": NOW,
            "last_checked": NOW,
            "etag": None,
            "status": "ok",
        }
        filled = []
        for index, row in enumerate(rows):
            draw = np.random.default_rng(index)
            made = {
                "source_key": f"{index:04d}",
                "photo_id": f"{index:064x}",
                "group": f"group{index}",
                "phash": f"{int(draw.integers(0, 2**63)):016x}",
                "row": index,
            }
            filled.append({**ordinary, **made, **row})
        return pa.Table.from_pylist(filled, schema=catalogs.SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)

    return make


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return `image` as the bytes of a file of `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(seed: int, size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Return a picture with structure: random blocks, smooth enough to survive JPEG, different for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)

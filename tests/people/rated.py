"""Photos and a quick model for the tests of `photoqual rate`."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from photoqual.rating.rater import Rating
from tests.conftest import encoded, scene
from tests.model.registered import RED, tiny_folder

RESUMABLE = ("json", "csv", "parquet")


def make_photos(folder: Path, count: int = 6) -> Path:
    """Write photos p0.jpg, p1.jpg, … into `folder`, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"p{index}.jpg").write_bytes(encoded(scene(index)))
    return folder


def many_photos(folder: Path, count: int) -> Path:
    """Fill `folder` with links to one photo."""
    folder.mkdir(parents=True)
    original = folder / "p00000.jpg"
    original.write_bytes(encoded(scene(7)))
    for index in range(1, count):
        os.link(original, folder / f"p{index:05d}.jpg")
    return folder


def quick_model(folder: Path) -> Path:
    """Write a model that looks at the mean colour alone."""
    return tiny_folder(folder, RED)


def a_rating(photo: str, **changes: Any) -> Rating:
    given: dict[str, Any] = {
        "score": 0.75,
        "stars": 4,
        "sure": True,
        "familiar": None,
        "label": "good",
        "defects": {"noise": 0.25},
        "reasons": [],
        "strengths": [],
        "measures": {"contrast": 12.5},
        "model": "m",
    }
    return Rating(photo=photo, **(given | changes))


def read_output(file: Path, kind: str) -> list[dict[str, Any]]:
    """Return what a file of ratings holds, in its order."""
    if kind == "json":
        return [json.loads(line) for line in file.read_text().splitlines()]
    if kind == "csv":
        with file.open(newline="") as stream:
            return list(csv.DictReader(stream))
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def rate_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "photoqual", "rate", *map(str, arguments)]


def run_rate(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(rate_command(*arguments), capture_output=True, text=True, check=False, timeout=240, **options)

"""The three sets of real labelled photos, along the folds that come with each: where they lie and how they are judged.

PHOTOQUAL_BENCH_DATA names the folder that holds `defects/{train,validation,test}/<class>`, `beauty/photos` with
`votes.csv`, and `blur/{sharp,blurred}` with `scenes.csv`. Photos are read in place.
"""

import csv
import hashlib
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photoqual.labels.splits import TEST, TRAIN, VALIDATION

VARIABLE = "PHOTOQUAL_BENCH_DATA"
BEAUTY_FOLDS, BLUR_FOLDS = 5, 7
_VALIDATION_SHARE = 0.15
_EVEN = 1e-6
"""Means above the median by less than this count as the median."""


@dataclass(frozen=True)
class DataSet:
    """One set: its source and label rule as in params.yaml, and its folds: splits by source key."""

    source: Callable[[Path], dict[str, Any]]
    labels: Callable[[Path], dict[str, Any]]
    folds: Callable[[Path], Iterator[dict[str, str]]]


def folder() -> Path | None:
    """Return the folder of the data; None, with a line on standard error, when it is not named."""
    named = os.environ.get(VARIABLE, "")
    if named and Path(named).is_dir():
        return Path(named)
    print(
        f"{VARIABLE} is {named or 'not set'}: name the folder that holds defects, beauty and blur.",
        file=sys.stderr,
    )
    return None


def _defects_folds(data: Path) -> Iterator[dict[str, str]]:
    names = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    yield {
        path.relative_to(data / "defects").as_posix(): names[path.relative_to(data / "defects").parts[0]]
        for path in (data / "defects").rglob("*.jpg")
    }


def _beauty_folds(data: Path) -> Iterator[dict[str, str]]:
    rows = {row["filename"]: row for row in table(data / "beauty/votes.csv")}
    yield from _each_in_turn(rows, "theme", BEAUTY_FOLDS)


def _blur_folds(data: Path) -> Iterator[dict[str, str]]:
    rows = {row["filename"]: row for row in table(data / "blur/scenes.csv")}
    keys = {path.relative_to(data / "blur").as_posix(): path.name for path in (data / "blur").rglob("*.jpg")}
    yield from _each_in_turn({key: rows[name] for key, name in keys.items()}, "scene", BLUR_FOLDS)


def _each_in_turn(rows: dict[str, dict[str, str]], group: str, count: int) -> Iterator[dict[str, str]]:
    """Yield the splits in which each fold is the test once. Of the others, a share of the groups (themes, scenes),
    drawn by a hash, validates.
    """
    for test in range(count):
        yield {key: TEST if int(row["fold"]) == test else _drawn(f"{test}:{row[group]}") for key, row in rows.items()}


def _drawn(group: str) -> str:
    share = int.from_bytes(hashlib.sha256(group.encode()).digest()[:4], "big") / 2**32
    return VALIDATION if share < _VALIDATION_SHARE else TRAIN


def _beauty_rule(data: Path) -> dict[str, Any]:
    """Above the median of all photos is good, the rest is bad; the scale of 1 to 7 becomes 1 to 5 stars."""
    median = statistics.median(float(row["beauty_mean"]) for row in table(data / "beauty/votes.csv"))
    stars = 1 + 4 * (median - 1) / 6 + _EVEN
    return {"rule": "threshold", "good_at_least": stars, "bad_at_most": stars, "exclude_categories": []}


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV with a header."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


DATA_SETS = {
    "defects": DataSet(
        source=lambda data: {"kind": "folders", "path": str(data / "defects"), "good": ["good"]},
        labels=lambda data: {"rule": "folders"},
        folds=_defects_folds,
    ),
    "beauty": DataSet(
        source=lambda data: {
            "kind": "votes",
            "path": str(data / "beauty/photos"),
            "csv": str(data / "beauty/votes.csv"),
            "image": "filename",
            "mean": "beauty_mean",
            "count": "n_raters",
            "group": "theme",
            "category": "category",
            "rating_scale": [1.0, 7.0],
        },
        labels=_beauty_rule,
        folds=_beauty_folds,
    ),
    "blur": DataSet(
        source=lambda data: {
            "kind": "folders",
            "path": str(data / "blur"),
            "good": ["sharp"],
            "bad": ["blurred"],
            "groups_csv": str(data / "blur/scenes.csv"),
            "groups_group": "scene",
        },
        labels=lambda data: {"rule": "folders"},
        folds=_blur_folds,
    ),
}

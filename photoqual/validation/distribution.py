"""How photos and labels are distributed: counts over a few categories of each kind, so that two data versions can be
compared and a page can show both.

Pure functions. `data/accepted.json` holds counts and nothing else, neither date nor author, so that equal data gives
equal bytes and DVC sees no change where there is none.

Every accepted distribution becomes the next one's reference: a sudden change is caught, a slow one is not; the bounds
on the share of the good class are there for that.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import ValidationError

from photoqual.config import Strict
from photoqual.errors import DataError

FORMAT = 2
NAMED_CATEGORIES = 40
OTHER, NO_CATEGORY = "(other)", "(none)"
LONGEST_NAME = 60
Kind = Literal["classes", "stars", "votes", "sizes", "categories", "brightness", "sharpness"]
Counts = Mapping[str, int]


@dataclass(frozen=True)
class Shape:
    """One kind of distribution: the rule that compares it, the column of the checked frame that holds each photo's
    category, what a page calls it, and its categories in their order (none: whatever names the sources give).
    """

    kind: Kind
    rule: str
    table: Literal["catalog", "labels"]
    column: str
    title: str
    names: tuple[str, ...] = ()


SHAPES = (
    Shape("classes", "class_distribution", "labels", "label", "Classes of the labels", ("bad", "good")),
    Shape("stars", "star_distribution", "labels", "whole_stars", "Stars", ("1", "2", "3", "4", "5")),
    Shape(
        "votes",
        "votes_distribution",
        "catalog",
        "votes",
        "Votes per photo",
        ("0", "1", *(f"{1 << power} to {(2 << power) - 1}" for power in range(1, 10)), "1024 or more"),
    ),
    Shape(
        "sizes",
        "size_distribution",
        "catalog",
        "size",
        "Long side of the original, pixels",
        ("up to 160", *(f"{(160 << power) + 1} to {320 << power}" for power in range(6)), "over 10240"),
    ),
    Shape("categories", "category_distribution", "catalog", "category", "Categories"),
    Shape(
        "brightness",
        "brightness_distribution",
        "catalog",
        "brightness_step",
        "Brightness, 0 dark to 255 bright",
        tuple(f"{low} to {low + 31}" for low in range(0, 256, 32)),
    ),
    Shape(
        "sharpness",
        "sharpness_distribution",
        "catalog",
        "sharpness_step",
        "Sharpness, ln(1 + variance of the Laplacian)",
        ("under 2", *(f"{low} to {low + 1}" for low in range(2, 9)), "9 or more"),
    ),
)
CLASSES = SHAPES[0].names
STARS = SHAPES[1].names


class Distribution(Strict):
    """Number of photos per category, by kind. None: nothing is known of it, as of stars where nobody votes."""

    format: int = FORMAT
    classes: dict[str, int]
    stars: dict[str, int] | None
    votes: dict[str, int] | None
    sizes: dict[str, int] | None
    categories: dict[str, int] | None
    brightness: dict[str, int] | None
    sharpness: dict[str, int] | None

    def of(self, shape: Shape) -> dict[str, int] | None:
        """Return the counts of one kind in the order of its categories; those that have none by size."""
        counts: dict[str, int] | None = getattr(self, shape.kind)
        if counts is None:
            return None
        return {
            name: counts.get(name, 0) for name in shape.names or sorted(counts, key=lambda name: (-counts[name], name))
        }


def named(codes: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the name at each of `codes` as an object array; None where the code is negative."""
    return np.array([*names, None], dtype=object)[np.where(codes < 0, len(names), codes)]


def whole_stars(stars: pd.Series) -> np.ndarray:
    """Return the mean vote of each photo as whole stars, "1" to "5" (halves round up); None without votes."""
    values = stars.to_numpy(dtype=float, na_value=math.nan)
    known = ~np.isnan(values)
    return named(np.where(known, np.clip(np.floor(np.nan_to_num(values) + 0.5), 1, 5) - 1, -1).astype(int), STARS)


def class_names(good: np.ndarray) -> np.ndarray:
    """Return "good", "bad" or None (no label) for 1, 0 and NaN."""
    return named(np.where(np.isnan(good), -1, np.nan_to_num(good)).astype(int), CLASSES)


def vote_steps(votes: np.ndarray) -> np.ndarray:
    """Return the bucket of each number of votes, in powers of two; None for NaN."""
    steps = np.floor(np.log2(np.clip(np.nan_to_num(votes), 1, 1024))).astype(int) + 1
    return named(np.where(np.isnan(votes), -1, np.where(np.nan_to_num(votes) < 1, 0, steps)), _names("votes"))


def size_steps(long_sides: np.ndarray) -> np.ndarray:
    """Return the bucket of each long side in pixels, doubling from 160 on; None for NaN."""
    edges = [160 << power for power in range(7)]
    steps = np.searchsorted(edges, np.nan_to_num(long_sides))
    return named(np.where(np.isnan(long_sides), -1, steps), _names("sizes"))


def brightness_steps(values: np.ndarray) -> np.ndarray:
    """Return the step of 32 of each brightness, 0 to 255; None for NaN."""
    steps = np.clip(np.nan_to_num(values) // 32, 0, 7).astype(int)
    return named(np.where(np.isnan(values), -1, steps), _names("brightness"))


def sharpness_steps(values: np.ndarray) -> np.ndarray:
    """Return the unit step of each sharpness; None for NaN."""
    steps = np.clip(np.floor(np.nan_to_num(values)) - 1, 0, 8).astype(int)
    return named(np.where(np.isnan(values), -1, steps), _names("sharpness"))


def distribution(frames: Mapping[str, pd.DataFrame]) -> Distribution:
    """Count the photos of the checked frames ("catalog", "labels"; see frames.py) by each kind."""
    found = {str(shape.kind): _counted(frames[shape.table][shape.column], shape) for shape in SHAPES}
    return Distribution.model_validate({**found, "classes": found["classes"] or dict.fromkeys(CLASSES, 0)})


def _counted(column: pd.Series, shape: Shape) -> dict[str, int] | None:
    counts = {str(name): int(count) for name, count in column.value_counts().items()}
    if shape.names:
        counts = {name: counts.get(name, 0) for name in shape.names}
    elif set(counts) <= {NO_CATEGORY}:
        return None
    if not sum(counts.values()) or (shape.kind == "votes" and sum(counts.values()) == counts["0"]):
        return None
    return counts if shape.names else _most(counts)


def _most(counts: Counts) -> dict[str, int]:
    """Return the counts of the largest categories by name; the others together are one."""
    ranked = sorted(((name, count) for name, count in counts.items() if name != OTHER), key=lambda of: (-of[1], of[0]))
    kept = dict(ranked[:NAMED_CATEGORIES])
    rest = counts.get(OTHER, 0) + sum(count for _, count in ranked[NAMED_CATEGORIES:])
    return dict(sorted(kept.items())) | ({OTHER: rest} if rest else {})


def folded(names: Iterable[str | None], reference: Counts) -> list[str | None]:
    """Return category names as they are to be compared with `reference`: what it does not name counts as other, if it
    has others at all; else a new category stays new.
    """
    if OTHER not in reference:
        return list(names)
    return [name if name is None or name in reference else OTHER for name in names]


def parse_accepted(values: Any, *, origin: str) -> Distribution:
    """Return what data/accepted.json says. Format 1 had stars and classes alone. Raise DataError when it is foreign."""
    try:
        if isinstance(values, dict) and values.get("format") == 1:
            later = {shape.kind: None for shape in SHAPES if shape.kind not in ("classes", "stars")}
            values = {**dict.fromkeys(later), **values, "format": FORMAT} if not set(later) & set(values) else values
        accepted = Distribution.model_validate(values)
        problem = _problem(accepted)
    except ValidationError as error:
        problem = f"{error.error_count()} problem(s), first: {error.errors()[0]['msg']}"
    if problem:
        raise DataError(
            f"{origin} is not an accepted distribution of this version: {problem}.",
            next_step="Restore it with `dvc checkout data/accepted.json`, or delete it to accept the next labels without a comparison.",
        )
    return accepted


def read_accepted(text: str, *, origin: str) -> Distribution:
    """Return what the text of data/accepted.json says. Raise DataError."""
    try:
        values = json.loads(text)
    except ValueError as error:
        raise DataError(
            f"{origin} is not JSON: {error}.", next_step="Restore it with `dvc checkout data/accepted.json`."
        ) from None
    return parse_accepted(values, origin=origin)


def _problem(accepted: Distribution) -> str:
    """Say what is wrong with an accepted distribution of the right form; "" if nothing is."""
    if accepted.format != FORMAT:
        return f"format {accepted.format}, expected {FORMAT}"
    for shape in SHAPES:
        counts = getattr(accepted, shape.kind)
        if counts is None:
            continue
        if (
            (shape.names and set(counts) != set(shape.names))
            or min(counts.values(), default=0) < 0
            or not any(counts.values())
        ):
            return f"expected numbers of photos for {', '.join(shape.names) or 'each category'}, received {counts}"
    return ""


def _names(kind: Kind) -> tuple[str, ...]:
    return next(shape.names for shape in SHAPES if shape.kind == kind)

"""From tables to one judgement per photo: means, numbers of votes of each grade, single votes. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from photoqual.config import VotesSource
from photoqual.sources import _raters, _tables
from photoqual.sources.records import Skipped

MAX_VOTES = 2**62
"""More votes than this fit no column and no world."""
MAX_GRADES = 101
"""Whole-number scales with more steps than this get no histogram."""


@dataclass(frozen=True)
class Judgement:
    """What a table says of one image; `image` is the name as it stands there."""

    image: str
    count: int
    mean: float
    spread: float | None = None
    histogram: tuple[int, ...] | None = None
    group: str | None = None
    category: str | None = None


def of_means(frame: pd.DataFrame, scale: tuple[float, float]) -> Iterator[Judgement | Skipped]:
    """Yield a judgement for each row of `frame` (image, mean and, where named, count, group, category)."""
    means = _tables.numbers(frame["mean"])
    counts = _tables.numbers(frame["count"]) if "count" in frame else np.ones(len(frame))
    for name, mean, count, group, category in zip(*_names(frame, means, counts), strict=True):
        problem = _problem(name, mean, count, scale)
        if problem:
            yield Skipped(problem, name)
        else:
            yield Judgement(name, int(count), mean, group=group, category=category)


def _problem(name: str, mean: float, count: float, scale: tuple[float, float]) -> str | None:
    if not name:
        return "row_without_name"
    if math.isnan(mean) or math.isnan(count) or count != int(count) or count > MAX_VOTES:
        return "not_a_number"
    if not scale[0] <= mean <= scale[1]:
        return "vote_outside_scale"
    return "no_votes" if count < 1 else None


def of_histograms(frame: pd.DataFrame, grades: int, scale: tuple[float, float]) -> Iterator[Judgement | Skipped]:
    """Yield a judgement for each row of `frame`: image, and columns grade_0 … with the number of votes of each grade,
    the lowest first; grades lie evenly on `scale`.
    """
    values = np.linspace(*scale, grades)
    table = np.column_stack([_tables.numbers(frame[f"grade_{grade}"]) for grade in range(grades)])
    whole = (table == np.floor(table)).all(axis=1) & (table.sum(axis=1) <= MAX_VOTES)  # false for NaN
    counts = np.where(whole[:, None], table, 0.0)
    total = counts.sum(axis=1)
    safe = np.maximum(total, 1.0)
    means = np.clip(counts @ values / safe, *scale)
    spreads = np.sqrt((counts * (values - means[:, None]) ** 2).sum(axis=1) / safe)
    below = counts.min(axis=1) < 0
    for row, (name, group, category) in enumerate(zip(*_names(frame), strict=True)):
        if not name:
            yield Skipped("row_without_name", name)
        elif not whole[row]:
            yield Skipped("not_a_number", name)
        elif below[row]:
            yield Skipped("votes_below_zero", name)
        elif total[row] < 1:
            yield Skipped("no_votes", name)
        else:
            spread = float(spreads[row]) if total[row] > 1 else None
            histogram = tuple(int(count) for count in counts[row])
            yield Judgement(name, int(total[row]), float(means[row]), spread, histogram, group, category)


def of_single_votes(frame: pd.DataFrame, config: VotesSource) -> tuple[list[Judgement], list[Skipped], dict[str, Any]]:
    """Return a judgement for each image of `frame` (a row per vote: image, rater, vote), the rows that were passed
    over, and what was found out about the raters. Of two votes of one rater on one image the first counts.
    """
    low, high = config.rating_scale
    frame = frame.assign(
        image=_tables.texts(frame["image"]), rater=_tables.texts(frame["rater"]), vote=_tables.numbers(frame["vote"])
    )
    skipped: list[Skipped] = []
    for reason, wrong in (
        ("row_without_name", lambda rows: rows["image"] == ""),
        ("row_without_rater", lambda rows: rows["rater"] == ""),
        ("not_a_number", lambda rows: rows["vote"].isna()),
        ("vote_outside_scale", lambda rows: ~rows["vote"].between(low, high)),
        ("duplicate_vote", lambda rows: rows.duplicated(["image", "rater"])),
    ):
        passed = wrong(frame)
        skipped += [Skipped(reason, name) for name in frame.loc[passed, "image"]]
        frame = frame[~passed]
    if frame.empty:
        return [], skipped, {}
    photo, images = pd.factorize(frame["image"])
    rater, raters = pd.factorize(frame["rater"])
    vote = frame["vote"].to_numpy(dtype=np.float64)
    weight = _raters.weights(photo, rater, vote) if config.weigh_raters else np.ones(len(raters))
    count, mean, spread = _raters.moments(photo, vote, weight[rater], len(images))
    mean = np.clip(mean, low, high)  # which rounding may leave
    histograms = _histograms(photo, vote, weight[rater] > 0, len(images), config.rating_scale)
    about = {option: _first(photo, frame[option]) for option in ("group", "category") if option in frame}
    found = []
    for place, name in enumerate(images):
        if not count[place]:
            skipped.append(Skipped("only_random_votes", name))
            continue
        spread_here = None if math.isnan(spread[place]) else float(spread[place])
        facts = {option: values.get(place) for option, values in about.items()}
        found.append(Judgement(name, int(count[place]), float(mean[place]), spread_here, histograms[place], **facts))
    reliability = _raters.agreement(photo, vote)
    return (
        found,
        skipped,
        {
            "votes": len(vote),
            "raters": len(raters),
            "raters_left_out": int((weight == 0).sum()),
            "raters_weighing_under_half": int((weight < 0.5).sum()),
            "split_half_agreement": None if reliability is None else round(reliability, 4),
        },
    )


def _histograms(
    photo: np.ndarray, vote: np.ndarray, counted: np.ndarray, photos: int, scale: tuple[float, float]
) -> Sequence[tuple[int, ...] | None]:
    """Return how many votes each grade of a whole-number scale got, by photo; None for votes in between."""
    low, high = scale
    grades = high - low + 1
    if low != int(low) or high != int(high) or grades > MAX_GRADES or (vote != np.floor(vote)).any():
        return [None] * photos
    grade = (vote - low).astype(np.int64)
    cells = np.bincount(photo[counted] * int(grades) + grade[counted], minlength=photos * int(grades))
    return [tuple(row) for row in cells.reshape(photos, int(grades)).tolist()]


def _first(photo: np.ndarray, column: pd.Series) -> dict[int, str]:
    """Return the first text in `column` of each photo that has any."""
    found = pd.Series(_tables.texts(column), index=photo, dtype=object)
    found = found[found != ""]
    return found[~found.index.duplicated()].to_dict()


def _names(frame: pd.DataFrame, *more: np.ndarray) -> tuple[list[Any], ...]:
    """Return the columns image, `more`, group and category of `frame` as lists; None where nothing is named."""
    nothing: list[str | None] = [None] * len(frame)
    group, category = (
        [text or None for text in _tables.texts(frame[option])] if option in frame else nothing
        for option in ("group", "category")
    )
    return _tables.texts(frame["image"]), *(column.tolist() for column in more), group, category

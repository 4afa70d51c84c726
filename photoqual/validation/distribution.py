"""How labels are distributed, and how far a distribution has moved from the one that was accepted last.

Pure functions. `data/accepted.json` holds counts and nothing else, neither date nor author, so that equal labels give
equal bytes and DVC sees no change where there is none.

Every accepted distribution becomes the next one's reference: a sudden change is caught, a slow one is not; the bounds
on the share of the good class are there for that.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from photoqual.config import Strict
from photoqual.errors import DataError

STARS = ("1", "2", "3", "4", "5")
CLASSES = ("bad", "good")
HOLDOUT = 0.01
"""Share kept aside for categories that the reference never held, so that the first photo in one of them counts as a
small change and not as an infinite one."""


class Distribution(Strict):
    """Number of photos per category. `stars` is None when no photo has votes: there is nothing to compare then."""

    format: int = 1
    stars: dict[str, int] | None
    classes: dict[str, int]


def whole_stars(stars: pd.Series) -> pd.Series:
    """Return the mean vote of each photo as whole stars, "1" to "5" (halves round up); None without votes."""
    values = stars.to_numpy(dtype=float, na_value=math.nan)
    names = np.array([*STARS, None], dtype=object)
    places = np.where(np.isnan(values), len(STARS), np.clip(np.floor(np.nan_to_num(values) + 0.5), 1, 5) - 1)
    return pd.Series(names[places.astype(int)], index=stars.index, dtype=object)


def class_names(good: pd.Series) -> pd.Series:
    """Return "good", "bad" or None (no label) for 1, 0 and null."""
    values = good.to_numpy(dtype=float, na_value=math.nan)
    names = np.array([*CLASSES, None], dtype=object)
    return pd.Series(
        names[np.where(np.isnan(values), len(CLASSES), values).astype(int)], index=good.index, dtype=object
    )


def distribution(labels: pd.DataFrame) -> Distribution:
    """Count the photos of `labels` (columns `good`, `stars`) by star and by class."""
    stars = whole_stars(labels["stars"]).value_counts()
    classes = class_names(labels["good"]).value_counts()
    return Distribution(
        stars={name: int(stars.get(name, 0)) for name in STARS} if len(stars) else None,
        classes={name: int(classes.get(name, 0)) for name in CLASSES},
    )


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the share of each category that occurs; empty when nothing was counted."""
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items() if count > 0}


def kl_divergence(observed: Mapping[str, int], reference: Mapping[str, int], holdout: float = HOLDOUT) -> float:
    """Return the Kullback-Leibler divergence, in nats, of the observed shares from those of the reference.

    Categories that the reference lacks share `holdout` between them, and the others are scaled down by it; this is
    what Great Expectations does with `tail_weight_holdout`. Raise ValueError when either side counted nothing.
    """
    now, before = shares(observed), shares(reference)
    if not now or not before:
        raise ValueError(
            f"kl_divergence: expected photos on both sides, received {dict(observed)} and {dict(reference)}"
        )
    unknown = [name for name in now if name not in before]
    if unknown:
        before = {name: share * (1 - holdout) for name, share in before.items()} | dict.fromkeys(
            unknown, holdout / len(unknown)
        )
    return sum(share * math.log(share / before[name]) for name, share in now.items())


def parse_accepted(values: Any, *, origin: str) -> Distribution:
    """Return what data/accepted.json says. Raise DataError when it is foreign."""
    try:
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


def _problem(accepted: Distribution) -> str:
    """Say what is wrong with an accepted distribution of the right shape; "" if nothing is."""
    if accepted.format != 1:
        return f"format {accepted.format}, expected 1"
    for counts, names in ((accepted.classes, CLASSES), (accepted.stars, STARS)):
        if counts is not None and (set(counts) != set(names) or min(counts.values()) < 0 or sum(counts.values()) == 0):
            return f"expected numbers of photos for {', '.join(names)}, received {counts}"
    return ""

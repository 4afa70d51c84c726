"""How far a distribution has moved from its reference: Kullback–Leibler divergence, and Pearson's chi-square beside it.

The divergence decides, because it measures the size of a change whatever the number of photos. Chi-square tells
whether chance alone could have made the change: at a million photos it calls every difference significant, at fifty
hardly any, so it is shown and refuses nothing. Its p-value takes both sides for independent samples; a catalog that
grows contains its reference, so the true one is smaller.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from photoqual.config import ValidationParams
from photoqual.validation.distribution import SHAPES, Counts, Distribution, Kind, folded

HOLDOUT = 0.01
"""Share kept aside for categories that the reference never held, so that the first photo in one of them counts as a
small change and not as an infinite one."""
ALWAYS_COMPARED: tuple[Kind, ...] = ("classes", "stars")
"""`validation.min_photos` bounds these; the others are compared from `validation.min_compared` photos on."""


@dataclass(frozen=True)
class Comparison:
    """One kind of distribution, now and in the reference, in the same categories. `note` says why there is no number;
    `limit` None: any change passes.
    """

    kind: Kind
    rule: str
    title: str
    now: dict[str, int] | None
    before: dict[str, int] | None
    limit: float | None = None
    divergence: float | None = None
    chi_square: float | None = None
    degrees: int | None = None
    p_value: float | None = None
    note: str = ""

    @property
    def holds(self) -> bool:
        return self.divergence is None or self.limit is None or self.divergence <= self.limit


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


def chi_square(observed: Mapping[str, int], reference: Mapping[str, int]) -> tuple[float, int, float]:
    """Return (statistic, degrees of freedom, p-value) of the test that both are drawn from one distribution."""
    from scipy.special import chdtrc

    names = [name for name in {**reference, **observed} if observed.get(name, 0) + reference.get(name, 0)]
    table = np.array([[counts.get(name, 0) for name in names] for counts in (reference, observed)], dtype=float)
    if len(names) < 2 or not table.sum(axis=1).all():
        return 0.0, 0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic, degrees = float(((table - expected) ** 2 / expected).sum()), len(names) - 1
    return statistic, degrees, float(chdtrc(degrees, statistic))


def compare(now: Distribution, reference: Distribution | None, params: ValidationParams) -> list[Comparison]:
    """Return a comparison for each kind, in the order of SHAPES."""
    found = []
    for shape in SHAPES:
        counted = now.of(shape)
        before = reference.of(shape) if reference else None
        limit: float | None = getattr(params.max_kl_divergence, shape.kind)
        if counted is not None and before is not None:
            counted = _folded(counted, before)
        note = _left_out(shape.kind, counted, before, reference is not None, params.min_compared)
        if note or counted is None or before is None:
            found.append(Comparison(shape.kind, shape.rule, shape.title, counted, before, limit, note=note))
            continue
        statistic, degrees, p_value = chi_square(counted, before)
        divergence = kl_divergence(counted, before)
        found.append(
            Comparison(
                shape.kind, shape.rule, shape.title, counted, before, limit, divergence, statistic, degrees, p_value
            )
        )
    return found


def _folded(counts: Counts, reference: Counts) -> dict[str, int]:
    merged: dict[str, int] = {}
    for name, kept in zip(counts, folded(counts, reference), strict=True):
        merged[str(kept)] = merged.get(str(kept), 0) + counts[name]
    return merged


def _left_out(kind: Kind, now: Counts | None, before: Counts | None, compared: bool, least: int) -> str:
    """Say why a kind is not compared; "" if it is."""
    if not compared or kind == "classes":
        return "" if compared and now and any(now.values()) else "nothing to compare with"
    if now is None or before is None:
        what = {
            "stars": "no photo has votes",
            "votes": "no photo has votes",
            "categories": "no photo has a category",
        }.get(kind, f"{kind} of no photo is known")
        return f"{what} {'now' if now is None else 'in the last accepted data'}"
    fewest = min(sum(now.values()), sum(before.values()))
    if kind not in ALWAYS_COMPARED and fewest < least:
        return f"only {fewest} photos on one side, fewer than validation.min_compared = {least}"
    return ""


def biggest_moves(comparison: Comparison, most: int) -> list[tuple[str, float, float]]:
    """Return (category, share now, share before) of the categories that moved most, in the order of the kind."""
    now, before = shares(comparison.now or {}), shares(comparison.before or {})
    names = list(dict.fromkeys([*(comparison.before or {}), *now]))
    moved = sorted(names, key=lambda name: -abs(now.get(name, 0.0) - before.get(name, 0.0)))[:most]
    return [(name, now.get(name, 0.0), before.get(name, 0.0)) for name in names if name in moved]

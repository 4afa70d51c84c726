"""A forest plot in HTML: one row a slice, its interval as parts of a track, so that names in any script can be read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from photoqual.evaluation.guardrails import Guardrail
from photoqual.pages.render import decimal, signed

_PREFIX = "slice "
_CHANCE = 0.5
_LEAST_REACH = 0.05
_TICKS_APART = 15
"""Per cent of the track that a number below it needs."""
_SHOWN_WHOLE = 0.9
"""Share of the bounds that lie on the track."""


def forest(rails: Sequence[Guardrail]) -> dict[str, Any] | None:
    """Return the rows by slicing, places in per cent of the track's width; None without slices.

    `rails` are named `slice <slicing>=<slice>`. With a limit their value is a difference of AUCs, without one (no
    champion) the challenger's own AUC. Intervals that leave the track are cut and marked so.
    """
    known = [rail for rail in rails if rail.value is not None and np.isfinite(rail.value)]
    if not known:
        return None
    paired = any(rail.limit is not None for rail in known)
    start, end = _differences(known) if paired else _areas(known)

    def place(value: float) -> float:
        return round(100 * float(np.clip((value - start) / (end - start), 0, 1)), 2)

    slicings: dict[str, list[dict[str, Any]]] = {}
    for rail in rails:
        slicing, _, name = rail.name.removeprefix(_PREFIX).partition("=")
        slicings.setdefault(slicing, []).append(_row(rail, name, start, end, place, signed if paired else decimal))
    middle = 0.0 if paired else _CHANCE
    return {
        "slicings": list(slicings.items()),
        "zero": place(middle),
        "ticks": _ticks(start, end, middle, paired, place),
        "caption": (
            "AUC of the challenger minus AUC of the champion on each slice: the dot is the difference, the bar its "
            "interval, the solid line no difference, the dashed line the limit. Broken: worse than the limit, and "
            "beyond chance (the bar does not reach the solid line)."
            if paired
            else "AUC on each slice, with its interval; the line is chance. There is no champion to compare with, so "
            "these are reported and not judged."
        ),
    }


def _row(rail: Guardrail, name: str, start: float, end: float, place: Any, form: Any) -> dict[str, Any]:
    value = rail.value if rail.value is not None and np.isfinite(rail.value) else None
    has_bounds = rail.low is not None and rail.high is not None and np.isfinite([rail.low, rail.high]).all()
    low, high = (float(rail.low), float(rail.high)) if has_bounds else (0.0, 0.0)  # type: ignore[arg-type]
    return {
        "rail": rail,
        "name": name,
        "limit": None if rail.limit is None else place(rail.limit),
        "left": place(low) if has_bounds else None,
        "width": round(place(high) - place(low), 2) if has_bounds else None,
        "cut_left": has_bounds and low < start,
        "cut_right": has_bounds and high > end,
        "dot": None if value is None or not start <= value <= end else place(value),
        "found": form(value) + (f" ({form(low)} to {form(high)})" if has_bounds else ""),
    }


def _differences(rails: Sequence[Guardrail]) -> tuple[float, float]:
    """Return a symmetric range that shows the limits and most bounds; a few very wide ones do not flatten the rest."""
    bounds = [abs(bound) for rail in rails for bound in (rail.low, rail.high) if bound is not None]
    bounds += [abs(rail.value) for rail in rails if rail.value is not None]
    limits = [abs(rail.limit) for rail in rails if rail.limit is not None]
    reach = max(_LEAST_REACH, float(np.quantile(bounds, _SHOWN_WHOLE)), 1.25 * max(limits))
    reach = min(1.0, float(np.ceil(reach * 20) / 20))
    return -reach, reach


def _areas(rails: Sequence[Guardrail]) -> tuple[float, float]:
    lows = [rail.low if rail.low is not None else rail.value for rail in rails]
    lowest = min([_CHANCE, *(low for low in lows if low is not None)])
    return float(np.floor(max(0.0, lowest - 0.02) * 20) / 20), 1.0


def _ticks(start: float, end: float, middle: float, paired: bool, place: Any) -> list[tuple[float, str]]:
    form = signed if paired else decimal
    ends = [value for value in (start, end) if abs(place(value) - place(middle)) > _TICKS_APART]
    return [(place(value), form(value, 2)) for value in sorted({*ends, middle})]

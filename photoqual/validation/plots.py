"""Pictures of the report as numbers: where each bar and line of an SVG stands. The template draws them, so that text
is escaped in one place and colours follow the page's theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from photoqual.validation.drift import Comparison, shares
from photoqual.validation.looks import Looks

SHOWN = 14
"""Categories that a picture names; the rest are one bar."""
ROW, NAME, BAR = 34, 128, 250
"""Height of a row, width of the names and of the longest bar, in units of the drawing."""
PLOT_WIDTH, PLOT_HEIGHT = 520, 170


@dataclass(frozen=True)
class Bar:
    """One category: two bars one above the other, the reference's and that of now; None without a reference."""

    name: str
    y: int
    now: float
    before: float | None
    text: str


@dataclass(frozen=True)
class Bars:
    """A picture of one distribution: its rows, and its height."""

    rows: tuple[Bar, ...]
    height: int


@dataclass(frozen=True)
class Lines:
    """Two histograms as outlines over each other: points of a polygon by class, and the share at the top."""

    measure: str
    good: str
    bad: str
    top: float


def bars(comparison: Comparison) -> Bars:
    """Lay out a distribution: a row per category, in the order of its kind, the smallest ones together."""
    now, before = shares(comparison.now or {}), shares(comparison.before or {})
    rows = _rest_as_one(list(dict.fromkeys([*(comparison.before or {}), *(comparison.now or {})])), now, before)
    longest = max([share for _, *pair in rows for share in pair], default=0.0) or 1.0
    known = comparison.before is not None
    return Bars(
        tuple(
            Bar(
                name,
                place * ROW,
                round(BAR * here / longest, 1),
                round(BAR * there / longest, 1) if known else None,
                f"{here:.1%}" + (f" (was {there:.1%})" if known else ""),
            )
            for place, (name, here, there) in enumerate(rows)
        ),
        len(rows) * ROW,
    )


def _rest_as_one(
    names: Sequence[str], now: dict[str, float], before: dict[str, float]
) -> list[tuple[str, float, float]]:
    rows = [(name, now.get(name, 0.0), before.get(name, 0.0)) for name in names]
    occurring = [place for place, (_, *pair) in enumerate(rows) if any(pair)]
    rows = rows[occurring[0] : occurring[-1] + 1] if occurring else []
    if len(rows) <= SHOWN:
        return rows
    kept = {name for name, *_ in sorted(rows, key=lambda row: -max(row[1:]))[: SHOWN - 1]}
    rest = [row for row in rows if row[0] not in kept]
    summed = (f"{len(rest)} others", sum(row[1] for row in rest), sum(row[2] for row in rest))
    return [*(row for row in rows if row[0] in kept), summed]


def lines(found: Looks) -> list[Lines]:
    """Lay out the histograms of good against bad photos, each of equal area, one picture a measure."""
    pictures = []
    for measure, by_class in found.histograms.items():
        parts = {name: _shares(counts) for name, counts in by_class.items()}
        top = max((share for values in parts.values() for share in values), default=0.0) or 1.0
        outlines = {name: _outline(values, top) for name, values in parts.items()}
        pictures.append(Lines(measure, outlines["good"], outlines["bad"], top))
    return pictures


def _shares(counts: Sequence[int]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def _outline(values: Sequence[float], top: float) -> str:
    """Return the steps of a histogram as the points of a polygon that stands on the axis."""
    step = PLOT_WIDTH / len(values)
    heights = [PLOT_HEIGHT * (1 - value / top) for value in values]
    corners = [
        (place, height) for number, height in enumerate(heights) for place in (number * step, (number + 1) * step)
    ]
    points = [(0.0, float(PLOT_HEIGHT)), *corners, (float(PLOT_WIDTH), float(PLOT_HEIGHT))]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)

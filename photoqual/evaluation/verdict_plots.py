"""Pictures of a verdict, for a page: PNG bytes, each once for light and once for dark pages. Sizes and type are chosen
to be read on a phone; the models differ by colour (Okabe and Ito's), line and mark. No state of pyplot is touched.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from photoqual.evaluation.curves import Band, Bin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 200
_COLOURS = 128
_TYPE = 10.5
_LONGEST_NAME = 16
_LETTERS_IN_A_ROW = 8
"""Of both versions, beside the rest of the legend."""
_LETTER = 0.0105
"""Half the width of a letter, as a share of the width of an interval's picture."""


@dataclass(frozen=True)
class Theme:
    """Colours of a page and of what is drawn on it."""

    ground: str
    text: str
    soft: str
    line: str
    passes: str
    models: tuple[str, str]
    """Of the challenger and of the champion."""


LIGHT = Theme("#ffffff", "#1a1c20", "#565c66", "#d9dce2", "#e4f4ec", ("#0072B2", "#D55E00"))
DARK = Theme("#1b1e23", "#e9eaed", "#a8aeb9", "#363b44", "#12301f", ("#56B4E9", "#E69F00"))
_LINES, _MARKS = ("-", "--"), ("o", "s")


@dataclass(frozen=True)
class Picture:
    """One picture as PNG bytes, for light and for dark pages."""

    light: bytes
    dark: bytes


@dataclass(frozen=True)
class Model:
    """What is drawn of one model: its version, AUC, ROC curve with its band and reliability table."""

    version: str
    auc: float
    band: Band
    bins: Sequence[Bin]


def interval(
    value: float, low: float, high: float | None, required: float, *, measure: str, requirement: str, form: str
) -> Picture:
    """Draw `value` with its bounds on a line, beside what the lower bound has to be over: `required`, in words
    `requirement`. Without `high` only the lower bound is known. `form` formats numbers, `+.3f` for instance.
    """
    known = [value, low, required] + ([high] if high is not None else []) + ([0.0] if "+" in form else [])
    reach = max(max(known) - min(known), 1e-3)
    left, right = min(known) - 0.12 * reach, max(known) + 0.12 * reach
    bounds = f"at least {low:{form}}" if high is None else f"{low:{form}} to {high:{form}}"

    def draw(theme: Theme) -> "Figure":
        figure, axes = _figure(theme, (4.3, 1.75))
        colour = theme.models[0]
        axes.axvspan(required, right, color=theme.passes, zorder=0)
        axes.axvline(required, color=theme.text, linewidth=1.4, zorder=2)
        if "+" in form and required:
            axes.axvline(0, color=theme.soft, linewidth=1, linestyle=":", zorder=1)
        axes.plot([low, right if high is None else high], [0, 0], color=colour, linewidth=3, zorder=3)
        ends = [low] if high is None else [low, high]
        axes.plot(ends, [0] * len(ends), "|", color=colour, markersize=16, markeredgewidth=2.5, zorder=3)
        axes.plot([value], [0], "o", color=colour, markersize=10, zorder=4)
        middle = low if high is None else (low + high) / 2
        behind = theme.passes if low > required else theme.ground
        _write(axes, (middle - left) / (right - left), -0.62, f"{value:{form}} ({bounds})", theme.text, behind)
        beside = "right" if (required - left) / (right - left) > 0.5 else "left"
        axes.annotate(
            requirement,
            (required, 0.74),
            xytext=(5 if beside == "left" else -5, 0),
            textcoords="offset points",
            ha=beside,
            va="center",
            fontsize=_TYPE,
            color=theme.text,
        )
        axes.set(xlim=(left, right), ylim=(-1, 1.1), yticks=[], xlabel=measure)
        axes.spines["left"].set_visible(False)
        return figure

    return _picture(draw)


def roc_curves(models: Sequence[Model]) -> Picture:
    """Draw the ROC curve of each model, challenger first, with its band."""

    def draw(theme: Theme) -> "Figure":
        figure, axes = _figure(theme, (4.3, 4.3))
        axes.plot([0, 1], [0, 1], ":", color=theme.soft, linewidth=1.2, label="chance")
        for model, role, colour, line in _styled(models, theme):
            rates = model.band.false_positive_rates
            axes.fill_between(rates, model.band.low, model.band.high, color=colour, alpha=0.2, linewidth=0)
            label = f"{role} {_short(model.version)}: AUC {model.auc:.3f}"
            axes.plot(rates, model.band.curve, line, color=colour, linewidth=2, label=label)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        axes.set(xlabel="bad photos scored at least as high (share)", ylabel="good photos scored so (share)")
        _legend(axes, theme, loc="lower right")
        return figure

    return _picture(draw)


def reliability_diagram(models: Sequence[Model]) -> Picture:
    """Draw the share of good photos over the mean score of each bin with its bounds, and below how many photos have
    such a score.
    """

    def draw(theme: Theme) -> "Figure":
        figure = _new_figure(theme, (4.3, 4.9))
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        _dress(axes, theme)
        _dress(below, theme)
        axes.plot([0, 1], [0, 1], ":", color=theme.soft, linewidth=1.2, label="perfect")
        for (model, role, colour, line), mark in zip(_styled(models, theme), _MARKS, strict=False):
            mean, share = np.array([[found.mean_score, found.good_share] for found in model.bins]).T
            reach = np.array([[found.good_share - found.low, found.high - found.good_share] for found in model.bins]).T
            axes.errorbar(
                mean,
                share,
                np.maximum(reach, 0),
                color=colour,
                linestyle=line,
                marker=mark,
                markersize=5.5,
                linewidth=1.3,
                elinewidth=1.3,
                capsize=2.5,
                label=f"{role} {_short(model.version)}",
            )
            edges = [0.0, *(found.end for found in _filled(model.bins))]
            counts = [found.photos for found in _filled(model.bins)]
            below.stairs(counts, edges, color=colour, linestyle=line, linewidth=1.6)
        axes.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02), ylabel="good among them (share)")
        below.set(xlabel="score", ylabel="photos", ylim=(0, None))
        long = sum(len(_short(model.version)) for model in models) > _LETTERS_IN_A_ROW
        _legend(
            figure,
            theme,
            handles=axes.get_legend_handles_labels()[0],
            loc="outside upper center",
            ncols=1 if long else 3,
        )
        return figure

    return _picture(draw)


def _filled(bins: Sequence[Bin]) -> list[Bin]:
    """Return all bins from 0 to 1, those without photos too."""
    width = bins[0].end - bins[0].start
    known = {round(found.start / width): found for found in bins}
    return [
        known.get(number, Bin(number * width, (number + 1) * width, 0, 0.0, 0.0, 0.0, 1.0))
        for number in range(round(1 / width))
    ]


def _styled(models: Sequence[Model], theme: Theme) -> list[tuple[Model, str, str, str]]:
    return list(zip(models, ("challenger", "champion"), theme.models, _LINES, strict=False))


def _short(name: str) -> str:
    """Return `name` in letters that the font has, cut where it is long."""
    plain = name.encode("ascii", "replace").decode()
    plain = "".join(letter if letter.isprintable() else "?" for letter in plain)
    return plain if len(plain) <= _LONGEST_NAME else plain[: _LONGEST_NAME - 1] + "…"


def _write(axes: "Axes", share: float, y: float, text: str, colour: str, behind: str) -> None:
    """Write `text` centred at that share of the width, or flush with the nearer edge where it would not fit."""
    from matplotlib.transforms import blended_transform_factory

    half = _LETTER * len(text)
    side = "left" if share < half else "right" if share > 1 - half else "center"
    axes.text(
        {"left": 0.01, "right": 0.99, "center": share}[side],
        y,
        text.replace("-", "−"),
        color=colour,
        ha=side,
        va="center",
        fontsize=_TYPE,
        weight="bold",
        bbox={"facecolor": behind, "alpha": 0.8, "linewidth": 0, "pad": 1.5},
        transform=blended_transform_factory(axes.transAxes, axes.transData),
    )


def _legend(place: "Axes | Figure", theme: Theme, **options: Any) -> None:
    legend = place.legend(
        fontsize=_TYPE - 1,
        labelcolor=theme.text,
        framealpha=0.85,
        borderpad=0.5,
        handlelength=1.8,
        columnspacing=1.2,
        **options,
    )
    legend.get_frame().set(facecolor=theme.ground, edgecolor=theme.line)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _new_figure(theme: Theme, size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained", facecolor=theme.ground)


def _figure(theme: Theme, size: tuple[float, float]) -> "tuple[Figure, Axes]":
    figure = _new_figure(theme, size)
    axes = figure.subplots()
    _dress(axes, theme)
    return figure, axes


def _dress(axes: "Axes", theme: Theme) -> None:
    axes.set_facecolor(theme.ground)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(theme.soft)
    axes.tick_params(colors=theme.soft, labelcolor=theme.text, labelsize=_TYPE - 1)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=theme.text, fontsize=_TYPE)


def _picture(draw: "Callable[[Theme], Figure]") -> Picture:
    return Picture(_png(draw(LIGHT)), _png(draw(DARK)))


def _png(figure: "Figure") -> bytes:
    """Return the figure as a PNG with a palette: a third of the size, and nobody sees it."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=_DPI, format="png")
    with Image.open(drawn) as opened:
        opened.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
    return small.getvalue()

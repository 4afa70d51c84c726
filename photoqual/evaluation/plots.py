"""Pictures of an evaluation. Each function draws one file; sizes and type are chosen to be read on a phone, colours
(Okabe and Ito's) to be told apart by colour-blind eyes. No state of pyplot is touched.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from photoqual.config import EvaluateParams
from photoqual.evaluation.metrics import Confusion

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GOOD, BAD, ERROR = "#0072B2", "#D55E00", "#CC0000"
_STYLES = {"good": "-", "bad": "--"}
_CHANNELS = ("red", "green", "blue")
_DPI = 120
_GRID_COLUMNS = 3


@dataclass(frozen=True)
class Shown:
    """A photo of a grid: JPEG bytes, its score, its class, and the class the model gave it."""

    jpeg: bytes
    score: float
    truth: str
    label: str


def roc(
    path: Path,
    rates: tuple[np.ndarray, np.ndarray],
    auc: float,
    interval: tuple[float, float],
    confidence: float,
    photos: int,
) -> None:
    """Draw the ROC curve, (false positive rates, true positive rates), with the AUC and its interval in the title."""
    figure, axes = _figure(
        f"ROC on {photos} frozen photos\nAUC {auc:.3f}, {confidence:.0%} interval {interval[0]:.3f} to {interval[1]:.3f}",
        (5.4, 5.4),
    )
    axes.plot([0, 1], [0, 1], ":", color="0.5", label="chance")
    axes.plot(*rates, color=GOOD, linewidth=2.2, label="challenger")
    axes.set(
        xlabel="bad photos labelled good (share)",
        ylabel="good photos labelled good (share)",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
    )
    axes.legend(loc="lower right")
    _save(figure, path)


def precision_recall(path: Path, recalls: np.ndarray, precisions: np.ndarray, good_share: float, photos: int) -> None:
    """Draw precision of the good class over its recall, with the share of good photos as the line of chance."""
    figure, axes = _figure(
        f"Precision and recall of good photos\n{photos} frozen photos, {good_share:.0%} of them good", (5.4, 5.0)
    )
    axes.axhline(good_share, linestyle=":", color="0.5", label="chance")
    axes.step(recalls, precisions, where="post", color=GOOD, linewidth=2.2, label="challenger")
    axes.set(
        xlabel="recall: good photos found (share)",
        ylabel="precision: found photos that are good",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.03),
    )
    axes.legend(loc="best")
    _save(figure, path)


def gallery_reduction(
    path: Path,
    curve: tuple[np.ndarray, np.ndarray],
    reduction: float,
    interval: tuple[float, float] | None,
    params: EvaluateParams,
    good_share: float,
) -> None:
    """Draw the share of good photos kept over the share of the gallery left out, (shares left out, shares kept), with
    a point at the reduction that keeps `params.keep_share`. A perfect score keeps all until only good photos are left.
    """
    bounds = f", {params.confidence:.0%} interval {interval[0]:.0%} to {interval[1]:.0%}" if interval else ""
    figure, axes = _figure(
        f"{reduction:.0%} of the gallery can be left out\nwhile {params.keep_share:.0%} of the good photos stay{bounds}",
        (5.8, 5.4),
    )
    axes.plot([0, 1 - good_share, 1], [1, 1, 0], "--", color="0.5", label="perfect score")
    axes.plot([0, 1], [1, 0], ":", color="0.5", label="chance")
    axes.plot(*curve, color=GOOD, linewidth=2.2, label="challenger")
    axes.axhline(params.keep_share, color=BAD, linewidth=1, linestyle="-.")
    if interval:
        axes.plot(interval, [params.keep_share] * 2, color=BAD, linewidth=3, marker="|", markersize=16)
    axes.plot(
        reduction,
        np.interp(reduction, *curve),
        "o",
        markersize=9,
        color=BAD,
        label=f"{1000 * reduction:.0f} of 1,000 photos not looked at:\n"
        f"{1000 * reduction * params.seconds_per_photo / 60:.0f} minutes at {params.seconds_per_photo:g} s a photo",
    )
    axes.set(
        xlabel="gallery left out, lowest scores first (share)",
        ylabel="good photos that stay (share)",
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.03),
        aspect="equal",
    )
    axes.legend(loc="lower left")
    _save(figure, path)


def confusion(path: Path, counts: Confusion, threshold: float) -> None:
    """Draw the confusion matrix with counts and shares of each true class."""
    table = np.array([[counts.true_good, counts.false_bad], [counts.false_good, counts.true_bad]])
    shares = table / table.sum(axis=1, keepdims=True)
    right = counts.true_good + counts.true_bad
    figure, axes = _figure(
        f"{right} of {table.sum()} frozen photos labelled right\n(good from score {threshold:.2f} on)", (5.0, 4.6)
    )
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        text = f"{count}\n{shares[row, column]:.0%}"
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=15,
            color="white" if shares[row, column] > 0.55 else "black",
        )
    axes.set_xticks([0, 1], ["labelled good", "labelled bad"])
    axes.set_yticks([0, 1], ["truly\ngood", "truly\nbad"])
    axes.tick_params(length=0)
    _save(figure, path)


def score_distributions(path: Path, good: np.ndarray, scores: np.ndarray, threshold: float) -> None:
    """Draw the scores of good against bad photos as histograms of equal area."""
    truth = good.astype(bool)
    figure, axes = _figure(f"Scores of {int(truth.sum())} good and {int((~truth).sum())} bad frozen photos", (6.0, 4.2))
    bins = np.linspace(0, 1, 21).tolist()
    for name, of_class, colour, hatch in (("good", truth, GOOD, ""), ("bad", ~truth, BAD, "///")):
        weights = np.full(int(of_class.sum()), 100 / of_class.sum())
        axes.hist(
            scores[of_class],
            bins,
            weights=weights,
            histtype="stepfilled",
            alpha=0.35,
            color=colour,
            hatch=hatch,
            edgecolor=colour,
            linewidth=1.6,
            label=name,
        )
    axes.axvline(threshold, color="0.2", linestyle=":", label="threshold")
    axes.set(xlabel="score", ylabel="% of the class", xlim=(0, 1))
    axes.legend()
    _save(figure, path)


def rgb_histograms(path: Path, histograms: dict[str, np.ndarray], photos: dict[str, int]) -> None:
    """Draw the mean histogram of each channel, good against bad. `histograms` by class: (3, 256) summed shares."""
    figure = _new_figure((6.0, 6.4))
    panels = figure.subplots(3, 1, sharex=True)
    for channel, (axes, name) in enumerate(zip(panels, _CHANNELS, strict=True)):
        for label, colour in (("good", GOOD), ("bad", BAD)):
            shares = 100 * histograms[label][channel] / max(1, photos[label])
            smooth = np.convolve(np.pad(shares, 3, mode="edge"), np.full(7, 1 / 7), mode="valid")
            axes.plot(
                smooth, color=colour, linestyle=_STYLES[label], linewidth=1.8, label=f"{label} ({photos[label]} photos)"
            )
        axes.set(ylabel=f"{name}\n% of pixels", xlim=(0, 255), ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(fontsize=10)
    panels[-1].set_xlabel("value, 0 dark to 255 bright")
    figure.suptitle("Colour of good and bad frozen photos", fontsize=13)
    _save(figure, path)


def grid(path: Path, shown: Sequence[Shown], title: str) -> None:
    """Draw photos in reading order with the score under each; a wrong label gets a red frame and says the truth."""
    rows = max(1, -(-len(shown) // _GRID_COLUMNS))
    figure = _new_figure((6.4, 0.8 + 1.75 * rows))
    panels = figure.subplots(rows, _GRID_COLUMNS, squeeze=False)
    for axes in panels.ravel():
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes, photo in zip(panels.ravel(), shown, strict=False):
        wrong = photo.truth != photo.label
        with Image.open(io.BytesIO(photo.jpeg)) as opened:
            opened.thumbnail((420, 420))
            axes.imshow(np.asarray(opened.convert("RGB")))
        axes.set_xlabel(
            f"{photo.score:.2f}" + (f"  ✗ truly {photo.truth}" if wrong else f"  {photo.truth}"),
            color=ERROR if wrong else "black",
            fontsize=11,
        )
        axes.spines[:].set_visible(wrong)
        axes.spines[:].set(color=ERROR, linewidth=5)
    figure.suptitle(title, fontsize=13)
    _save(figure, path)


def _new_figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _figure(title: str, size: tuple[float, float]) -> "tuple[Figure, Axes]":
    figure = _new_figure(size)
    axes = figure.subplots()
    axes.set_title(title, fontsize=13)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.label.set_fontsize(12)
    axes.yaxis.label.set_fontsize(12)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    figure.savefig(path, dpi=_DPI)

"""The page of a watch: findings against thresholds, distributions then and now, the series, the newest photos."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from photoqual.config import Params
from photoqual.pages.render import inline_jpeg, inline_png, render
from photoqual.photos.shards import read_photos
from photoqual.registry.watch_series import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_PHOTOS = 6
SHOWN_POINTS = 12
THEN, NOW, LIMIT = "#0072B2", "#D55E00", "#CC0000"
_THUMBNAIL = (320, 320)
_DPI = 120
_TITLES = {
    "auc_loss": "AUC lost against the frozen test set",
    "psi.score": "Shift of the score",
    "two_sample_auc": "New told from training photos (AUC)",
}
_UNITS = {
    "brightness": "brightness, 0 to 255",
    "contrast": "contrast, 0 to 255",
    "sharpness": "sharpness, ln(1 + variance)",
    "saturation": "saturation, 0 to 255",
    "clipped_dark": "share of black pixels",
    "clipped_bright": "share of white pixels",
}

_MARKS = 5
_SHORTEST_DAYS = 1e-4
"""Watches within a few seconds get one mark on the axis of time."""


@dataclass(frozen=True)
class Seen:
    """What the pictures are drawn from. `newest`: rows with `photo_id`, `shard`, `row`, `good`, `score`, `source`,
    `first_seen`; `frozen_scores`: (n,); measures by name, of the newest photos and of the sample of training photos.
    """

    newest: pd.DataFrame
    frozen_scores: np.ndarray
    newest_measures: Mapping[str, np.ndarray]
    training_measures: Mapping[str, np.ndarray]


def page(summary: Mapping[str, Any], seen: Seen | None, series: Sequence[Point], params: Params, photos: Path) -> str:
    """Return the page as HTML. `seen` is None where too few photos were found; `series` ends with this watch."""
    pictures = {"series": "", "scores": "", "measures": ""}
    if any("auc_all" in point.metrics for point in series):
        pictures["series"] = inline_png(_series(series, params))
    best: list[tuple[str, str, list[str]]] = []
    worst: list[tuple[str, str, list[str]]] = []
    if seen is not None:
        pictures["scores"] = inline_png(_scores(seen))
        pictures["measures"] = inline_png(_measures(seen))
        ranked = seen.newest.sort_values(["score", "photo_id"], ascending=False)
        best = _thumbnails(photos, ranked.head(SHOWN_PHOTOS))
        worst = _thumbnails(photos, ranked.tail(SHOWN_PHOTOS).iloc[::-1])
    return render(
        "watch.html",
        summary=summary,
        findings=[
            {**finding, "title": _title(finding["name"])}
            for finding in sorted(summary["findings"], key=lambda finding: not finding["crossed"])
        ],
        pictures=pictures,
        best=best,
        worst=worst,
        series=list(reversed(series))[:SHOWN_POINTS],
        policy=params.watch,
        interval=params.evaluate.confidence,
    )


def _title(name: str) -> str:
    return _TITLES.get(name) or f"Shift of {name.removeprefix('psi.').replace('_', ' ')}"


def _thumbnails(photos: Path, rows: pd.DataFrame) -> list[tuple[str, str, list[str]]]:
    """Return (data URI, text for those who do not see it, lines below it) for each of `rows`, in their order."""
    jpegs = dict(read_photos(photos, rows))
    shown = []
    for row in rows.itertuples():
        votes = "good" if row.good == 1 else "bad"
        alt = f"Photo {row.photo_id[:12]}, scored {row.score:.2f}, {votes} by its votes"
        lines = [f"score {row.score:.2f}", f"{votes} by its votes", f"{row.source}, {row.first_seen:%Y-%m-%d}"]
        shown.append((_thumbnail(jpegs[row.photo_id]), alt, lines))
    return shown


def _thumbnail(jpeg: bytes) -> str:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.thumbnail(_THUMBNAIL)
        image.save(buffer, "JPEG", quality=82)
    return inline_jpeg(buffer.getvalue())


def _scores(seen: Seen) -> bytes:
    figure = _figure((5.6, 3.6))
    axes = figure.subplots()
    now = seen.newest["score"].to_numpy(dtype=float)
    _histograms(axes, seen.frozen_scores, now, np.linspace(0, 1, 21), ("frozen test set", "newest"))
    axes.set(xlabel="score of the champion", ylabel="% of the photos", xlim=(0, 1))
    axes.legend()
    return _png(figure)


def _measures(seen: Seen) -> bytes:
    names = list(seen.newest_measures)
    figure = _figure((5.6, 2.0 * -(-len(names) // 2) + 0.4))
    panels = figure.subplots(-(-len(names) // 2), 2, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        then, now = seen.training_measures[name], seen.newest_measures[name]
        low, high = float(min(then.min(), now.min())), float(max(then.max(), now.max()))
        _histograms(axes, then, now, np.linspace(low, high if high > low else low + 1, 21), ("training", "newest"))
        axes.set_xlabel(_UNITS.get(name, name))
    for axes in panels[::2]:
        axes.set_ylabel("% of the photos")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return _png(figure)


def _histograms(axes: "Axes", then: np.ndarray, now: np.ndarray, bins: np.ndarray, names: tuple[str, str]) -> None:
    for values, colour, hatch, name in ((then, THEN, "", names[0]), (now, NOW, "///", names[1])):
        axes.hist(
            values,
            bins.tolist(),
            weights=np.full(len(values), 100 / len(values)),
            histtype="stepfilled",
            alpha=0.35,
            color=colour,
            edgecolor=colour,
            hatch=hatch,
            linewidth=1.6,
            label=f"{name} ({len(values)})",
        )
    axes.spines[["top", "right"]].set_visible(False)


def _series(series: Sequence[Point], params: Params) -> bytes:
    """Draw the AUC with its interval, and each shift against its threshold, watch by watch."""
    points = [point for point in series if "auc_all" in point.metrics]
    times = [datetime.fromisoformat(point.at) for point in points]
    figure = _figure((5.6, 5.4))
    above, below = figure.subplots(2, 1, sharex=True)
    for name, label, style in (
        ("auc", "new photos, unseen groups", {"fmt": "o-", "color": NOW}),
        ("auc_all", "all new photos", {"fmt": "^:", "color": "0.45"}),
        ("frozen_auc", "frozen test set", {"fmt": "s--", "color": THEN}),
    ):
        found = [(time, point.metrics) for time, point in zip(times, points, strict=True) if name in point.metrics]
        if found:
            value, low, high = (np.array([of[name + end] for _, of in found]) for end in ("", "_low", "_high"))
            bars = [value - low, high - value] if name != "frozen_auc" else None
            above.errorbar([time for time, _ in found], value, bars, capsize=3, label=label, **style)
    above.set(ylabel="AUC")
    shifts = [
        max((value for name, value in point.metrics.items() if name.startswith("psi.")), default=np.nan)
        for point in points
    ]
    below.plot(times, shifts, "o-", color=NOW, label="largest shift over chance")
    below.axhline(params.watch.max_psi, color=LIMIT, linestyle=":", label=f"threshold {params.watch.max_psi:g}")
    alarms = [
        (time, shift) for time, shift, point in zip(times, shifts, points, strict=True) if point.outcome == "alarm"
    ]
    if alarms:
        below.plot(*zip(*alarms, strict=True), "X", color=LIMIT, markersize=11, label="alarm")
    below.set(ylabel="stability index", ylim=(0, None))
    for axes in (above, below):
        axes.legend()
        axes.spines[["top", "right"]].set_visible(False)
    _date_axis(below, times)
    return _png(figure)


def _date_axis(axes: "Axes", times: Sequence[datetime]) -> None:
    """Mark at most five instants from the first watch to the last, whatever lies between them."""
    from matplotlib.dates import date2num, num2date

    first, last = (float(date2num(time)) for time in (min(times), max(times)))
    days = last - first
    marks = np.linspace(first, last, _MARKS) if days > _SHORTEST_DAYS else np.array([last])
    style = "%Y-%m-%d" if days > _MARKS else "%m-%d %H:%M"
    axes.set_xticks(marks.tolist(), [f"{num2date(mark):{style}}" for mark in marks])
    axes.tick_params(axis="x", labelrotation=20)


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()

"""The catalog as a page of pictures: votes and ratings over time, and over the year of upload."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.errors import MissingData
from photoqual.layout import Layout
from photoqual.pages.render import inline_png, render
from photoqual.photos.catalog import OK, read_catalog
from photoqual.photos.history import read_history
from photoqual.photos.overview import OverTime, by_year, cells, lines, over_time, overview
from photoqual.terminal import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE, OVER_TIME, BY_YEAR = "index.html", "votes_over_time.png", "upload_years.png"
_DPI = 120
_LINE, _NEW = "#0072B2", "#D55E00"
_STARS = ("#b2182b", "#ef8a62", "#d9d9d9", "#67a9cf", "#2166ac")
"""One star to five: red to blue, which colour-blind eyes can tell apart."""
_FEW = 30
"""So many periods are marked one by one."""
_DAY = np.timedelta64(1, "D")
_CATEGORIES = 15
_YEARS = 40
"""Bars that can be read beside each other; of more years the latest are drawn."""


def draw(layout: Layout, folder: Path) -> dict[str, Any]:
    """Write pictures and page of the catalog into `folder`; return where they are. Raise MissingData when there is no
    catalog, or nothing in it to draw.
    """
    catalog = read_catalog(layout.catalog)
    history = read_history(layout.votes)
    years = by_year(catalog)
    pictures: dict[str, bytes] = {}
    if len(history):
        pictures[OVER_TIME] = _png(_over_time(over_time(history, catalog)))
    if len(years):
        pictures[BY_YEAR] = _png(_by_year(years.tail(_YEARS)))
    if not pictures:
        raise MissingData(
            "There is nothing to draw: no photo of the catalog has a date of upload, and no votes were kept yet.",
            next_step="`photoqual refresh` keeps votes of sources that count them; `photoqual catalog` shows the rest.",
        )
    for name, data in pictures.items():
        files.write_bytes(folder / name, data)
    files.write_bytes(folder / PAGE, _page(catalog, history, years, pictures).encode())
    return {"page": str(folder / PAGE), "pictures": [str(folder / name) for name in pictures]}


def _page(catalog: pd.DataFrame, history: pd.DataFrame, years: pd.DataFrame, pictures: dict[str, bytes]) -> str:
    told = overview(catalog)
    ok = catalog[catalog["status"] == OK]
    categories = ok["category"].fillna("(none)").astype(str).value_counts().head(_CATEGORIES)
    return render(
        "catalog.html",
        sources=[cells(row) for row in lines(told)],
        categories=[[plain(str(name))[:80], int(count)] for name, count in categories.items()],
        pictures={name: inline_png(data) for name, data in pictures.items()},
        over_time=OVER_TIME,
        by_year=BY_YEAR,
        since=str(history["checked_at"].min().date()) if len(history) else "",
        years=[
            [str(year), *(float(row[name]) for name in ("photos", "rated", "votes", "median"))]
            for year, row in years.iloc[::-1].iterrows()
        ],
    )


def _over_time(told: OverTime) -> "Figure":
    """Draw all votes, the new ones, and the photos' ratings, period by period."""
    from matplotlib.dates import date2num

    figure = _figure("Votes and ratings over time")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    few = len(told.times) < _FEW
    above.plot(told.times, told.votes, color=_LINE, linewidth=2.2, marker="o" if few else "")
    above.set(ylabel="votes in all", ylim=(0, None))
    starts = np.concatenate([told.times[:1] - _DAY, told.times[:-1]])
    gained = told.new != 0
    middle.bar(
        date2num(starts[gained]),
        told.new[gained],
        width=(told.times - starts)[gained] / _DAY,
        align="edge",
        color=_NEW,
        edgecolor="white",
        linewidth=0.5,
    )
    middle.axhline(0, color="0.3", linewidth=0.8)
    middle.set(ylabel="new votes")
    if not told.new.any():
        middle.set(ylim=(0, 1), yticks=[0])
        middle.text(0.5, 0.5, "none yet", transform=middle.transAxes, ha="center", color="0.4")
    ends, stars = told.times, told.stars
    if len(ends) == 1:
        ends, stars = ends + np.array([-12, 12], "timedelta64[h]"), stars[[0, 0]]
    for low, high, alpha, label in ((0, 4, 0.15, "80 % of the photos"), (1, 3, 0.3, "50 %")):
        below.fill_between(ends, stars[:, low], stars[:, high], color=_LINE, alpha=alpha, linewidth=0, label=label)
    below.plot(ends, stars[:, 2], color=_LINE, linewidth=2.2, label="median")
    if not np.isnan(told.new_stars).all():
        below.plot(told.times, told.new_stars, "D", color=_NEW, markersize=6 if few else 3, label="mean of new votes")
    below.set(ylabel="rating (stars)", ylim=(0.9, 5.1), yticks=range(1, 6))
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=9, frameon=False)
    _thousands(above, middle)
    _dates(below, told.times)
    return figure


def _by_year(years: pd.DataFrame) -> "Figure":
    """Draw photos, votes and whole stars by the year of upload."""
    figure = _figure("By year of upload")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    places = np.arange(len(years))
    above.bar(places, years["photos"], color="0.78", label="photos")
    above.bar(places, years["rated"], color=_LINE, label="with a vote")
    above.set(ylabel="photos")
    above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9, frameon=False)
    middle.bar(places, years["votes"] / years["photos"], color=_NEW)
    middle.set(ylabel="votes per photo")
    floor = np.zeros(len(years))
    for star, colour in enumerate(_STARS, start=1):
        share = 100 * years[star].to_numpy()
        below.bar(places, share, bottom=floor, color=colour, label=f"{star} ★")
        floor += share
    below.set(ylabel="% of rated photos", ylim=(0, 100))
    below.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5, fontsize=9, frameon=False)
    step = -(-len(years) // 14)
    below.set_xticks(places[::step], [str(year) for year in years.index[::step]])
    below.set_xlabel("year of upload")
    _thousands(above, middle)
    return figure


def _dates(axes: "Axes", times: np.ndarray) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    if times[-1] - times[0] < 7 * _DAY:
        axes.set_xticks(times, [str(time)[:10] for time in times])
        return
    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _thousands(*panels: "Axes") -> None:
    from matplotlib.ticker import StrMethodFormatter

    for axes in panels:
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}" if axes.get_ylim()[1] < 10 else "{x:,.0f}"))


def _figure(title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 8.4), layout="constrained")
    figure.suptitle(title, fontsize=13)
    return figure


def _png(figure: "Figure") -> bytes:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()

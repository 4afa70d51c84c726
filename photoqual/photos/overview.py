"""What the catalog holds, source by source, and how votes and ratings came about: numbers and tables of text."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from photoqual.photos.catalog import KEY, OK, PAGE
from photoqual.terminal import plain

STARS = (1.0, 5.0)
LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Quantiles of the photos' ratings that are drawn over time."""
_PERIODS = 60
_DAY = pd.Timedelta(days=1)
_WIDTH = 140


@dataclass(frozen=True)
class OverTime:
    """Votes and ratings at the ends of k periods: `times` (k,), the last day of each; `votes` (k,) counted in all; `new` (k,) since the period
    before, of photos seen before; `new_stars` (k,) their mean; `stars` (k, 5) quantiles LEVELS of the photos' mean ratings;
    `rated` (k,) photos with a vote. NaN where there is nothing to take a mean of.
    """

    times: np.ndarray
    votes: np.ndarray
    new: np.ndarray
    new_stars: np.ndarray
    stars: np.ndarray
    rated: np.ndarray


def overview(catalog: pd.DataFrame) -> dict[str, Any]:
    """Return {"sources": [facts of each], "total": facts of all} of a catalog. Addresses that gave no photo are none."""
    catalog = catalog[~catalog["status"].fillna("").str.startswith(PAGE).astype(bool)]
    sources = [{"source": str(name), **_facts(rows)} for name, rows in catalog.groupby("source", sort=True)]
    return {"sources": sources, "total": _facts(catalog)}


def as_text(told: dict[str, Any]) -> str:
    """Return an overview as a table for a terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("source", overflow="fold")
    for name in ("photos", "rated", "votes", "groups"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("uploaded", "fetched", "checked last"):
        table.add_column(name, no_wrap=True)
    table.add_column("set aside")
    for row in lines(told):
        table.add_row(*(plain(text) for text in cells(row)))
    written = io.StringIO()
    Console(file=written, width=_WIDTH, markup=False, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines()) + "\n"


def lines(told: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the facts of each source, and of all together where there are several."""
    return [*told["sources"], *([{"source": "all", **told["total"]}] if len(told["sources"]) > 1 else [])]


def cells(row: dict[str, Any]) -> list[str]:
    """Return the facts of one source as text: name, photos, rated, votes, groups, three dates, what was set aside."""
    aside = ", ".join(f"{count:,} {reason}" for reason, count in row["set_aside"].items())
    spans = [" to ".join(dict.fromkeys(row[name])) if row[name] else "–" for name in ("uploaded", "first_seen")]
    checked = row["last_checked"][-1] if row["last_checked"] else "–"
    counts = [f"{row[name]:,}" for name in ("photos", "rated", "votes", "groups")]
    return [row["source"], *counts, *spans, checked, aside or "–"]


def stars_of(mean: pd.Series, low: pd.Series, high: pd.Series) -> np.ndarray:
    """Return mean votes on the scale of 1 to 5 stars; NaN where there is none or its scale is not known."""
    values, lowest, highest = (part.astype("float64").to_numpy(na_value=np.nan) for part in (mean, low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        stars = STARS[0] + (STARS[1] - STARS[0]) * (values - lowest) / (highest - lowest)
    return np.where(highest > lowest, stars, np.nan)


def over_time(history: pd.DataFrame, catalog: pd.DataFrame) -> OverTime:
    """Follow the votes of all photos through `history` (columns source, source_key, checked_at, votes_count, votes_mean):
    a row of a photo holds from its time on until its next one. At most 60 periods of whole days.
    """
    rows = _with_stars(history, catalog)
    moments = rows["checked_at"]
    days = max(1, -(-(moments.max() - moments.min() + _DAY) // (_PERIODS * _DAY)))
    first = moments.min().floor("D")
    period = ((moments - first) // (days * _DAY)).to_numpy(dtype=np.int64)
    size = int(period[-1]) + 1 if len(period) else 0
    photo = rows.groupby(KEY, sort=False).ngroup().to_numpy()
    by_photo = rows.assign(total=rows["votes"] * rows["stars"].fillna(0)).groupby(photo)
    before = by_photo[["votes", "total"]].shift()
    seen = before["votes"].notna().to_numpy()
    more = (rows["votes"] - before["votes"].fillna(0)).to_numpy()
    new = np.bincount(period[seen], more[seen], size)
    gained = (rows["votes"] * rows["stars"].fillna(0) - before["total"]).to_numpy()
    new_stars = np.full(size, np.nan)
    np.divide(np.bincount(period[seen], gained[seen], size), new, out=new_stars, where=new > 0)
    new_stars[(new_stars < STARS[0]) | (new_stars > STARS[1])] = np.nan  # votes that a site withdrew or moved
    state = np.full(int(photo.max(initial=-1)) + 1, np.nan)
    levels, rated = np.full((size, len(LEVELS)), np.nan), np.zeros(size, dtype=np.int64)
    stars, bounds = rows["stars"].to_numpy(), np.searchsorted(period, np.arange(size + 1))
    for place in range(size):
        part = slice(bounds[place], bounds[place + 1])
        state[photo[part]] = stars[part]
        known = state[~np.isnan(state)]
        rated[place] = len(known)
        if len(known):
            levels[place] = np.quantile(known, LEVELS)
    last_days = [min(first + ((place + 1) * days - 1) * _DAY, moments.max().floor("D")) for place in range(size)]
    return OverTime(
        np.array([day.tz_localize(None) for day in last_days], dtype="datetime64[us]"),
        np.cumsum(np.bincount(period, more, size)),
        new,
        new_stars,
        levels,
        rated,
    )


def by_year(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return a row per upload year, in order, of the usable photos: `photos`, `rated`, `votes`, `median`, and the share of
    rated photos with one to five whole stars in the columns 1 to 5.
    """
    rows = catalog[(catalog["status"] == OK) & catalog["uploaded_at"].notna()]
    votes = rows["votes_count"].fillna(0).astype("int64").to_numpy()
    stars = np.where(votes > 0, stars_of(rows["votes_mean"], rows["rating_min"], rows["rating_max"]), np.nan)
    frame = pd.DataFrame(
        {"year": rows["uploaded_at"].dt.year.astype("int64").to_numpy(), "votes": votes, "stars": stars}
    )
    years = frame.groupby("year")
    told = years.agg(
        photos=("votes", "size"), rated=("stars", "count"), votes=("votes", "sum"), median=("stars", "median")
    )
    whole = np.floor(frame["stars"] + 0.5).dropna().astype("int64")
    counts = pd.crosstab(frame.loc[whole.index, "year"], whole).reindex(
        index=told.index, columns=range(1, 6), fill_value=0
    )
    return told.join(counts.div(counts.sum(axis=1).replace(0, 1), axis=0))


def _facts(rows: pd.DataFrame) -> dict[str, Any]:
    ok = rows[rows["status"] == OK]
    votes = ok["votes_count"].fillna(0)
    reasons = rows.loc[rows["status"] != OK, "status"].value_counts()
    return {
        "rows": len(rows),
        "ok": len(ok),
        "photos": int(ok["photo_id"].nunique()),
        "rated": int(((votes > 0) | ok["label_hint"].notna()).sum()),
        "votes": int(votes.sum()),
        "groups": int(ok["group"].nunique()),
        "uploaded": _span(ok["uploaded_at"]),
        "first_seen": _span(rows["first_seen"]),
        "last_checked": _span(rows["last_checked"]),
        "set_aside": {str(reason): int(count) for reason, count in sorted(reasons.items())},
    }


def _span(instants: pd.Series) -> list[str] | None:
    known = instants.dropna()
    return [str(known.min().date()), str(known.max().date())] if len(known) else None


def _with_stars(history: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the history in order of time with numpy columns: KEY, checked_at (UTC), votes, stars.

    A photo that has left the catalog is read on the scale of its source.
    """
    scales = catalog[[*KEY, "rating_min", "rating_max"]].drop_duplicates(KEY)
    rows = history.merge(scales, on=KEY, how="left")
    for name in ("rating_min", "rating_max"):
        of_source = scales.groupby("source")[name].first()
        rows[name] = rows[name].fillna(rows["source"].map(of_source))
    votes = rows["votes_count"].fillna(0).astype("int64").to_numpy()
    stars = stars_of(rows["votes_mean"], rows["rating_min"], rows["rating_max"])
    return pd.DataFrame(
        {
            "source": rows["source"].astype(str),
            "source_key": rows["source_key"].astype(str),
            "checked_at": pd.to_datetime(rows["checked_at"].astype("datetime64[us, UTC]"), utc=True),
            "votes": votes,
            "stars": np.where(votes > 0, stars, np.nan),
        }
    ).sort_values("checked_at", kind="stable", ignore_index=True)

"""Label rules: pure functions from catalog rows to labels, and the stage that applies the one chosen in params.

Votes of any site are first brought to one scale of 1 to 5 stars: 1 + 4 · (mean − lowest) / (highest − lowest).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.config import LabelsParams, Params
from photoqual.errors import DataError, MissingData, TooFewPhotos
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs

GOOD_HINT, BAD_HINT = "good", "bad"
STARS = (1.0, 5.0)

SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("good", pa.int8()),  # 1 good, 0 bad, null: the middle, or without a judgement
        ("ordinal", pa.float64()),
        ("stars", pa.float64()),
        ("vote_mean", pa.float64()),
        ("vote_distribution", pa.list_(pa.float64())),
        ("defects", pa.list_(pa.string())),
        ("weight", pa.float64()),
        ("rule", pa.string()),
    ]
)


def stars(catalog: pd.DataFrame) -> pd.Series:
    """Return the mean vote of each row on the scale of 1 to 5 stars; NaN without votes."""
    low, high = catalog["rating_min"].astype(float), catalog["rating_max"].astype(float)
    voted = (catalog["votes_count"].fillna(0).astype(int) > 0) & (high > low)
    return (STARS[0] + (STARS[1] - STARS[0]) * (catalog["votes_mean"].astype(float) - low) / (high - low)).where(voted)


def extremes(catalog: pd.DataFrame, params: LabelsParams) -> pd.Series:
    """Label the extremes: good when the mean, rounded to whole stars, is at least `good_at_least`; bad when it is at
    most `bad_at_most`; the middle stays out. Halves round up, as sites that show whole stars do.
    """
    whole = np.floor(stars(catalog) + 0.5)
    return _ones_and_zeros(whole >= params.good_at_least, whole <= params.bad_at_most)


def threshold(catalog: pd.DataFrame, params: LabelsParams) -> pd.Series:
    """Label by the mean vote in stars itself: good at or over `good_at_least`, bad at or under `bad_at_most`."""
    mean = stars(catalog)
    return _ones_and_zeros(mean >= params.good_at_least, mean <= params.bad_at_most)


def folders(catalog: pd.DataFrame, params: LabelsParams) -> pd.Series:
    """Label by the folder that a person put the photo in."""
    hint = catalog["label_hint"].fillna("").astype(str)
    return _ones_and_zeros(hint == GOOD_HINT, hint.str.split(":").str[0] == BAD_HINT)


RULES: dict[str, Callable[[pd.DataFrame, LabelsParams], pd.Series]] = {
    "extremes": extremes,
    "threshold": threshold,
    "folders": folders,
}


def _ones_and_zeros(good: pd.Series, bad: pd.Series) -> pd.Series:
    labels = pd.Series(pd.NA, index=good.index, dtype="Int8")
    return labels.mask(bad.astype(bool), 0).mask(good.astype(bool), 1)


def label_photos(catalog: pd.DataFrame, params: LabelsParams) -> tuple[pd.DataFrame, dict[str, int]]:
    """Apply the rule of `params` to the usable rows of `catalog`. Return the labels, a row per photo in the order of
    `photo_id`, and how many rows were left out, by reason.

    A photo that two sources know is judged by each; when any judges it good it is good, else bad when any does.
    """
    known = catalog[catalog["status"] == catalogs.OK].reset_index(drop=True)
    excluded = known["category"].fillna("").astype(str).isin(params.exclude_categories)
    few_votes = (known["votes_count"].fillna(0).astype(int) < params.min_votes) & (params.rule != "folders")
    kept = known[~excluded & ~few_votes].reset_index(drop=True)
    hints = kept["label_hint"].fillna("").astype(str)
    rows = pd.DataFrame(
        {
            "photo_id": kept["photo_id"].astype(str),
            "good": RULES[params.rule](kept, params),
            "stars": stars(kept),
            "vote_mean": kept["votes_mean"].astype(float),
            "votes": kept["votes_count"].fillna(0).astype(int),
            "histogram": kept["votes_histogram"],
            "defect": hints.str.removeprefix(BAD_HINT + ":").where(hints.str.startswith(BAD_HINT + ":")),
        }
    )
    labels = _one_row_per_photo(rows, params.rule)
    left_out = {
        "source_removed": int((catalog["status"] == catalogs.REMOVED).sum()),
        "quarantined": int((~catalog["status"].isin([catalogs.OK, catalogs.REMOVED])).sum()),
        "excluded_category": int(excluded.sum()),
        "too_few_votes": int((few_votes & ~excluded).sum()),
    }
    left_out["middle_or_unrated"] = int(labels["good"].isna().sum())
    return labels, {reason: count for reason, count in left_out.items() if count}


def _one_row_per_photo(rows: pd.DataFrame, rule: str) -> pd.DataFrame:
    """Merge the judgements of several catalog rows about one photo; votes are averaged by their number."""
    votes = rows["votes"].clip(lower=1)
    weighted = rows.assign(
        star_sum=rows["stars"] * votes, mean_sum=rows["vote_mean"] * votes, voted=votes.where(rows["stars"].notna())
    )
    merged = weighted.groupby("photo_id", sort=True).agg(
        good=("good", "max"),
        star_sum=("star_sum", "sum"),
        mean_sum=("mean_sum", "sum"),
        voted=("voted", "sum"),
        histogram=("histogram", "first"),
    )
    defects = rows.dropna(subset=["defect"]).groupby("photo_id")["defect"].agg(lambda names: sorted(set(names)))
    voted = merged["voted"].where(merged["voted"] > 0)
    mean_stars = merged["star_sum"] / voted
    return pd.DataFrame(
        {
            "photo_id": merged.index,
            "good": merged["good"].to_numpy(),
            "ordinal": mean_stars.to_numpy(),
            "stars": mean_stars.to_numpy(),
            "vote_mean": (merged["mean_sum"] / voted).to_numpy(),
            "vote_distribution": [_shares(histogram) for histogram in merged["histogram"]],
            "defects": [defects.get(photo, []) for photo in merged.index],
            "weight": 1.0,
            "rule": rule,
        }
    ).reset_index(drop=True)


def _shares(histogram: Any) -> list[float] | None:
    counts = None if histogram is None or histogram is pd.NA else np.asarray(histogram, dtype=float)
    return (counts / counts.sum()).tolist() if counts is not None and counts.ndim == 1 and counts.sum() > 0 else None


def read_labels(layout: Layout) -> pd.DataFrame:
    """Read data/labels.parquet."""
    if not layout.labels.is_file():
        raise MissingData(
            f"{layout.labels} does not exist.", next_step="Run `photoqual label` (or `dvc repro label`) first."
        )
    table = files.read_table(layout.labels)
    if table.schema.names != SCHEMA.names:
        raise DataError(
            f"{layout.labels} has other columns than this version writes.", next_step="Run `photoqual label` again."
        )
    return table.to_pandas().astype({"good": "Int8"})


def label(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the label stage: catalog → labels. Raise TooFewPhotos when the rule labels nothing."""
    catalog = catalogs.read_catalog(layout.catalog)
    labels, left_out = label_photos(catalog, params.labels)
    good, bad = int((labels["good"] == 1).sum()), int((labels["good"] == 0).sum())
    if good + bad == 0:
        raise TooFewPhotos(
            f"Rule `{params.labels.rule}` labels none of the {len(catalog)} photos of the catalog (left out: {left_out or 'none'}).",
            next_step="Check `labels` in params.yaml: folder sources want rule `folders`, voted ones `extremes` or `threshold`.",
        )
    with files.atomic(layout.labels) as temporary:
        pq.write_table(
            pa.Table.from_pandas(labels, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None),
            temporary,
            compression="zstd",
        )
    return {"rule": params.labels.rule, "good": good, "bad": bad, "left_out": left_out}

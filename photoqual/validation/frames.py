"""The plain frames that rules look at: what the checks need of catalog and labels, as NumPy columns.

Pure functions. No text that a source gave is handed to Great Expectations: what rules say of texts and dates is worked
out here, column by column, as True (the rule holds for the row) or False. A million rows take a second or two.
"""

import math
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.photos.catalog import OK, PAGE, SET_ASIDE
from photoqual.validation import distribution as kinds
from photoqual.validation.words import printable

CLOCK_SKEW = timedelta(days=1)
"""How far ahead a date may lie: sites state local dates, and clocks differ."""
DATES = ("uploaded_at", "taken_at", "first_seen", "last_checked")
CATALOG_COLUMNS = (
    "source",
    "source_key",
    "photo_id",
    "category",
    *DATES,
    "original_width",
    "original_height",
    "votes_count",
    "votes_mean",
    "votes_histogram",
    "rating_min",
    "rating_max",
    "shard",
    "row",
    "status",
    "brightness",
    "sharpness",
    "red",
    "green",
    "blue",
)
LABEL_COLUMNS = ("photo_id", "good", "stars")
_NUMBERS = ("votes_count", "votes_mean", "rating_min", "rating_max", "original_width", "original_height")


def latest_date(now: datetime) -> datetime:
    """Return the last instant that a date may state at `now`, which has a zone; in UTC, to the second."""
    return (now - (now.utcoffset() or timedelta()) + CLOCK_SKEW).replace(microsecond=0)


def catalog_frame(catalog: pd.DataFrame, now: datetime) -> pd.DataFrame:
    """Return the checked columns of the catalog.

    Truths: `source_given`, `key_given`, `key_unique`, `id_form`, `stored` (False: status is ok, but id, place or size
    is missing), `histogram_sound` (False: a negative number of votes), `mean_given` (False: votes were counted, but
    their mean is missing), `<date>_past`. `quarantined` is 1 or 0, and NaN for photos that are set aside and addresses
    that gave no photo. `votes_mean` is NaN where nobody voted: sites then show any number. `votes`, `size`, `category`,
    `brightness_step`, `sharpness_step` name the category of each usable photo, once a photo; None in other rows.
    """
    column = partial(_column, catalog)
    plain = pd.DataFrame({name: _floats(column(name)) for name in _NUMBERS})
    plain["source_given"], plain["key_given"] = _given(column("source")), _given(column("source_key"))
    plain["key_unique"] = ~pd.Series(_pairs(column("source"), column("source_key"))).duplicated(keep=False)
    plain["id_form"] = _truth(pc.match_substring_regex(column("photo_id"), "^[0-9a-f]{64}$"), missing=True)
    voted = plain["votes_count"].fillna(0) > 0
    plain["mean_given"] = ~(voted & plain["votes_mean"].isna())
    plain["votes_mean"] = plain["votes_mean"].where(voted)
    ok = _truth(pc.equal(column("status"), OK), missing=False)
    whole = np.logical_and.reduce(
        [_given(column(name)) for name in ("photo_id", "shard", "row", "original_width", "original_height")]
    )
    plain["quarantined"] = np.where(_set_aside(column("status")), math.nan, (~ok).astype(float))
    plain["stored"] = ~ok | whole
    plain["histogram_sound"] = _without_negatives(column("votes_histogram"))
    latest = pa.scalar(latest_date(now), pa.timestamp("us", tz="UTC"))
    for name in DATES:
        plain[f"{name}_past"] = _truth(pc.less_equal(column(name), latest), missing=True)
    return plain.assign(**_categories(catalog, plain, ok & once(column("photo_id"))))


def _categories(catalog: pd.DataFrame, plain: pd.DataFrame, counted: np.ndarray) -> dict[str, pd.Series]:
    """Return the category of each photo by kind; None in rows that are not `counted`."""
    column = partial(_column, catalog)
    sides = np.maximum(plain["original_width"], plain["original_height"]).to_numpy()
    found = {
        "votes": kinds.vote_steps(plain["votes_count"].fillna(0).to_numpy()),
        "size": kinds.size_steps(sides),
        "category": _category_names(column("category")),
        "brightness_step": kinds.brightness_steps(_floats(column("brightness"))),
        "sharpness_step": kinds.sharpness_steps(_floats(column("sharpness"))),
    }
    for names in found.values():
        names[~counted] = None
    return {name: _texts(names) for name, names in found.items()}


def _set_aside(status: Any) -> np.ndarray:
    either = pc.or_kleene(pc.is_in(status, value_set=pa.array(SET_ASIDE)), pc.starts_with(status, PAGE))
    return _truth(either, missing=False)


def _category_names(categories: Any) -> np.ndarray:
    encoded = pc.dictionary_encode(categories, null_encoding="encode")
    names = [
        printable(text)[: kinds.LONGEST_NAME] if text and text.strip() else kinds.NO_CATEGORY
        for text in encoded.dictionary.to_pylist()
    ]
    return kinds.named(encoded.indices.to_numpy(zero_copy_only=False), names)


def fold_categories(frame: pd.DataFrame, now: kinds.Counts | None, reference: kinds.Counts | None) -> pd.DataFrame:
    """Return the catalog's frame with its categories as they are counted in `now` and compared with `reference`."""
    if now is None:
        return frame
    codes, names = pd.factorize(frame["category"])
    kept = [name if name in now else kinds.OTHER for name in names]
    folded = [str(name) for name in kinds.folded(kept, reference or now)]
    return frame.assign(category=_texts(kinds.named(codes, folded)))


def labels_frame(labels: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the checked columns of the labels.

    Truths: `id_given`, `id_unique`, `in_catalog` (the id belongs to a usable photo of the catalog). `labelled` and
    `is_good` are 1 or 0; `is_good` is NaN without a label. `label` ("good", "bad") and `whole_stars` ("1" to "5")
    name the category of each photo; None without a label, without votes.
    """
    ids = _column(labels, "photo_id")
    usable = _column(catalog, "photo_id").filter(pc.fill_null(pc.equal(_column(catalog, "status"), OK), False))
    good = labels["good"].to_numpy(dtype=float, na_value=math.nan)
    return pd.DataFrame(
        {
            "id_given": _given(ids),
            "id_unique": once(ids, keep=False) | ~_given(ids),
            "in_catalog": _truth(pc.is_in(ids, value_set=usable), missing=False),
            "labelled": (~np.isnan(good)).astype(int),
            "is_good": good,
            "label": _texts(kinds.class_names(good)),
            "whole_stars": _texts(kinds.whole_stars(labels["stars"])),
        }
    )


def once(texts: Any, keep: Any = "first") -> np.ndarray:
    """Return True for the first row of each text (`keep` False: for texts that stand in one row alone)."""
    codes = pc.dictionary_encode(texts, null_encoding="encode").indices.to_numpy(zero_copy_only=False)
    found: np.ndarray = ~pd.Series(codes).duplicated(keep=keep).to_numpy()
    return found


def _column(frame: pd.DataFrame, name: str) -> Any:
    """Return a column as an Arrow array; nulls where the frame lacks it."""
    if name not in frame:
        return pa.nulls(len(frame), pa.float64())
    found = pa.array(frame[name], from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _texts(names: np.ndarray) -> pd.Series:
    """Return names as plain objects, which pandas would otherwise turn into a type of its own."""
    return pd.Series(names, dtype=object)


def _floats(values: Any) -> np.ndarray:
    found: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found


def _given(values: Any) -> np.ndarray:
    found: np.ndarray = pc.is_valid(values).to_numpy(zero_copy_only=False)
    return found


def _truth(values: Any, *, missing: bool) -> np.ndarray:
    found: np.ndarray = pc.fill_null(values, missing).to_numpy(zero_copy_only=False).astype(bool)
    return found


def _pairs(one: Any, other: Any) -> np.ndarray:
    """Return an integer per row, equal where both texts are."""
    codes, sizes = [], []
    for texts in (one, other):
        encoded = pc.dictionary_encode(texts, null_encoding="encode")
        codes.append(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))
        sizes.append(len(encoded.dictionary))
    pairs: np.ndarray = codes[0] * sizes[1] + codes[1]
    return pairs


def _without_negatives(histograms: Any) -> np.ndarray:
    sound = np.ones(len(histograms), dtype=bool)
    if pa.types.is_null(histograms.type):
        return sound
    lists = histograms.cast(pa.list_(pa.int64()))
    parents = pc.list_parent_indices(lists).to_numpy()
    sound[parents[pc.less(pc.list_flatten(lists), 0).to_numpy(zero_copy_only=False).astype(bool)]] = False
    return sound

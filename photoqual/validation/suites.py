"""What the catalog and the labels must look like: expectations made from params, and the plain frames they look at.

Pure functions. Each expectation carries in its `meta` what a person needs to read its outcome: a stable `name`, a
`title` in plain words, and what was `expected`. Great Expectations is imported inside, because that takes seconds.

Not covered: whether votes are honest, and whether photos show what their category says.
"""

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.config import ValidationParams
from photoqual.photos.catalog import OK, REMOVED
from photoqual.validation.distribution import CLASSES, HOLDOUT, Distribution, class_names, shares, whole_stars

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

LONGEST_SIDE = 100_000
"""Pixels; no camera and no stitched panorama of a photo site comes near it."""
CLOCK_SKEW = timedelta(days=1)
"""How far ahead a date may lie: sites state local dates, and clocks differ."""
_DATES = ("uploaded_at", "taken_at", "first_seen", "last_checked")
_NUMBERS = ("votes_count", "votes_mean", "rating_min", "rating_max", "original_width", "original_height")


def catalog_frame(catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the checked columns of the catalog with plain NumPy dtypes: nothing rests on how Arrow nulls are treated.

    Derived: `quarantined` (1 or 0; NaN for photos of a source that was taken out of params.yaml), `stored` (False:
    status is ok, but id, place or size is missing), `histogram_sound` (False: a negative number of votes),
    `mean_given` (False: votes were counted, but their mean is missing).
    `votes_mean` is null where nobody voted: sites then show any number. Dates are UTC without a zone.
    """
    texts = ("source", "source_key", "photo_id")
    plain = pd.DataFrame(
        {column: catalog[column].to_numpy(dtype=object, na_value=None) for column in texts}, dtype=object
    )
    for column in _NUMBERS:
        plain[column] = catalog[column].to_numpy(dtype=float, na_value=math.nan)
    for column in _DATES:
        plain[column] = (
            pd.to_datetime(catalog[column], utc=True).astype("datetime64[us, UTC]").dt.tz_localize(None).to_numpy()
        )
    voted = plain["votes_count"].fillna(0) > 0
    plain["mean_given"] = ~(voted & plain["votes_mean"].isna())
    plain["votes_mean"] = plain["votes_mean"].where(voted)
    ok = (catalog["status"] == OK).to_numpy(dtype=bool, na_value=False)
    whole = (
        catalog[["photo_id", "shard", "row", "original_width", "original_height"]]
        .notna()
        .to_numpy(dtype=bool)
        .all(axis=1)
    )
    removed = (catalog["status"] == REMOVED).to_numpy(dtype=bool, na_value=False)
    plain["quarantined"] = np.where(removed, math.nan, (~ok).astype(float))
    plain["stored"] = ~ok | whole
    plain["histogram_sound"] = _without_negatives(catalog["votes_histogram"])
    return plain


def _without_negatives(histograms: pd.Series) -> np.ndarray:
    lists = pa.array(histograms, type=pa.list_(pa.int64()), from_pandas=True)
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    parents = pc.list_parent_indices(lists).to_numpy()
    sound = np.ones(len(lists), dtype=bool)
    sound[parents[pc.less(pc.list_flatten(lists), 0).to_numpy(zero_copy_only=False).astype(bool)]] = False
    return sound


def labels_frame(labels: pd.DataFrame, catalog: pd.DataFrame) -> pd.DataFrame:
    """Return the checked columns of the labels with plain NumPy dtypes.

    Derived: `label` ("good", "bad" or null), `labelled` and `is_good` (1 or 0; `is_good` is NaN without a label),
    `whole_stars` ("1" to "5" or null), `in_catalog` (the id belongs to a usable photo of the catalog).
    """
    ids = pd.Series(labels["photo_id"].to_numpy(dtype=object, na_value=None), dtype=object)
    usable = catalog.loc[(catalog["status"] == OK).to_numpy(dtype=bool, na_value=False), "photo_id"]
    good = labels["good"].to_numpy(dtype=float, na_value=math.nan)
    return pd.DataFrame(
        {
            "photo_id": ids,
            "label": class_names(labels["good"]).to_numpy(),
            "labelled": (~np.isnan(good)).astype(int),
            "is_good": good,
            "whole_stars": whole_stars(labels["stars"]).to_numpy(),
            "in_catalog": ids.isin(set(usable.to_numpy(dtype=object, na_value=None))).to_numpy(),
        }
    )


def _meta(name: str, title: str, expected: str) -> dict[str, Any]:
    return {"name": name, "title": title, "expected": expected}


def catalog_expectations(params: ValidationParams, now: datetime) -> "list[Expectation]":
    """Declare what `catalog_frame` must look like at the instant `now` (with a time zone)."""
    import great_expectations.expectations as gxe

    latest = (now.replace(tzinfo=None) - (now.utcoffset() or timedelta()) + CLOCK_SKEW).replace(microsecond=0)
    scale = {"or_equal": True, "ignore_row_if": "either_value_is_missing"}
    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=1, meta=_meta("catalog_rows", "photos in the catalog", "at least 1")
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="source", meta=_meta("source_given", "source of each photo", "given in every row")
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="source_key", meta=_meta("source_key_given", "source key of each photo", "given in every row")
        ),
        gxe.ExpectCompoundColumnsToBeUnique(
            column_list=["source", "source_key"], meta=_meta("keys_unique", "source and source key", "unique together")
        ),
        gxe.ExpectColumnValuesToMatchRegex(
            column="photo_id", regex="^[0-9a-f]{64}$", meta=_meta("photo_id_form", "photo id", "64 hex digits")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="stored",
            value_set=[True],
            meta=_meta("photo_stored", "photos with status ok", "an id, a place in a shard and a size for each"),
        ),
        gxe.ExpectColumnMeanToBeBetween(
            column="quarantined",
            min_value=0,
            max_value=params.max_quarantined_share,
            meta=_meta("quarantined_share", "share of quarantined photos", f"at most {params.max_quarantined_share:g}"),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="votes_count", min_value=0, meta=_meta("votes_count", "number of votes", "0 or more")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="mean_given",
            value_set=[True],
            meta=_meta("votes_mean_given", "photos with votes", "a mean vote for each"),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="histogram_sound", value_set=[True], meta=_meta("votes_histogram", "votes per star", "0 or more")
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="rating_max",
            column_B="rating_min",
            ignore_row_if="either_value_is_missing",
            meta=_meta("rating_scale", "rating scale", "highest vote over lowest vote"),
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="votes_mean",
            column_B="rating_min",
            meta=_meta("votes_not_under_scale", "mean vote", "at least the lowest vote of its scale"),
            **scale,
        ),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A="rating_max",
            column_B="votes_mean",
            meta=_meta("votes_not_over_scale", "mean vote", "at most the highest vote of its scale"),
            **scale,
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=column,
                min_value=1,
                max_value=LONGEST_SIDE,
                meta=_meta(column, column.replace("_", " "), f"1 to {LONGEST_SIDE} pixels"),
            )
            for column in ("original_width", "original_height")
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=column,
                max_value=latest,
                severity="warning" if column == "taken_at" else "critical",  # a camera's clock is nobody's promise
                meta=_meta(f"{column}_not_in_future", f"date {column}", f"not after {latest:%Y-%m-%d %H:%M} UTC"),
            )
            for column in _DATES
        ),
    ]


def labels_expectations(
    params: ValidationParams, accepted: Distribution | None, now: Distribution
) -> "list[Expectation]":
    """Declare what `labels_frame` must look like; compare with `accepted` when there is one.

    Without votes, either now or when `accepted` was written, there is no star distribution, and only the classes are
    compared. Without any label there is no share and nothing to compare: the number of labelled photos says it all.
    """
    import great_expectations.expectations as gxe

    low, high = params.good_share
    labelled = sum(now.classes.values())
    expectations = [
        gxe.ExpectColumnValuesToNotBeNull(
            column="photo_id", meta=_meta("label_photo_id_given", "photo id of each label", "given in every row")
        ),
        gxe.ExpectColumnValuesToBeUnique(
            column="photo_id", meta=_meta("label_photo_id_unique", "photo id of each label", "unique")
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="in_catalog",
            value_set=[True],
            meta=_meta("label_in_catalog", "labelled photos", "all in the catalog and not quarantined"),
        ),
        gxe.ExpectColumnSumToBeBetween(
            column="labelled",
            min_value=params.min_photos,
            meta=_meta("labelled_photos", "photos with a label", f"at least {params.min_photos}"),
        ),
        gxe.ExpectColumnDistinctValuesToContainSet(
            column="label",
            value_set=list(CLASSES),
            meta=_meta("both_classes", "classes among the labels", "bad and good"),
        ),
    ]
    if labelled:
        expectations.append(
            gxe.ExpectColumnMeanToBeBetween(
                column="is_good",
                min_value=low,
                max_value=high,
                meta=_meta("good_share", "share of good photos", f"{low:g} to {high:g}"),
            )
        )
    if accepted is None:
        return expectations
    compared = [
        ("class_distribution", "label", "classes", accepted.classes, now.classes if labelled else None),
        ("star_distribution", "whole_stars", "stars", accepted.stars, now.stars),
    ]
    for name, column, what, reference, counted in compared:
        if reference is None or counted is None:
            continue
        weights = shares(reference)
        expectations.append(
            gxe.ExpectColumnKLDivergenceToBeLessThan(
                column=column,
                partition_object={"values": list(weights), "weights": list(weights.values())},
                threshold=params.max_kl_divergence,
                tail_weight_holdout=HOLDOUT,
                meta=_meta(
                    name,
                    f"change of the {what} since the last accepted data (KL divergence)",
                    f"at most {params.max_kl_divergence:g}",
                ),
            )
        )
    return expectations

"""From the catalog to labels: a row per photo, and how many were left out and why. Pure."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.config import LabelsParams
from photoqual.labels.rules import kinds
from photoqual.labels.rules.judgements import Judgements, judgements, rows_of
from photoqual.labels.rules.weights import weights
from photoqual.photos import catalog as catalogs


def label_photos(catalog: pd.DataFrame, params: LabelsParams) -> tuple[pd.DataFrame, dict[str, int]]:
    """Apply the rule of `params` to the usable rows of `catalog`. Return the labels, a row per photo in the order of
    `photo_id`, and how many were left out, by reason.

    A photo that several sources know is judged by all its votes together, and by all its hints.
    """
    rows = rows_of(catalog)
    status = rows["status"].fill_null("")
    usable, removed, gone = (pc.equal(status, one) for one in (catalogs.OK, catalogs.REMOVED, catalogs.GONE))
    pages = pc.starts_with(status, catalogs.PAGE)
    excluded = pc.and_(
        usable, pc.is_in(rows["category"].fill_null(""), pa.array(params.exclude_categories, pa.string()))
    )
    everything = judgements(rows.filter(pc.and_not(usable, excluded)), params.prior_votes)
    enough = everything.votes >= params.min_votes
    if params.rule in kinds.BY_HINTS:
        enough[:] = True
    judged = everything.where(enough)
    good = kinds.RULES[params.rule](judged, params)
    left_out = {
        "source_removed": _count(removed),
        "gone": _count(gone),
        "quarantined": len(rows) - sum(map(_count, (usable, removed, gone, pages))),
        "excluded_category": _count(excluded),
        "too_few_votes": int((~enough).sum()),
        "middle_or_unrated": int((good < 0).sum()),
    }
    return _table(judged, good, params), {reason: count for reason, count in left_out.items() if count}


def _table(judged: Judgements, good: np.ndarray, params: LabelsParams) -> pd.DataFrame:
    """Return the labels as a frame with the columns of `table.SCHEMA`."""
    ordinal = kinds.levels(judged, params) if params.rule == "ordinal" else judged.stars
    defects = judged.defects.kept(good != 1) if params.rule == "folders" else judged.defects
    listed = pa.ListArray.from_arrays(
        pa.array(defects.starts, pa.int32()), judged.defect_names.take(pa.array(defects.counts.astype(np.int64)))
    )
    return pd.DataFrame(
        {
            "photo_id": _arrow(judged.photo_ids),
            "good": pd.arrays.IntegerArray(np.maximum(good, 0), good < 0),
            "ordinal": ordinal,
            "stars": judged.stars,
            "vote_mean": judged.vote_mean,
            "vote_distribution": _arrow(judged.histograms.listed()),
            "defects": _arrow(listed),
            "weight": weights(judged, good >= 0, params),
            "rule": params.rule,
        }
    )


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _arrow(array: pa.Array) -> "pd.api.extensions.ExtensionArray":
    return pd.arrays.ArrowExtensionArray(array)

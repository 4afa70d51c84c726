"""What people judged of each photo: votes and hints of all catalog rows about it, as arrays with a place per photo.

Votes of any source are brought to one scale of 1 to 5 stars: 1 + 4 · (mean − lowest) / (highest − lowest). With
`prior_votes` = m, a mean x of n votes becomes (m · μ + n · x) / (m + n), where μ is the mean of all votes of its source:
few votes say little, so a photo that has few is taken to be nearly like the others. Histograms get m votes that are
spread like all those of the source with as many grades.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.labels.rules.histograms import Histograms, histograms_of, offsets
from photoqual.photos import catalog as catalogs

GOOD_HINT, BAD_HINT = "good", "bad"
STARS = (1.0, 5.0)
COLUMNS = [
    "source",
    "photo_id",
    "category",
    "votes_count",
    "votes_mean",
    "votes_spread",
    "votes_histogram",
    "rating_min",
    "rating_max",
    "label_hint",
    "status",
]
"""What rules read of the catalog."""


@dataclass(frozen=True)
class Judgements:
    """Arrays (n,) in the order of `photo_ids`. `stars` and `spread` (the votes' standard deviation) are in stars, NaN
    where unknown; `vote_mean` is on the scale of the source. `source` numbers the source whose row comes first.
    """

    photo_ids: pa.Array
    source: np.ndarray
    votes: np.ndarray
    stars: np.ndarray
    vote_mean: np.ndarray
    spread: np.ndarray
    hinted_good: np.ndarray
    hinted_bad: np.ndarray
    histograms: Histograms
    defects: Histograms
    """Numbers of names in `defect_names` instead of counts."""
    defect_names: pa.Array

    def __len__(self) -> int:
        return len(self.photo_ids)

    def where(self, mask: np.ndarray) -> "Judgements":
        """Return those of the photos for which `mask` (n,) holds."""
        if mask.all():
            return self
        indices = np.flatnonzero(mask)
        arrays = ("source", "votes", "stars", "vote_mean", "spread", "hinted_good", "hinted_bad")
        return Judgements(
            photo_ids=self.photo_ids.take(pa.array(indices)),
            histograms=self.histograms.of(indices),
            defects=self.defects.of(indices),
            defect_names=self.defect_names,
            **{name: getattr(self, name)[indices] for name in arrays},
        )


def stars(catalog: pd.DataFrame) -> pd.Series:
    """Return the mean vote of each row on the scale of 1 to 5 stars; NaN without votes."""
    return pd.Series(_stars(rows_of(catalog)), index=catalog.index)


def judgements(rows: pa.Table, prior_votes: float = 0.0) -> Judgements:
    """Gather `rows` (columns COLUMNS, all of photos in a shard) by photo; votes are averaged by their number."""
    names, owners = _ranked(_column(rows, "photo_id"))
    number, votes, star = len(names), _numbers(rows, "votes_count", 0.0), _stars(rows)
    voted = np.isfinite(star)
    histograms = histograms_of(_column(rows, "votes_histogram")).kept(voted)
    spread = _spread(rows, histograms, voted)
    sources, source = _ranked(_column(rows, "source"))
    if prior_votes > 0:
        star = shrunk(star, votes, source, len(sources), prior_votes)
        histograms = with_prior(histograms, source, prior_votes)
    hint = _column(rows, "label_hint").fill_null("")
    bad = _true(pc.or_(pc.equal(hint, BAD_HINT), pc.starts_with(hint, BAD_HINT + ":")))
    first = np.full(number, len(owners))
    np.minimum.at(first, owners, np.arange(len(owners)))
    defects, defect_names = _defects(hint, owners, number)
    return Judgements(
        photo_ids=names,
        source=source[first],
        votes=np.bincount(owners, weights=np.where(voted, votes, 0), minlength=number),
        stars=averaged(star, votes, owners, number),
        vote_mean=averaged(np.where(voted, _numbers(rows, "votes_mean"), np.nan), votes, owners, number),
        spread=np.sqrt(averaged(spread**2, votes, owners, number)),
        hinted_good=np.bincount(owners, weights=_true(pc.equal(hint, GOOD_HINT)), minlength=number) > 0,
        hinted_bad=np.bincount(owners, weights=bad, minlength=number) > 0,
        histograms=histograms.merged(owners, number),
        defects=defects,
        defect_names=defect_names,
    )


def rows_of(catalog: pd.DataFrame) -> pa.Table:
    """Return the columns that rules read as a table of Arrow."""
    fields = [catalogs.SCHEMA.field(name) for name in COLUMNS]
    return pa.table(
        [pa.array(catalog[field.name].array, from_pandas=True).cast(field.type) for field in fields],
        schema=pa.schema(fields),
    )


def averaged(values: np.ndarray, weights: np.ndarray, owners: np.ndarray, number: int) -> np.ndarray:
    """Return the weighted mean of the finite `values` by owner, (number,); NaN where there is none."""
    known = np.isfinite(values) & (weights > 0)
    total = np.bincount(owners[known], weights=weights[known], minlength=number)
    sums = np.bincount(owners[known], weights=(values * weights)[known], minlength=number)
    return np.divide(sums, total, out=np.full(number, np.nan), where=total > 0)


def shrunk(star: np.ndarray, votes: np.ndarray, source: np.ndarray, sources: int, prior_votes: float) -> np.ndarray:
    """Return the Bayesian average of each row: `prior_votes` votes at the mean of its source are added to its own."""
    means = averaged(star, votes, source, sources)[source]
    return (prior_votes * means + votes * star) / (prior_votes + votes)


def with_prior(histograms: Histograms, source: np.ndarray, prior_votes: float) -> Histograms:
    """Return `histograms` with `prior_votes` votes more, spread like all votes of the source with as many grades."""
    most = int(histograms.bins.max(initial=0)) + 1
    kinds, kind = np.unique(source * most + histograms.bins, return_inverse=True)
    totals = np.bincount(kind, weights=histograms.sums(histograms.counts), minlength=len(kinds))
    cell = np.repeat((kind * most).astype(np.int32), histograms.bins) + histograms.places
    counts = np.bincount(cell, weights=histograms.counts, minlength=len(kinds) * most)
    added = counts * prior_votes / np.repeat(np.where(totals > 0, totals, 1.0), most)
    return Histograms(histograms.starts, histograms.counts + added[cell])


def _stars(rows: pa.Table) -> np.ndarray:
    """Return the mean vote of each row in stars; NaN without votes or a scale."""
    low, high = _numbers(rows, "rating_min"), _numbers(rows, "rating_max")
    mean, votes = _numbers(rows, "votes_mean"), _numbers(rows, "votes_count", 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = STARS[0] + (STARS[1] - STARS[0]) * (mean - low) / (high - low)
        return np.where((votes > 0) & (high > low) & np.isfinite(found), found, np.nan)


def _spread(rows: pa.Table, histograms: Histograms, voted: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each row's votes in stars, from its histogram where the source tells none."""
    width = np.where(voted, _numbers(rows, "rating_max") - _numbers(rows, "rating_min"), 1.0)
    told = _numbers(rows, "votes_spread") / width
    untold = ~np.isfinite(told)
    if untold.any():
        told[untold] = histograms.kept(untold).moments()[1][untold]
    return told * (STARS[1] - STARS[0])


def _column(rows: pa.Table, name: str) -> pa.Array:
    return rows[name].combine_chunks()


def _numbers(rows: pa.Table, name: str, missing: float = np.nan) -> np.ndarray:
    return _column(rows, name).cast(pa.float64()).fill_null(missing).to_numpy(zero_copy_only=False)


def _true(mask: pa.Array) -> np.ndarray:
    return mask.to_numpy(zero_copy_only=False).astype(bool)


def _ranked(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the different `texts`, sorted, and which of them each is, (n,)."""
    coded = texts.dictionary_encode()
    order = pc.sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return coded.dictionary.take(pa.array(order)), rank[coded.indices.to_numpy()]


def _defects(hint: pa.Array, owners: np.ndarray, number: int) -> tuple[Histograms, pa.Array]:
    """Return the defects that the hints name for each photo, each once and in the order of their names."""
    prefix = BAD_HINT + ":"
    rows = np.flatnonzero(_true(pc.starts_with(hint, prefix)))
    names, named = _ranked(pc.utf8_slice_codeunits(hint.take(pa.array(rows)), len(prefix)))
    pairs = np.unique(owners[rows] * max(len(names), 1) + named)
    counts = np.bincount(pairs // max(len(names), 1), minlength=number)
    return Histograms(offsets(counts), pairs % max(len(names), 1)), names

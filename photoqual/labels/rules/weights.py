"""How much each photo counts in training. Weights are 1 on average over the photos that have a label.

`weight: votes`: w = τ² / (τ² + s² / n), the share of the differences between mean votes that is the photos' own and not
chance. n: the photo's votes. τ²: the variance of the photos' mean votes. s²: the variance of single votes about a photo:
its own, with one vote more that has the typical one, ((n − 1) · own² + typical²) / n, as two votes that happen to agree
prove little. typical²: the mean of own² over photos with two votes or more; 1 star² where no source tells any.
`balance_sources`: weights are multiplied so that those of each source add up to the same.
"""

import numpy as np

from photoqual.config import LabelsParams
from photoqual.labels.rules.judgements import Judgements

_LEAST_VARIANCE = 0.01
_UNKNOWN_VARIANCE = 1.0


def weights(judged: Judgements, labelled: np.ndarray, params: LabelsParams) -> np.ndarray:
    """Return the weight of each photo, (n,); `labelled` (n,) tells which have a label."""
    found = by_votes(judged) if params.weight == "votes" else np.ones(len(judged))
    if params.balance_sources:
        found *= even_factors(found, judged.source, labelled)
    mean = found[labelled].mean() if labelled.any() else 1.0
    return found / mean


def by_votes(judged: Judgements) -> np.ndarray:
    """Return how far each photo's mean vote can be relied on, 0 to 1; photos without votes get the mean of the others."""
    voted = np.isfinite(judged.stars) & (judged.votes > 0)
    if not voted.any():
        return np.ones(len(judged))
    n, own = np.maximum(judged.votes, 1), judged.spread**2
    told = voted & np.isfinite(own) & (judged.votes > 1)
    typical = own[told].mean() if told.any() else _UNKNOWN_VARIANCE
    single = np.where(told, ((n - 1) * np.where(told, own, 0) + typical) / n, typical)
    between = max(float(np.var(judged.stars[voted])), _LEAST_VARIANCE)
    found = between / (between + single / n)
    return np.where(voted, found, found[voted].mean())


def even_factors(found: np.ndarray, source: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return (n,) factors that make the weights `found` of the labelled photos add up to the same for each source."""
    if not labelled.any():
        return np.ones(len(found))
    totals = np.bincount(source[labelled], weights=found[labelled], minlength=int(source.max()) + 1)
    with_labels = totals > 0
    factors = np.full(len(totals), (1 / totals[with_labels]).mean())
    factors[with_labels] = 1 / totals[with_labels]
    return factors[source]

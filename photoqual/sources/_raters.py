"""What single votes say about the people who cast them: how far raters agree, and who votes at random. Pure."""

import numpy as np

PRIOR_VOTES = 20.0
"""Votes that a rater must have cast before what they say of the rater weighs as much as what all raters are like."""
ROUNDS = 3
SPLITS = 10
_MIN_SHARED = 3
_TINY = 1e-12


def weights(photo: np.ndarray, rater: np.ndarray, vote: np.ndarray) -> np.ndarray:
    """Return a weight from 0 to 1 for each rater. `photo`, `rater` (codes from 0) and `vote` have a value per vote.

    A rater's corrected item-total correlation rᵢ (Nunnally and Bernstein, Psychometric Theory, 1994: correlation of an
    item with the total of all others) is that of nᵢ votes with the mean of the other raters' on the same photos. It is
    shrunk towards the mean r̄ of all, so that few votes prove nothing: ρᵢ = (nᵢ rᵢ + 20 r̄) / (nᵢ + 20). The weight is
    min(1, max(0, ρᵢ) / r̄)²: nobody gains, who votes at random or the other way round goes to 0. Computed three times,
    each time with the others weighted as found before. All weigh 1 where nothing is shared or raters do not agree.
    """
    raters = int(rater.max(initial=-1)) + 1
    found = np.ones(raters)
    for _ in range(ROUNDS):
        votes, correlations = _with_the_others(photo, rater, vote, found)
        telling = votes >= _MIN_SHARED
        typical = float(np.average(correlations[telling], weights=votes[telling])) if telling.any() else 0.0
        if typical <= _TINY:
            return np.ones(raters)
        shrunk = (votes * correlations + PRIOR_VOTES * typical) / (votes + PRIOR_VOTES)
        found = np.clip(shrunk / typical, 0.0, 1.0) ** 2
    return found


def _with_the_others(
    photo: np.ndarray, rater: np.ndarray, vote: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each rater the number of votes on photos that others judged, and their correlation with the others'
    weighted mean; 0 for a rater who always votes the same.
    """
    raters = len(weight)
    own = weight[rater]
    total, sums = np.bincount(photo, own), np.bincount(photo, own * vote)
    left = total[photo] - own
    shared = left > 1e-9
    who, votes = rater[shared], vote[shared]
    others = (sums[photo] - own * vote)[shared] / left[shared]
    count = np.bincount(who, minlength=raters)

    def deviation(values: np.ndarray) -> np.ndarray:
        return values - (np.bincount(who, values, raters) / np.maximum(count, 1))[who]

    mine, theirs = deviation(votes), deviation(others)
    together = np.bincount(who, mine * theirs, raters)
    scale = np.sqrt(np.bincount(who, mine**2, raters) * np.bincount(who, theirs**2, raters))
    return count, np.where(scale > _TINY, together / np.maximum(scale, _TINY), 0.0)


def agreement(photo: np.ndarray, vote: np.ndarray, seed: int = 0) -> float | None:
    """Return how far the mean vote of a photo would be repeated by other raters, −1 to 1; None under three photos
    with two votes each.

    Split-half reliability: votes of each photo are dealt at random into two halves of equal size, the halves' means
    are correlated over photos, and Spearman and Brown's formula 2r / (1 + r) (Brown, 1910) gives what the whole number
    of votes achieves. Mean of ten deals.
    """
    random = np.random.default_rng(seed)
    count = np.bincount(photo)
    start = np.cumsum(count) - count
    enough = count >= 2
    if enough.sum() < 3:
        return None
    found = []
    for _ in range(SPLITS):
        order = np.argsort(photo + random.random(len(photo)), kind="stable")
        sorted_photo = photo[order]
        turn = np.arange(len(photo)) - start[sorted_photo]
        first = turn % 2 == 0
        in_pair = turn < 2 * (count[sorted_photo] // 2)
        means = [
            np.bincount(sorted_photo[half & in_pair], vote[order][half & in_pair], len(count))[enough]
            / (count[enough] // 2)
            for half in (first, ~first)
        ]
        if min(mean.std() for mean in means) > _TINY:
            half = float(np.corrcoef(means[0], means[1])[0, 1])
            found.append(2 * half / (1 + abs(half)))
    return float(np.mean(found)) if found else None


def moments(photo: np.ndarray, vote: np.ndarray, weight: np.ndarray, photos: int) -> tuple[np.ndarray, ...]:
    """Return for each of `photos` how many votes have weight, and their weighted mean and standard deviation; NaN
    where none has any, and no deviation from a single vote.
    """
    counted = weight > 0
    photo, vote, weight = photo[counted], vote[counted], weight[counted]
    count, total = np.bincount(photo, minlength=photos), np.bincount(photo, weight, photos)
    safe = np.where(total > 0, total, np.nan)
    mean = np.bincount(photo, weight * vote, photos) / safe
    spread = np.sqrt(np.bincount(photo, weight * (vote - mean[photo]) ** 2, photos) / safe)
    return count, mean, np.where(count > 1, spread, np.nan)

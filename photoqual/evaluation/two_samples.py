"""Do two samples of photos come from the same kind? Effects with permutation p-values. Pure functions.

One number at a time: population stability index, which is the symmetric Kullback-Leibler divergence (Jeffreys, 1946)
over bins that hold equal parts of the reference, and the two-sample Kolmogorov-Smirnov distance. The index of two
samples of the same kind is about (bins - 1) · (1/n + 1/m), never zero (Yurdakul and Naranjo, 2020), so what chance
gives is found by permutation too.

Several together: a classifier two-sample test (Lopez-Paz and Oquab, 2017). A classifier is trained to tell the samples
apart; its AUC on photos that it has not seen, 0.5 for equal kinds, is the effect. It is regularised least squares on
normal scores with their squares and products, which ranks as a quadratic discriminant does and is refitted to all
draws by one product of matrices.

Whole groups are permuted, and the classifier is refitted in every draw: photos of a group are alike and folds share
photos, so a formula for independent photos would be too sure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

BINS = 10
FOLDS = 5
DRAWS = 1999
SEED = 20
_CELLS = 6_000_000
"""Photos times draws that are held in memory at once."""
_SMOOTHING = BINS / 2
"""Photos added to each sample, spread as both samples together are: half a photo a bin, none where neither has any."""


@dataclass(frozen=True)
class Shift:
    """How far one number moved. `excess` is the stability index over what chance gives on average."""

    psi: float
    by_chance: float
    p_value: float
    ks: float
    ks_p_value: float

    @property
    def excess(self) -> float:
        return max(0.0, self.psi - self.by_chance)


@dataclass(frozen=True)
class Separation:
    """How well new photos can be told from old ones, on photos held out."""

    auc: float
    p_value: float


def population_stability(reference: ArrayLike, current: ArrayLike) -> float:
    """Return the population stability index of `current` (m,) against `reference` (n,), chance included."""
    pooled, is_new = _pooled(reference, current)
    return float(_distances(pooled, is_new[None, :])[0][0])


def shift(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: ArrayLike | None = None,
    current_groups: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Shift:
    """Compare one number of two samples, (n,) and (m,). Groups are permuted whole; equal arguments, equal results."""
    pooled, is_new = _pooled(reference, current)
    units = _units(reference_groups, current_groups, is_new)
    psi, ks = _distances(pooled, is_new[None, :])
    drawn = [_distances(pooled, masks) for masks in _masks(is_new, units, draws, seed)]
    psis, distances = (np.concatenate(part) for part in zip(*drawn, strict=True))
    return Shift(float(psi[0]), float(psis.mean()), _p_value(psi[0], psis), float(ks[0]), _p_value(ks[0], distances))


def separation(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    reference_groups: ArrayLike | None = None,
    current_groups: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Separation:
    """Train a classifier to tell `current` (m, k) from `reference` (n, k); return its AUC on held-out photos.

    Photos of one group stay in one fold and are permuted together. AUCs are taken within folds, because scores of
    different fits cannot be ranked together.
    """
    pooled = np.concatenate([np.asarray(reference, dtype=float), np.asarray(current, dtype=float)])
    is_new = np.arange(len(pooled)) >= len(np.asarray(reference))
    units = _units(reference_groups, current_groups, is_new)
    folds = _folds(_codes(reference_groups, current_groups, is_new), seed)
    shapes = _quadratic(pooled)
    found = _held_out_auc(shapes, folds, is_new[None, :])[0]
    drawn = [_held_out_auc(shapes, folds, masks) for masks in _masks(is_new, units, draws, seed)]
    return Separation(float(found), _p_value(found, np.concatenate(drawn)))


def _pooled(reference: ArrayLike, current: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both samples in one row and a mask of the second."""
    old, new = np.asarray(reference, dtype=float), np.asarray(current, dtype=float)
    return np.concatenate([old, new]), np.arange(len(old) + len(new)) >= len(old)


def _codes(reference: ArrayLike | None, current: ArrayLike | None, is_new: np.ndarray) -> np.ndarray:
    """Return an integer per pooled photo that tells its group."""
    sides = [
        np.full(size, None, dtype=object) if groups is None else np.asarray(groups, dtype=object)
        for groups, size in ((reference, int((~is_new).sum())), (current, int(is_new.sum())))
    ]
    names = [f"\0{place}" if name is None else str(name) for place, name in enumerate(np.concatenate(sides))]
    return np.unique(np.array(names), return_inverse=True)[1]


def _units(reference: ArrayLike | None, current: ArrayLike | None, is_new: np.ndarray) -> np.ndarray:
    """Return what is permuted whole: a group, and in a group with photos of both times those of each time.

    Photos of such a group are alike across the times, which makes a chance difference rarer than counted here.
    """
    return np.unique(2 * _codes(reference, current, is_new) + is_new, return_inverse=True)[1]


def _masks(is_new: np.ndarray, units: np.ndarray, draws: int, seed: int) -> Iterator[np.ndarray]:
    """Yield masks of the photos called new, (…, n), `draws` rows in all: as many units as are new, at random."""
    drawer = np.random.default_rng(seed)
    count = int(units.max()) + 1
    new_units = len(np.unique(units[is_new]))
    at_once = max(1, _CELLS // len(units))
    for start in range(0, draws, at_once):
        rows = min(at_once, draws - start)
        order = np.argsort(drawer.random((rows, count)), axis=1)
        chosen = np.zeros((rows, count), dtype=bool)
        np.put_along_axis(chosen, order[:, :new_units], True, axis=1)
        yield chosen[:, units]


def _distances(pooled: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return stability index and Kolmogorov-Smirnov distance for each row of `masks` (draws, n) over `pooled` (n,).

    A photo's bin is the part of the reference at or under its value, so equal values share a bin.
    """
    order = np.argsort(pooled, kind="stable")
    rising = pooled[order]
    last = np.searchsorted(rising, rising, side="right") - 1
    new = masks[:, order]
    olds, news = (~new).sum(axis=1), new.sum(axis=1)
    old_share = np.cumsum(~new, axis=1)[:, last] / olds[:, None]
    new_share = np.cumsum(new, axis=1)[:, last] / news[:, None]
    ks = np.abs(old_share - new_share).max(axis=1)
    bins = np.clip(np.ceil(old_share * BINS - 1e-9).astype(int) - 1, 0, BINS - 1)
    places = bins + BINS * np.arange(len(masks))[:, None]
    counts = [np.bincount(places[side], minlength=BINS * len(masks)).reshape(len(masks), BINS) for side in (~new, new)]
    both = (counts[0] + counts[1]) / len(pooled)
    before, after = (
        (part + _SMOOTHING * both) / (total[:, None] + _SMOOTHING)
        for part, total in zip(counts, (olds, news), strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(both > 0, (after - before) * np.log(after / before), 0.0)
    return parts.sum(axis=1), ks


def _p_value(found: float, drawn: np.ndarray) -> float:
    return float((1 + (drawn >= found - 1e-12).sum()) / (1 + len(drawn)))


def _folds(codes: np.ndarray, seed: int) -> np.ndarray:
    """Return a fold per photo: whole groups, at random, folds about equal in photos."""
    order = np.random.default_rng(seed).permutation(int(codes.max()) + 1)
    sizes = np.bincount(codes)[order]
    fold_of = np.empty(len(order), dtype=int)
    fold_of[order] = np.minimum((np.cumsum(sizes) - sizes / 2) * FOLDS / len(codes), FOLDS - 1).astype(int)
    return fold_of[codes]


def _quadratic(values: np.ndarray) -> np.ndarray:
    """Return normal scores of the columns of `values` (n, k) with their squares and products, standardised."""
    scores = stats.norm.ppf((stats.rankdata(values, axis=0) - 0.5) / len(values))
    first, second = np.triu_indices(scores.shape[1])
    columns = np.concatenate([scores, scores[:, first] * scores[:, second]], axis=1)
    columns = columns - columns.mean(axis=0)
    spread = columns.std(axis=0)
    kept = spread > 1e-9
    return columns[:, kept] / spread[kept]


def _held_out_auc(shapes: np.ndarray, folds: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return, per row of `masks` (draws, n), the AUC of new against old photos within folds that were not fitted on."""
    beaten, pairs = np.zeros(len(masks)), np.zeros(len(masks))
    for fold in np.unique(folds):
        inside = folds == fold
        fitted, held = shapes[~inside], shapes[inside]
        if not len(fitted):
            continue
        middle = fitted.mean(axis=0)
        centred = fitted - middle
        ridge = centred.T @ centred + shapes.shape[1] * np.eye(shapes.shape[1])
        weights = np.linalg.solve(ridge, centred.T @ masks[:, ~inside].T.astype(float))
        ranks = stats.rankdata((held - middle) @ weights, axis=0)
        new = masks[:, inside].T
        news = new.sum(axis=0)
        beaten += (ranks * new).sum(axis=0) - news * (news + 1) / 2
        pairs += news * (len(held) - news)
    return np.where(pairs > 0, beaten / np.maximum(pairs, 1), 0.5)

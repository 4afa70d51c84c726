"""How a correction does on ratings it has not seen: nested, repeated cross-validation by groups. Pure functions."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from photoqual.taste.correction import (
    GOOD,
    Standard,
    champion_logits,
    fit_calibration,
    fit_dual,
    judged,
    kernel_of,
)

FOLDS = 5
REPEATS = 5
SEED = 20


@dataclass(frozen=True)
class HeldOut:
    """The ratings that are judged, (n,): `good`, `groups`, and what each model says of them out of fold.

    `champion` is the champion's own score, `calibrated` that score moved to this person's boundary, `corrected` that
    of the correction; each a probability for classes that are equally frequent.
    """

    good: np.ndarray
    groups: np.ndarray
    champion: np.ndarray
    calibrated: np.ndarray
    corrected: np.ndarray


def held_out(
    features: np.ndarray,
    champion: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    *,
    repeats: int = REPEATS,
    seed: int = SEED,
) -> HeldOut:
    """Return what corrections learned on four of five folds say of the fifth, as mean logits over `repeats`.

    `features` (n, d), `champion` scores (n,), `targets` (n,) in −1 to 1, `groups` an integer per photo. Whatever
    ratings decide, the strength too, is decided without the fold it is used on.
    """
    logits = champion_logits(champion)
    kernel = kernel_of(Standard.of(features).apply(features))
    corrected, calibrated = np.zeros(len(targets)), np.zeros(len(targets))
    draw = np.random.default_rng(seed)
    for _ in range(repeats):
        folds = group_folds(groups, targets >= GOOD, FOLDS, draw)
        for fold in range(FOLDS):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            dual = fit_dual(kernel[np.ix_(inside, inside)], logits[inside], targets[inside], groups[inside])
            corrected[outside] += dual.logits(kernel[np.ix_(outside, inside)], logits[outside]) / repeats
            curve = fit_calibration(logits[inside], targets[inside])
            calibrated[outside] += (curve.slope * logits[outside] + curve.offset) / repeats
    told = judged(targets)
    return HeldOut(
        (targets[told] >= GOOD).astype(int),
        groups[told],
        champion[told],
        expit(calibrated[told]),
        expit(corrected[told]),
    )


def group_folds(groups: np.ndarray, good: np.ndarray, folds: int, draw: np.random.Generator) -> np.ndarray:
    """Return the fold of each photo, 0 to `folds` − 1: whole groups, the largest first, each to the fold that has the
    fewest photos of the group's commoner class; in random order where that is a draw.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    counts = np.stack([np.bincount(codes, weights=~good), np.bincount(codes, weights=good)], axis=1)
    order = draw.permutation(len(counts))
    order = order[np.argsort(-counts[order].sum(axis=1), kind="stable")]
    held = np.zeros((folds, 2))
    fold_of = np.empty(len(counts), dtype=int)
    for group in order:
        common = int(counts[group, 1] > counts[group, 0])
        load = held[:, common] + 1e-3 * held.sum(axis=1) + 1e-6 * draw.random(folds)
        fold_of[group] = int(load.argmin())
        held[fold_of[group]] += counts[group]
    return fold_of[codes]

"""Photos that belong together, and how they are drawn together: what every bootstrap here is made of. Pure functions."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def group_codes(groups: ArrayLike | None, size: int) -> np.ndarray:
    """Return an integer per photo that tells its group; None or missing: a group of its own."""
    if groups is None:
        return np.arange(size)
    names = np.array(
        [f"\0{index}" if pd.isna(name) else str(name) for index, name in enumerate(np.asarray(groups, dtype=object))]
    )
    return np.unique(names, return_inverse=True)[1]


def group_strata(truth: np.ndarray, codes: np.ndarray) -> list[np.ndarray]:
    """Return the groups of each stratum: only bad, only good, mixed; one pool when a stratum has a single group."""
    goods = np.bincount(codes, weights=truth) > 0
    bads = np.bincount(codes, weights=~truth) > 0
    strata = [members for kind in (~goods, ~bads, goods & bads) if len(members := np.flatnonzero(kind))]
    return strata if min(len(members) for members in strata) > 1 else [np.concatenate(strata)]


def draw_weights(strata: list[np.ndarray], codes: np.ndarray, draws: int, drawer: np.random.Generator) -> np.ndarray:
    """Return how often each photo was drawn, (draws, n)."""
    total = sum(len(members) for members in strata)
    times = np.zeros((draws, total), dtype=np.float32)
    offsets = np.arange(draws)[:, None]
    for members in strata:
        picks = drawer.integers(len(members), size=(draws, len(members)))
        counts = np.bincount((picks + offsets * len(members)).ravel(), minlength=draws * len(members))
        times[:, members] = counts.reshape(draws, len(members))
    return times[:, codes]

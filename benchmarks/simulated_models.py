"""Simulated scores of models on a frozen set: what the gate is proved on, because here the truth is known.

A score is strength · good + √correlation · shared + √(1 − correlation) · own, each noise standard normal: `shared` is
what every training makes of a photo, `own` what one training makes of it. Models of one strength have the same true
AUC. With groups, half the variance of either noise belongs to the group.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import norm

GOOD_SHARE = 0.4
GROUP_PART = 0.5


@dataclass(frozen=True)
class Setting:
    """How photos and models are drawn. `mixed`: a group holds good and bad photos, else photos of one class."""

    photos: int
    correlation: float = 0.7
    auc: float = 0.83
    per_group: int = 1
    mixed: bool = False

    @property
    def strength(self) -> float:
        return strength_of(self.auc)


@cache
def strength_of(auc: float) -> float:
    """Return the distance of the classes, in standard deviations of a score, that makes this AUC."""
    return math.sqrt(2) * float(norm.ppf(auc))


class FrozenSet:
    """One drawn frozen set: `good` (n,) of 0 and 1, `groups` (n,), and models' scores on it."""

    def __init__(self, setting: Setting, draw: np.random.Generator) -> None:
        self.setting = setting
        self._draw = draw
        whole = setting.photos // setting.per_group
        self.groups = np.repeat(np.arange(whole), setting.per_group)
        classes = draw.permutation(np.arange(whole) < round(GOOD_SHARE * whole)).astype(int)
        self.good = np.repeat(classes, setting.per_group)
        if setting.mixed:
            self.good = draw.permutation(self.good)
        self.shared = self.noise()

    def noise(self) -> np.ndarray:
        """Return standard normal noise (n,), alike within groups where there are any."""
        alone = self._draw.normal(size=len(self.groups))
        if self.setting.per_group == 1:
            return alone
        of_group = self._draw.normal(size=self.groups[-1] + 1)[self.groups]
        return math.sqrt(GROUP_PART) * of_group + math.sqrt(1 - GROUP_PART) * alone

    def scores(self, own: np.ndarray | None = None, *, gain: float = 0.0) -> np.ndarray:
        """Return the scores (n,) of a new model with noise `own` (drawn when not given); `gain` in true AUC."""
        setting = self.setting
        strength = strength_of(setting.auc + gain) if gain else setting.strength
        noise = self.noise() if own is None else own
        return (
            strength * self.good
            + math.sqrt(setting.correlation) * self.shared
            + math.sqrt(1 - setting.correlation) * noise
        )

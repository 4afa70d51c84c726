"""Damage photos: a kind, a strength and a seeded generator. Photos are uint8 RGB arrays (height, width, 3)."""

from collections.abc import Sequence

import numpy as np

from photoqual.defects.kinds import KINDS, Kind
from photoqual.errors import ConfigError, DataError

NAMES: tuple[str, ...] = tuple(KINDS)
STRENGTHS = (1, 2, 3)
"""1: slight; 2: clear; 3: the photo is spoiled."""


def damage(pixels: np.ndarray, name: str, strength: float, random: np.random.Generator) -> np.ndarray:
    """Return a damaged copy of `pixels`, uint8 (height, width, 3), same shape. Equal generators give equal pixels.

    `strength` is 1, 2 or 3, or between them. Raise ConfigError for an unknown kind or strength, DataError for an
    array that is no photo.
    """
    kind = _kind(name)
    if not STRENGTHS[0] <= strength <= STRENGTHS[-1]:
        raise ConfigError(f"There is no strength {strength}.", next_step="Strengths go from 1 to 3.")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise DataError(
            f"Expected uint8 pixels (height, width, 3), got {pixels.dtype} {pixels.shape}.",
            next_step="Decode the photo with photoqual.photos.decode first.",
        )
    damaged = kind.apply(pixels, float(np.interp(strength, STRENGTHS, kind.amounts)), random)
    return np.require(damaged, requirements=["C", "W"])


def draw(
    random: np.random.Generator, names: Sequence[str] = NAMES, strengths: Sequence[int] = STRENGTHS
) -> tuple[str, int]:
    """Return a kind among `names` and a strength among `strengths`, each as likely as any other."""
    return names[int(random.integers(len(names)))], strengths[int(random.integers(len(strengths)))]


def table() -> str:
    """Return what each kind does at each strength as a table in Markdown."""
    rows = [
        f"| `{name}` | {' | '.join(f'{amount:g}' for amount in kind.amounts)} | {kind.unit} | {kind.drawn} |"
        for name, kind in KINDS.items()
    ]
    return "\n".join(["| Kind | 1 | 2 | 3 | Unit | Drawn |", "|---|---|---|---|---|---|", *rows]) + "\n"


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise ConfigError(f"There is no kind of damage {name!r}.", next_step=f"Known: {', '.join(NAMES)}.")
    return KINDS[name]

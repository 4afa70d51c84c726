"""Verdicts for tests of their page: made-up frozen photos and scores, judged by the real rule and guardrails."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance

from photoqual.config import PromoteParams
from photoqual.evaluation.guardrails import Behaviour, Guardrail
from photoqual.evaluation.slices import slices
from photoqual.registry.promotion import Evidence, decide
from tests.conftest import NOW, encoded, scene

CATEGORIES = ("landscape", "portrait", "street", "wildlife", "architecture", "macro")
DIGEST = "3f0c9d0a" * 8
_DECISIONS = {"promote": "promoted", "refuse": "refused", "not_evaluable": "not_evaluable"}
_DAMAGES = ("darkened", "blurred", "compressed", "noisy", "black")


@dataclass(frozen=True)
class Judged:
    """What `verdict_page` takes."""

    verdict: dict[str, Any]
    frozen: pd.DataFrame
    challenger: np.ndarray | None
    champion: np.ndarray | None
    guardrails: tuple[Guardrail, ...]
    names: tuple[str, str | None]


def make_frozen(photos: int, *, seed: int = 0, categories: Sequence[str] = CATEGORIES) -> pd.DataFrame:
    """Return frozen photos in groups of about three, 40 % good, both classes present."""
    draw = np.random.default_rng(seed)
    good = (draw.random(photos) < 0.4).astype(int)
    good[:2] = [0, 1]
    wide = draw.random(photos) < 0.65
    return pd.DataFrame(
        {
            "photo_id": [f"{index:064x}" for index in draw.permutation(photos)],
            "group": [f"trip-{index}" for index in draw.integers(0, max(1, photos // 3), photos)],
            "good": good,
            "stars": np.where(good == 1, 4.2, 1.8),
            "source": draw.choice(["gallery", "folders", "votes"], photos, p=[0.6, 0.3, 0.1]),
            "category": draw.choice(list(categories), photos),
            "uploaded_at": [NOW - pd.Timedelta(days=int(days)) for days in draw.integers(0, 1100, photos)],
            "width": np.where(wide, 1600, 1067),
            "height": np.where(wide, 1067, 1600),
            "shard": "made/2026-11/00000.parquet",
            "row": np.arange(photos),
        }
    )


def make_judged(
    photos: int = 600,
    *,
    gain: float = 0.5,
    first: bool = False,
    look: int = 3,
    seed: int = 0,
    categories: Sequence[str] = CATEGORIES,
    names: tuple[str, str | None] = ("8", "7"),
    policy: PromoteParams | None = None,
    **told: Any,
) -> Judged:
    """Return a verdict on a challenger whose true scores are better by `gain` standard deviations; `first`: without a
    champion. `told` replaces parts of the verdict.
    """
    frozen = make_frozen(photos, seed=seed, categories=categories)
    draw = np.random.default_rng(seed + 1)
    good, groups = frozen["good"].to_numpy(), frozen["group"].to_numpy(dtype=object)
    common = draw.normal(size=photos)

    def scores(apart: float) -> np.ndarray:
        latent = apart * (2 * good - 1) / 2 + 0.8 * common + 0.6 * draw.normal(size=photos)
        return 1 / (1 + np.exp(-(apart * latent - 0.4)))

    champion, challenger = scores(1.4), scores(1.4 + gain)
    kinds = slices(frozen, draw.uniform(20, 230, photos))

    def evidence(version: str, found: np.ndarray, speed: float) -> Evidence:
        changes = {name: draw.normal(-0.3, 0.12, 120) for name in _DAMAGES}
        changes |= {"flipped": draw.normal(0, 0.02, 120), "cropped": draw.normal(0, 0.05, 120)}
        behaviour = Behaviour(np.abs(found - 0.5) > 0.1, speed, 210_000, changes)
        return Evidence(version, DIGEST, good, found, groups, kinds, behaviour)

    policy = policy or PromoteParams()
    old = None if first else evidence(str(names[1]), champion, 460.0)
    decision = decide(old, evidence(names[0], challenger, 412.0), policy, look=look)
    verdict = {
        "decision": _DECISIONS[decision.outcome],
        "reason": decision.reason,
        "numbers": decision.numbers,
        "version": names[0],
        "against": None if first else names[1],
        "frozen_test_digest": DIGEST,
        "at": "2026-11-03T14:03:11+00:00",
        "dry_run": False,
        "entry": 21,
    }
    return Judged(
        verdict | told,
        frozen,
        challenger,
        None if first else champion,
        decision.guardrails,
        (names[0], None if first else names[1]),
    )


def make_thumbnails(frozen: pd.DataFrame, *, size: tuple[int, int] = (900, 600)) -> Any:
    """Return a function from photo ids to JPEGs of `size`, bright for good photos and dark for bad ones."""
    good = dict(zip(frozen["photo_id"], frozen["good"], strict=True))

    def thumbnails(ids: Sequence[str]) -> dict[str, bytes]:
        return {photo_id: encoded(_picture(int(photo_id, 16), good[photo_id], size)) for photo_id in ids}

    return thumbnails


def _picture(seed: int, good: int, size: tuple[int, int]) -> Image.Image:
    upright = size if seed % 3 else (size[1], size[0])
    return ImageEnhance.Brightness(scene(seed, upright)).enhance(1.1 if good else 0.45)

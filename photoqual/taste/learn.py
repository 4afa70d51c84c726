"""`photoqual taste`: from one person's ratings to a model of their own, kept only where it beats the champion."""

import hashlib
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import photoqual
from photoqual import files
from photoqual.errors import ConfigError, ModelError, TooFewPhotos
from photoqual.evaluation.evaluate import model_digest
from photoqual.models.info import KERAS, ModelInfo
from photoqual.models.scorer import Scorer
from photoqual.registry.fetch import fetch_model, pinned
from photoqual.registry.store import CHAMPION, profile_model
from photoqual.taste.correction import (
    GOOD,
    Correction,
    champion_logits,
    fit_calibration,
    fit_correction,
    judged,
)
from photoqual.taste.decide import HEAD, Decision, decide
from photoqual.taste.held_out import FOLDS, SEED, HeldOut, held_out
from photoqual.taste.model import write_model
from photoqual.taste.ratings import Rated, Skipped, read_ratings
from photoqual.taste.register import BASE_DIGEST, RATINGS, register_profile, shown
from photoqual.taste.seen import Seen, look
from photoqual.training import calibrate

log = logging.getLogger(__name__)

MIN_RATINGS, MAX_RATINGS = 20, 2000
"""Judged ratings, the middle left out: fewer tell nothing from chance; more are worth a training of their own."""
THRESHOLD = 0.5


def learn_taste(
    ratings: Path,
    *,
    profile: str,
    model: str = f"models:/photoqual@{CHAMPION}",
    out: Path | None = None,
    dry_run: bool = False,
    progress: Callable[[Iterable[Rated]], Iterable[Rated]] = lambda rated: rated,
) -> dict[str, Any]:
    """Learn from `ratings` (ratings.py) what the owner of `profile` likes beyond `model`, and register it if kept.

    `out`: write the model folder there too; `dry_run`: judge, but register nothing. Return what was found, with
    `kept` and `reason`, and every skipped rating. Raise TooFewPhotos where the ratings cannot be judged.
    """
    name = profile_model(profile)
    if out is not None and out.exists():
        raise ConfigError(f"{out} exists already.", next_step="Name a new folder with --out.")
    read = read_ratings(ratings)
    rated = [item for item in read if isinstance(item, Rated)]
    skipped = [item for item in read if isinstance(item, Skipped)]
    if len(rated) > MAX_RATINGS:
        raise ConfigError(
            f"{len(rated)} ratings are more than the {MAX_RATINGS} that this is made for.",
            next_step="Train a model on them: name them as a source in params.yaml (docs/how-to/sources.md).",
        )
    assert_judgeable(np.array([item.target for item in rated]), np.arange(len(rated)), len(skipped))
    base = pinned(model)
    scorer = Scorer.load(fetch_model(base))
    if not (scorer.folder / KERAS).is_file():
        raise ModelError(
            f"{scorer.folder} has no {KERAS}, which a model of your own is made from.",
            next_step="Name a model that `photoqual train` made with --model.",
        )
    seen, unread = look(progress(rated), scorer)
    skipped += unread
    if seen is None:
        raise TooFewPhotos(
            f"None of the {len(rated)} rated photos can be read.", next_step=f"First: {unread[0].message}"
        )
    assert_judgeable(seen.targets, seen.groups, len(skipped))
    held = held_out(seen.features, seen.scores, seen.targets, seen.groups)
    decision = decide(held, scorer.info.threshold)
    log.info("%s: %s", "Kept" if decision.kept else "Not kept", decision.reason)
    summary: dict[str, Any] = {
        "profile": profile,
        "base": base,
        "kept": decision.kept,
        "reason": decision.reason,
        "ratings": len(seen.targets),
        "good": int((seen.targets >= GOOD).sum()),
        "bad": int((judged(seen.targets) & (seen.targets < GOOD)).sum()),
        "groups": len(np.unique(seen.groups)),
        "grouped_by": seen.grouping,
        "unfamiliar": None if scorer.gate is None else int(scorer.gate.unfamiliar(seen.features).sum()),
        **decision.numbers,
        "skipped": dict(Counter(item.reason for item in skipped)),
        "skips": [f"{item.photo}: {item.message}" for item in skipped],
        "version": None,
    }
    if decision.kept is None:
        return summary
    with tempfile.TemporaryDirectory(prefix="photoqual-taste-") as scratch:
        folder = Path(scratch, name)
        summary["keras_onnx_difference"] = _write(folder, scorer, seen, held, decision)
        files.write_json(
            folder / "taste.json",
            {key: summary[key] for key in summary if key not in ("skips", "version")} | {"base": shown(base)},
        )
        if not dry_run:
            tags = _tags(base, scorer, seen, decision)
            version, created = register_profile(folder, name, tags, decision.numbers, decision.reason)
            summary |= {"version": version, "created": created, "model": f"models:/{name}/{version}"}
        if out is not None:
            shutil.copytree(folder, out)
    return summary


def assert_judgeable(targets: np.ndarray, groups: np.ndarray, skipped: int) -> None:
    """Raise TooFewPhotos unless there are 20 good or bad ratings, and both classes in enough groups for the folds."""
    told = judged(targets)
    beside = f" ({int((~told).sum())} in the middle, {skipped} skipped)"
    if told.sum() < MIN_RATINGS:
        raise TooFewPhotos(
            f"There are {int(told.sum())} good or bad ratings{beside}; at least {MIN_RATINGS} are needed.",
            next_step="Rate more photos: four or five stars for good ones, one or two for bad ones.",
        )
    if not 0 < (targets >= GOOD).sum() < told.sum():
        raise TooFewPhotos(
            f"All {int(told.sum())} ratings{beside} are of one class.",
            next_step="Rate good photos and bad ones: four or five stars, and one or two.",
        )
    for name, kind in (("good", targets >= GOOD), ("bad", told & (targets < GOOD))):
        count = len(np.unique(groups[kind]))
        if count < FOLDS:
            raise TooFewPhotos(
                f"The {int(kind.sum())} {name} ratings{beside} are of {count} groups of photos; {FOLDS} are needed to judge.",
                next_step=f"Rate {name} photos of other days too, or name what belongs together in a column `group`.",
            )


def _write(folder: Path, scorer: Scorer, seen: Seen, held: HeldOut, decision: Decision) -> float:
    """Learn from all ratings what was found worth keeping, and write it as a model folder."""
    logits = champion_logits(seen.scores)
    learned: Correction | calibrate.Curve
    if decision.kept == HEAD:
        learned, scores, auc = fit_correction(seen.features, logits, seen.targets, seen.groups), held.corrected, "auc"
    else:
        learned, scores, auc = fit_calibration(logits, seen.targets), held.calibrated, "auc_champion"
    info: ModelInfo = scorer.info.model_copy(
        update={
            "threshold": THRESHOLD,
            "sure_margin": calibrate.sure_margin(held.good, scores, THRESHOLD),
            "parameters": 2 + (seen.features.shape[1] if decision.kept == HEAD else 0),
            "train_photos": len(seen.targets),
            "validation_photos": len(held.good),
            "best_epoch": 0,
            "validation_auc": decision.numbers[auc],
            "seed": SEED,
            "calibration": "platt",
        }
    )
    return write_model(scorer.folder, folder, learned, info, seen.photo_ids, seen.samples)


def _tags(base: str, scorer: Scorer, seen: Seen, decision: Decision) -> dict[str, str]:
    """Return the tags of the version: what it was made of, and why it was kept."""
    rows = sorted(zip(seen.photo_ids, seen.targets.tolist(), seen.groups.tolist(), strict=True))
    return {
        "base": shown(base),
        BASE_DIGEST: model_digest(scorer.folder),
        RATINGS: hashlib.sha256(repr(rows).encode()).hexdigest(),
        "ratings": str(len(rows)),
        "kept": str(decision.kept),
        "reason": decision.reason,
        "auc": f"{decision.numbers['auc']:.4f}",
        "auc_champion": f"{decision.numbers['auc_champion']:.4f}",
        "photoqual": photoqual.__version__,
    }

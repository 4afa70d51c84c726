"""`photoqual ladder`: every kind of model trained and judged on one version of the data, as one table.

Each training goes into a folder of its own; models/challenger and reports/evaluation stay as they are. What was
judged is kept in `rows/` under the digest of its inputs, so that an interrupted ladder goes on where it stopped.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import BackboneName, BackboneParams, ModelParams, Params
from photoqual.errors import ConfigError
from photoqual.evaluation import metrics
from photoqual.evaluation.scoring import score_photos
from photoqual.evaluation.significance import careful_interval
from photoqual.labels.splits import VALIDATION, frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.keras_files import quiet_keras
from photoqual.models.scorer import Scorer
from photoqual.selection.ladder_table import Row, write_tables
from photoqual.selection.scratch import OF_ALL, ScratchLayout, changed, read_splits, reason_of
from photoqual.training.identity import CODE, digest, training_inputs

log = logging.getLogger(__name__)

KINDS: tuple[str, ...] = get_args(ModelParams.model_fields["kind"].annotation)
BACKBONES: tuple[str, ...] = get_args(BackboneName)
POOLINGS: tuple[str, ...] = get_args(BackboneParams.model_fields["pooling"].annotation)
TRANSFER = "transfer"
_JUDGING_CODE = ("evaluation", "selection")
_CHECKPOINTS = "ladder-"
"""How the names of its checkpoints begin, so that those of `photoqual train` stay its own."""
_TIMED_PHOTOS = 64
_TIMED_RUNS = 3


@dataclass(frozen=True)
class Rung:
    """One model of the ladder; `backbone` and `pooling` are those of kind `transfer`."""

    kind: str
    backbone: str | None = None
    pooling: str | None = None

    @property
    def changes(self) -> dict[str, str]:
        """What it changes in params, by dotted name."""
        chosen = {"model.kind": self.kind, "model.backbone.name": self.backbone, "model.backbone.pooling": self.pooling}
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True)
class Judges:
    """The photos that judge: `rows` as in splits or the frozen test set, `name` for people, `digest` of their content."""

    rows: pd.DataFrame
    name: str
    digest: str


def ladder(
    layout: Layout,
    params: Params,
    *,
    kinds: Sequence[str] = KINDS,
    backbones: Sequence[str] = (),
    poolings: Sequence[str] = (),
    seeds: int = 1,
    frozen: bool = False,
    out: Path | None = None,
) -> list[Row]:
    """Train and judge each rung with each of `seeds` seeds, from `train.seed` on; write table.csv, table.md, table.png
    and rows/ into `out` (default: reports/ladder) and return the rows.

    Photos of the split `validation` judge, or the frozen test set with `frozen`. A rung that fails is a row with its
    reason. Raise ConfigError for a name that does not exist, MissingData, TooFewPhotos or FrozenTestLeak when the data
    let no model be trained.
    """
    rungs = list_rungs(params, kinds, backbones, poolings)
    judges = read_judges(layout, frozen=frozen)
    out = out or layout.root / "reports/ladder"
    rows = []
    for number, rung in enumerate(rungs, 1):
        results, failures = [], []
        for seed in range(params.train.seed, params.train.seed + seeds):
            with_rung = changed(params, {**rung.changes, "train.seed": seed}, origin="The ladder")
            log.info("Rung %d of %d, %s, seed %d", number, len(rungs), " ".join(rung.changes.values()), seed)
            result = _result(layout, with_rung, judges, out)
            if isinstance(result, str):
                log.warning("%s failed: %s", " ".join(rung.changes.values()), result)
                failures.append(f"seed {seed}: {result}" if seeds > 1 else result)
            else:
                results.append(result)
        rows.append(Row.of(with_rung.model, judges.name, results, failures))
    shutil.rmtree(out / "scratch", ignore_errors=True)
    write_tables(out, rows, params.evaluate.confidence, frozen=frozen)
    return rows


def list_rungs(params: Params, kinds: Sequence[str], backbones: Sequence[str], poolings: Sequence[str]) -> list[Rung]:
    """Return the rungs in the order of the ladder, without repetition; a backbone or pooling that is not asked for is
    that of `params`. `all` stands for every name. Raise ConfigError for a name that does not exist.
    """
    chosen = _known(kinds, KINDS, "kind")
    names = _known(backbones or [params.model.backbone.name], BACKBONES, "backbone")
    pooled = _known(poolings or [params.model.backbone.pooling], POOLINGS, "pooling")
    if TRANSFER not in chosen and (backbones or poolings):
        raise ConfigError(
            "Backbones and poolings were named, but kind transfer was not.", next_step="Add it: --kinds transfer,…"
        )
    return [
        rung
        for kind in chosen
        for rung in (
            [Rung(kind, name, pooling) for name in names for pooling in pooled] if kind == TRANSFER else [Rung(kind)]
        )
    ]


def read_judges(layout: Layout, *, frozen: bool) -> Judges:
    """Return the validation photos, or those of the frozen test set. Raise DataError when they cannot judge."""
    if frozen:
        rows, name = read_frozen(layout.frozen_test), "frozen test set"
    else:
        splits = read_splits(layout)
        rows, name = splits[splits["split"] == VALIDATION].reset_index(drop=True), "validation photos"
    metrics.checked(rows["good"])
    content = frozen_digest(rows) if frozen else digest(rows[["photo_id", "good", "group"]].astype(str).to_dict("list"))
    return Judges(rows, f"{len(rows)} {name} {content[:8]}", content)


def _result(layout: Layout, params: Params, judges: Judges, out: Path) -> dict[str, Any] | str:
    """Return what is kept of one training, from an earlier run where there is one, or why it failed."""
    training = training_inputs(layout, params, (*CODE, *_JUDGING_CODE))
    inputs = {**training, "judges": judges.digest, "confidence": params.evaluate.confidence}
    key = digest(inputs)[:16]
    kept = out / "rows" / f"{key}.json"
    if kept.is_file():
        log.info("Kept from an earlier run: %s", kept)
        return dict(files.read_json(kept))
    scratch = ScratchLayout(layout.root, into=out / "scratch" / key)
    try:
        result, predictions = _train_and_judge(scratch, params, judges)
    except OF_ALL:
        raise
    except Exception as error:
        log.debug("What was raised:", exc_info=True)
        return reason_of(error)
    with files.atomic(kept.with_suffix(".parquet")) as temporary:
        predictions.to_parquet(temporary, index=False)
    files.write_json(kept, {**result, "inputs": inputs})
    shutil.rmtree(scratch.into)
    return result


def _train_and_judge(layout: Layout, params: Params, judges: Judges) -> tuple[dict[str, Any], pd.DataFrame]:
    from photoqual.training.train import train

    quiet_keras().utils.clear_session()
    started = time.monotonic()
    train(layout, params, checkpoints=_CHECKPOINTS)
    seconds = time.monotonic() - started
    scorer = Scorer.load(layout.challenger)
    figures, predictions = judge(layout, scorer, judges, params.evaluate.confidence)
    told = {
        "seed": params.train.seed,
        "parameters": scorer.info.parameters,
        "best_epoch": scorer.info.best_epoch,
        "train_seconds": round(seconds, 1),
    }
    return {**figures, **told}, predictions


def judge(layout: Layout, scorer: Scorer, judges: Judges, confidence: float) -> tuple[dict[str, float], pd.DataFrame]:
    """Return the figures of a model on the photos that judge, and its predictions (photo_id, good, score).

    `photos_per_second` is through ONNX Runtime alone, decoding left out: the fastest of three runs over at most 64
    photos. Raise DataError when a score is not a number.
    """
    sample: list[np.ndarray] = []

    def keep(photo_id: str, pixels: np.ndarray) -> None:
        if len(sample) < _TIMED_PHOTOS:
            sample.append(pixels)

    rows = judges.rows
    scores = score_photos(layout.photos, rows, scorer, observe=keep)
    good = rows["good"].to_numpy()
    low, high = careful_interval(good, scores, confidence, rows["group"].to_numpy(dtype=object))
    times = []
    for _ in range(_TIMED_RUNS):
        started = time.perf_counter()
        scorer.score(sample)
        times.append(time.perf_counter() - started)
    figures = {
        **metrics.summary(good, scores, scorer.info.threshold),
        "auc_low": low,
        "auc_high": high,
        "threshold": scorer.info.threshold,
        "photos_per_second": round(len(sample) / min(times), 1),
    }
    return figures, pd.DataFrame({"photo_id": rows["photo_id"].astype(str), "good": good, "score": scores})


def _known(names: Sequence[str], every: Sequence[str], what: str) -> list[str]:
    asked = set(every) if "all" in names else set(names)
    if unknown := sorted(asked - set(every)):
        raise ConfigError(
            f"There is no {what} {', '.join(unknown)}.", next_step=f"Choose from {', '.join(every)}, or `all`."
        )
    return [name for name in every if name in asked]

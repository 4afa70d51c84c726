"""Train and judge our models on real labelled photos, along the folds of each set, with the peers beside them.

    PHOTOQUAL_BENCH_DATA=/path/to/data python -m benchmarks.quality [--only NAME] [--seeds N] [--tune] [--no-peers]

Refresh, label, train and evaluate are the pipeline's; the folds of each set stand in for validation and split. The
settings below were chosen by validation figures alone, with `--tune`, which never looks at a test fold.
"""

import argparse
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks import data_sets, peers, starter
from benchmarks.data_sets import DATA_SETS, DataSet
from benchmarks.folds import write_folds
from benchmarks.table import Row, exit_code, markdown, plain, update_results
from photoqual.config import Params, parse_params
from photoqual.evaluation.evaluate import evaluate, read_predictions
from photoqual.labels.rules import label, read_labels
from photoqual.labels.splits import read_frozen
from photoqual.layout import Layout
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.shards import read_photos
from photoqual.sources.refresh import refresh
from photoqual.training.train import train

log = logging.getLogger("benchmarks.quality")

SEEDS = (7, 8, 9)
ACCURACY, AUC, SRCC, SECONDS = "accuracy", "auc", "srcc", "seconds"
_SHOWN = {ACCURACY: "accuracy", AUC: "AUC", SRCC: "SRCC", SECONDS: "seconds per training"}


@dataclass(frozen=True)
class Setting:
    """How one model is trained on one set, as in params.yaml, and what it has to reach: at least, or (seconds) at most."""

    data_set: str
    model: dict[str, Any]
    train: dict[str, Any]
    goals: Mapping[str, float] = field(default_factory=dict)


def _lite(name: str = "efficientnet_lite0", **options: Any) -> dict[str, Any]:
    return {"name": name, "pooling": "levels", **options}


_ADAM = {"name": "adam", "learning_rate": 0.001}

SETTINGS = {
    "defects: EfficientNet-Lite0, levels, fine-tuned": Setting(
        "defects",
        {
            "kind": "transfer",
            "head": "defects",
            "image_width": 288,
            "backbone": _lite(trainable_blocks="all", dropout=0.2),
        },
        {
            "epochs": 5,
            "batch_size": 32,
            "oversample": False,
            "patience": 5,
            "keep": "loss",
            "augment": {"flip": True, "crop": 0.22},
            "optimizer": {
                "name": "adamw",
                "learning_rate": 0.0005,
                "weight_decay": 0.01,
                "schedule": "cosine",
                "warmup": 0.1,
                "clip_norm": 1.0,
            },
        },
        {ACCURACY: 0.99, AUC: 0.999, SECONDS: 1800},
    ),
    "defects: EfficientNet-Lite0, levels, frozen": Setting(
        "defects",
        {"kind": "transfer", "head": "defects", "image_width": 288, "backbone": _lite(dropout=0.2)},
        {"epochs": 30, "batch_size": 32, "oversample": False, "patience": 8, "optimizer": _ADAM},
    ),
    "defects: EfficientNet-Lite0, last, frozen": Setting(
        "defects",
        {"kind": "transfer", "head": "defects", "image_width": 224, "backbone": _lite(pooling="last", dropout=0.2)},
        {"epochs": 30, "batch_size": 32, "oversample": False, "patience": 8, "optimizer": _ADAM},
    ),
    "defects: gap_cnn": Setting(
        "defects",
        {"kind": "gap_cnn", "head": "defects", "image_width": 288},
        {
            "epochs": 8,
            "batch_size": 16,
            "oversample": False,
            "patience": 3,
            "augment": {"flip": True, "crop": 0.33},
            "optimizer": {"name": "adam", "learning_rate": 0.002, "schedule": "cosine", "warmup": 0.05},
        },
        {AUC: 0.93},
    ),
    "blur: EfficientNet-Lite0, levels, frozen": Setting(
        "blur",
        {"kind": "transfer", "image_width": 640, "backbone": _lite(dropout=0.2)},
        {
            "epochs": 50,
            "batch_size": 32,
            "patience": 50,
            "keep": "loss",
            "refit": True,
            "optimizer": {"name": "adam", "learning_rate": 0.003},
        },
        {AUC: 0.998},
    ),
    "beauty: EfficientNet-Lite2, last 2 levels, frozen": Setting(
        "beauty",
        {
            "kind": "transfer",
            "head": "linear",
            "image_width": 320,
            "backbone": _lite("efficientnet_lite2", levels=2, dropout=0.5),
        },
        {
            "epochs": 20,
            "batch_size": 32,
            "oversample": False,
            "patience": 20,
            "keep": "loss",
            "refit": True,
            "optimizer": {"name": "adam", "learning_rate": 0.002, "schedule": "cosine"},
        },
        {SRCC: 0.75, AUC: 0.87},
    ),
}


def params_for(setting: Setting, data: Path, seed: int) -> Params:
    """Return the params.yaml of one training."""
    data_set = DATA_SETS[setting.data_set]
    return parse_params(
        {
            "sources": {"data": data_set.source(data)},
            "photos": {},
            "labels": data_set.labels(data),
            "validation": {},
            "split": {},
            "model": setting.model,
            "train": {**setting.train, "seed": seed},
            "evaluate": {"grid_photos": 1},
            "promote": {},
        },
        origin="benchmarks/quality.py",
    )


def run(setting: Setting, data: Path, seeds: tuple[int, ...], layout: Layout, *, judge: bool) -> dict[str, list[float]]:
    """Train once per seed and fold. Return the figures by name, folds innermost; without `judge` only the AUC of the
    validation photos and the seconds.
    """
    figures: dict[str, list[float]] = {}
    data_set: DataSet = DATA_SETS[setting.data_set]
    for seed in seeds:
        params = params_for(setting, data, seed)
        for fold, splits in enumerate(data_set.folds(data)):
            counts = write_folds(layout, splits, params.split.near_duplicate_bits)
            started = time.monotonic()
            trained = train(layout, params)
            found = {SECONDS: time.monotonic() - started, "validation AUC": trained["validation_auc"]}
            if judge:
                found |= _judged(layout, params)
            for name, figure in found.items():
                figures.setdefault(name, []).append(figure)
            told = ", ".join(f"{name} {figure:.4g}" for name, figure in found.items())
            log.info("seed %d, fold %d, %s: epoch %s, %s", seed, fold, counts, trained["best_epoch"], told)
    return figures


def _judged(layout: Layout, params: Params) -> dict[str, float]:
    """Return what the test fold says of models/challenger."""
    found = {AUC: evaluate(layout, params)["auc"]}
    predictions, _ = read_predictions(layout.predictions)
    labels = read_labels(layout)
    if params.model.head == "defects":
        found[ACCURACY] = _class_accuracy(layout, dict(zip(labels["photo_id"], labels["defects"], strict=True)))
    joined = predictions.merge(labels[["photo_id", "stars"]], on="photo_id").dropna(subset=["stars"])
    if len(joined) > 1:
        found[SRCC] = float(spearmanr(joined["score"], joined["stars"]).statistic)
    return found


def _class_accuracy(layout: Layout, truth: Mapping[str, Any]) -> float:
    """Return the share of test photos whose likeliest class, good or one of the defects, is theirs."""
    scorer = Scorer.load(layout.challenger)
    right = []
    for photo_id, jpeg in read_photos(layout.photos, read_frozen(layout.frozen_test)):
        answers = scorer.answers_of([input_of(jpeg, scorer.info)])
        odds = np.asarray(answers["defects"]).reshape(-1)
        likeliest = scorer.info.defects[int(odds.argmax())] if odds.max() > 0.5 else None
        right.append(([likeliest] if likeliest else []) == list(truth[photo_id]))
    return statistics.mean(right)


def spread(values: list[float]) -> str:
    """Return the mean with lowest and highest."""
    return f"{statistics.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def rows_of(name: str, setting: Setting, figures: dict[str, list[float]], seeds: int) -> list[Row]:
    """Return a row per goal of `name`, or one where it has none."""
    trainings = len(figures[SECONDS])
    told = f"{trainings} trainings, {seeds} seed{'s' if seeds > 1 else ''}"
    if not setting.goals:
        shown = [f"{_SHOWN[key]} {spread(figures[key])}" for key in (ACCURACY, AUC, SRCC) if key in figures]
        return [Row(name, "", f"{', '.join(shown)}; {statistics.mean(figures[SECONDS]):.0f} s each; {told}")]
    rows = []
    for goal, limit in setting.goals.items():
        mean = statistics.mean(figures[goal])
        if goal == SECONDS:
            longest = max(figures[goal])
            rows.append(Row(f"{name}: longest training", f"≤ {limit:g} s", f"{longest:.0f} s", longest <= limit))
        else:
            rows.append(
                Row(f"{name}: {_SHOWN[goal]}", f"≥ {limit:g}", f"{spread(figures[goal])}; {told}", mean >= limit)
            )
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--only", action="append", default=[], help="settings whose name holds this; may be repeated")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(1, len(SEEDS) + 1))
    parser.add_argument("--no-peers", action="store_true", help="leave out the methods of others")
    parser.add_argument(
        "--tune", action="store_true", help="validation figures only: no test fold is looked at, nothing is written"
    )
    options = parser.parse_args(arguments)
    data = data_sets.folder()
    if data is None:
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    chosen = {
        name: setting
        for name, setting in SETTINGS.items()
        if not options.only or any(part in name for part in options.only)
    }
    told = " ".join(["python -m benchmarks.quality", *(arguments if arguments is not None else sys.argv[1:])])
    stamp = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, no GPU: `{told}`"
    every: list[Row] = []
    for part in DATA_SETS:
        mine = {name: setting for name, setting in chosen.items() if setting.data_set == part}
        rows = measure(data, part, mine, SEEDS[: options.seeds], judge=not options.tune)
        if rows and not options.tune:
            rows += [] if options.no_peers else peers.rows(data, part)
            update_results(f"Quality: {part}", f"{stamp}\n\n{markdown(rows)}")
        every += rows
    if not options.tune and (not options.only or "starter" in options.only):
        rows = starter.rows(data)
        update_results("Quality: starter", f"{stamp}\n\n{markdown(rows)}")
        every += rows
    print(plain(every))
    return exit_code(every)


def measure(data: Path, part: str, chosen: dict[str, Setting], seeds: tuple[int, ...], *, judge: bool) -> list[Row]:
    """Train every one of `chosen` on the set `part`, in a temporary folder, and return the rows of the table."""
    rows: list[Row] = []
    if not chosen:
        return rows
    with tempfile.TemporaryDirectory(prefix="photoqual-bench-") as scratch:
        layout = Layout(Path(scratch))
        filled = params_for(next(iter(chosen.values())), data, seeds[0])
        log.info("%s: %s", part, refresh(layout, filled)["sources"])
        log.info("%s: %s", part, label(layout, filled))
        for name, setting in chosen.items():
            log.info("%s", name)
            figures = run(setting, data, seeds, layout, judge=judge)
            if judge:
                rows += rows_of(name, setting, figures, len(seeds))
            else:
                rows.append(
                    Row(name, "", f"validation AUC {spread(figures['validation AUC'])}, {spread(figures[SECONDS])} s")
                )
    return rows


if __name__ == "__main__":
    sys.exit(main())

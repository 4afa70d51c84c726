"""Train and judge the rungs of the ladder on real labelled photos, along the folds of each data set.

    PHOTOQUAL_BENCH_DATA=/path/to/data python -m benchmarks.real_data [--data-set NAME] [--kind KIND] [--seeds N] [--tune]

The folder holds `defects/{train,validation,test}/<class>`, `beauty/photos` with `votes.csv`, and
`blur/{sharp,blurred}` with `scenes.csv`. Photos are read in place; everything made lies in a temporary folder.
Settings below were chosen by validation AUC alone, with `--tune`, which never looks at a test fold.
"""

import argparse
import csv
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from benchmarks.folds import write_folds
from benchmarks.table import Row, exit_code, markdown, plain, update_results
from photoqual.config import Params, parse_params
from photoqual.evaluation.evaluate import evaluate, read_predictions
from photoqual.labels.rules import label, read_labels
from photoqual.labels.splits import TEST, TRAIN, VALIDATION
from photoqual.layout import Layout
from photoqual.sources.refresh import refresh
from photoqual.training.train import train

log = logging.getLogger("benchmarks.real_data")

GOAL_AUC = 0.81
GOAL_SETS = 2
FOLDS = 5
SEEDS = (7, 8, 9)
_EVEN = 1e-6
"""Means above the median by less than this count as the median."""


@dataclass(frozen=True)
class Setting:
    """How one kind is trained on one data set."""

    image_width: int
    epochs: int
    batch_size: int
    learning_rate: float
    patience: int

    def text(self) -> str:
        return f"{self.image_width} px, {self.epochs} epochs, batch {self.batch_size}, Adam {self.learning_rate:g}, patience {self.patience}"


@dataclass(frozen=True)
class DataSet:
    """One data set: its source and label rule as in params.yaml, its folds, and figures of other methods on it."""

    source: Callable[[Path], dict[str, Any]]
    labels: Callable[[Path], dict[str, Any]]
    folds: Callable[[Path], Iterator[dict[str, str]]]
    settings: Mapping[str, Setting]
    elsewhere: tuple[tuple[str, str], ...]


def _defects_folds(data: Path) -> Iterator[dict[str, str]]:
    names = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    yield {
        path.relative_to(data / "defects").as_posix(): names[path.relative_to(data / "defects").parts[0]]
        for path in (data / "defects").rglob("*.jpg")
    }


def _beauty_folds(data: Path) -> Iterator[dict[str, str]]:
    folds = {row["filename"]: int(row["fold"]) for row in _table(data / "beauty/votes.csv")}
    for test in range(FOLDS):
        names = {test: TEST, (test + 1) % FOLDS: VALIDATION}
        yield {name: names.get(fold, TRAIN) for name, fold in folds.items()}


def _blur_folds(data: Path) -> Iterator[dict[str, str]]:
    folds = {row["filename"]: int(row["fold"]) for row in _table(data / "blur/scenes.csv")}
    names = {5: TEST, 6: TEST, 3: VALIDATION}
    keys = {path.relative_to(data / "blur").as_posix(): path.name for path in (data / "blur").rglob("*.jpg")}
    yield {key: names.get(folds[name], TRAIN) for key, name in keys.items()}


def _beauty_rule(data: Path) -> dict[str, Any]:
    """Above the median of all photos is good, the rest is bad; the scale of 1 to 7 becomes 1 to 5 stars."""
    median = statistics.median(float(row["beauty_mean"]) for row in _table(data / "beauty/votes.csv"))
    stars = 1 + 4 * (median - 1) / 6 + _EVEN
    return {"rule": "threshold", "good_at_least": stars, "bad_at_most": stars, "exclude_categories": []}


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


DATA_SETS = {
    "defects": DataSet(
        source=lambda data: {"kind": "folders", "path": str(data / "defects"), "good": ["good"]},
        labels=lambda data: {"rule": "folders"},
        folds=_defects_folds,
        settings={
            "logistic": Setting(192, 10, 64, 0.001, 3),
            "gap_cnn": Setting(192, 8, 16, 0.002, 3),
        },
        elsewhere=(
            ("26 classic features, gradient boosting", "0.935"),
            ("frozen EfficientNet-Lite0 at 224 px, logistic regression", "0.937"),
            ("EfficientNet-Lite0 fine-tuned, two epochs", "0.9987"),
        ),
    ),
    "beauty": DataSet(
        source=lambda data: {
            "kind": "votes",
            "path": str(data / "beauty/photos"),
            "csv": str(data / "beauty/votes.csv"),
            "image": "filename",
            "mean": "beauty_mean",
            "count": "n_raters",
            "group": "theme",
            "category": "category",
            "rating_scale": [1.0, 7.0],
        },
        labels=_beauty_rule,
        folds=_beauty_folds,
        settings={
            "logistic": Setting(192, 30, 32, 0.001, 6),
            "gap_cnn": Setting(192, 20, 8, 0.001, 6),
        },
        elsewhere=(
            ("frozen EfficientNet-Lite0 at 224 px, ridge regression", "0.813"),
            ("frozen EfficientNet-Lite2 at 260 px, support vector regression", "0.836"),
            ("mean of 16 such heads", "0.849"),
        ),
    ),
    "blur": DataSet(
        source=lambda data: {
            "kind": "folders",
            "path": str(data / "blur"),
            "good": ["sharp"],
            "bad": ["blurred"],
            "groups_csv": str(data / "blur/scenes.csv"),
            "groups_group": "scene",
        },
        labels=lambda data: {"rule": "folders"},
        folds=_blur_folds,
        settings={
            "logistic": Setting(288, 30, 32, 0.001, 6),
            "gap_cnn": Setting(288, 20, 8, 0.001, 6),
        },
        elsewhere=(
            ("EfficientNet-Lite0 fine-tuned, six epochs at 288 px, judged at 576 px", "0.9975"),
            ("variance of the Laplacian (scene folds, all photos of its source)", "0.921"),
            ("frozen EfficientNet-Lite0, logistic regression (scene folds, all photos of its source)", "0.877"),
        ),
    ),
}


def params_for(data_set: DataSet, data: Path, kind: str, setting: Setting, seed: int) -> Params:
    """Return the params.yaml of one training run."""
    optimizer = {"name": "adam", "learning_rate": setting.learning_rate}
    return parse_params(
        {
            "sources": {"data": data_set.source(data)},
            "photos": {},
            "labels": data_set.labels(data),
            "validation": {},
            "split": {},
            "model": {"kind": kind, "image_width": setting.image_width},
            "train": {
                "epochs": setting.epochs,
                "batch_size": setting.batch_size,
                "patience": setting.patience,
                "seed": seed,
                "optimizer": optimizer,
            },
            "evaluate": {},
            "promote": {},
        },
        origin="benchmarks/real_data.py",
    )


def run(
    data_set: DataSet, data: Path, kind: str, setting: Setting, seeds: tuple[int, ...], layout: Layout, *, judge: bool
) -> dict[str, list[float]]:
    """Train once per fold and seed. Return the figures by name, folds innermost; without `judge` only those of the
    validation photos.
    """
    figures: dict[str, list[float]] = {"validation_auc": [], "auc": [], "accuracy": [], "srcc": [], "seconds": []}
    for seed in seeds:
        params = params_for(data_set, data, kind, setting, seed)
        for fold, splits in enumerate(data_set.folds(data)):
            counts = write_folds(layout, splits, params.split.near_duplicate_bits)
            started = time.monotonic()
            trained = train(layout, params)
            figures["seconds"].append(time.monotonic() - started)
            figures["validation_auc"].append(trained["validation_auc"])
            told = f"{kind}, seed {seed}, fold {fold}: {counts}, validation AUC {trained['validation_auc']:.4f} in epoch {trained['best_epoch']} of {trained['epochs']}"
            if judge:
                judged = evaluate(layout, params)
                figures["auc"].append(judged["auc"])
                figures["accuracy"].append(judged["accuracy"])
                figures["srcc"].append(_rank_correlation(layout))
                told += f", test AUC {judged['auc']:.4f}, accuracy {judged['accuracy']:.3f}"
            log.info("%s, %.0f s", told, figures["seconds"][-1])
    return figures


def _rank_correlation(layout: Layout) -> float:
    """Return Spearman's correlation of the scores with the mean votes; NaN where photos have none."""
    predictions, _ = read_predictions(layout.predictions)
    joined = predictions.merge(read_labels(layout)[["photo_id", "stars"]], on="photo_id").dropna(subset=["stars"])
    return float(spearmanr(joined["score"], joined["stars"]).statistic) if len(joined) > 1 else float("nan")


def spread(values: list[float]) -> str:
    """Return the mean with lowest and highest."""
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real_data", description="Train and judge on real labelled photos."
    )
    parser.add_argument("--data-set", action="append", choices=DATA_SETS, help="one of them only; may be repeated")
    parser.add_argument(
        "--kind", action="append", choices=["logistic", "gap_cnn"], help="one of them only; may be repeated"
    )
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(1, len(SEEDS) + 1))
    parser.add_argument(
        "--tune", action="store_true", help="validation figures only: no test fold is looked at, nothing is written"
    )
    for name, kind in (
        ("image-width", int),
        ("epochs", int),
        ("batch-size", int),
        ("learning-rate", float),
        ("patience", int),
    ):
        parser.add_argument(f"--{name}", type=kind, help="with --tune: in place of the chosen setting")
    options = parser.parse_args(arguments)
    folder = os.environ.get("PHOTOQUAL_BENCH_DATA", "")
    if not folder or not Path(folder).is_dir():
        print(
            f"PHOTOQUAL_BENCH_DATA is {folder or 'not set'}: name the folder that holds defects, beauty and blur.",
            file=sys.stderr,
        )
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    log.setLevel(logging.INFO)
    names, kinds = options.data_set or list(DATA_SETS), options.kind or ["logistic", "gap_cnn"]
    rows = measure(Path(folder), names, kinds, options)
    print(plain(rows))
    if not options.tune:
        told = " ".join(["python -m benchmarks.real_data", *(arguments if arguments is not None else sys.argv[1:])])
        stamp = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, no GPU: `{told}`"
        for name in dict.fromkeys(row.name.partition(":")[0] for row in rows):
            mine = [row for row in rows if row.name.startswith(f"{name}:")]
            update_results(f"Real data: {name}", f"{stamp}\n\n{markdown(mine)}")
    return exit_code(rows)


def measure(data: Path, names: list[str], kinds: list[str], options: argparse.Namespace) -> list[Row]:
    """Run every data set and kind asked for, in temporary folders, and return the rows of the table."""
    rows: list[Row] = []
    reached: dict[str, float] = {}
    seeds = SEEDS[: options.seeds]
    for name in names:
        data_set = DATA_SETS[name]
        with tempfile.TemporaryDirectory(prefix="photoqual-bench-") as folder:
            layout = Layout(Path(folder))
            fill = params_for(data_set, data, kinds[0], data_set.settings[kinds[0]], SEEDS[0])
            log.info("%s: %s", name, refresh(layout, fill)["sources"])
            log.info("%s: %s", name, label(layout, fill))
            for kind in kinds:
                setting = _chosen(data_set.settings[kind], options)
                figures = run(data_set, data, kind, setting, seeds, layout, judge=not options.tune)
                rows += _rows(name, kind, setting, figures, len(seeds), tune=options.tune)
                if figures["auc"]:
                    reached[f"{name} {kind}"] = statistics.mean(figures["auc"])
        if not options.tune:
            rows += [
                Row(f"{name}: {method}, quoted from the notes of the data, not run here", "", f"AUC {auc}")
                for method, auc in data_set.elsewhere
            ]
    ours = [auc for which, auc in reached.items() if which.endswith("gap_cnn")]
    if len(ours) == len(DATA_SETS):
        count = sum(auc >= GOAL_AUC for auc in ours)
        rows.append(
            Row(
                f"all: gap_cnn at AUC {GOAL_AUC} or better",
                f"{GOAL_SETS} of {len(DATA_SETS)} data sets",
                f"{count} of {len(DATA_SETS)}",
                count >= GOAL_SETS,
            )
        )
    return rows


def _chosen(setting: Setting, options: argparse.Namespace) -> Setting:
    if not options.tune:
        return setting
    return Setting(
        *(
            getattr(options, field) or getattr(setting, field)
            for field in ("image_width", "epochs", "batch_size", "learning_rate", "patience")
        )
    )


def _rows(
    name: str, kind: str, setting: Setting, figures: dict[str, list[float]], seeds: int, *, tune: bool
) -> list[Row]:
    what = f"{name}: {kind} ({setting.text()}; {seeds} seed{'s' if seeds > 1 else ''})"
    took = f"{statistics.mean(figures['seconds']):.0f} s per training"
    if tune:
        return [Row(what, "", f"validation AUC {spread(figures['validation_auc'])}, {took}")]
    figure = f"AUC {spread(figures['auc'])}, accuracy {statistics.mean(figures['accuracy']):.3f}, validation AUC {statistics.mean(figures['validation_auc']):.3f}, {took}"
    if figures["srcc"][0] == figures["srcc"][0]:
        figure += f", SRCC {statistics.mean(figures['srcc']):.3f}"
    return [Row(what, "", figure)]


if __name__ == "__main__":
    sys.exit(main())

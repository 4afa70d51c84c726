"""The evaluate stage: the challenger on the frozen test set → metrics, curves, predictions and pictures."""

import hashlib
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.config import EvaluateParams, Params
from photoqual.errors import DataError, MissingData
from photoqual.evaluation import metrics, plots
from photoqual.evaluation.scoring import score_photos
from photoqual.evaluation.significance import careful_interval
from photoqual.evaluation.usefulness import Measures, Truth, reduction_curve, usefulness
from photoqual.evaluation.votes import Distribution
from photoqual.labels.rules import read_labels
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models import answer
from photoqual.models.info import ONNX, ModelInfo
from photoqual.models.scorer import Scorer
from photoqual.photos.shards import read_photos

log = logging.getLogger(__name__)

Votes = Mapping[str, Distribution | None]
"""Vote distributions by photo id, see votes.py."""
DIGEST, MODEL_DIGEST = "frozen_test_digest", "model_digest"
"""Keys in the metadata of predictions.parquet: which frozen set, and which model (see model_digest), it is of."""
_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("good", pa.int8()),
        ("score", pa.float64()),
        ("label", pa.string()),
        ("group", pa.string()),
        ("stars", pa.float64()),
    ]
)


def evaluate(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the evaluate stage: score the frozen test set with models/challenger and write reports/evaluation.

    What cannot be computed on this frozen set is left out of metrics.json, and returned in `not_computable` with the
    reason. Vote distributions come from data/labels.parquet, where there is one. Raise ModelError without a usable
    model, MissingData without the frozen test set or its photos, DataError when they cannot be judged.
    """
    frozen, votes = read_frozen(layout.frozen_test), read_votes(layout)
    scorer = Scorer.load(layout.challenger)
    histograms = _Histograms(dict(zip(frozen["photo_id"], frozen["good"], strict=True)))
    scores = score_photos(layout.photos, frozen, scorer, observe=histograms.add)
    measured = measure(frozen, scores, scorer.info.threshold, params.evaluate, votes)
    found = measured.figures

    digest = frozen_digest(frozen)
    predictions = predicted(frozen, scores, scorer.info)
    _write_predictions(layout.predictions, predictions, digest, model_digest(layout.challenger))
    _write_curves(layout.evaluation, frozen["good"].to_numpy(), scores)
    _write_plots(layout, params, predictions, histograms, found, scorer.info)
    files.write_json(layout.metrics, found)
    log.info(
        "AUC %.4f (%.4f to %.4f) on %d frozen photos", found["auc"], found["auc_low"], found["auc_high"], len(frozen)
    )
    for reason in dict.fromkeys(measured.unknown.values()):
        names = [name for name, why in measured.unknown.items() if why == reason]
        log.info("Not computable: %s (%s)", ", ".join(names), reason)
    return {**found, "not_computable": measured.unknown, DIGEST: digest}


def measure(
    frozen: pd.DataFrame, scores: np.ndarray, threshold: float, params: EvaluateParams, votes: Votes
) -> Measures:
    """Return every measure of metrics.json of `scores` on `frozen`; vote distributions in `votes` by photo id."""
    good, groups = frozen["good"].to_numpy(), frozen["group"].to_numpy(dtype=object)
    low, high = careful_interval(good, scores, params.confidence, groups)
    distributions = [votes.get(photo_id) for photo_id in frozen["photo_id"]]
    truth = Truth(good, groups, frozen["stars"].to_numpy(dtype=float), distributions)
    useful = usefulness(truth, scores, params)
    summary = {**metrics.summary(good, scores, threshold), "auc_low": low, "auc_high": high}
    return Measures({**summary, **useful.figures}, useful.unknown)


def read_votes(layout: Layout) -> Votes:
    """Return the vote distributions in data/labels.parquet by photo id; none where there are no labels."""
    if not layout.labels.is_file():
        return {}
    labels = read_labels(layout)
    return dict(zip(labels["photo_id"], labels["vote_distribution"], strict=True))


def model_digest(folder: Path) -> str:
    """Return the SHA-256 of a folder's model.onnx, in hex: what tells two trained models apart."""
    return hashlib.sha256((folder / ONNX).read_bytes()).hexdigest()


def predicted(frozen: pd.DataFrame, scores: np.ndarray, info: ModelInfo) -> pd.DataFrame:
    """Return the rows of predictions.parquet, in the order of `frozen`."""
    rows = frozen[["photo_id", "good", "group", "stars"]].copy()
    rows["score"] = scores
    rows["label"] = [answer.label(score, info) for score in scores]
    return rows[_SCHEMA.names]


def read_predictions(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return predictions.parquet and its metadata (DIGEST, MODEL_DIGEST)."""
    if not path.is_file():
        raise MissingData(
            f"{path} does not exist.", next_step="Run `photoqual evaluate` (or `dvc repro evaluate`) first."
        )
    table = files.read_table(path)
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if table.schema.names != _SCHEMA.names or not {DIGEST, MODEL_DIGEST} <= set(metadata):
        raise DataError(f"{path} was not written by this version.", next_step="Run `photoqual evaluate` again.")
    return table.to_pandas(), metadata


def _write_predictions(path: Path, rows: pd.DataFrame, digest: str, model: str) -> None:
    table = pa.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False)
    with files.atomic(path) as temporary:
        pq.write_table(
            table.replace_schema_metadata({DIGEST: digest, MODEL_DIGEST: model}), temporary, compression="zstd"
        )


def _write_curves(folder: Path, good: np.ndarray, scores: np.ndarray) -> None:
    false_positives, true_positives, thresholds = metrics.roc_points(good, scores)
    roc = pd.DataFrame(
        {"false_positive_rate": false_positives, "true_positive_rate": true_positives, "threshold": thresholds}
    )
    recalls, precisions, thresholds = metrics.precision_recall_points(good, scores)
    precision_recall = pd.DataFrame({"recall": recalls, "precision": precisions, "threshold": thresholds})
    for name, curve in (("roc.csv", roc), ("precision_recall.csv", precision_recall)):
        with files.atomic(folder / name) as temporary:
            curve.to_csv(temporary, index=False)


class _Histograms:
    """Sums the share of pixels by value, (3, 256), over the photos of each class."""

    def __init__(self, good: dict[str, int]) -> None:
        self._good = good
        self.sums = {"good": np.zeros((3, 256)), "bad": np.zeros((3, 256))}
        self.photos = {"good": 0, "bad": 0}

    def add(self, photo_id: str, pixels: np.ndarray) -> None:
        name = "good" if self._good[photo_id] == 1 else "bad"
        self.photos[name] += 1
        for channel in range(3):
            self.sums[name][channel] += (
                np.bincount(pixels[..., channel].ravel(), minlength=256) / pixels[..., channel].size
            )


def _write_plots(
    layout: Layout,
    params: Params,
    predictions: pd.DataFrame,
    histograms: _Histograms,
    found: dict[str, Any],
    info: ModelInfo,
) -> None:
    """Draw all pictures into a folder beside plots/, then put it in its place."""
    good, scores = predictions["good"].to_numpy(), predictions["score"].to_numpy()
    folder = layout.evaluation / "plots"
    making = folder.with_name(".plots.tmp")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    false_positives, true_positives, _ = metrics.roc_points(good, scores)
    plots.roc(
        making / "roc.png",
        (false_positives, true_positives),
        found["auc"],
        (found["auc_low"], found["auc_high"]),
        params.evaluate.confidence,
        len(good),
    )
    recalls, precisions, _ = metrics.precision_recall_points(good, scores)
    plots.precision_recall(making / "precision_recall.png", recalls, precisions, float(good.mean()), len(good))
    plots.confusion(making / "confusion.png", metrics.confusion(good, scores >= info.threshold), info.threshold)
    plots.score_distributions(making / "scores.png", good, scores, info.threshold)
    plots.gallery_reduction(
        making / "gallery_reduction.png",
        reduction_curve(good, scores),
        found["gallery_reduction"],
        (found["gallery_reduction_low"], found["gallery_reduction_high"]) if "gallery_reduction_low" in found else None,
        params.evaluate,
        float(good.mean()),
    )
    plots.rgb_histograms(making / "rgb_histograms.png", histograms.sums, histograms.photos)
    _draw_grids(layout, making, predictions, params.evaluate.grid_photos)
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)


def _draw_grids(layout: Layout, folder: Path, predictions: pd.DataFrame, count: int) -> None:
    frozen = read_frozen(layout.frozen_test)[["photo_id", "shard", "row"]]
    ranked = predictions.merge(frozen, on="photo_id").sort_values(
        ["score", "photo_id"], ascending=[False, True], ignore_index=True
    )
    best, worst = ranked.head(count), ranked.tail(count).iloc[::-1]
    jpegs = dict(read_photos(layout.photos, pd.concat([best, worst]).drop_duplicates("photo_id")))
    for name, rows in (("best", best), ("worst", worst)):
        shown = [
            plots.Shown(jpegs[row.photo_id], row.score, "good" if row.good == 1 else "bad", row.label)
            for row in rows.itertuples()
        ]
        wrong = sum(photo.truth != photo.label for photo in shown)
        plots.grid(
            folder / f"grid_{name}.png",
            shown,
            f"The {len(shown)} {name}-rated of {len(ranked)} frozen photos\n{wrong} labelled wrongly (red)",
        )

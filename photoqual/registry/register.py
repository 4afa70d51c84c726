"""Register models/challenger: an MLflow run with everything known of it, and a model version with alias `challenger`."""

import csv
import logging
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import photoqual
from photoqual import files
from photoqual.config import Params
from photoqual.errors import DataError, MissingData, ModelError
from photoqual.evaluation.evaluate import DIGEST, MODEL_DIGEST, model_digest, read_predictions
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import AGREEMENT, KERAS, TRAINED_ON, ModelInfo, read_info
from photoqual.models.scorer import input_of
from photoqual.photos.shards import read_photos
from photoqual.registry import lineage
from photoqual.registry.card import model_card
from photoqual.registry.logged import log_model
from photoqual.registry.store import CHALLENGER, MODEL_NAME, connected, ensure_model, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_AGREEMENT_PHOTOS = 8
_SAME = ("git_rev", "data_rev", "model_digest")
"""Tags that make two registrations the same."""
_DESCRIPTION = 5000


def register(
    layout: Layout, params: Params, *, revision: str | None = None, run_id: str | None = None
) -> dict[str, Any]:
    """Register models/challenger with its evaluation and return the version.

    `revision`: git commit of code and data (default: HEAD of `layout.root`); `run_id`: the pipeline run. Registering
    the same model of the same code and data again returns the version that exists. Raise DataError when evaluation,
    frozen test set and dvc.lock are not of one revision, ModelError when Keras and ONNX disagree.
    """
    info = read_info(layout.challenger)
    frozen = read_frozen(layout.frozen_test)
    predictions, metadata = read_predictions(layout.predictions)
    tags = _tags(layout, frozen, revision, run_id)
    if metadata[DIGEST] != tags[DIGEST] or metadata[MODEL_DIGEST] != tags["model_digest"]:
        raise DataError(
            f"{layout.evaluation} is of another model or another frozen test set.",
            next_step="Run `photoqual evaluate` (or `dvc repro evaluate`), then register.",
        )
    metrics = _read_metrics(layout)
    for name in (KERAS, TRAINED_ON):
        if not (layout.challenger / name).is_file():
            raise ModelError(
                f"{layout.challenger / name} does not exist.",
                next_step="Train the model again: `photoqual train` writes it.",
            )
    card = model_card(layout.root, params, info, metrics, tags)

    with connected(layout.root, create=True) as client:
        existing = _existing(client, tags)
        if existing is None:
            tags["keras_onnx_difference"] = f"{_agreed(layout, frozen, info):.2g}"
            with warnings.catch_warnings(action="ignore", category=UserWarning):  # hints for models of other kinds
                version = _register(client, layout, params, metrics, predictions, tags, card)
        else:
            version = existing
            log.info("Version %s is this model of this code and data already", version)
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, version)
        source_run = client.get_model_version(MODEL_NAME, version).run_id
    return {
        "version": version,
        "created": existing is None,
        "model": f"models:/{MODEL_NAME}/{version}",
        "mlflow_run": source_run,
        "auc": metrics["auc"],
        "auc_low": metrics["auc_low"],
        "auc_high": metrics["auc_high"],
        **tags,
    }


def _tags(layout: Layout, frozen: pd.DataFrame, revision: str | None, run_id: str | None) -> dict[str, str]:
    outputs = lineage.locked_outputs(layout.lock)
    lineage.assert_locked(layout, outputs)
    tags = {
        "git_rev": lineage.committed_revision(layout, revision),
        "data_rev": lineage.data_revision(outputs),
        DIGEST: frozen_digest(frozen),
        "model_digest": model_digest(layout.challenger),
        "photoqual": photoqual.__version__,
    }
    if environment := lineage.environment_digest(layout.root):
        tags["environment_lock"] = environment
    if run_id:
        tags["run_id"] = run_id
    return tags


def _read_metrics(layout: Layout) -> dict[str, Any]:
    if not layout.metrics.is_file():
        raise MissingData(
            f"{layout.metrics} does not exist.", next_step="Run `photoqual evaluate` (or `dvc repro evaluate`) first."
        )
    return dict(files.read_json(layout.metrics))


def _existing(client: "MlflowClient", tags: dict[str, str]) -> str | None:
    """Return the newest version whose _SAME tags are those of `tags`."""
    found = client.search_model_versions(f"name = '{MODEL_NAME}' AND tag.model_digest = '{tags['model_digest']}'")
    same = [int(version.version) for version in found if all(version.tags.get(name) == tags[name] for name in _SAME)]
    return str(max(same)) if same else None


def _agreed(layout: Layout, frozen: pd.DataFrame, info: ModelInfo) -> float:
    """Return how far Keras and ONNX differ on a few frozen photos. Raise ModelError when that is too far."""
    from photoqual.models.agreement import disagreement  # loads TensorFlow

    few = islice(read_photos(layout.photos, frozen.head(_AGREEMENT_PHOTOS)), _AGREEMENT_PHOTOS)
    apart = disagreement(layout.challenger, [input_of(jpeg, info) for _, jpeg in few])
    if not apart <= AGREEMENT:
        raise ModelError(
            f"Keras and ONNX scores of {layout.challenger} differ by {apart:.2g}, more than {AGREEMENT:g}.",
            next_step="Train the model again; both files must come from one training.",
        )
    return apart


def _register(
    client: "MlflowClient",
    layout: Layout,
    params: Params,
    metrics: dict[str, Any],
    predictions: pd.DataFrame,
    tags: dict[str, str],
    card: str,
) -> str:
    """Log the run and the model, create the version with its tags in one call, and return its number."""
    import mlflow

    with mlflow.start_run(
        experiment_id=experiment_id(client, layout.root), run_name=tags.get("run_id"), tags=tags
    ) as run:
        mlflow.log_params(lineage.flat_params(params))
        _log_history(client, run.info.run_id, layout.challenger / "history.csv")
        training, frozen = _datasets(layout, predictions, tags)
        mlflow.log_input(training, context="training")
        mlflow.log_input(frozen, context="test")
        for path in (layout.metrics, layout.predictions, *layout.evaluation.glob("*.csv")):
            mlflow.log_artifact(str(path), "evaluation")
        mlflow.log_artifacts(str(layout.evaluation / "plots"), "evaluation/plots")
        if (layout.challenger / "curve.png").is_file():
            mlflow.log_artifact(str(layout.challenger / "curve.png"))
        mlflow.log_text(card, "model_card.md")
        model_uri, model_id = log_model(layout.challenger)
        mlflow.log_metrics({name: float(value) for name, value in metrics.items()}, model_id=model_id, dataset=frozen)
        ensure_model(client, MODEL_NAME, "Rates photographs; see docs/promotion.md for how a champion is chosen.")
        version = client.create_model_version(
            MODEL_NAME, model_uri, run.info.run_id, tags=tags, description=card[:_DESCRIPTION], model_id=model_id
        )
    return str(version.version)


def _log_history(client: "MlflowClient", run: str, path: Path) -> None:
    """Log history.csv as metrics by epoch, prefixed `train.`."""
    from mlflow.entities import Metric

    if not path.is_file():
        return
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    points = [
        Metric(f"train.{name}", float(text), 0, int(float(row["epoch"])))
        for row in rows
        for name, text in row.items()
        if name != "epoch" and text
    ]
    for start in range(0, len(points), 1000):
        client.log_batch(run, metrics=points[start : start + 1000])


def _datasets(layout: Layout, predictions: pd.DataFrame, tags: dict[str, str]) -> tuple[Any, Any]:
    """Return the training photos and the frozen test set as MLflow datasets. MLflow keeps at most 36
    characters of a digest; the whole is in the tags.
    """
    import mlflow

    trained = pd.read_parquet(layout.challenger / TRAINED_ON)
    frozen = mlflow.data.from_pandas(
        predictions,
        source=str(layout.frozen_test),
        targets="good",
        predictions="label",
        name="frozen_test",
        digest=tags[DIGEST][:32],
    )
    training = mlflow.data.from_pandas(
        trained, source=str(layout.photos), name="trained_on", digest=tags["data_rev"][:32]
    )
    return training, frozen

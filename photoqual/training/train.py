"""The trainer, one function read from top to bottom: splits and shards → models/challenger.

Keeps the weights of the epoch with the best validation AUC and stops when it has not improved for
`train.patience` epochs. Not covered: several GPUs, mixed precision, going on from a checkpoint.
"""

import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import Params, TrainParams
from photoqual.errors import MissingData, ModelError, TooFewPhotos, TrainingError
from photoqual.labels.splits import TRAIN, VALIDATION, assert_no_leak, read_frozen
from photoqual.layout import Layout
from photoqual.models import ladder
from photoqual.models.agreement import disagreement
from photoqual.models.info import AGREEMENT, TRAINED_ON, ModelInfo, write_info
from photoqual.models.keras_files import quiet_keras, save_keras_and_onnx
from photoqual.photos.measures import NAMES, measure
from photoqual.training import calibrate
from photoqual.training.curve import Epoch, draw_curve, moving_average, write_history
from photoqual.training.inputs import DecodedPhotos, batches, decode, epoch_order

log = logging.getLogger(__name__)

THRESHOLD = 0.5
_AGREEMENT_PHOTOS = 8
_MEASURED_PHOTOS = 500


def train(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the train stage: train a challenger and write models/challenger, whole or not at all.

    Raise FrozenTestLeak when a photo to train on touches the frozen test set, TooFewPhotos when a class is missing,
    TrainingError when the loss is no longer finite.
    """
    rows = _read_splits(layout)
    training, validating = rows[rows["split"] == TRAIN], rows[rows["split"] == VALIDATION]
    for name, part in ((TRAIN, training), (VALIDATION, validating)):
        if part["good"].nunique() < 2:
            raise TooFewPhotos(
                f"Split `{name}` has {len(part)} photos of one class only.",
                next_step="Run `photoqual split` again on data with both classes.",
            )
    assert_no_leak(pd.concat([training, validating]), read_frozen(layout.frozen_test), params.split.near_duplicate_bits)

    keras = quiet_keras()
    keras.utils.set_random_seed(params.train.seed)
    model = ladder.build(params.model, params.train.seed)
    model.compile(optimizer=_optimizer(params.train), loss="binary_crossentropy")

    with tempfile.TemporaryDirectory(prefix="photoqual-train-") as scratch:
        train_set = decode(layout.photos, training, params.model.image_width, Path(scratch, TRAIN))
        validation_set = decode(layout.photos, validating, params.model.image_width, Path(scratch, VALIDATION))
        losses, epochs = _fit(model, train_set, validation_set, params.train)
        best = max(epochs, key=lambda epoch: epoch.validation_auc)

        a, b = calibrate.platt(validation_set.good, predict(model, validation_set))
        _scale_score_layer(model, a, b)
        scores = predict(model, validation_set)
        info = ModelInfo(
            kind=params.model.kind,
            head=params.model.head,
            image_width=params.model.image_width,
            threshold=THRESHOLD,
            sure_margin=calibrate.sure_margin(validation_set.good, scores, THRESHOLD),
            parameters=int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
            train_photos=len(train_set),
            validation_photos=len(validation_set),
            best_epoch=best.epoch,
            validation_auc=best.validation_auc,
            seed=params.train.seed,
            good_ranges=_good_ranges(train_set),
        )
        samples = [validation_set.pixels(index) for index in range(min(_AGREEMENT_PHOTOS, len(validation_set)))]
        apart = _write_folder(
            layout.challenger, model, info, losses, epochs, pd.concat([training, validating])["photo_id"], samples
        )
    log.info(
        "Trained %s: best validation AUC %.4f in epoch %d of %d",
        info.kind,
        best.validation_auc,
        best.epoch,
        len(epochs),
    )
    return {
        "kind": info.kind,
        "parameters": info.parameters,
        "train_photos": info.train_photos,
        "validation_auc": best.validation_auc,
        "best_epoch": best.epoch,
        "epochs": len(epochs),
        "seconds": round(sum(epoch.seconds for epoch in epochs), 1),
        "keras_onnx_difference": apart,
    }


def _fit(
    model: Any, train_set: DecodedPhotos, validation_set: DecodedPhotos, params: TrainParams
) -> tuple[list[float], list[Epoch]]:
    """Train until `params.epochs` or out of patience; leave the best weights in `model`."""
    draw = np.random.default_rng(params.seed)
    losses: list[float] = []
    epochs: list[Epoch] = []
    best_auc, best_weights = -np.inf, model.get_weights()
    for number in range(1, params.epochs + 1):
        started = time.monotonic()
        first = len(losses)
        plan = batches(epoch_order(train_set.good, params.oversample, draw), train_set.shapes, params.batch_size, draw)
        for indices in _progress(plan, f"epoch {number}/{params.epochs}"):
            pixels = train_set.batch(indices)
            if params.flip and draw.random() < 0.5:
                pixels = pixels[:, :, ::-1]
            model.reset_metrics()  # train_on_batch returns the mean since the last reset
            loss = float(
                model.train_on_batch(
                    pixels, train_set.good[indices, None].astype(np.float32), sample_weight=train_set.weight[indices]
                )
            )
            if not np.isfinite(loss):
                raise TrainingError(
                    f"The loss became {loss} in epoch {number}, batch {len(losses) - first + 1}.",
                    next_step="Lower train.optimizer.learning_rate.",
                    photo_ids=[train_set.photo_ids[int(index)] for index in indices],
                )
            losses.append(loss)
        scores = predict(model, validation_set)
        auc, validation_loss = _auc(validation_set.good, scores), _log_loss(validation_set.good, scores)
        epoch = Epoch(
            number,
            float(np.mean(losses[first:])),
            float(moving_average(losses)[-1]),
            validation_loss,
            auc,
            round(time.monotonic() - started, 2),
        )
        epochs.append(epoch)
        log.info(
            "Epoch %d: loss %.4f, validation loss %.4f, validation AUC %.4f, %.1f s",
            number,
            epoch.loss,
            validation_loss,
            auc,
            epoch.seconds,
        )
        if auc > best_auc:
            best_auc, best_weights = auc, model.get_weights()
        if number - max(epochs, key=lambda past: past.validation_auc).epoch >= params.patience:
            break
    model.set_weights(best_weights)
    return losses, epochs


def predict(model: Any, photos: DecodedPhotos, batch_size: int = 32) -> np.ndarray:
    """Return the score of each of `photos`, (n,), in their order."""
    scores = np.empty(len(photos))
    for indices in batches(np.arange(len(photos)), photos.shapes, batch_size, np.random.default_rng(0)):
        scores[indices] = np.asarray(model.predict_on_batch(photos.batch(indices))).reshape(len(indices))
    return scores


def _optimizer(params: TrainParams) -> Any:
    optimizers = quiet_keras().optimizers
    rate = params.optimizer.learning_rate
    return optimizers.Adam(rate) if params.optimizer.name == "adam" else optimizers.SGD(rate, momentum=0.9)


def _scale_score_layer(model: Any, a: float, b: float) -> None:
    """Fold the calibration a · logit + b into the weights of the last layer, so that every copy of the model has it."""
    layer = model.get_layer(ladder.SCORE_LAYER)
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel * a, bias * a + b])


def _good_ranges(photos: DecodedPhotos) -> dict[str, tuple[float, float]]:
    good = np.flatnonzero(photos.good == 1)[:_MEASURED_PHOTOS]
    measured = pd.DataFrame([measure(photos.pixels(int(index))) for index in good])
    return {name: (float(measured[name].quantile(0.05)), float(measured[name].quantile(0.95))) for name in NAMES}


def _write_folder(
    folder: Path,
    model: Any,
    info: ModelInfo,
    losses: list[float],
    epochs: list[Epoch],
    photo_ids: pd.Series,
    samples: list[np.ndarray],
) -> float:
    """Write the model folder beside its place, check that Keras and ONNX agree, then rename it into place."""
    making = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    save_keras_and_onnx(model, making)
    write_info(making, info)
    write_history(making / "history.csv", epochs)
    draw_curve(making / "curve.png", losses, epochs)
    pd.DataFrame({"photo_id": sorted(photo_ids)}).to_parquet(making / TRAINED_ON, index=False)
    apart = disagreement(making, samples)
    if not apart <= AGREEMENT:
        raise ModelError(
            f"Keras and ONNX scores differ by {apart:.2g}, more than {AGREEMENT:g}.",
            next_step="Report it with the model kind and the versions of keras and tf2onnx.",
        )
    shutil.rmtree(folder, ignore_errors=True)
    making.rename(folder)
    return apart


def _read_splits(layout: Layout) -> pd.DataFrame:
    if not layout.splits.is_file():
        raise MissingData(
            f"{layout.splits} does not exist.", next_step="Run `photoqual split` (or `dvc repro split`) first."
        )
    return files.read_table(layout.splits).to_pandas()


def _auc(good: np.ndarray, scores: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(good, scores))


def _log_loss(good: np.ndarray, scores: np.ndarray) -> float:
    clipped = np.clip(scores, 1e-7, 1 - 1e-7)
    return float(-np.mean(good * np.log(clipped) + (1 - good) * np.log(1 - clipped)))


def _progress(plan: list[np.ndarray], title: str) -> Any:
    """Return `plan` with a progress bar on a terminal, plain otherwise."""
    if not sys.stderr.isatty():
        return plan
    from rich.console import Console
    from rich.progress import track

    return track(plan, title, console=Console(stderr=True), transient=True)

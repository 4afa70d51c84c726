"""The trainer, one function read from top to bottom: splits, labels and shards → models/challenger.

Keeps the weights of the epoch with the best validation AUC (or the lowest loss: `train.keep`) and stops when
`train.patience` epochs brought none better.
A network whose body is frozen is trained on features that are computed once. See docs/how-to/training.md.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import AugmentParams, ModelParams, Params, TrainParams
from photoqual.errors import MissingData, TooFewPhotos, TrainingError
from photoqual.labels.rules import read_labels
from photoqual.labels.splits import TRAIN, VALIDATION, assert_no_leak, read_frozen
from photoqual.layout import Layout
from photoqual.models import heads
from photoqual.models import network as networks
from photoqual.models.info import ModelInfo
from photoqual.models.keras_files import quiet_keras
from photoqual.training import calibrate, challenger, devices, feed, optimizers
from photoqual.training.checkpoints import Checkpoints, address
from photoqual.training.features import features
from photoqual.training.fit import Course, State, Watch, fit, learner
from photoqual.training.identity import training_digest
from photoqual.training.inputs import DecodedPhotos, Memory, StoredPhotos, decode
from photoqual.training.judge import Judge, evidence, features_now, forward
from photoqual.training.losses import losses_of
from photoqual.training.refit import refit
from photoqual.training.targets import FROM_LABELS, Targets, answers_of, class_factors, require_labels, targets_of
from photoqual.training.tracking import Tracker, tracked

log = logging.getLogger(__name__)

THRESHOLD = 0.5
_AGREEMENT_PHOTOS = 8
_STANDARD_PHOTOS = 512
"""Training photos whose features tell mean and deviation, where not all features are at hand."""
_GATE_PHOTOS = 2000
_LABEL_COLUMNS = ["photo_id", "stars", "ordinal", "vote_distribution", "defects", "rule"]


@dataclass(frozen=True)
class _Run:
    """What a training tells and keeps while it runs."""

    store: Checkpoints
    tracker: Tracker
    watch: Watch | None


@dataclass(frozen=True)
class _Trained:
    """How the training went, features (n, d) of some training and all validation photos by the trained body, and the
    evidence (n,) for each validation photo by heads that were not trained on it.
    """

    state: State
    train_features: np.ndarray
    validation_features: np.ndarray
    evidence: np.ndarray


def train(layout: Layout, params: Params, *, watch: Watch | None = None, checkpoints: str = "") -> dict[str, Any]:
    """Run the train stage: train a challenger and write models/challenger, whole or not at all. `watch` is called after
    each epoch and may raise to end the training; its checkpoint then stays. `checkpoints` begins the checkpoint's name.

    Raise FrozenTestLeak when a photo to train on touches the frozen test set, TooFewPhotos when a class or the labels
    of a head are missing, ConfigError for settings that exclude one another, TrainingError when the loss is no longer
    finite or memory does not suffice.
    """
    challenger.restore(layout.challenger)
    names = heads.names(params.model.head, params.model.heads)
    losses_of(names, params.train)
    optimizers.check(params.train.optimizer)
    rows = _labelled(layout, names)
    training, validating = rows[rows["split"] == TRAIN], rows[rows["split"] == VALIDATION]
    _require_both_classes({TRAIN: training, VALIDATION: validating})
    assert_no_leak(pd.concat([training, validating]), read_frozen(layout.frozen_test), params.split.near_duplicate_bits)

    answers = answers_of(training, damaged=params.train.damage > 0)
    targets = targets_of(training, names, answers)
    require_labels(targets, answers, damaged=params.train.damage > 0)
    targets = targets.scaled(training["weight"].to_numpy(dtype=float))
    validation_targets = targets_of(validating, names, answers).scaled(validating["weight"].to_numpy(dtype=float))

    keras = quiet_keras()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of each new shape of photo
    keras.utils.set_random_seed(params.train.seed)
    network = networks.build(params.model, answers, params.train.seed)
    key = checkpoints + training_digest(layout, params)
    store = Checkpoints(address(), key)
    stored = StoredPhotos(layout.photos, training, params.model.image_width)
    stored_validation = StoredPhotos(layout.photos, validating, params.model.image_width)
    with tracked(params, key) as tracker, _exhaustion_told(params), tempfile.TemporaryDirectory() as scratch:
        run = _Run(store, tracker, watch)
        if network.body.frozen and not params.train.damage:
            trained = _train_top(network, stored, stored_validation, targets, validation_targets, params.train, run)
        else:
            memory = Memory(params.train.cache_megabytes)
            decoded, decoded_validation = (
                decode(layout.photos, part, params.model.image_width, Path(scratch, name), memory)
                for name, part in ((TRAIN, training), (VALIDATION, validating))
            )
            trained = _train_all(network, decoded, decoded_validation, targets, validation_targets, params, run)
        best = trained.state.best_epoch()

        known = (params.train.calibration, stored_validation.good, trained.evidence)
        curve, held_out = calibrate.fit(*known), calibrate.cross_fitted(*known, validating["group"].to_numpy())
        rating, outputs = networks.rating_model(network, curve.layers)
        info = ModelInfo(
            kind=params.model.kind,
            head=params.model.head,
            image_width=params.model.image_width,
            threshold=THRESHOLD,
            sure_margin=None
            if np.isnan(held_out).any()
            else calibrate.sure_margin(stored_validation.good, held_out, THRESHOLD),
            parameters=network.parameters(),
            train_photos=len(training),
            validation_photos=len(validating),
            best_epoch=best.epoch,
            validation_auc=best.validation_auc,
            seed=params.train.seed,
            good_ranges=challenger.good_ranges(stored),
            outputs=outputs,
            defects=answers.defects if heads.DEFECTS in names else (),
            backbone=_backbone(params.model),
            calibration=curve.kind,
        )
        samples = [pixels for _, pixels in stored_validation.each(np.arange(min(_AGREEMENT_PHOTOS, len(validating))))]
        photo_ids = pd.concat([training, validating])["photo_id"]
        features_seen = (trained.train_features, trained.validation_features)
        apart = challenger.write(layout.challenger, rating, info, trained.state, photo_ids, samples, features_seen)
    store.remove()
    log.info(
        "Trained %s: best validation AUC %.4f in epoch %d of %d",
        info.kind,
        best.validation_auc,
        best.epoch,
        len(trained.state.epochs),
    )
    return {
        "kind": info.kind,
        "parameters": info.parameters,
        "train_photos": info.train_photos,
        "validation_auc": best.validation_auc,
        "best_epoch": best.epoch,
        "epochs": len(trained.state.epochs),
        "seconds": round(sum(epoch.seconds for epoch in trained.state.epochs), 1),
        "keras_onnx_difference": apart,
        **calibrate.errors(*known, validating["group"].to_numpy()),
    }


def _train_top(
    network: networks.Network,
    photos: StoredPhotos,
    validation: StoredPhotos,
    targets: Targets,
    validation_targets: Targets,
    params: TrainParams,
    run: _Run,
) -> _Trained:
    """Train the heads on features of the frozen body, computed once per photo."""
    if params.augment != AugmentParams(flip=False):
        log.info("train.augment has no effect: the body is frozen and its features are computed once.")
    memory = Memory(params.cache_megabytes)
    train_features = features(network.body.model, photos, memory)
    validation_features = features(network.body.model, validation, memory)
    some = _some(len(photos), _GATE_PHOTOS, params.seed)
    network.standardise(train_features if len(photos) <= _GATE_PHOTOS else train_features[some])

    _begin(network, targets, params)
    first = network.top.get_weights()
    one_shape = [0] * len(photos)
    weighted = targets.scaled(class_factors(photos.good, params))
    course = Course(
        plan=lambda epoch: feed.plan(photos.good, one_shape, params, epoch),
        load=lambda epoch, number, indices: feed.load_features(train_features, weighted, indices),
        judge=Judge(network, lambda: validation_features, validation_targets, validation.good, params),
        photo_ids=photos.photo_ids,
    )
    model = learner(network.top, params, params.epochs * len(course.plan(1)))
    state = fit(model, course, params, run.store, run.tracker, watch=run.watch)
    found = evidence(network, validation_features)
    if params.refit:
        both = np.concatenate([photos.good, validation.good])
        parts = (train_features, validation_features), (targets, validation_targets)
        refit(network, first, *parts, both, params, state.best_epoch().epoch)
    return _Trained(state, train_features[some], validation_features, found)


def _train_all(
    network: networks.Network,
    photos: DecodedPhotos,
    validation: DecodedPhotos,
    targets: Targets,
    validation_targets: Targets,
    params: Params,
    run: _Run,
) -> _Trained:
    """Train body and heads on pixels, in the precision and on the devices that params and machine give.

    The model to save stays in float32 on one device; what was trained elsewhere or otherwise gives it its weights.
    """
    some = _some(len(photos), _STANDARD_PHOTOS, params.train.seed)
    if network.body.standardise:
        network.standardise(features_now(forward(network.body.model), photos, some))
    _begin(network, targets, params.train)
    policy, strategy = devices.policy_name(params.train.precision), devices.strategy()
    trained = network
    with devices.precision(policy):
        if policy != "float32" or strategy is not None:
            log.info("Training in %s on %d device(s)", policy, strategy.num_replicas_in_sync if strategy else 1)
            with devices.scope(strategy):
                trained = networks.build(params.model, network.answers, params.train.seed)
            trained.trained().set_weights(network.trained().get_weights())

        body = forward(trained.body.model)
        weighted = targets.scaled(class_factors(photos.good, params.train))
        course = Course(
            plan=lambda epoch: feed.plan(photos.good, photos.shapes, params.train, epoch),
            load=lambda epoch, number, indices: feed.load(
                photos, weighted, indices, params.train, epoch, number, network.answers.defects
            ),
            judge=Judge(
                trained,
                lambda: features_now(body, validation),
                validation_targets,
                validation.good,
                params.train,
            ),
            photo_ids=photos.photo_ids,
        )
        model = learner(trained.trained(), params.train, params.train.epochs * len(course.plan(1)), strategy)
        state = fit(model, course, params.train, run.store, run.tracker, strategy, run.watch)
    if trained is not network:
        network.trained().set_weights(trained.trained().get_weights())
        body = forward(network.body.model)
    known = _some(len(photos), _GATE_PHOTOS, params.train.seed)
    if params.train.refit:
        log.info("train.refit has no effect: the body is trained, and not the heads alone.")
    validation_features = features_now(body, validation)
    found = evidence(network, validation_features)
    return _Trained(state, features_now(body, photos, known), validation_features, found)


def _begin(network: networks.Network, targets: Targets, params: TrainParams) -> None:
    """Let the heads begin at the average answer; those of good and bad at even odds where both are shown as often."""
    even = {heads.BINARY, heads.SOFTMAX} if params.oversample or params.class_weights else set()
    network.begin_at({head: output for head, output in targets.average().items() if head not in even})


def _labelled(layout: Layout, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the rows of the splits, joined with what the heads `names` need of the labels."""
    if not layout.splits.is_file():
        raise MissingData(
            f"{layout.splits} does not exist.", next_step="Run `photoqual split` (or `dvc repro split`) first."
        )
    rows = files.read_table(layout.splits).to_pandas()
    if not FROM_LABELS & set(names):
        return rows
    return rows.merge(read_labels(layout, _LABEL_COLUMNS), on="photo_id", how="left")


def _require_both_classes(parts: dict[str, pd.DataFrame]) -> None:
    for name, part in parts.items():
        if part["good"].nunique() < 2:
            raise TooFewPhotos(
                f"Split `{name}` has {len(part)} photos of one class only.",
                next_step="Run `photoqual split` again on data with both classes.",
            )


def _some(count: int, most: int, seed: int) -> np.ndarray:
    """Return the indices of at most `most` of `count` photos, drawn once, in rising order."""
    return np.sort(np.random.default_rng(seed % 2**32).permutation(count)[:most])


def _backbone(params: ModelParams) -> str | None:
    if params.kind != "transfer":
        return None
    backbone = params.backbone
    return (
        f"{backbone.name}, pooling {backbone.pooling} ({backbone.levels}), trained blocks {backbone.trainable_blocks}"
    )


@contextmanager
def _exhaustion_told(params: Params) -> Iterator[None]:
    """Turn a device that has no memory left into a TrainingError that says which batch size to try."""
    try:
        yield
    except Exception as error:
        if isinstance(error, TrainingError) or not devices.is_exhausted(error):
            raise
        half = params.train.batch_size // 2
        raise TrainingError(
            f"Memory did not suffice for batches of {params.train.batch_size} photos of {params.model.image_width} px.",
            next_step=f"Set train.batch_size to {half}." if half else "Lower model.image_width.",
            cause=f"{type(error).__name__}: {str(error)[:300]}",
        ) from error

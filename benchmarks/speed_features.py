"""A head on a frozen backbone, with the cache of features and without."""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed_data import WIDTH, Data, decoded, feed, prepare, step, targets_of
from benchmarks.table import Row
from photoqual.config import AugmentParams, BackboneParams, ModelParams, TrainParams
from photoqual.models import network as networks
from photoqual.models.heads import BINARY, Answers
from photoqual.training.features import features
from photoqual.training.feed import load_features, plan
from photoqual.training.fit import learner
from photoqual.training.inputs import DecodedPhotos, StoredPhotos
from photoqual.training.targets import Targets

EPOCHS = 10


@dataclass(frozen=True)
class Head:
    """A trained head: how long it took, what it says of the photos, and how it sees features."""

    seconds: float
    probabilities: np.ndarray
    standard: list[np.ndarray]
    table: np.ndarray


def feature_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Train a head on frozen EfficientNet-Lite0 with the cache of features, and without, on the same batches."""
    data = prepare(folder, options.photos)
    if data is None:
        return []
    params = TrainParams(batch_size=32, oversample=False, augment=AugmentParams(flip=False))
    photos = decoded(data)
    told = targets_of(photos.good)
    cold, warm = (_with_cache(data, photos.shapes, told, params, EPOCHS) for _ in range(2))
    short = _with_cache(data, photos.shapes, told, params, options.measured_epochs)
    without = _without_cache(photos, told, params, options.measured_epochs, short)
    seconds = without.seconds * EPOCHS / options.measured_epochs
    apart = float(np.abs(without.probabilities - short.probabilities).max())
    ratio = seconds / cold.seconds
    scaled = "" if options.measured_epochs == EPOCHS else f", {options.measured_epochs} of its epochs run and scaled"
    return [
        Row(
            f"head on frozen EfficientNet-Lite0, {EPOCHS} epochs over {len(photos):,} photos, cache of features empty at first",
            "≥ 8× as fast as without",
            f"{ratio:.1f}×: {cold.seconds:.0f} s against {seconds:.0f} s{scaled}",
            ratio >= 8,
        ),
        Row("the same, features there already", "", f"{seconds / warm.seconds:.0f}×: {warm.seconds:.1f} s"),
        Row(
            f"the same, probabilities with and without the cache after {options.measured_epochs} epochs: largest difference",
            "≤ 0.001",
            f"{apart:.1g}",
            apart <= 1e-3,
        ),
    ]


def _frozen() -> networks.Network:
    backbone = BackboneParams(name="efficientnet_lite0", trainable_blocks=0)
    return networks.build(ModelParams(kind="transfer", backbone=backbone, image_width=WIDTH), Answers(), 7)


def _with_cache(data: Data, shapes: list[Any], told: Targets, params: TrainParams, epochs: int) -> Head:
    """Compute features (or find them), then train the head on them."""
    network = _frozen()
    photos = StoredPhotos(data.shards, data.rows, WIDTH)
    started = time.monotonic()
    table = features(network.body.model, photos, cache=data.scratch / "features")
    network.standardise(table)
    top = learner(network.top, params, epochs * len(plan(photos.good, shapes, params, 0)))
    for epoch in range(epochs):
        for indices in plan(photos.good, shapes, params, epoch):
            step(top, load_features(table, told, indices))
    seconds = time.monotonic() - started
    return Head(seconds, _probabilities(network, table), network.top.get_layer("standard").get_weights(), table)


def _without_cache(photos: DecodedPhotos, told: Targets, params: TrainParams, epochs: int, cached: Head) -> Head:
    """Train the same head through the whole network, on pixels that are decoded already."""
    network = _frozen()
    network.top.get_layer("standard").set_weights(cached.standard)
    model = learner(network.trained(), params, epochs * len(plan(photos.good, photos.shapes, params, 0)))
    started = time.monotonic()
    for epoch in range(epochs):
        for batch in feed(photos, params, epoch):
            step(model, batch)
    return Head(time.monotonic() - started, _probabilities(network, cached.table), cached.standard, cached.table)


def _probabilities(network: networks.Network, table: np.ndarray) -> np.ndarray:
    raw = network.top.predict(table, batch_size=256, verbose=0)
    return 1 / (1 + np.exp(-np.asarray(raw[BINARY], dtype=float)))

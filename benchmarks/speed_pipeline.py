"""The input pipeline alone against Keras' own loader, and how long a training step waits for its batch."""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed_data import WIDTH, Data, decoded, feed, prepare, step
from benchmarks.table import Row
from photoqual.config import AugmentParams, ModelParams, TrainParams
from photoqual.models import network as networks
from photoqual.models.heads import Answers
from photoqual.models.keras_files import quiet_keras
from photoqual.training.fit import learner
from photoqual.training.inputs import DecodedPhotos, StoredPhotos

PEER_SIZE = (192, 288)
"""Height and width to which Keras' loader brings every photo: as many pixels as ours have on average."""
PEER_BATCH = 32
EPOCHS = 15
"""As many as the shipped params.yaml trains."""
MOST_WAITING = 0.1
_WARM_UP = 12


def pipeline_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Time `EPOCHS` epochs of batches alone, ours and Keras', in turn; nothing is trained on them."""
    data = prepare(folder, options.photos)
    if data is None:
        return []
    ours: list[list[float]] = []
    mirrored, peer, cached = ours[:], ours[:], ours[:]
    for _ in range(options.runs):
        ours.append(_our_epochs(data, flip=False))
        peer.append(_peer_epochs(data, cache=False))
        mirrored.append(_our_epochs(data, flip=True))
        cached.append(_peer_epochs(data, cache=True))
    count = len(data.rows)
    ratios = _ratios(peer, ours, sum)
    return [
        Row(
            f"input pipeline alone, {EPOCHS} epochs over {count:,} photos of {WIDTH} px, against image_dataset_from_directory",
            "≥ 3× as fast",
            f"{_spread(ratios)}; {_rate(ours, count)} against {_rate(peer, count)} photos/s",
            statistics.median(ratios) >= 3,
        ),
        Row("the same, first epoch (ours decodes all of them before it)", "", _spread(_ratios(peer, ours, _first))),
        Row("the same, later epochs", "", _spread(_ratios(peer, ours, _later))),
        Row("the same, ours mirrored at random", "", _spread(_ratios(peer, mirrored, sum))),
        Row(
            f"the same against image_dataset_from_directory(…).cache(), which holds {_peer_bytes(count) / 1e9:.1f} GB of float32 (ours: {_our_bytes(data) / 1e9:.1f} GB)",
            "",
            f"{_spread(_ratios(cached, ours, sum))}; first epoch {_spread(_ratios(cached, ours, _first))}, later {_spread(_ratios(cached, ours, _later))}",
        ),
    ]


def waiting_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Train gap_cnn on the CPU and time how long it waits for its batches."""
    data = prepare(folder, options.photos)
    if data is None:
        return []
    photos = decoded(data)
    plainly = TrainParams(batch_size=16, augment=AugmentParams(flip=True))
    busy = TrainParams(batch_size=16, damage=0.3, augment=AugmentParams(flip=True, crop=0.1, colour=0.05))
    network = networks.build(ModelParams(kind="gap_cnn", image_width=WIDTH), Answers(), 7)
    model = learner(network.trained(), plainly, 1000)
    rows = []
    for name, params, goal in (
        ("", plainly, f"< {MOST_WAITING:.0%}"),
        (" with crops, colour and 30 % damaged", busy, ""),
    ):
        share, rate = _waiting_share(model, photos, params)
        rows.append(
            Row(
                f"gap_cnn, {WIDTH} px, batches of {params.batch_size}{name}: waiting for the batch",
                goal,
                f"{share:.1%} of step time, at {rate:.0f} photos/s",
                share < MOST_WAITING if goal else None,
            )
        )
    return rows


def _our_epochs(data: Data, *, flip: bool) -> list[float]:
    """Return the seconds of each epoch; decoding belongs to the first."""
    params = TrainParams(batch_size=PEER_BATCH, oversample=False, augment=AugmentParams(flip=flip))
    started, seconds = time.monotonic(), []
    photos = decoded(data)
    for epoch in range(EPOCHS):
        for batch in feed(photos, params, epoch):
            assert batch.inputs.dtype == np.float32
        seconds.append(time.monotonic() - started)
        started = time.monotonic()
    return seconds


def _peer_epochs(data: Data, *, cache: bool) -> list[float]:
    """Return the seconds of each epoch of Keras' loader, with a prefetch as its documentation advises."""
    keras = quiet_keras()
    import tensorflow as tf

    started, seconds = time.monotonic(), []
    photos = keras.utils.image_dataset_from_directory(
        data.files, image_size=PEER_SIZE, batch_size=PEER_BATCH, seed=7, verbose=False
    )
    photos = (photos.cache() if cache else photos).prefetch(tf.data.AUTOTUNE)
    for _ in range(EPOCHS):
        for pixels, _ in photos:
            assert pixels.dtype == tf.float32
        seconds.append(time.monotonic() - started)
        started = time.monotonic()
    return seconds


def _first(seconds: list[float]) -> float:
    return seconds[0]


def _later(seconds: list[float]) -> float:
    return sum(seconds[1:])


def _ratios(slow: list[list[float]], fast: list[list[float]], of: Callable[[list[float]], float]) -> list[float]:
    return [of(theirs) / of(ours) for theirs, ours in zip(slow, fast, strict=True)]


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.1f}× ({min(ratios):.1f} to {max(ratios):.1f})"


def _rate(runs: list[list[float]], photos: int) -> str:
    return f"{statistics.median(photos * EPOCHS / sum(seconds) for seconds in runs):,.0f}"


def _peer_bytes(photos: int) -> int:
    return photos * PEER_SIZE[0] * PEER_SIZE[1] * 3 * 4


def _our_bytes(data: Data) -> int:
    return sum(pixels.nbytes for _, pixels in StoredPhotos(data.shards, data.rows, WIDTH).each())


def _waiting_share(model: Any, photos: DecodedPhotos, params: TrainParams) -> tuple[float, float]:
    """Return the share of time spent waiting, and photos trained on per second."""
    fed, waited, seen, number = feed(photos, params, 1), 0.0, 0, 0
    started = asked = time.monotonic()
    for number, batch in enumerate(fed):
        if number == _WARM_UP:
            started, waited, seen = time.monotonic(), 0.0, 0
        else:
            waited += time.monotonic() - asked
        step(model, batch)
        seen += len(batch.inputs)
        asked = time.monotonic()
    if number <= _WARM_UP:
        raise SystemExit(f"More than {_WARM_UP} batches are needed: give more --photos.")
    total = time.monotonic() - started
    return waited / total, seen / total

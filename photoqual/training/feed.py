"""Batches for training: which photos, in which order, and what they look like this time.

Everything random in a batch is a pure function of (seed, epoch, number of the batch), whatever thread or process makes
it and in whatever order. A training that was killed goes on with exactly the batches it would have had.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual.config import TrainParams
from photoqual.defects.damage import damage, draw
from photoqual.models.heads import BINARY, DEFECTS, SOFTMAX
from photoqual.training.augment import augment
from photoqual.training.inputs import DecodedPhotos, Shape

if TYPE_CHECKING:
    import tensorflow as tf

    from photoqual.training.targets import Targets

_ORDER, _LOOKS = 1, 2
AHEAD = 4
"""Batches that are made ready while the network works on one."""
_PIXELS = (None, None, None, 3)


@dataclass(frozen=True)
class Batch:
    """`inputs`: float32 pixels (batch, height, width, 3), or features (batch, d). By head, `targets` (batch, units) and
    `weights` (batch,), 0 where the label is missing.
    """

    inputs: np.ndarray
    targets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def plan(good: np.ndarray, shapes: Sequence[Any], params: TrainParams, epoch: int) -> list[np.ndarray]:
    """Return the photos of each batch of `epoch`: photos of one shape, in random order.

    With `params.oversample` the smaller class is drawn with replacement until both are equally frequent; synthetic
    defects, which come later, are not counted. Features of photos have one shape: pass equal `shapes`.
    """
    random = _generator(params.seed, _ORDER, epoch)
    return batches(epoch_order(good, params.oversample, random), shapes, params.batch_size, random)


def load(
    photos: DecodedPhotos,
    targets: "Targets",
    indices: np.ndarray,
    params: TrainParams,
    epoch: int,
    number: int,
    defects: Sequence[str] = (),
) -> Batch:
    """Return batch `number` of `epoch`: the photos `indices`, augmented, some of the good ones damaged.

    `params.damage` is the share of good photos that get a synthetic defect. Such a photo is bad, and has that defect
    when `defects`, the names that head answers with, knows it; to every other head it says nothing (weight 0). A photo
    on which the defect left no trace, as a small one may be, stays good.
    """
    random = _generator(params.seed, _LOOKS, epoch, number)
    values = {head: value[indices] for head, value in targets.values.items()}
    weights = {head: weight[indices] for head, weight in targets.weights.items()}
    pixels = [photos.pixels(int(index)) for index in indices]
    for place, index in enumerate(indices):
        if params.damage and photos.good[index] == 1 and random.random() < params.damage:
            name, strength = draw(random)
            damaged = damage(pixels[place], name, strength, random)
            if not np.array_equal(damaged, pixels[place]):
                pixels[place] = damaged
                _tell_damaged(values, weights, place, defects.index(name) if name in defects else None)
    return Batch(augment(pixels, params.augment, random, photos.buffers), values, weights)


def load_features(features: np.ndarray, targets: "Targets", indices: np.ndarray) -> Batch:
    """Return the features (n, d) of the photos `indices` as a batch: there is nothing random in it."""
    return Batch(
        np.asarray(features[indices], dtype=np.float32),
        {head: value[indices] for head, value in targets.values.items()},
        {head: weight[indices] for head, weight in targets.weights.items()},
    )


def stream(load_nth: Callable[[int], Batch], start: int, stop: int, ahead: int = AHEAD) -> Iterator[Batch]:
    """Yield the batches `start` to `stop` − 1 in order; threads make the next `ahead` of them ready meanwhile.

    An error of `load_nth` is raised where its batch is due.
    """
    with ThreadPoolExecutor(max(1, ahead)) as pool:
        waiting: deque[Future[Batch]] = deque()
        try:
            for number in range(start, stop):
                waiting.append(pool.submit(load_nth, number))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def dataset(
    load_nth: Callable[[int], Batch],
    start: int,
    stop: int,
    units: Mapping[str, int],
    ahead: int = AHEAD,
    shape: tuple[int | None, ...] = _PIXELS,
) -> "tf.data.Dataset":
    """Return the batches of `stream` as a tf.data pipeline of (inputs, {head: target}, {head: weight}).

    `units`: the width of each head's target; `shape`: that of the inputs. What `load_nth` raises arrives as an error
    of TensorFlow that quotes it.
    """
    import tensorflow as tf

    heads = list(units)

    def made(number: Any) -> list[np.ndarray]:
        batch = load_nth(int(number))
        outcome = [batch.inputs, *(batch.targets[head] for head in heads), *(batch.weights[head] for head in heads)]
        return [np.asarray(array, dtype=np.float32) for array in outcome]

    def load_one(number: Any) -> Any:
        inputs, *rest = tf.numpy_function(made, [number], [tf.float32] * (1 + 2 * len(heads)))
        targets, weights = dict(zip(heads, rest, strict=False)), dict(zip(heads, rest[len(heads) :], strict=True))
        inputs.set_shape(shape)
        for head in heads:
            targets[head].set_shape((None, units[head]))
            weights[head].set_shape((None,))
        return inputs, targets, weights

    numbers = tf.data.Dataset.range(start, stop)
    return numbers.map(load_one, num_parallel_calls=ahead, deterministic=True).prefetch(ahead)


def epoch_order(good: np.ndarray, oversample: bool, random: np.random.Generator) -> np.ndarray:
    """Return the photos of one epoch in random order; with `oversample` the smaller class is drawn with replacement
    until both classes are equally frequent.
    """
    order = np.arange(len(good))
    classes = [np.flatnonzero(good == value) for value in (0, 1)]
    smaller, larger = sorted(classes, key=len)
    if oversample and 0 < len(smaller) < len(larger):
        order = np.concatenate([order, random.choice(smaller, len(larger) - len(smaller))])
    return random.permutation(order)


def batches(
    order: np.ndarray, shapes: Sequence[Any], batch_size: int, random: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Cut `order` into batches whose photos all have one shape; with `random` these are returned in random order."""
    by_shape: dict[Shape, list[int]] = {}
    for index in order:
        by_shape.setdefault(shapes[int(index)], []).append(int(index))
    cut = [
        np.array(same[start : start + batch_size])
        for same in by_shape.values()
        for start in range(0, len(same), batch_size)
    ]
    return cut if random is None else [cut[place] for place in random.permutation(len(cut))]


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng([seed % 2**32, *key])


def _tell_damaged(
    values: dict[str, np.ndarray], weights: dict[str, np.ndarray], place: int, defect: int | None
) -> None:
    """Make photo `place` of the batch a bad one with the defect number `defect`, or with one that has no number."""
    for head, value in values.items():
        if head == BINARY:
            value[place] = 0.0
        elif head == SOFTMAX:
            value[place] = (1.0, 0.0)
        elif head == DEFECTS and defect is not None:
            value[place, defect] = 1.0
        else:
            weights[head][place] = 0.0

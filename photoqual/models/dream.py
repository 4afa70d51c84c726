"""The deep dream: what a model would change about a photo to find it better, or worse.

The photo's own pixels are learned: gradient ascent on the score's log odds, with the network as it is. The change is a
sum of octaves, grids of values from coarse to full size that are enlarged to the photo and added to it, so that light
and colour move before detail; total variation holds it smooth, no pixel moves further than a bound, and it ends where the score has moved enough. Source:
A. Mordvintsev, C. Olah, M. Tyka: Inceptionism, 2015, with octaves added up instead of the photo resized, so that a
network of fixed input size can dream too.

    python -m photoqual.models.dream MODEL_FOLDER PIXELS.npy OUT.npz

is what the rating side runs, as a process of its own, because it does not load TensorFlow.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual.models.info import KERAS
from photoqual.models.keras_files import load_keras, quiet_keras

if TYPE_CHECKING:
    import keras

Slope = Callable[[Any, Any, Any], tuple[Any, Any]]
OCTAVES = (12, 48, 192)
"""Values along the long side of the photo in each octave; the coarsest first."""
STEPS = 8
"""Steps up the gradient in each octave, at most."""
AIM = 4.0
"""How far the log odds of the score are to move, an equal part in each octave; there it stops, so that what changes is
about the least that is needed. From 0.5 it is the way to 0.98 or 0.02."""
BOUND = 40.0
"""How far a channel of a pixel may move, of 255."""
VARIATION = 0.4
"""What a mean difference of 1 between neighbours in the change costs, in log odds."""
_STRIDE = 1.5
"""The value that matters most moves this part of the bound in all steps of an octave together."""
_LEAST_SIDE = 2
_TINY = 1e-7


@dataclass(frozen=True)
class Dream:
    """A photo as it would be better and worse, uint8 (height, width, 3), and the scores before and after."""

    better: np.ndarray
    worse: np.ndarray
    score: float
    better_score: float
    worse_score: float


def dream(
    slope: Slope, pixels: np.ndarray, towards: int, *, bound: float = BOUND, steps: int = STEPS
) -> tuple[np.ndarray, float]:
    """Return `pixels`, uint8 (height, width, 3), changed so that the model behind `slope` scores them higher (`towards`
    1) or lower (-1), and their new score. Where the score has no gradient at all, nothing changes.
    """
    import tensorflow as tf

    photo = tf.constant(pixels[None], tf.float32)
    shape = pixels.shape[:2]
    change, start = tf.zeros_like(photo), _log_odds(score_of(slope, pixels))
    for place, along in enumerate(OCTAVES, start=1):
        octave = tf.zeros((1, *(max(_LEAST_SIDE, min(side, round(side * along / max(shape)))) for side in shape), 3))
        before = change
        for _ in range(steps):
            change, to_octave = _enlarged(octave, before, shape, bound)
            gradient, score = slope(photo, change, tf.constant(float(towards)))
            if towards * (_log_odds(float(tf.reshape(score, ()))) - start) >= AIM * place / len(OCTAVES):
                break
            step = to_octave(gradient)
            octave += _STRIDE * bound / steps * step / (tf.reduce_max(tf.abs(step)) + _TINY)
        change, _ = _enlarged(octave, before, shape, bound)
    dreamt = np.clip(np.rint((photo + change).numpy()[0]), 0, 255).astype(np.uint8)
    return dreamt, score_of(slope, dreamt)


def slope_of(model: "keras.Model") -> Slope:
    """Return a function (photo, change, towards) → (gradient by the change of what is aimed at, score). It is traced
    once for each size of photo.
    """
    quiet_keras()
    import tensorflow as tf

    @tf.function(jit_compile=False)
    def slope(photo: Any, change: Any, towards: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(change)
            score = _score(model, tf.clip_by_value(photo + change, 0.0, 255.0))
            odds = tf.reduce_sum(tf.math.log(score + _TINY) - tf.math.log(1 - score + _TINY))
            variation = tf.reduce_sum(tf.image.total_variation(change)) / tf.cast(tf.size(change), tf.float32)
            aim = towards * odds - VARIATION * variation
        return tape.gradient(aim, change), score

    return slope


def score_of(slope: Slope, pixels: np.ndarray) -> float:
    """Return the score, 0 to 1, of `pixels`, uint8 (height, width, 3)."""
    import tensorflow as tf

    photo = tf.constant(pixels[None], tf.float32)
    return float(np.asarray(slope(photo, tf.zeros_like(photo), tf.constant(1.0))[1]).ravel()[0])


def dream_both(folder: Path, pixels: np.ndarray, *, bound: float = BOUND, steps: int = STEPS) -> Dream:
    """Dream `pixels`, uint8 (height, width, 3), both ways with the model in `folder`. Raise ModelError without Keras file."""
    slope = slope_of(load_keras(folder / KERAS))
    (better, better_score), (worse, worse_score) = (
        dream(slope, pixels, towards, bound=bound, steps=steps) for towards in (1, -1)
    )
    return Dream(better, worse, score_of(slope, pixels), better_score, worse_score)


def main(folder: str, pixels: str, out: str) -> None:
    """Dream the array in the file `pixels` with the model in `folder`; write the fields of Dream to the file `out`."""
    np.savez(out, **vars(dream_both(Path(folder), np.load(pixels, allow_pickle=False))))


def _enlarged(octave: Any, before: Any, shape: tuple[int, ...], bound: float) -> tuple[Any, Callable[[Any], Any]]:
    """Return `before` with `octave` enlarged to `shape` added, within the bound, and what takes a gradient by the sum to
    one by the octave.
    """
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(octave)
        change = tf.clip_by_value(before + tf.image.resize(octave, shape), -bound, bound)
    return change, lambda gradient: tape.gradient(change, octave, output_gradients=gradient)


def _log_odds(score: float) -> float:
    return math.log(score + _TINY) - math.log(1 - score + _TINY)


def _score(model: "keras.Model", pixels: Any) -> Any:
    answers = model(pixels, training=False)
    return answers[0] if isinstance(answers, list | tuple) else answers


if __name__ == "__main__":
    main(*sys.argv[1:])

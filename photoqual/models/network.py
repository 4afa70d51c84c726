"""A network in parts: the body gives features, the top answers from them. The parts share their weights.

A frozen body lets the top be trained on features that were computed once; whatever was trained, `rating_model` puts
the parts together into the model that is saved and exported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual.config import ModelParams
from photoqual.models import gap_cnn, heads, hidden, layers, logistic, thumbnail_cnn
from photoqual.models.body import Body
from photoqual.models.heads import FEATURES, SCORE, Answers
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras


def _transfer(params: ModelParams, seed: int) -> Body:
    from photoqual.models import transfer

    return transfer.build(params.backbone, seed)


BODIES: dict[str, Callable[[ModelParams, int], Body]] = {
    "logistic": lambda params, seed: logistic.build(seed),
    "hidden": lambda params, seed: hidden.build(seed),
    "cnn_grey": lambda params, seed: thumbnail_cnn.build_grey(seed),
    "cnn_colour": lambda params, seed: thumbnail_cnn.build_colour(seed),
    "gap_cnn": lambda params, seed: gap_cnn.build(seed),
    "transfer": _transfer,
}
"""The ladder: every kind of model by its name in params, simplest first."""
_REACH = 6.0
"""Standardised features are clipped to this many deviations, so that one odd photo does not decide alone, and divided
by the root of their number, so that one learning rate suits few and many.
"""


@dataclass(frozen=True)
class Network:
    """`body`: pixels → features. `top`: features → {head: raw output}, what is trained. `answering`: features →
    [evidence (batch, 1), then by the names in `shown` the probabilities that a rating tells beside the score].
    """

    kind: str
    heads: tuple[str, ...]
    answers: Answers
    body: Body
    top: "keras.Model"
    answering: "keras.Model"
    shown: tuple[str, ...]

    def trained(self) -> "keras.Model":
        """Return the model that is trained on pixels: pixels → {head: raw output}."""
        keras = quiet_keras()
        pixels = keras.Input((None, None, 3), name="pixels")
        return keras.Model(pixels, self.top(self.body.model(pixels)), name=self.kind)

    def standardise(self, features: np.ndarray) -> None:
        """Let the heads see features as deviations from the mean of `features` (n, d); nothing for most bodies."""
        if self.body.standardise:
            mean, deviation = features.mean(axis=0), features.std(axis=0)
            scale = 1 / np.maximum(deviation, 1e-3)
            self.top.get_layer("standard").set_weights([scale, -mean * scale])

    def begin_at(self, outputs: dict[str, np.ndarray]) -> None:
        """Let each head named in `outputs` answer that raw output (units,) for features of 0."""
        for head, values in outputs.items():
            layer = self.top.get_layer(head)
            layer.set_weights([layer.get_weights()[0], np.asarray(values, np.float32)])

    def parameters(self) -> int:
        """Return how many numbers are trained."""
        models = [self.top] if self.body.frozen else [self.body.model, self.top]
        return int(sum(np.prod(weight.shape) for model in models for weight in model.trainable_weights))


def build(params: ModelParams, answers: Answers, seed: int) -> Network:
    """Return a new network of `params` that gives `answers`, its weights drawn from `seed`."""
    keras = quiet_keras()
    body = BODIES[params.kind](params, seed)
    if body.frozen:
        body.model.trainable = False
    features = keras.Input((body.model.output_shape[-1],), name=FEATURES)
    x = _standard(body, features)
    initializer = keras.initializers.Zeros() if body.zeros else keras.initializers.GlorotUniform(seed=seed + 6)

    def dense(units: int, name: str) -> Any:
        regularizer = keras.regularizers.L2(body.l2) if body.l2 else None
        return keras.layers.Dense(
            units, kernel_initializer=initializer, kernel_regularizer=regularizer, name=name, dtype="float32"
        )

    names = heads.names(params.head, params.heads)
    made = {name: heads.HEADS[name](x, answers, dense) for name in names}
    top = keras.Model(features, {name: head.output for name, head in made.items()}, name="top")
    shown = {name: head.shown for name, head in made.items() if head.shown is not None}
    answering = keras.Model(features, [made[names[0]].evidence, *shown.values()], name="answering")
    return Network(params.kind, names, answers, body, top, answering, tuple(shown))


def _standard(body: Body, features: Any) -> Any:
    keras = quiet_keras()
    x = features
    if body.standardise:
        x = layers.standard()(name="standard", dtype="float32")(x)
        x = keras.ops.clip(x, -_REACH, _REACH) * features.shape[-1] ** -0.5
    if body.dropout:
        x = keras.layers.Dropout(body.dropout, seed=1, name="dropout")(x)
    return x


def rating_model(network: Network, calibrate: Callable[[Any], Any]) -> tuple["keras.Model", tuple[str, ...]]:
    """Return the model to save, pixels → [score, …], and the names of its outputs in their order.

    `calibrate` takes evidence (batch, 1) to the probability that a photo is good, as layers of Keras; what it gives
    is the first output. What a head shows follows, and the features last.
    """
    keras = quiet_keras()
    pixels = keras.Input((None, None, 3), name="pixels")
    features = network.body.model(pixels)
    evidence, *shown = network.answering(features)
    score = keras.layers.Identity(name=SCORE, dtype="float32")(calibrate(evidence))
    return keras.Model(pixels, [score, *shown, features], name=network.kind), (SCORE, *network.shown, FEATURES)

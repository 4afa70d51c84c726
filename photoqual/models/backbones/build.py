"""One backbone from its params: the network, its weights, what of it is trained, and how it is pooled into features."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.config import BackboneParams
from photoqual.errors import ConfigError
from photoqual.models.backbones import applications, efficientnet_lite
from photoqual.models.backbones.parts import Parts
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras

_BLOCKS = {
    "vgg16": 5,
    "resnet50": 16,
    "inception_v3": 11,
    "efficientnet_b0": 16,
    "efficientnet_b7": 55,
    "xception": 14,
}


def block_count(name: str) -> int:
    """Return how many blocks backbone `name` has, as its architecture counts them; the stem is none of them."""
    if name in efficientnet_lite.VARIANTS:
        return len(efficientnet_lite.blocks(name))
    return _BLOCKS[name]


def build(params: BackboneParams, seed: int) -> "keras.Model":
    """Return the body: pixels float32 (batch, height, width, 3) in 0 to 255, of any size, → features (batch, d) float32.

    Raise ConfigError when more blocks are to be trained than there are, ModelError when the weights cannot be had or
    are of another network. Dropout belongs to the heads. Setting `trainable` of the model as a whole overrides what is
    frozen in it.
    """
    blocks = block_count(params.name)
    if params.trainable_blocks != "all" and params.trainable_blocks > blocks:
        raise ConfigError(
            f"model.backbone.trainable_blocks is {params.trainable_blocks}, and {params.name} has {blocks} blocks.",
            next_step=f'Take a number up to {blocks}, or "all".',
        )
    keras = quiet_keras()
    with _drawn_from(seed):
        lite = params.name in efficientnet_lite.VARIANTS
        parts = (efficientnet_lite if lite else applications).parts(params.name)
        load_weights(parts, params)
    if params.trainable_blocks != "all":
        parts.freeze(params.trainable_blocks)
    features = parts.averages() if params.pooling == "last" else parts.statistics(params.levels)
    body = keras.Model(parts.network.inputs[0], features, name=params.name)
    body.supports_jit = not parts.dynamic_shapes
    return body


def load_weights(parts: Parts, params: BackboneParams) -> None:
    """Set the weights that `params` names; `none` leaves the random ones."""
    if params.weights == "none":
        return
    path = weights_file(params)
    if path is None:
        applications.load_imagenet(parts.network, params.name)
    elif params.name in efficientnet_lite.VARIANTS:
        efficientnet_lite.load_weights(parts.network, path)
    else:
        applications.load_file(parts.network, params.name, path)


def weights_file(params: BackboneParams) -> Path | None:
    """Return the file of weights that `params` names; None for `none`, and for what Keras downloads itself.

    Raise ModelError when the package that brings the file is not installed.
    """
    if params.weights == "none":
        return None
    if params.weights != "imagenet":
        return Path(params.weights).expanduser()
    return efficientnet_lite.package_file(params.name) if params.name in efficientnet_lite.VARIANTS else None


@contextmanager
def _drawn_from(seed: int) -> Iterator[None]:
    """Let layers without a seed of their own draw their weights from `seed`: Keras takes such seeds from `random`."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)

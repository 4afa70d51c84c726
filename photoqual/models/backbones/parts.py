"""A network without its classifier, and where its parts lie in it: what pooling and freezing go by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Parts:
    """`network`: pixels float32 (batch, height, width, 3) in 0 to 255 → the last feature map.

    `stem`: name of the last layer before the first block, None where the first block is the start. `blocks`: name of
    the last layer of each block. `levels`: names of the layers whose activations show a photo at every scale.
    `dynamic_shapes`: sizes within the graph depend on numbers, which a just-in-time compiler cannot foresee.
    """

    network: "keras.Model"
    stem: str | None
    blocks: tuple[str, ...]
    levels: tuple[str, ...]
    dynamic_shapes: bool = False

    def freeze(self, trainable_blocks: int) -> None:
        """Leave the last `trainable_blocks` blocks trainable, with what follows the last block; freeze the rest.

        A frozen layer computes the same in training as in inference: Keras keeps frozen batch normalisation at its
        moving averages, and dropout, which drops whole branches in EfficientNet, is turned off here.
        """
        keras = quiet_keras()
        ends = self.blocks if self.stem is None else (self.stem, *self.blocks)
        frozen = len(ends) - trainable_blocks
        ended = 0
        for layer in self.network.layers:
            layer.trainable = ended >= frozen
            if not layer.trainable and isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
            ended = min(ended + (layer.name in ends), len(ends) - 1)

    def averages(self) -> Any:
        """Return the mean over the picture of each channel of the last feature map, (batch, channels) float32."""
        return quiet_keras().layers.GlobalAveragePooling2D(dtype="float32")(self.network.output)

    def statistics(self, levels: int | Literal["all"] = "all") -> Any:
        """Return the mean and the standard deviation over the picture of each channel of the last `levels` levels, side
        by side.
        """
        keras = quiet_keras()
        features = []
        for name in self.levels if levels == "all" else self.levels[-levels:]:
            activation = keras.ops.cast(self.network.get_layer(name).output, "float32")
            mean = _mean(activation)
            variance = _mean(keras.ops.square(activation - mean[:, None, None]))
            features += [mean, keras.ops.sqrt(variance + _LEAST_VARIANCE)]
        return keras.ops.concatenate(features, axis=-1)


def _mean(activation: Any) -> Any:
    """Return the mean over the picture, (batch, channels): rows first, then over them. Added up in one go, a hundred
    thousand float32 numbers come out differently in Keras and in ONNX Runtime.
    """
    ops = quiet_keras().ops
    return ops.mean(ops.mean(activation, axis=2), axis=1)


_LEAST_VARIANCE = 1e-6
"""Keeps the gradient of the square root finite where a channel is the same all over the picture."""

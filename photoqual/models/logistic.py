"""Rung 1: logistic regression on the pixels of a small thumbnail (S0's baseline, on any image size)."""

from typing import TYPE_CHECKING

from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    import keras

THUMBNAIL = (32, 48)
"""Height and width, in pixels, that every photo is shrunk to."""


def build(seed: int) -> "keras.Model":
    """Return a model from float32 (batch, height, width, 3) in 0 to 255 to scores (batch, 1); 4,609 parameters."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Resizing(*THUMBNAIL)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(
        1,
        activation="sigmoid",
        kernel_initializer="zeros",
        kernel_regularizer=keras.regularizers.L2(1e-3),
        name="score",
    )(x)
    return keras.Model(pixels, x, name="logistic")

"""Rung 1: logistic regression on the pixels of a small thumbnail (S0's baseline, on any image size)."""

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras

THUMBNAIL = (32, 48)
"""Height and width, in pixels, that every photo is shrunk to."""


def build(seed: int) -> Body:
    """Return the thumbnail's 4,608 values as features; with the binary head 4,609 parameters."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Resizing(*THUMBNAIL)(x)
    x = layers.Flatten()(x)
    return Body(keras.Model(pixels, x, name="logistic"), frozen=True, l2=1e-3, zeros=True)

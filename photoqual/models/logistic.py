"""Rung 1: logistic regression on the pixels of a small thumbnail (S0's baseline, on any image size)."""

from typing import TYPE_CHECKING

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    from keras import KerasTensor

THUMBNAIL = (32, 48)
"""Height and width, in pixels, that every photo is shrunk to."""


def build(seed: int) -> Body:
    """Return the thumbnail's 4,608 values as features; with the binary head 4,609 parameters."""
    pixels, x = flat_thumbnail()
    return Body(quiet_keras().Model(pixels, x, name="logistic"), frozen=True, l2=1e-3, zeros=True)


def flat_thumbnail() -> "tuple[KerasTensor, KerasTensor]":
    """Return the input, pixels (batch, height, width, 3) in 0 to 255, and its thumbnail's values, −1 to 1, in a row."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Resizing(*THUMBNAIL)(x)
    return pixels, layers.Flatten()(x)

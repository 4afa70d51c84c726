"""Rung 2: one hidden layer on the pixels of a small thumbnail."""

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras
from photoqual.models.logistic import THUMBNAIL

UNITS = 64


def build(seed: int) -> Body:
    """Return the hidden layer's activations as features."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    x = layers.Resizing(*THUMBNAIL)(x)
    x = layers.Flatten()(x)
    initializer = keras.initializers.GlorotUniform(seed=seed)
    x = layers.Dense(UNITS, activation="relu", kernel_initializer=initializer)(x)
    return Body(keras.Model(pixels, x, name="hidden"))

"""Rung 2: one hidden layer on the pixels of a small thumbnail."""

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras
from photoqual.models.logistic import flat_thumbnail

UNITS = 64


def build(seed: int) -> Body:
    """Return the hidden layer's activations as features."""
    keras = quiet_keras()
    pixels, x = flat_thumbnail()
    initializer = keras.initializers.GlorotUniform(seed=seed)
    x = keras.layers.Dense(UNITS, activation="relu", kernel_initializer=initializer)(x)
    return Body(keras.Model(pixels, x, name="hidden"))

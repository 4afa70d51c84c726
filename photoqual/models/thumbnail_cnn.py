"""Rungs 3 and 4: a classic convolutional network on thumbnails of one size, in grey or in colour.

What a site of 150×105 px thumbnails can be learned from: three 3×3 convolutions with pooling, then one dense layer.
"""

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras

THUMBNAIL = (96, 144)
"""Height and width, in pixels, that every photo is resized to."""
FILTERS = (16, 32, 64)
UNITS = 64


def build_grey(seed: int) -> Body:
    """Return the network that sees luma alone."""
    return _build(seed, "cnn_grey")


def build_colour(seed: int) -> Body:
    """Return the network that sees red, green and blue."""
    return _build(seed, "cnn_colour")


def _build(seed: int, name: str) -> Body:
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    if name == "cnn_grey":
        luma = keras.initializers.Constant([[[[0.299], [0.587], [0.114]]]])
        x = layers.Conv2D(1, 1, use_bias=False, kernel_initializer=luma, trainable=False, name="luma")(x)
    x = layers.Resizing(*THUMBNAIL)(x)
    for index, filters in enumerate(FILTERS):
        initializer = keras.initializers.HeNormal(seed=seed + index)
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    initializer = keras.initializers.HeNormal(seed=seed + len(FILTERS))
    x = layers.Dense(UNITS, activation="relu", kernel_initializer=initializer)(x)
    return Body(keras.Model(pixels, x, name=name))

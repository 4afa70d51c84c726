"""Rung 5: a small convolutional network with global pooling, so that any image size works.

Six 3×3 convolutions of 32 filters with pooling between them, then global average and global maximum pooling. With a
head of two neurons it has 47,266 parameters, the number that the published network for one person's trip photos
states (its exact layers were not published, so these are ours); with the binary head, 47,201. The maximum beside the
average lets it tell a photo that is sharp somewhere from one that is sharp nowhere. What enters each convolution is
normalised without trained parameters: without it the same network learns far more slowly.
"""

from photoqual.models.body import Body
from photoqual.models.keras_files import quiet_keras

FILTERS = 32
CONVOLUTIONS = 6


def build(seed: int) -> Body:
    """Return the network; its features are 64 numbers."""
    keras = quiet_keras()
    layers = keras.layers
    pixels = keras.Input((None, None, 3), name="pixels")
    x = layers.Rescaling(1 / 127.5, offset=-1)(pixels)
    for index in range(CONVOLUTIONS):
        x = layers.BatchNormalization(center=False, scale=False, momentum=0.9)(x)
        initializer = keras.initializers.HeNormal(seed=seed + index)
        x = layers.Conv2D(FILTERS, 3, padding="same", activation="relu", kernel_initializer=initializer)(x)
        if index < CONVOLUTIONS - 1:
            x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return Body(keras.Model(pixels, x, name="gap_cnn"))

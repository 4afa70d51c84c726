"""Our own layers, known to Keras by name so that safe mode loads them. Classes are made when Keras is first needed."""

from typing import Any

from photoqual.models.keras_files import quiet_keras


def standard() -> Any:
    """Return the layer class x · scale + offset with weights that are set, never trained."""
    keras = quiet_keras()
    known = keras.saving.get_registered_object("photoqual>Standard")
    if known is not None:
        return known

    layer: Any = keras.layers.Layer

    @keras.saving.register_keras_serializable("photoqual")
    class Standard(layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones", trainable=False)
            self.offset = self.add_weight(name="offset", shape=(shape[-1],), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            return x * self.scale + self.offset

    return Standard


def cumulative_link() -> Any:
    """Return the layer class of rising thresholds, known to Keras by name so that safe mode loads it."""
    keras = quiet_keras()
    known = keras.saving.get_registered_object("photoqual>CumulativeLink")
    if known is not None:
        return known

    layer: Any = keras.layers.Layer

    @keras.saving.register_keras_serializable("photoqual")
    class CumulativeLink(layer):
        """latent (batch, 1) → latent − thresholds (batch, count); the thresholds rise whatever is learned."""

        def __init__(self, count: int, **options: Any) -> None:
            super().__init__(**options)
            self.count = count

        def build(self, shape: Any) -> None:
            self.first = self.add_weight(name="first", shape=(1,), initializer=keras.initializers.Constant(-2.0))
            self.steps = self.add_weight(
                name="steps", shape=(self.count - 1,), initializer=keras.initializers.Constant(0.5)
            )

        def call(self, latent: Any) -> Any:
            ops = keras.ops
            rises = ops.concatenate([self.first, ops.softplus(self.steps)])
            return latent - ops.reshape(ops.cumsum(rises), (1, self.count))

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "count": self.count}

    return CumulativeLink


def register() -> None:
    """Make all of them known, before a model that holds one is loaded."""
    standard()
    cumulative_link()

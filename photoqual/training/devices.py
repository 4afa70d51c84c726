"""Where a training runs: precision, several devices at once, and what an exhausted one says."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

from photoqual.models.keras_files import quiet_keras

_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
_BFLOAT16_CAPABILITY = (8, 0)
"""Compute capability from which a GPU of NVIDIA multiplies bfloat16 fast."""
_EXHAUSTED = ("resource_exhausted", "resourceexhausted", "out of memory", "outofmemory")


def backend() -> str:
    """Return which backend Keras computes with: tensorflow, jax or torch."""
    return str(quiet_keras().backend.backend())


def policy_name(precision: Literal["auto", "float32", "bfloat16", "float16"]) -> str:
    """Return the dtype policy of Keras for `precision`; `auto` is float32 on a CPU and mixed on a GPU."""
    if precision != "auto":
        return _POLICIES[precision]
    if not _gpus():
        return _POLICIES["float32"]
    return _POLICIES["bfloat16" if _has_bfloat16() else "float16"]


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build and train under the dtype policy `name`; afterwards the one before holds again."""
    config = quiet_keras().config
    before = config.dtype_policy()
    config.set_dtype_policy(name)
    try:
        yield
    finally:
        config.set_dtype_policy(before)


def strategy() -> Any | None:
    """Return TensorFlow's MirroredStrategy when it sees several GPUs (or was given several logical CPUs), else None."""
    if backend() != "tensorflow":
        return None
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices]) if len(devices) > 1 else None


def scope(strategy: Any | None) -> Any:
    """Return the context in which the variables of a model must be made."""
    return nullcontext() if strategy is None else strategy.scope()


def is_exhausted(error: BaseException) -> bool:
    """Tell whether `error`, of whatever backend, says that memory did not suffice."""
    told = f"{type(error).__name__} {error}".lower()
    return isinstance(error, MemoryError) or any(sign in told for sign in _EXHAUSTED)


def _gpus() -> list[Any]:
    if backend() == "tensorflow":
        import tensorflow as tf

        return list(tf.config.list_physical_devices("GPU"))
    try:
        return list(quiet_keras().distribution.list_devices("gpu"))
    except RuntimeError:  # JAX, where there is none
        return []


def _has_bfloat16() -> bool:
    if backend() != "tensorflow":
        return True
    import tensorflow as tf

    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in _gpus()]
    return all(capability is not None and tuple(capability) >= _BFLOAT16_CAPABILITY for capability in capabilities)

"""Load weights from a file of Keras into a network: numbers alone are read, never a description of layers."""

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.errors import ModelError

if TYPE_CHECKING:
    import keras

SUFFIXES = (".weights.h5", ".h5", ".keras")
_WEIGHTS_IN_KERAS = "model.weights.h5"
_MOST = 4
"""So many times the weights of the network a file may hold: two moments of an optimizer, and something to spare."""
_FLOAT_BYTES = 4
_SPARE_BYTES = 16_000_000
"""What descriptions in the file may take beside."""


def load_weights(network: "keras.Model", path: Path) -> None:
    """Set the weights of `network` from `path`: `.weights.h5`, the older `.h5`, or the weights within a `.keras` file.
    Raise ModelError when the file is missing, truncated or of another architecture, or would take far more memory than
    the network.
    """
    if not path.is_file():
        raise ModelError(
            f"The weights file {path} does not exist.", next_step="Mend the path in model.backbone.weights."
        )
    if not path.name.endswith(SUFFIXES):
        raise ModelError(
            f"{path} is not a weights file of Keras by its name.",
            next_step=f"Name a file that ends in {', '.join(SUFFIXES)}.",
        )
    try:
        most = _MOST * _FLOAT_BYTES * network.count_params() + _SPARE_BYTES
        held = _float_arrays(path, most)
        needed = sum(_is_float(weight.dtype) for weight in network.weights)
        if held != needed:
            raise ValueError(f"it holds {held} arrays and {network.name} has {needed}")
        network.load_weights(path)
    except Exception as error:  # HDF5 and Keras raise OSError, KeyError, ValueError, zipfile errors, …
        raise ModelError(
            f"{path} does not hold the weights of {network.name} without its classifier: {_first_line(error)}.",
            next_step="Name a whole file of that network in model.backbone.weights (saved with include_top=False), or "
            "the network of the file in model.backbone.name.",
        ) from None


def _float_arrays(path: Path, most: int) -> int:
    """Return how many arrays of weights the file holds; states of random numbers and of optimizers are left out. Raise
    ValueError before anything is read when the file, unpacked, or its arrays take more than `most` bytes.
    """
    import h5py  # comes with Keras

    source: Any = path
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            _assert_small(archive.getinfo(_WEIGHTS_IN_KERAS).file_size, most)
            source = io.BytesIO(archive.read(_WEIGHTS_IN_KERAS))
    found = size = 0

    def count(name: str, item: Any) -> None:
        nonlocal found, size
        size += item.nbytes if isinstance(item, h5py.Dataset) else 0
        if isinstance(item, h5py.Dataset) and _is_float(item.dtype) and not name.startswith("optimizer"):
            found += 1

    with h5py.File(source, "r") as file:
        file.visititems(count)
    _assert_small(size, most)
    return found


def _assert_small(size: int, most: int) -> None:
    if size > most:
        raise ValueError(
            f"it takes {size / 1e6:,.0f} MB of memory, and {most / 1e6:,.0f} MB are allowed for that network"
        )


def _is_float(dtype: Any) -> bool:
    return "float" in str(dtype)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")

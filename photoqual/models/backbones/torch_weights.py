"""Read weights that PyTorch saved before 1.6 with numpy alone: no PyTorch, and no code from the file is run.

Such a file is five pickles (a magic number, the version of the format, facts on the machine, the state dict, the keys
of its storages) and then each storage: its number of elements as int64, then their bytes, little-endian. A tensor is a
view of a storage: offset, sizes and strides, counted in elements.

The pickles may name nothing but the classes of a state dict, and every number in them is checked against the file
before it is used. Not covered: the zip format of later versions, sparse and quantised tensors.
"""

import collections
import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from photoqual.errors import ModelError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
DTYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_MOST_DIMENSIONS = 8
_ZIP = b"PK"


class _Storage(NamedTuple):
    kind: str
    key: str
    elements: int


class _View(NamedTuple):
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    strides: tuple[int, ...]


class _Damaged(Exception):
    """What is wrong with the file, in words."""


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a state dict by name, in the file's order, as arrays of their own.

    Raise ModelError when the file is missing, truncated, of another format, or asks for anything but tensors.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The weights file {path} cannot be read: {error.strerror or error}.",
            next_step="Mend the path in model.backbone.weights.",
        ) from None
    if content.startswith(_ZIP):
        raise ModelError(
            f"{path} has the zip format of PyTorch 1.6 and later.",
            next_step="Save its state dict again with torch.save(…, _use_new_zipfile_serialization=False).",
        )
    try:
        return _tensors(io.BytesIO(content), len(content))
    except Exception as error:  # a damaged pickle raises whatever its opcodes run into
        reason = str(error) if isinstance(error, _Damaged) else f"it is damaged ({type(error).__name__})"
        raise ModelError(
            f"{path} is not a state dict of tensors as PyTorch saved it before 1.6: {reason}.",
            next_step="Only use weights from their maker; fetch the file again.",
        ) from None


def _tensors(file: io.BytesIO, length: int) -> dict[str, np.ndarray]:
    if _unpickle(file) != MAGIC or _unpickle(file) != VERSION:
        raise _Damaged("it does not begin like one")
    machine = _unpickle(file)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Damaged("its numbers are not little-endian")
    views, keys = _unpickle(file), _unpickle(file)
    if not isinstance(views, dict) or not all(
        isinstance(name, str) and isinstance(view, _View) for name, view in views.items()
    ):
        raise _Damaged("it holds something else than tensors by name")
    storages = _read_storages(file, length, keys, {view.storage for view in views.values()})
    return {name: _array(name, view, storages[view.storage.key]) for name, view in views.items()}


def _read_storages(file: io.BytesIO, length: int, keys: Any, wanted: set[_Storage]) -> dict[str, np.ndarray]:
    by_key = {storage.key: storage for storage in wanted}
    if not isinstance(keys, list) or len(by_key) != len(wanted) or sorted(by_key) != sorted(keys):
        raise _Damaged("its list of storages does not fit its tensors")
    arrays = {}
    for key in keys:
        kind, _, elements = by_key[key]
        dtype = DTYPES[kind]
        count = int.from_bytes(file.read(8), "little", signed=True)
        if count != elements:
            raise _Damaged(f"storage {key} should have {elements} elements and says {count}")
        if elements * dtype.itemsize > length - file.tell():
            raise _Damaged("it is truncated")
        arrays[key] = np.frombuffer(file.read(elements * dtype.itemsize), dtype)
    return arrays


def _array(name: str, view: _View, storage: np.ndarray) -> np.ndarray:
    """Return the view as an array in the machine's byte order. A view may lie only within its storage, and may not be
    larger than it (a stride of 0 could make one element any number of them).
    """
    _, offset, size, strides = view
    elements = math.prod(size)
    last = offset + sum((side - 1) * stride for side, stride in zip(size, strides, strict=True))
    if elements > len(storage) or (elements and last >= len(storage)):
        raise _Damaged(f"tensor {name} reaches beyond its storage")
    if not elements:
        return np.empty(size, storage.dtype.newbyteorder("="))
    bytes_apart = [stride * storage.itemsize for stride in strides]
    inside = np.lib.stride_tricks.as_strided(storage[offset:], size, bytes_apart, writeable=False)
    return inside.astype(storage.dtype.newbyteorder("="), order="C", copy=True)


def _unpickle(file: io.BytesIO) -> Any:
    return _Unpickler(file).load()


class _Unpickler(pickle._Unpickler):  # the one in C reserves memory at a file's word
    """An unpickler that knows the parts of a state dict and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view_maker()
        if module == "torch" and name in DTYPES:
            return name
        if module == "torch" and name.endswith("Storage"):
            raise _Damaged(f"it has tensors of torch.{name}, and only {', '.join(DTYPES)} can be read")
        raise _Damaged(f"it asks for {module}.{name}, which a state dict does not need, so it was not read further")

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, elements, view = pid
        if what != "storage" or kind not in DTYPES or not isinstance(key, str) or view is not None:
            raise _Damaged("it describes a storage in a way that is not known")
        if not _whole(elements):
            raise _Damaged(f"storage {key} has no valid number of elements")
        return _Storage(kind, key, elements)


def _view_maker() -> Callable[..., _View]:
    """Return a new function each time: a pickle can change attributes of what it is given."""

    def rebuild_tensor(storage: Any, offset: Any, size: Any, strides: Any, *_: Any) -> _View:
        sides = (*size, *strides)
        if not isinstance(storage, _Storage) or not all(map(_whole, (offset, *sides))):
            raise _Damaged("it describes a tensor in a way that is not known")
        if len(size) != len(strides) or len(size) > _MOST_DIMENSIONS:
            raise _Damaged(f"a tensor has {len(size)} sizes and {len(strides)} strides")
        return _View(storage, offset, tuple(size), tuple(strides))

    return rebuild_tensor


def _whole(number: Any) -> bool:
    return type(number) is int and number >= 0

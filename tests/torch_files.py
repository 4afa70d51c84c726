"""Weights files as PyTorch wrote them before 1.6, put together opcode by opcode, so that they can also be wrong."""

import pickle
import struct
from typing import Any

import numpy as np

KINDS = {"f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage"}
MAGIC = 0x1950A86A20F9469CFC6C
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def whole_pickle(value: Any) -> bytes:
    return pickle.dumps(value, 2)


def _value(value: Any) -> bytes:
    return whole_pickle(value)[2:-1]


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


_EMPTY = _global("collections", "OrderedDict") + b")R"


def storage(kind: str, key: str, elements: int, view: Any = None) -> bytes:
    """Return the opcodes that push a persistent storage of `elements` of torch.`kind`."""
    described = _value("storage") + _global("torch", kind) + _value(key) + _value("cpu") + _value(elements)
    return b"(" + described + _value(view) + b"tQ"


def tensor(stored: bytes, offset: int, size: Any, strides: Any) -> bytes:
    """Return the opcodes that push a tensor: a view of the storage that `stored` pushes."""
    arguments = stored + _value(offset) + _value(size) + _value(strides) + _value(False) + _EMPTY
    return _global("torch._utils", "_rebuild_tensor_v2") + b"(" + arguments + b"tR"


def described(tensors: dict[str, bytes]) -> bytes:
    """Return the pickle of a state dict of tensors, each given as opcodes."""
    items = b"".join(_value(name) + opcodes for name, opcodes in tensors.items())
    return b"\x80\x02" + _EMPTY + b"(" + items + b"u" + b"}" + _value("_metadata") + _EMPTY + b"sb" + b"."


def file_of(views: bytes, storages: dict[str, np.ndarray], /, **changed: bytes) -> bytes:
    """Return a file of the pickle `views` and its storages; `changed` replaces pickles by their name."""
    parts = {
        "magic": whole_pickle(MAGIC),
        "version": whole_pickle(1001),
        "machine": whole_pickle(MACHINE),
        "views": views,
        "keys": whole_pickle(list(storages)),
    } | changed
    data = (struct.pack("<q", array.size) + array.tobytes() for array in storages.values())
    return b"".join([*parts.values(), *data])


def state_dict_file(arrays: dict[str, np.ndarray]) -> bytes:
    """Return a whole, correct file of `arrays`, each with a storage of its own."""
    tensors, storages = {}, {}
    for index, (name, array) in enumerate(arrays.items()):
        key = str(index)
        strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).strides)
        kind = KINDS[array.dtype.str[1:]]
        tensors[name] = tensor(storage(kind, key, array.size), 0, array.shape, strides if array.ndim else ())
        storages[key] = np.ascontiguousarray(array)
    return file_of(described(tensors), storages)

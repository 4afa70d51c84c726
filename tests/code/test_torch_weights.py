"""Weights of PyTorch, read without it: right files give their tensors, wrong ones an error, and none runs code."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoqual.errors import ModelError
from photoqual.models.backbones.torch_weights import read_state_dict
from tests.torch_files import described, file_of, state_dict_file, storage, tensor, whole_pickle

NUMBERS = np.arange(12, dtype="<f4")
ONE = described({"a": tensor(storage("FloatStorage", "0", 12), 0, (3, 4), (4, 1))})
WHOLE = file_of(ONE, {"0": NUMBERS})


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    path = folder / "weights.pth"
    path.write_bytes(content)
    return read_state_dict(path)


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", "<i8", "<i4"])
def test_tensors_come_back_by_name_in_order(tmp_path: Path, dtype: str) -> None:
    draw = np.random.default_rng(0)
    arrays = {
        name: (100 * draw.random(shape)).astype(dtype)
        for name, shape in {"b.weight": (2, 3, 1, 4), "a.bias": (5,), "count": (), "empty": (0, 3)}.items()
    }
    tensors = read(tmp_path, state_dict_file(arrays))
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype == array.dtype


def test_views_of_one_storage_become_arrays_of_their_own(tmp_path: Path) -> None:
    stored = storage("FloatStorage", "0", 12)
    tensors = read(
        tmp_path,
        file_of(
            described(
                {
                    "all": tensor(stored, 0, (3, 4), (4, 1)),
                    "transposed": tensor(stored, 0, (4, 3), (1, 4)),
                    "column": tensor(stored, 1, (3,), (4,)),
                    "last": tensor(stored, 11, (), ()),
                }
            ),
            {"0": NUMBERS},
        ),
    )
    table = NUMBERS.reshape(3, 4)
    tensors["all"][:] = -1
    for name, expected in {"transposed": table.T, "column": table[:, 1], "last": table[2, 3]}.items():
        np.testing.assert_array_equal(tensors[name], expected)


def one(*view: Any, kind: str = "FloatStorage", elements: int = 12, of: Any = None) -> bytes:
    return described({"a": tensor(storage(kind, "0", elements, of), *view)})


WRONG_VIEWS = {
    "offset beyond": (one(12, (1,), (1,)), "beyond its storage"),
    "offset below": (one(-1, (1,), (1,)), "not known"),
    "size beyond": (one(0, (13,), (1,)), "beyond its storage"),
    "size below": (one(0, (-3,), (1,)), "not known"),
    "huge size": (one(0, (2**62, 2**62), (1, 1)), "beyond its storage"),
    "one element many times": (one(0, (2**40,), (0,)), "beyond its storage"),
    "stride beyond": (one(0, (2, 2), (12, 1)), "beyond its storage"),
    "stride below": (one(11, (3,), (-1,)), "not known"),
    "size is no number": (one(0, ("3",), (1,)), "not known"),
    "size is true": (one(0, (True,), (1,)), "not known"),
    "sizes without strides": (one(0, (3, 4), (1,)), "2 sizes and 1 strides"),
    "too many dimensions": (one(0, (1,) * 9, (1,) * 9), "9 sizes"),
    "storage larger than said": (one(0, (3,), (1,), elements=11), "should have 11 elements and says 12"),
    "storage of a negative size": (one(0, (0,), (1,), elements=-1), "no valid number"),
    "storage within a storage": (one(0, (3,), (1,), of=("root", 0, 3)), "not known"),
    "dtype that is not read": (one(0, (3,), (1,), kind="BFloat16Storage"), "torch.BFloat16Storage"),
    "one storage, two dtypes": (
        described(
            {
                name: tensor(storage(kind, "0", 12), 0, (1,), (1,))
                for name, kind in {"a": "FloatStorage", "b": "LongStorage"}.items()
            }
        ),
        "does not fit",
    ),
    "no tensors": (whole_pickle({"a": 1}), "something else than tensors"),
    "no names": (whole_pickle([1, 2]), "something else than tensors"),
}


@pytest.mark.parametrize(("views", "reason"), WRONG_VIEWS.values(), ids=WRONG_VIEWS.keys())
def test_views_that_do_not_fit_are_refused(tmp_path: Path, views: bytes, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        read(tmp_path, file_of(views, {"0": NUMBERS}))


WRONG_FILES = {
    "empty": (b"", "damaged"),
    "text": (b"not weights at all", "damaged"),
    "another pickle": (whole_pickle([1, 2, 3]), "does not begin like one"),
    "zip": (b"PK\x03\x04" + WHOLE, "zip format.*_use_new_zipfile_serialization=False"),
    "big-endian": (file_of(ONE, {"0": NUMBERS}, machine=whole_pickle({"little_endian": False})), "little-endian"),
    "a storage too few": (file_of(ONE, {"0": NUMBERS}, keys=whole_pickle([])), "does not fit"),
    "keys that are no list": (file_of(ONE, {"0": NUMBERS}, keys=whole_pickle("0")), "does not fit"),
    "memory at its word": (b"\x80\x02]r\xff\xff\xff\x7f.", "does not begin like one"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG_FILES.values(), ids=WRONG_FILES.keys())
def test_other_files_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        read(tmp_path, content)
    assert caught.value.next_step


def test_truncation_anywhere_is_noticed(tmp_path: Path) -> None:
    assert list(read(tmp_path, WHOLE)) == ["a"]
    for length in range(len(WHOLE)):
        with pytest.raises(ModelError):
            read(tmp_path, WHOLE[:length])
    with pytest.raises(ModelError, match="truncated"):
        read(tmp_path, WHOLE[:-1])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.pth cannot be read"):
        read_state_dict(tmp_path / "nowhere.pth")


class Payload:
    """Unpickled the ordinary way it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("place", ["magic", "version", "machine", "views", "keys"])
def test_no_pickle_of_the_file_can_run_code(tmp_path: Path, place: str) -> None:
    marker = tmp_path / "ran"
    payload = whole_pickle(Payload(marker))
    with pytest.raises(ModelError, match="mkdir"):
        read(tmp_path, file_of(ONE, {"0": NUMBERS}, **{place: payload}))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["eval", "getattr", "__import__", "dict"])
def test_builtins_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=rf"asks for builtins\.{name}"):
        read(tmp_path, f"cbuiltins\n{name}\n.".encode())


def test_a_pickle_cannot_change_what_the_reader_uses(tmp_path: Path) -> None:
    """BUILD sets attributes of what is on the stack: here the defaults of the function that makes tensors."""
    build = b"ctorch._utils\n_rebuild_tensor_v2\n" + b"(N}" + whole_pickle("__defaults__")[2:-1] + b")stb."
    with pytest.raises(ModelError):
        read(tmp_path, file_of(build, {"0": NUMBERS}))
    assert list(read(tmp_path, WHOLE)) == ["a"]

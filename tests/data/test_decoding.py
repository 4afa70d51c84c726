"""Decoding in processes of their own: the same copies as at home, and a file that ends its decoder costs only itself."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from photoqual.config import Params, PhotosParams
from photoqual.errors import SourceError
from photoqual.photos.decode import taken_at, working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.sources import _decoding
from photoqual.sources._decoding import Decoders
from tests.conftest import encoded, scene

DEADLY = """
import os, time
from photoqual.photos import decode
whole = decode.working_copy
def working_copy(data, params):
    if data.endswith(b"abort"): os.abort()
    if data.endswith(b"sleep"): time.sleep(600)
    if data.endswith(b"print"): os.write(1, b"x" * 100_000); os.write(2, b"y" * 100_000)
    return whole(data, params)
decode.working_copy = working_copy
"""
"""A decoder with bugs."""


@pytest.fixture
def params(make_params: Callable[..., Params]) -> PhotosParams:
    return make_params(**{"photos.max_side": 64, "photos.max_megabytes": 0.1}).photos


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(2)
    yield decoders
    children = [worker.process.pid for worker in decoders._workers]
    decoders.close()
    assert not any(map(psutil.pid_exists, children))


@pytest.fixture
def deadly(decoders: Decoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Decoders:
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(_decoding, "PATIENCE_SECONDS", 8.0)
    return decoders


def test_a_photo_is_decoded_as_at_home(decoders: Decoders, params: PhotosParams) -> None:
    dated = scene(1).getexif()
    dated.get_ifd(0x8769)[0x9003] = "2020:02:03 04:05:06"
    photos = [encoded(scene(1), exif=dated), encoded(scene(2), "PNG"), b"", b"no photo", bytes(200_000)]
    found = decoders.begin(photos, params).result()
    assert [result.photo_id for result in found] == [photo_id(data) for data in photos]
    assert [result.refused for result in found] == [None, None, "empty", "not_an_image", "too_many_bytes"]
    assert [result.copy for result in found[:2]] == [working_copy(data, params) for data in photos[:2]]
    assert found[0].taken_at == taken_at(photos[0])
    assert found[0].taken_at is not None


def test_a_file_that_ends_or_stops_its_decoder_costs_only_itself(deadly: Decoders, params: PhotosParams) -> None:
    good = [encoded(scene(number)) for number in range(3)]
    photos = [good[0], good[1] + b"abort", good[1], good[2] + b"sleep", good[2] + b"print"]
    found = deadly.begin(photos, params).result()
    assert [result.refused for result in found] == [None, "decoder_crashed", None, "decoder_hung", None]
    assert found[4].photo_id == photo_id(photos[4])
    assert found[0].copy == working_copy(good[0], params)


def test_a_decoder_that_is_killed_between_two_photos_is_replaced(decoders: Decoders, params: PhotosParams) -> None:
    data = encoded(scene(1))
    first = decoders.begin([data], params).result()
    for worker in decoders._workers:
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    assert decoders.begin([data], params).result() == first


def test_a_decoder_that_does_not_start_is_an_error_of_the_refresh(
    decoders: Decoders, params: PhotosParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['photoqual.photos.decode'] = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"does not start.*decode") as problem:
        decoders.begin([b""], params).result()
    assert problem.value.next_step

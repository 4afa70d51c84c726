"""The input pipeline: the pixels that rating sees, kept in bounded memory, in batches that a killed training finds again."""

import io
import logging
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from photoqual.config import AugmentParams, ModelParams, Params, TrainParams
from photoqual.defects.damage import NAMES
from photoqual.errors import DataError, ModelError, TrainingError
from photoqual.models import network
from photoqual.models.heads import Answers
from photoqual.models.keras_files import quiet_keras
from photoqual.photos.shards import write_shard
from photoqual.training import features as cached
from photoqual.training.augment import augment, crop_size
from photoqual.training.buffers import Buffers
from photoqual.training.features import digest, features
from photoqual.training.feed import Batch, batches, dataset, epoch_order, load, load_features, plan, stream
from photoqual.training.inputs import DecodedPhotos, Memory, StoredPhotos, decode
from tests.conftest import encoded
from tests.model.project import SHARD, frozen_pixels, make_project

MakeParams = Callable[..., Params]
PHOTOS, WIDTH = 30, 64
PARTS = "*.npz"


@dataclass
class Told:
    """What a batch needs of the trainer's targets."""

    values: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]


def _rows(root: Path) -> pd.DataFrame:
    return pq.read_table(make_project(root, PHOTOS).splits).to_pandas()


def _photos(root: Path, memory: Memory | None = None) -> DecodedPhotos:
    rows = _rows(root)
    return decode(root / "data/photos", rows, WIDTH, root / "scratch", memory)


def _told(good: np.ndarray) -> Told:
    values = {
        "binary": good[:, None].astype(np.float32),
        "softmax": np.stack([1 - good, good], axis=1).astype(np.float32),
        "linear": good[:, None].astype(np.float32),
        "defects": np.zeros((len(good), len(NAMES)), np.float32),
    }
    return Told(values, {head: np.ones(len(good), np.float32) for head in values})


def _body(seed: int = 1) -> Any:
    return network.build(ModelParams(kind="gap_cnn", image_width=WIDTH), Answers(), seed).body.model


@pytest.mark.parametrize(("megabytes", "held"), [(0, "none"), (0.1, "some"), (100, "all")])
def test_memory_and_disk_hold_the_pixels_that_rating_sees(tmp_path: Path, megabytes: float, held: str) -> None:
    photos = _photos(tmp_path, Memory(megabytes))
    assert {"none": photos.held == 0, "some": 0 < photos.held < PHOTOS, "all": photos.held == PHOTOS}[held]
    stored = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH)
    streamed = dict(stored.each())
    assert len(streamed) == PHOTOS
    for index in range(PHOTOS):
        np.testing.assert_array_equal(photos.pixels(index), streamed[index])
        assert photos.shapes[index] == streamed[index].shape[:2]
    frozen, _ = frozen_pixels(make_project(tmp_path, PHOTOS), WIDTH)
    decoded = {photos.pixels(index).tobytes() for index in range(PHOTOS)}
    assert all(pixels.tobytes() in decoded for pixels in frozen)


def test_sets_share_one_memory(tmp_path: Path) -> None:
    memory = Memory(0.2)
    first = _photos(tmp_path / "a", memory)
    second = _photos(tmp_path / "b", memory)
    sizes = [first.pixels(index).nbytes for index in range(PHOTOS)]
    assert sum(sizes) > 0.2e6
    assert first.held > second.held
    assert 0 <= memory.left < max(sizes)


def test_a_scratch_file_that_was_cut_is_told(tmp_path: Path) -> None:
    photos = _photos(tmp_path)
    os.truncate(tmp_path / "scratch/pixels.raw", 1000)
    with pytest.raises(DataError, match="cut short"):
        photos.batch(np.array([PHOTOS - 1]))


def test_a_stream_of_some_photos_decodes_only_these(tmp_path: Path) -> None:
    stored = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH)
    assert sorted(index for index, _ in stored.each(np.array([7, 2, 21]))) == [2, 7, 21]
    assert list(stored.each(np.array([], dtype=int))) == []


def test_batches_hold_one_shape_and_lose_no_photo(tmp_path: Path) -> None:
    photos = _photos(tmp_path)
    cut = batches(np.arange(PHOTOS), photos.shapes, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(cut).tolist()) == list(range(PHOTOS))
    assert all(len({photos.shapes[index] for index in batch}) == 1 for batch in cut)
    assert all(photos.batch(batch).shape[1:3] == photos.shapes[batch[0]] for batch in cut)
    assert len(set(photos.shapes)) == 2
    brightness = np.array([photos.pixels(index).mean() for index in range(PHOTOS)])
    assert brightness[photos.good == 1].mean() > 1.5 * brightness[photos.good == 0].mean()


def test_oversampling_evens_the_classes_and_shows_every_photo() -> None:
    good = np.array([1] * 3 + [0] * 9)
    order = epoch_order(good, True, np.random.default_rng(1))
    assert np.bincount(good[order]).tolist() == [9, 9]
    assert set(order) == set(range(12))
    assert sorted(epoch_order(good, False, np.random.default_rng(1))) == list(range(12))
    assert sorted(epoch_order(np.ones(5, int), True, np.random.default_rng(1))) == list(range(5))


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    good, shapes = np.arange(40) % 3 == 0, [(32, 48)] * 30 + [(48, 32)] * 10
    plans = {
        (seed, epoch): [
            batch.tolist() for batch in plan(good, shapes, TrainParams(seed=seed, batch_size=8, oversample=True), epoch)
        ]
        for seed in (-3, 7)
        for epoch in (1, 2)
    }
    again = plan(good, shapes, TrainParams(seed=7, batch_size=8, oversample=True), 2)
    assert plans[7, 2] == [batch.tolist() for batch in again]
    assert len({str(found) for found in plans.values()}) == 4


BUSY = TrainParams(batch_size=8, damage=0.5, augment=AugmentParams(flip=True, crop=0.3, colour=0.2))


def test_a_batch_is_the_same_whoever_makes_it_and_when(tmp_path: Path) -> None:
    held, read = _photos(tmp_path / "a", Memory(100)), _photos(tmp_path / "b")
    cut = plan(held.good, held.shapes, BUSY, 3)

    def nth(photos: DecodedPhotos) -> Callable[[int], Batch]:
        told = _told(photos.good)
        return lambda number: load(photos, told, cut[number], BUSY, 3, number, NAMES)

    whole = list(stream(nth(held), 0, len(cut), ahead=4))
    resumed = list(stream(nth(read), 2, len(cut), ahead=1))
    through_tf = list(dataset(nth(read), 0, len(cut), {"binary": 1, "softmax": 2, "linear": 1, "defects": len(NAMES)}))
    assert len(whole) == len(cut) == len(through_tf) == len(resumed) + 2
    for batch, other in zip(whole[2:], resumed, strict=True):
        _equal(batch, other)
    for batch, (inputs, targets, weights) in zip(whole, through_tf, strict=True):
        numpys = [{head: part.numpy() for head, part in parts.items()} for parts in (targets, weights)]
        _equal(batch, Batch(inputs.numpy(), *numpys))
    assert not np.array_equal(whole[0].inputs, load(held, _told(held.good), cut[0], BUSY, 4, 0, NAMES).inputs)
    assert not np.array_equal(whole[0].inputs, load(held, _told(held.good), cut[0], BUSY, 3, 1, NAMES).inputs)


def _equal(one: Batch, other: Batch) -> None:
    np.testing.assert_array_equal(one.inputs, other.inputs)
    for head in one.targets:
        np.testing.assert_array_equal(one.targets[head], other.targets[head])
        np.testing.assert_array_equal(one.weights[head], other.weights[head])


def test_synthetic_defects_go_to_good_photos_and_change_their_targets(tmp_path: Path) -> None:
    photos = _photos(tmp_path, Memory(100))
    told, before = _told(photos.good), [photos.pixels(index).copy() for index in range(PHOTOS)]
    params = TrainParams(damage=1.0, augment=AugmentParams(flip=False))
    some, total = NAMES[: len(NAMES) // 2], 0
    for number, indices in enumerate(batches(np.arange(PHOTOS), photos.shapes, 8)):
        made = load(photos, told, indices, params, 1, number, some)
        good = photos.good[indices] == 1
        np.testing.assert_array_equal(made.inputs[~good], photos.batch(indices)[~good])
        hurt = (made.inputs != photos.batch(indices)).any(axis=(1, 2, 3))
        total += int(hurt.sum())
        np.testing.assert_array_equal(made.targets["binary"][:, 0], good & ~hurt)
        np.testing.assert_array_equal(made.targets["softmax"], np.stack([~good | hurt, good & ~hurt], axis=1))
        assert (made.weights["binary"] == 1).all()
        np.testing.assert_array_equal(made.weights["linear"], ~hurt)
        known = made.weights["defects"] == 1
        assert known[~hurt].all()
        np.testing.assert_array_equal(made.targets["defects"].sum(axis=1), hurt & known)
        assert made.targets["defects"][:, : len(some)].sum() == (hurt & known).sum()
    assert total > PHOTOS // 3
    assert all(np.array_equal(photos.pixels(index), pixels) for index, pixels in enumerate(before))
    np.testing.assert_array_equal(told.values["binary"][:, 0], photos.good)
    assert (told.weights["linear"] == 1).all()


@pytest.mark.parametrize(
    ("height", "width", "share", "left"),
    [(192, 288, 0.0, (192, 288)), (192, 288, 0.1, (176, 256)), (32, 640, 0.5, (32, 320)), (48, 48, 0.8, (32, 32))],
)
def test_a_crop_keeps_sides_that_a_model_takes(height: int, width: int, share: float, left: tuple[int, int]) -> None:
    assert crop_size(height, width, share) == left


def test_augmentation_moves_mirrors_and_tints_within_bounds() -> None:
    photos = [np.random.default_rng(index).integers(20, 236, (64, 96, 3), dtype=np.uint8) for index in range(12)]
    params = AugmentParams(flip=True, crop=0.25, colour=0.1)
    made = augment(photos, params, np.random.default_rng(5))
    assert made.shape == (12, 48, 64, 3)
    assert made.dtype == np.float32
    assert made.min() >= 0
    assert made.max() <= 255
    height, width = made.shape[1:3]
    mirrored, places = 0, set()
    for photo, seen in zip(photos, made, strict=True):
        found = [
            (top, left, way)
            for top in range(64 - height + 1)
            for left in range(96 - width + 1)
            for way in (1, -1)
            if _is_tinted(photo[top : top + height, left : left + width][:, ::way], seen)
        ]
        assert len(found) == 1
        mirrored += found[0][2] == -1
        places.add(found[0][:2])
    assert 0 < mirrored < 12
    assert len(places) > 6
    untouched = augment(photos, AugmentParams(flip=False), np.random.default_rng(5))
    np.testing.assert_array_equal(untouched, np.stack(photos))


def _is_tinted(window: np.ndarray, seen: np.ndarray) -> bool:
    ratio = seen[::7, ::7] / window[::7, ::7]
    return bool((np.ptp(ratio, axis=(0, 1)) < 0.02).all() and np.abs(ratio - 1).max() <= 0.11)


def test_a_stream_is_in_order_raises_in_place_and_can_be_left(tmp_path: Path) -> None:
    made: list[int] = []

    def nth(number: int) -> Batch:
        time.sleep(0.002 * (number % 3))
        made.append(number)
        if number == 9:
            raise DataError("photo 9")
        return Batch(np.full((1, 2), number, np.float32), {}, {})

    got: list[int] = []
    with pytest.raises(DataError, match="photo 9"):
        got.extend(int(batch.inputs[0, 0]) for batch in stream(nth, 3, 12, ahead=3))
    assert got == list(range(3, 9))
    made.clear()
    left = stream(nth, 10, 1000, ahead=2)
    next(left)
    left.close()
    time.sleep(0.05)
    assert len(made) < 10


def test_features_are_computed_once_and_only_for_new_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows, body = _rows(tmp_path), _body()
    first, whole = (StoredPhotos(tmp_path / "data/photos", part, WIDTH) for part in (rows[:20], rows))
    caplog.set_level(logging.INFO, "photoqual.training.features")
    early = features(body, first, cache=tmp_path / "cache")
    late = features(_body(), whole, cache=tmp_path / "cache")
    again = features(body, decode(tmp_path / "data/photos", rows, WIDTH, tmp_path / "s"), cache=tmp_path / "cache")
    told = [record.getMessage() for record in caplog.records]
    assert told == ["Features: 20 of 20 photos to compute", "Features: 10 of 30 photos to compute"]
    np.testing.assert_array_equal(early, late[:20])
    np.testing.assert_array_equal(late, again)
    direct = np.concatenate([body(pixels[None].astype(np.float32)) for _, pixels in sorted(whole.each(), key=_index)])
    np.testing.assert_allclose(late, direct, rtol=1e-4, atol=1e-4)
    batch = load_features(late, _told(whole.good), np.array([3, 1]))
    np.testing.assert_array_equal(batch.inputs, late[[3, 1]])
    assert batch.targets["binary"][:, 0].tolist() == [1, 1]


def _index(pair: tuple[int, np.ndarray]) -> int:
    return pair[0]


def test_what_features_depend_on_names_their_folder() -> None:
    body, other = _body(), _body(2)
    assert digest(body, 64) == digest(_body(), 64)
    assert len({digest(body, 64), digest(body, 96), digest(other, 64)}) == 3
    other.set_weights(body.get_weights())
    assert digest(other, 64) == digest(body, 64)
    keras = quiet_keras()

    def of_operations(scale: float) -> Any:
        pixels = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(3, 1, activation="relu", kernel_initializer="ones")(keras.ops.relu(pixels * scale))
        return keras.Model(pixels, keras.ops.mean(x, axis=(1, 2)))

    assert digest(of_operations(2.0), 64) == digest(of_operations(2.0), 64) != digest(of_operations(3.0), 64)


def test_memory_of_batches_is_used_again_once_nobody_looks_at_it() -> None:
    buffers, keras = Buffers(), quiet_keras()
    first = buffers.empty((4, 3, 2))
    first[:] = 1
    place, view = first.ctypes.data, first[2:, ::-1]
    del first
    second = buffers.empty((4, 3, 2))
    second[:] = 2
    assert second.ctypes.data != place
    assert (view == 1).all()
    del view
    assert {buffers.empty((3, 3, 2)).ctypes.data for _ in range(3)} == {place}
    assert buffers.empty((1, 1)).ctypes.data != place
    tensor = keras.ops.convert_to_tensor(second)
    del second
    for _ in range(3):
        buffers.empty((4, 3, 2))[:] = 3
    assert (keras.ops.convert_to_numpy(tensor) == 2).all()


def _at_quality(row: dict[str, Any], quality: int) -> dict[str, Any]:
    """Return the row of a shard with its working copy in another quality of JPEG."""
    picture = Image.open(io.BytesIO(row["image"]["bytes"]))
    return {**row, "image": {"bytes": encoded(picture, "JPEG", quality=quality), "path": None}}


def test_another_working_copy_of_a_photo_has_other_features(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows, body = _rows(tmp_path), _body()
    caplog.set_level(logging.INFO, "photoqual.training.features")
    shard = tmp_path / "data/photos" / SHARD
    stored, found = pq.read_table(shard).to_pylist(), {}
    for quality in (90, 50, 90):
        write_shard(shard, [_at_quality(row, quality) for row in stored])
        again = features(body, StoredPhotos(tmp_path / "data/photos", rows, WIDTH), cache=tmp_path / "cache")
        np.testing.assert_array_equal(found.setdefault(quality, again), again)
    assert (found[90] != found[50]).any(axis=1).all()
    assert caplog.text.count("Features: 30 of 30 photos to compute") == 2


def test_a_full_disk_is_told_before_the_table_is_filled(tmp_path: Path) -> None:
    photos = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(TrainingError, match=r"no room for features in .*TMPDIR"):
            features(_body(), photos, Memory(0.001), cache=tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_part_that_cannot_be_read_now_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos, body = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH), _body()
    right = features(body, photos, cache=tmp_path / "cache")
    (part,) = (tmp_path / "cache").glob(f"*/{PARTS}")
    part.unlink()
    part.mkdir()  # opening it is an OSError, as a disk that does not answer would be
    np.testing.assert_array_equal(features(body, photos, cache=tmp_path / "cache"), right)
    assert "cannot be read" in caplog.text
    assert part.is_dir()


@pytest.mark.parametrize("how", ["truncated", "bit", "foreign", "empty"])
def test_a_damaged_part_is_told_and_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str) -> None:
    photos, body = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH), _body()
    right = features(body, photos, cache=tmp_path / "cache")
    (part,) = (tmp_path / "cache").glob(f"*/{PARTS}")
    data = part.read_bytes()
    half = len(data) // 2  # amid the numbers
    broken = {
        "truncated": data[:half],
        "bit": data[:half] + bytes([data[half] ^ 16]) + data[half + 1 :],
        "foreign": b"\x80\x04K\x01.",
        "empty": b"",
    }
    part.write_bytes(broken[how])
    np.testing.assert_array_equal(features(body, photos, cache=tmp_path / "cache"), right)
    assert "are damaged" in caplog.text
    caplog.clear()
    np.testing.assert_array_equal(features(body, photos, cache=tmp_path / "cache"), right)
    assert not caplog.text


def test_parts_are_bounded_and_a_full_table_may_wait_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, body = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH), _body()
    monkeypatch.setattr(cached, "_PART_BYTES", 10 * 4 * 64)
    table = features(body, photos, Memory(0.001), batch_size=5, cache=tmp_path / "cache")
    assert isinstance(table, np.memmap)
    assert len(list((tmp_path / "cache").glob(f"*/{PARTS}"))) == 3
    held = features(body, photos, Memory(1), cache=tmp_path / "cache")
    assert not isinstance(held, np.memmap)
    np.testing.assert_array_equal(held, table)


def test_the_folder_unused_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, body = tmp_path / "cache", _body()
    photos = [StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), width) for width in (32, 48, 64)]
    for age, stored in zip((300, 200), photos[:2], strict=True):
        features(body, stored, cache=cache)
        folder = cache / digest(body, stored.image_width)
        os.utime(folder, (time.time() - age,) * 2)
    features(body, photos[0], cache=cache)
    size = sum(part.stat().st_size for part in cache.glob(f"*/{PARTS}"))
    monkeypatch.setattr(cached, "CACHE_BYTES", size)
    features(body, photos[2], cache=cache)
    left = {path.name for path in cache.iterdir()}
    assert left == {digest(body, 32), digest(body, 64)}


def test_a_cache_that_cannot_be_written_costs_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH)
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert features(_body(), photos, cache=tmp_path / "cache").shape == (PHOTOS, 64)
    assert "cannot be kept" in caplog.text


def test_features_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    photos, keras = StoredPhotos(tmp_path / "data/photos", _rows(tmp_path), WIDTH), quiet_keras()
    pixels = keras.Input((None, None, 3))
    too_large = keras.layers.GlobalMaxPooling2D()(keras.layers.Rescaling(1e38)(pixels))
    with pytest.raises(ModelError, match="no numbers"):
        features(keras.Model(pixels, too_large), photos, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob(f"*/{PARTS}"))

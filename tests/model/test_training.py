"""Training: every rung and every head learns what can be learned, and nothing half-written is left."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from photoqual.config import ModelParams, OptimizerParams, Params, PhotosParams, TrainParams
from photoqual.errors import FrozenTestLeak, MissingData, ModelError, TooFewPhotos, TrainingError
from photoqual.labels.rules import SCHEMA
from photoqual.labels.splits import read_frozen, write_frozen, write_splits
from photoqual.layout import Layout
from photoqual.models import network as networks
from photoqual.models.agreement import disagreement
from photoqual.models.body import Body
from photoqual.models.info import AGREEMENT, read_info
from photoqual.models.keras_files import load_keras, quiet_keras
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from photoqual.training import challenger, devices
from photoqual.training.curve import moving_average
from photoqual.training.fit import learner
from photoqual.training.refit import refit, rows_of
from photoqual.training.targets import Targets
from photoqual.training.train import train
from tests.conftest import NOW, encoded
from tests.model.project import SHARD, frozen_pixels, make_project

MakeParams = Callable[..., Params]
SMALL = {
    "model.image_width": 64,
    "train.epochs": 4,
    "train.batch_size": 8,
    "train.patience": 3,
    "train.optimizer.learning_rate": 0.003,
}
WRITTEN = {"model.keras", "model.onnx", "model.json", "history.csv", "curve.png", "trained_on.parquet", "gate.npz"}
TWO_DEVICES = """
import logging, sys
from pathlib import Path
import tensorflow as tf
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
from photoqual.config import Params
from photoqual.layout import Layout
from photoqual.training.train import train
logging.basicConfig(level=logging.INFO)
root = Path(sys.argv[1])
train(Layout(root), Params.model_validate_json((root / "params.json").read_text()))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep features and checkpoints of each test apart."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def label(layout: Layout, missing: int) -> None:
    """Write labels for the photos of the splits: bright ones have good votes, dark ones are `too_dark`. Every photo
    whose number `missing` divides has neither votes nor a named defect.
    """
    rows = pq.read_table(layout.splits).to_pandas()
    told = []
    for place, row in enumerate(rows.itertuples()):
        good, known = row.good == 1, place % missing != 0
        stars = (4.6 if good else 1.4) if known else None
        told.append(
            {
                "photo_id": row.photo_id,
                "good": row.good,
                "ordinal": stars,
                "stars": stars,
                "vote_mean": stars,
                "vote_distribution": ([0, 0, 0, 0.4, 0.6] if good else [0.6, 0.4, 0, 0, 0]) if known else None,
                "defects": ["too_dark"] if known and not good else [],
                "weight": 1.0,
                "rule": "extremes",
            }
        )
    pq.write_table(pa.Table.from_pylist(told, schema=SCHEMA), layout.labels)


def odd_project(root: Path, pictures: list[Image.Image]) -> Layout:
    """Write a project whose training and validation photos are `pictures`, by turns good and bad."""
    layout = Layout(root)
    rows, stored = [], []
    for index, picture in enumerate([*pictures, *(Image.new("RGB", (48, 32), (90 * i, 0, 0)) for i in (1, 2))]):
        data = encoded(picture, "PNG")
        copy = working_copy(data, PhotosParams())
        ids = {"photo_id": photo_id(data), "phash": "", "width": copy.width, "height": copy.height}
        image = {"bytes": copy.jpeg, "path": None}
        stored.append({**ids, "image": image, "source": "made", "source_key": str(index), "fetched_at": NOW})
        split = ("train", "train", "validation", "validation", "test", "test")[index]
        about = {
            "split": split,
            "group": f"g{index}",
            "good": 1 - index % 2,
            "weight": 1.0,
            "shard": SHARD,
            "row": index,
        }
        rows.append({**ids, **about, "stars": None, "source": "made", "category": None, "uploaded_at": NOW})
    write_shard(layout.photos / SHARD, stored)
    frame = pd.DataFrame(rows)
    write_splits(layout.splits, frame)
    write_frozen(layout.frozen_test, frame[frame["split"] == "test"])
    return layout


def too_large(params: ModelParams, seed: int) -> Body:
    """Return a body that TensorFlow finds no memory for as soon as it is trained."""
    import tensorflow as tf

    keras = quiet_keras()
    base: Any = keras.layers.Layer

    class Exhausted(base):
        def call(self, x: Any, training: bool = False) -> Any:
            if training:
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,64,64,3]")
            return x

    pixels = keras.Input((None, None, 3))
    return Body(keras.Model(pixels, Exhausted()(keras.layers.GlobalAveragePooling2D()(pixels))))


LITE0 = {"name": "efficientnet_lite0", "pooling": "last", "dropout": 0.1}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("logistic", {}),
        ("hidden", {}),
        ("cnn_grey", {}),
        ("cnn_colour", {"train.damage": 0.1, "train.augment": {"flip": True, "crop": 0.2, "colour": 0.02}}),
        ("gap_cnn", {}),
        ("transfer", {"model.backbone": LITE0, "train.epochs": 8}),
        ("transfer", {"model.backbone": {**LITE0, "trainable_blocks": 1}, "train.epochs": 2}),
    ],
)
def test_every_rung_learns_and_its_files_agree(
    tmp_path: Path, make_params: MakeParams, kind: str, changes: dict[str, Any]
) -> None:
    layout = make_project(tmp_path)
    summary = train(layout, make_params(**{**SMALL, "model.kind": kind, **changes}))
    pixels, good = frozen_pixels(layout, 64)
    assert roc_auc_score(good, Scorer.load(layout.challenger).score(pixels)) > 0.9
    assert disagreement(layout.challenger, pixels) <= AGREEMENT
    history = pd.read_csv(layout.challenger / "history.csv")
    assert len(history) == summary["epochs"]
    assert history["validation_auc"].max() == pytest.approx(summary["validation_auc"])
    assert {path.name for path in layout.challenger.iterdir()} >= WRITTEN
    trained_on = set(pq.read_table(layout.challenger / "trained_on.parquet")["photo_id"].to_pylist())
    assert not trained_on & set(read_frozen(layout.frozen_test)["photo_id"])
    assert not list((tmp_path / "cache").rglob("*.checkpoint.npz"))  # it ended well


@pytest.mark.parametrize(
    ("head", "outputs"),
    [
        ("softmax", ("score", "features")),
        ("linear", ("score", "features")),
        ("ordinal", ("score", "features")),
        ("distribution", ("score", "distribution", "features")),
        ("defects", ("score", "defects", "features")),
        ("several", ("score", "distribution", "defects", "features")),
    ],
)
def test_every_head_learns_from_the_labels_that_are_there(
    tmp_path: Path, make_params: MakeParams, head: str, outputs: tuple[str, ...]
) -> None:
    layout = make_project(tmp_path)
    label(layout, missing=3)
    parts = ["binary", "distribution", "defects"]
    train(layout, make_params(**SMALL, **{"model.kind": "logistic", "model.head": head, "model.heads": parts}))
    info = read_info(layout.challenger)
    assert (info.head, info.outputs) == (head, outputs)
    assert info.defects == (("too_dark",) if "defects" in outputs else ())
    pixels, good = frozen_pixels(layout, 64)
    assert roc_auc_score(good, Scorer.load(layout.challenger).score(pixels)) > 0.9
    model = load_keras(layout.challenger / "model.keras")
    shown = [dict(zip(outputs, model(photo[None].astype(np.float32)), strict=True)) for photo in pixels]
    if "defects" in outputs:
        dark = np.array([float(answer["defects"][0, 0]) for answer in shown])
        assert dark[good == 0].min() > dark[good == 1].max()
    if "distribution" in outputs:
        shares = np.array([np.asarray(answer["distribution"])[0] for answer in shown])
        np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
        assert (shares @ np.arange(1, 6))[good == 1].min() > (shares @ np.arange(1, 6))[good == 0].max()


def test_a_head_without_labels_is_refused_by_name(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 60)
    label(layout, missing=1)
    with pytest.raises(TooFewPhotos, match="head `ordinal`"):
        train(layout, make_params(**SMALL, **{"model.kind": "logistic", "model.head": "ordinal"}))
    layout.labels.unlink()
    with pytest.raises(MissingData, match="photoqual label"):
        train(layout, make_params(**SMALL, **{"model.kind": "logistic", "model.head": "ordinal"}))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_a_model_that_is_saved_in_float32(
    tmp_path: Path, make_params: MakeParams, precision: str
) -> None:
    before = quiet_keras().config.dtype_policy().name
    layout = make_project(tmp_path)
    train(layout, make_params(**SMALL, **{"model.kind": "hidden", "train.precision": precision}))
    assert quiet_keras().config.dtype_policy().name == before == "float32"
    assert {str(weight.dtype) for weight in load_keras(layout.challenger / "model.keras").weights} == {"float32"}
    pixels, good = frozen_pixels(layout, 64)
    assert roc_auc_score(good, Scorer.load(layout.challenger).score(pixels)) > 0.9
    assert disagreement(layout.challenger, pixels) <= AGREEMENT


def test_float16_scales_its_loss() -> None:
    keras = quiet_keras()
    for name, scaled in (("mixed_float16", True), ("mixed_bfloat16", False)):
        with devices.precision(name):
            inputs = keras.Input((3,))
            model = learner(keras.Model(inputs, {"binary": keras.layers.Dense(1)(inputs)}), TrainParams(), 10)
        assert (type(model.optimizer).__name__ == "LossScaleOptimizer") is scaled


def test_two_devices_share_the_work(tmp_path: Path, make_params: MakeParams) -> None:
    """Two logical CPUs stand for two GPUs; they must be declared before TensorFlow starts, so in a process of its own."""
    layout = make_project(tmp_path)
    params = make_params(**{**SMALL, "model.kind": "gap_cnn", "train.epochs": 2})
    (tmp_path / "params.json").write_text(params.model_dump_json())
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "2 device(s)" in done.stderr
    pixels, good = frozen_pixels(layout, 64)
    assert roc_auc_score(good, Scorer.load(layout.challenger).score(pixels)) > 0.9


def test_same_seed_same_scores(tmp_path: Path, make_params: MakeParams) -> None:
    scores = []
    for _ in range(2):
        layout = make_project(tmp_path, 60)
        train(layout, make_params(**{**SMALL, "model.kind": "hidden", "train.epochs": 1}))
        scores.append(Scorer.load(layout.challenger).score(frozen_pixels(layout, 64)[0]))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


def test_refit_teaches_the_heads_the_validation_photos_as_well(tmp_path: Path, make_params: MakeParams) -> None:
    told, scores = [], []
    for again in (False, True):
        layout = make_project(tmp_path, 60)
        told.append(train(layout, make_params(**SMALL, **{"model.kind": "logistic", "train.refit": again})))
        rows = pq.read_table(layout.splits).to_pandas().set_index("photo_id")
        pixels, good = frozen_pixels(layout, 64)
        scores.append(Scorer.load(layout.challenger).score(pixels))
    assert told[0]["validation_auc"] == told[1]["validation_auc"]
    assert told[0]["best_epoch"] == told[1]["best_epoch"]
    assert read_info(layout.challenger).validation_photos == (rows["split"] == "validation").sum()
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    assert roc_auc_score(good, scores[1]) > 0.9


def test_refit_evens_the_classes_out_over_training_and_validation_photos() -> None:
    """A constant head learns the weighted share of good photos: 1/2 only when both parts are weighted together."""
    keras = quiet_keras()
    params = TrainParams(
        class_weights=True, oversample=False, batch_size=64, epochs=200, optimizer=OptimizerParams(learning_rate=0.05)
    )
    goods = [np.array([1] * 30 + [0] * 10), np.array([1] * 2 + [0] * 22)]
    parts = [
        Targets({"binary": good[:, None].astype(np.float32)}, {"binary": np.ones(len(good), np.float32)})
        for good in goods
    ]
    inputs = keras.Input((2,))
    top = keras.Model(inputs, {"binary": keras.layers.Dense(1, name="binary")(inputs)})
    network = SimpleNamespace(top=top)
    nothing = (np.zeros((40, 2), np.float32), np.zeros((24, 2), np.float32))
    refit(network, top.get_weights(), nothing, (parts[0], parts[1]), np.concatenate(goods), params, 200)
    logit = float(np.asarray(top.predict_on_batch(nothing[0])["binary"])[0, 0])
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(0.5, abs=0.01)


def test_rows_of_two_parts_are_those_of_both_together() -> None:
    parts = np.arange(10.0).reshape(5, 2), np.arange(10.0, 16.0).reshape(3, 2)
    for indices in (np.array([7, 0, 4, 5, 5]), np.array([1]), np.array([6]), np.array([], dtype=int)):
        np.testing.assert_array_equal(rows_of(parts, indices), np.concatenate(parts)[indices])


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_a_kill_while_the_new_model_takes_its_place_leaves_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    """Kill before the old one is moved aside, between both renames, and before the old one is removed."""
    folder, making = tmp_path / "challenger", tmp_path / ".challenger.tmp"
    for path in (folder, making):
        path.mkdir()
        (path / "model.json").write_text(path.name)
    steps = iter(range(1, 9))
    rename, rmtree = Path.rename, shutil.rmtree

    def stop() -> None:
        if next(steps) == kill_at:
            raise KeyboardInterrupt

    def renaming(path: Path, target: Path) -> Path:
        stop()
        return rename(path, target)

    def removing(path: Path, **options: Any) -> None:
        if path.exists():
            stop()
            rmtree(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", renaming)
        patch.setattr(shutil, "rmtree", removing)
        with pytest.raises(KeyboardInterrupt):
            challenger.replace(folder, making)
    challenger.restore(folder)
    assert (folder / "model.json").read_text() == ("challenger" if kill_at < 3 else ".challenger.tmp")
    if not making.exists():
        making.mkdir()
    (making / "model.json").write_text("newest")
    challenger.replace(folder, making)
    assert (folder / "model.json").read_text() == "newest"
    assert [path.name for path in tmp_path.iterdir()] == ["challenger"]


def test_a_frozen_photo_is_never_trained_on(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 60)
    splits = pq.read_table(layout.splits).to_pandas()
    write_splits(layout.splits, splits.assign(split=splits["split"].replace("test", "train")))
    with pytest.raises(FrozenTestLeak):
        train(layout, make_params(**SMALL))
    assert not layout.challenger.exists()


def test_one_class_and_missing_splits_are_refused(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 60)
    splits = pq.read_table(layout.splits).to_pandas()
    write_splits(layout.splits, splits.assign(good=1))
    with pytest.raises(TooFewPhotos, match="one class only"):
        train(layout, make_params(**SMALL))
    layout.splits.unlink()
    with pytest.raises(MissingData, match="photoqual split"):
        train(layout, make_params(**SMALL))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_old_model(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 60)
    layout.challenger.mkdir(parents=True)
    (layout.challenger / "model.json").write_text("{}")
    with pytest.raises(TrainingError, match="epoch 1, batch"):
        train(layout, make_params(**SMALL, **{"train.optimizer": {"name": "sgd", "learning_rate": 1e30}}))
    assert (layout.challenger / "model.json").read_text() == "{}"


def test_memory_that_does_not_suffice_names_the_batch_size_to_try(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(networks.BODIES, "hidden", too_large)
    layout = make_project(tmp_path, 60)
    with pytest.raises(TrainingError, match=r"batches of 8 photos of 64 px.*train\.batch_size to 4\."):
        train(layout, make_params(**SMALL, **{"model.kind": "hidden"}))
    assert not layout.challenger.exists()


def test_what_an_exhausted_device_raises_is_known() -> None:
    import tensorflow as tf

    assert devices.is_exhausted(tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory"))
    assert devices.is_exhausted(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes"))  # as JAX says it
    assert devices.is_exhausted(MemoryError())
    assert not devices.is_exhausted(ValueError("The shapes do not agree."))


@pytest.mark.parametrize("kind", ["cnn_colour", "gap_cnn"])
def test_one_odd_photo_per_class_and_split(tmp_path: Path, make_params: MakeParams, kind: str) -> None:
    """A line of 1×10,000 px, a photo of 5×5 px, one in grey and one with alpha; nothing else to learn from."""
    draw = np.random.default_rng(1)
    layout = odd_project(
        tmp_path,
        [
            Image.fromarray(draw.integers(120, 255, (1, 10_000, 3), dtype=np.uint8)),
            Image.fromarray(draw.integers(0, 60, (5, 5, 3), dtype=np.uint8)),
            Image.fromarray(draw.integers(120, 255, (40, 60), dtype=np.uint8)),
            Image.fromarray(draw.integers(0, 60, (40, 60, 4), dtype=np.uint8)),
        ],
    )
    train(layout, make_params(**{**SMALL, "model.kind": kind, "train.epochs": 1}))
    assert read_info(layout.challenger).train_photos == 2
    assert np.isfinite(Scorer.load(layout.challenger).score([np.full((32, 64, 3), 200, np.uint8)])).all()


def test_model_files_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(ModelError, match="cannot be loaded safely"):
        load_keras(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="not a model folder"):
        read_info(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "gap_cnn"}')
    with pytest.raises(ModelError, match="not of this version"):
        Scorer.load(tmp_path)


def test_moving_average_looks_back_only() -> None:
    np.testing.assert_allclose(moving_average([1, 2, 3, 4], window=2), [1, 1.5, 2.5, 3.5])

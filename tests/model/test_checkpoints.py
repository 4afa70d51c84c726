"""A training killed anywhere goes on from its checkpoint and ends as if nothing had happened."""

import json
import logging
import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from photoqual.config import OptimizerParams, Params, TrainParams
from photoqual.errors import TrainingError
from photoqual.labels.splits import write_splits
from photoqual.layout import Layout
from photoqual.models.backbones.build import weights_file
from photoqual.models.backbones.efficientnet_lite import VARIANTS
from photoqual.models.keras_files import load_keras, quiet_keras
from photoqual.training import checkpoints, feed
from photoqual.training.checkpoints import SUFFIX, Checkpoints, Saved
from photoqual.training.curve import Epoch
from photoqual.training.fit import Course, State, fit, learner
from photoqual.training.identity import training_digest as digest
from photoqual.training.targets import Targets
from photoqual.training.tracking import Tracker, tracked
from tests.model.project import make_project

MakeParams = Callable[..., Params]
KILLS = 10
PARAMS = TrainParams(
    epochs=4,
    batch_size=8,
    patience=9,
    checkpoint_seconds=0.0,
    optimizer=OptimizerParams(name="adamw", learning_rate=0.01, weight_decay=0.01, schedule="cosine", warmup=0.1),
)
BATCHES = 8


class Killed(BaseException):
    """Stands for a kill within one process: nothing catches it."""


def saved(value: float = 1.0) -> Saved:
    return Saved({"weights": np.full(2000, value)}, {"epoch": value})


def a_model(steps: int = PARAMS.epochs * BATCHES) -> Any:
    """Return a model whose result depends on weights, dropout's seed, running means, the optimizer and its schedule."""
    keras = quiet_keras()
    keras.utils.set_random_seed(5)
    inputs = keras.Input((6,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8, activation="relu")(inputs))
    x = keras.layers.Dropout(0.3, seed=3)(x)
    return learner(keras.Model(inputs, {"binary": keras.layers.Dense(1, name="binary")(x)}), PARAMS, steps)


def a_course(model: Any, spoil: Callable[[int, int, feed.Batch], feed.Batch] = lambda _e, _n, batch: batch) -> Course:
    draw = np.random.default_rng(1)
    features = draw.normal(size=(64, 6)).astype(np.float32)
    good = (np.arange(64) % 2).astype(np.int8)
    targets = Targets({"binary": good[:, None].astype(np.float32)}, {"binary": np.ones(64, np.float32)})

    def judge() -> tuple[float, float]:
        logits = np.asarray(model.predict_on_batch(features)["binary"])[:, 0]
        return float(np.logaddexp(0, -logits).mean()), float((logits[good == 1][:, None] > logits[good == 0]).mean())

    return Course(
        plan=lambda epoch: feed.plan(good, [0] * 64, PARAMS, epoch),
        load=lambda epoch, number, indices: spoil(epoch, number, feed.load_features(features, targets, indices)),
        judge=judge,
        photo_ids=[f"photo{index}" for index in range(64)],
    )


def fitted(store: Checkpoints, kill_at: int | None = None) -> tuple[Any, State]:
    """Train; at batch `kill_at`, counted over all epochs, stop as a kill would."""
    model = a_model()
    step, whole = model.train_on_batch, BATCHES

    class Stopping(Tracker):
        def epoch(self, row: Any) -> None:
            if kill_at is not None and row.epoch * whole <= kill_at < row.epoch * whole + 1:
                raise Killed

    def stepping(*arguments: Any, **options: Any) -> Any:
        if kill_at is not None and int(np.asarray(model.optimizer.iterations)) >= kill_at:
            raise Killed
        return step(*arguments, **options)

    model.train_on_batch = stepping
    return model, fit(model, a_course(model), PARAMS, store, Stopping(Params.model_construct(), "x"))


def test_killed_between_batches_and_epochs_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    undisturbed, state = fitted(Checkpoints(str(tmp_path / "a"), "k"))
    store = Checkpoints(str(tmp_path / "b"), "k")
    for kill_at in (1, 2, 7, 8, 9, 15, 16, 17, 24, 31):
        with pytest.raises(Killed):
            fitted(store, kill_at)
    model, again = fitted(store)
    for ours, theirs in zip(model.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(again.losses, state.losses, atol=1e-6)
    assert [epoch.validation_auc for epoch in again.epochs] == [epoch.validation_auc for epoch in state.epochs]
    assert [epoch.learning_rate for epoch in again.epochs] == [epoch.learning_rate for epoch in state.epochs]


def training(root: str, params: str) -> None:
    """Train the project in `root`; the body of the processes that are killed."""
    os.environ["XDG_CACHE_HOME"] = f"{root}/cache"
    os.environ["PHOTOQUAL_CHECKPOINTS"] = f"{root}/checkpoints"
    import tensorflow as tf

    from photoqual.training.train import train

    tf.config.experimental.enable_op_determinism()
    logging.basicConfig(filename=f"{root}/log.txt", level=logging.INFO)
    train(Layout(Path(root)), Params.model_validate_json(params))


def test_killed_at_ten_random_instants_the_model_is_the_same(tmp_path: Path, make_params: MakeParams) -> None:
    params = make_params(
        **{
            "model.kind": "gap_cnn",
            "model.image_width": 32,
            "train.epochs": 12,
            "train.batch_size": 4,
            "train.patience": 12,
            "train.damage": 0.3,
            "train.augment": {"flip": True, "crop": 0.0, "colour": 0.05},
            "train.checkpoint_seconds": 0.0,
            "train.optimizer": {"name": "adam", "learning_rate": 0.002, "schedule": "cosine", "warmup": 0.1},
        }
    )
    roots = [tmp_path / name for name in ("undisturbed", "killed")]
    for root in roots:
        make_project(root, 60)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras", "photoqual.training.train"])

    def start(root: Path) -> Any:
        process = context.Process(target=training, args=(str(root), params.model_dump_json()))
        process.start()
        return process

    def written(root: Path) -> int:
        """Return when the checkpoint was written last, in nanoseconds; 0 when there is none."""
        return max((path.stat().st_mtime_ns for path in (root / "checkpoints").glob(f"*{SUFFIX}")), default=0)

    process, began, first = start(roots[0]), time.monotonic(), 0.0
    while process.is_alive():
        time.sleep(0.01)
        first = first or (time.monotonic() - began if written(roots[0]) else 0.0)
    assert process.exitcode == 0
    whole = time.monotonic() - began

    draw, resumed = np.random.default_rng(20), 0
    for _ in range(KILLS):
        before, process = written(roots[1]), start(roots[1])
        if draw.random() < 0.2:
            time.sleep(draw.uniform(0, first))  # while it starts
        else:
            while written(roots[1]) == before and process.is_alive():
                time.sleep(0.01)
            time.sleep(draw.uniform(0, (whole - first) / KILLS))
            resumed += 1
        assert process.is_alive()
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    process = start(roots[1])
    process.join()
    assert process.exitcode == 0
    assert (roots[1] / "log.txt").read_text().count("Going on from a checkpoint") >= resumed >= KILLS // 2
    assert not written(roots[1])
    models = [load_keras(root / "models/challenger/model.keras") for root in roots]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("spoiled", "where", "photos"),
    [("targets", r"batch 3\.", PARAMS.batch_size), ("inputs", r"seen at its end\.", 0)],
)
def test_numbers_that_are_none_stop_the_training_and_the_best_is_kept(
    tmp_path: Path, spoiled: str, where: str, photos: int
) -> None:
    """A loss names its batch. Inputs can ruin weights while a relu hides it from the loss: the epoch's end sees it."""

    def spoil(epoch: int, number: int, batch: feed.Batch) -> feed.Batch:
        if (epoch, number) != (3, 2):
            return batch
        if spoiled == "inputs":
            return feed.Batch(batch.inputs * np.float32(np.nan), batch.targets, batch.weights)
        return feed.Batch(batch.inputs, {"binary": batch.targets["binary"] * np.float32(np.nan)}, batch.weights)

    model, store = a_model(), Checkpoints(str(tmp_path), "k")
    with pytest.raises(TrainingError, match=rf"epoch 3, {where} The best weights so far \(epoch") as told:
        fit(model, a_course(model, spoil), PARAMS, store, Tracker(Params.model_construct(), "x"))
    assert len(told.value.details["photo_ids"]) == photos
    kept = store.read()
    assert kept is not None
    assert (kept.state["epoch"], kept.state["batch"]) == (3, 2)
    assert all(np.isfinite(value).all() for value in kept.arrays.values())


@pytest.mark.parametrize("place", ["{}/deep/er", "file://{}/deep", "memory://checkpoints"])
def test_a_checkpoint_is_written_whole_read_and_removed(tmp_path: Path, place: str) -> None:
    store = Checkpoints(place.format(tmp_path), "key")
    assert store.read() is None
    for value in (1.0, 2.0):
        store.write(saved(value))
    again = Checkpoints(place.format(tmp_path), "key").read()
    assert again is not None
    assert again.state == {"epoch": 2.0}
    np.testing.assert_array_equal(again.arrays["weights"], np.full(2000, 2.0))
    store.remove()
    assert store.read() is None
    store.remove()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def foreign(path: Path) -> None:
    path.write_bytes(b"no archive")


def pickled(path: Path) -> None:
    np.savez(path, **{"state.json": np.array({"key": "key"}, dtype=object)})


def renamed(path: Path) -> None:
    Checkpoints(str(path.parent), "other").write(saved())
    path.with_name(f"other{SUFFIX}").replace(path)


@pytest.mark.parametrize(
    ("harm", "line"),
    [(cut, "damaged"), (flipped, "damaged"), (foreign, "damaged"), (pickled, "damaged"), (renamed, "other inputs")],
)
def test_a_checkpoint_that_cannot_be_trusted_is_ignored_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Callable[[Path], None], line: str
) -> None:
    store = Checkpoints(str(tmp_path), "key")
    store.write(saved())
    harm(Path(store.path))
    assert store.read() is None
    assert line in caplog.text
    assert "ignored" in caplog.text


def test_a_checkpoint_of_another_architecture_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Checkpoints(str(tmp_path), "key")
    arrays = {"model/00000": np.zeros(3), "losses": np.zeros(1)}
    store.write(Saved(arrays, {"epoch": 2, "batch": 0, "seconds": 0.0, "epochs": [], "run_id": None}))
    _, state = fitted(store)
    assert state.epochs[0].epoch == 1
    assert "other weights than this model has" in caplog.text


def test_checkpoints_of_other_inputs_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Checkpoints(str(tmp_path), "old").write(saved())
    assert Checkpoints(str(tmp_path), "new").read() is None
    assert "1 checkpoint(s)" in caplog.text
    assert "other inputs" in caplog.text


def test_equal_trainings_at_once_never_leave_half_a_checkpoint(tmp_path: Path) -> None:
    stop, seen = threading.Event(), []

    def write(value: float) -> None:
        while not stop.is_set():
            Checkpoints(str(tmp_path), "key").write(saved(value))

    writers = [threading.Thread(target=write, args=(float(value),)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    reader = Checkpoints(str(tmp_path), "key")
    end = time.monotonic() + 60
    while (len(seen) < 50 or len(set(seen)) < 2) and time.monotonic() < end:
        if (found := reader.read()) is not None:
            assert (found.arrays["weights"] == found.state["epoch"]).all()
            seen.append(found.state["epoch"])
    stop.set()
    for writer in writers:
        writer.join()
    assert set(seen) == {1.0, 2.0}
    assert [path.name for path in tmp_path.iterdir()] == [f"key{SUFFIX}"]


def test_what_a_killed_writer_left_is_removed_in_time(tmp_path: Path) -> None:
    store = Checkpoints(str(tmp_path), "key")
    old, new = tmp_path / ".key.aa.tmp", tmp_path / ".key.bb.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert store.read() is None
    assert (old.exists(), new.exists()) == (False, True)


def test_a_store_that_refuses_costs_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    Checkpoints(str(tmp_path / "file"), "key").write(saved())
    assert "was not written" in caplog.text


def test_a_store_that_cannot_be_asked_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(fsspec.AbstractFileSystem):
        protocol = "broken"

        def cat_file(self, *_: object, **__: object) -> bytes:
            raise PermissionError("access denied")

    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(TrainingError, match=r"access denied.*PHOTOQUAL_CHECKPOINTS"):
        Checkpoints("broken://bucket/path", "key").read()
    with pytest.raises(TrainingError, match="nosuch"):
        Checkpoints("nosuch://bucket", "key")


def test_the_name_follows_the_inputs(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 30)
    name = digest(layout, make_params())
    assert digest(layout, make_params()) == name
    assert digest(layout, make_params(**{"train.checkpoint_seconds": 1.0, "train.cache_megabytes": 5})) == name
    assert digest(layout, make_params(**{"evaluate.grid_photos": 3})) == name
    others = {
        digest(layout, make_params(**change))
        for change in ({"train.seed": 8}, {"model.head": "softmax"}, {"train.optimizer": {"name": "sgd"}})
    }
    assert len(others | {name}) == 4
    import pyarrow.parquet as pq

    rows = pq.read_table(layout.splits).to_pandas()
    write_splits(layout.splits, rows.assign(good=1 - rows["good"]))
    turned = digest(layout, make_params())
    (layout.photos / "made/2026-12").mkdir()
    (layout.photos / "made/2026-12/00000.parquet").write_bytes(b"more photos")
    assert len({turned, digest(layout, make_params())} | others | {name}) == 6


def test_the_name_follows_the_content_of_pretrained_weights(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file may be named from the home folder, and is read wherever it is named."""
    layout, weights = make_project(tmp_path, 30), tmp_path / "mine.h5"
    monkeypatch.setenv("HOME", str(tmp_path))
    pretrained = make_params(**{"model.kind": "transfer", "model.backbone.weights": "~/mine.h5"})
    other_kind = make_params(**{"model.backbone.weights": "~/mine.h5"})
    names, of_others = [digest(layout, pretrained)], [digest(layout, other_kind)]
    for content in (b"one", b"two"):
        weights.write_bytes(content)
        names.append(digest(layout, pretrained))
        of_others.append(digest(layout, other_kind))
    assert len(set(names)) == 3
    assert len(set(of_others)) == 1
    assert weights_file(pretrained.model.backbone) == weights


def test_the_name_follows_the_package_of_imagenet_weights(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, params = make_project(tmp_path, 30), make_params(**{"model.kind": "transfer"})
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / VARIANTS["efficientnet_lite0"].package / "models/any.pth"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("")
    names = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        names.append(digest(layout, params))
    assert len(set(names)) == 2
    assert weights_file(params.model.backbone) == file


@pytest.fixture
def mlflow_store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


def test_a_killed_training_goes_on_in_the_same_run(
    tmp_path: Path, make_params: MakeParams, mlflow_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    store, params = Checkpoints(str(tmp_path), "key"), make_params()

    def spoil(epoch: int, number: int, batch: feed.Batch) -> feed.Batch:
        if (epoch, number) == (3, 2):
            raise Killed
        return batch

    model = a_model()
    with pytest.raises(Killed), tracked(params, "key") as tracker:
        fit(model, a_course(model, spoil), PARAMS, store, tracker)
    model = a_model()
    with tracked(params, "key") as tracker:
        fit(model, a_course(model), PARAMS, store, tracker)
        time.sleep(0.5)
    client = MlflowClient(mlflow_store)
    experiment = client.get_experiment_by_name("photoqual-training")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "validation_auc")] == [1, 2, 3, 4]
    assert {"loss", "validation_loss", "learning_rate", "system/cpu_utilization_percentage"} <= set(run.data.metrics)
    assert run.data.params["train.optimizer.learning_rate"] == "0.001"
    assert run.data.params["model.kind"] == "gap_cnn"


def test_system_metrics_end_when_mlflow_was_left_alone(
    make_params: MakeParams, mlflow_store: str, caplog: pytest.LogCaptureFixture
) -> None:
    def at_work() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"]

    with tracked(make_params(), "key") as tracker:
        tracker.start()
        with sqlite3.connect(mlflow_store.removeprefix("sqlite:///")) as database:
            database.execute("DROP TABLE latest_metrics")
        tracker.epoch(Epoch(1, 0.5, 0.5, 0.5, 0.5, 1.0, 0.1))
        assert "MLflow is not told of this training any more" in caplog.text
        assert at_work()
    assert not at_work()


def test_a_registry_that_cannot_be_reached_is_a_warning(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://name:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    model = a_model()
    with tracked(make_params(), "key") as tracker:
        state = fit(model, a_course(model), PARAMS, Checkpoints(str(tmp_path), "key"), tracker)
    assert len(state.epochs) == PARAMS.epochs
    assert caplog.text.count("MLflow is not told of this training any more") == 1
    assert "secret" not in caplog.text


def test_tensorboard_gets_the_figures_of_each_epoch(
    tmp_path: Path, make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PHOTOQUAL_TENSORBOARD", str(tmp_path / "events"))
    model = a_model()
    with tracked(make_params(), "key") as tracker:
        fit(model, a_course(model), PARAMS, Checkpoints(str(tmp_path), "key"), tracker)
    (file,) = (tmp_path / "events").rglob("*tfevents*")
    told: dict[str, list[int]] = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            told.setdefault(value.tag, []).append(event.step)
    assert told["validation_auc"] == told["loss"] == [1, 2, 3, 4]


def test_the_address_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOQUAL_CHECKPOINTS", "s3://bucket/path")
    assert checkpoints.address() == "s3://bucket/path"
    monkeypatch.setenv("PHOTOQUAL_CHECKPOINTS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert checkpoints.address() == "/cache/photoqual/checkpoints"
    assert json.dumps(saved().state)

"""A training's checkpoint in an S3 store: found by the next process, gone on from, removed at the end."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from photoqual.errors import TrainingError
from photoqual.training import checkpoints
from photoqual.training.checkpoints import SUFFIX, Checkpoints
from tests.model.test_checkpoints import BATCHES, Killed, fitted, saved
from tests.object_store import ObjectStore, object_store

PLACE = "s3://trainings/of ours"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store(tmp_path_factory.mktemp("weed")) as store:
        store.owner.create_bucket(Bucket="trainings")
        yield store


@pytest.fixture
def store(running: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The store, as the variables of a worker name it."""
    from s3fs import S3FileSystem

    given = {**running.environment, "AWS_ENDPOINT_URL": running.endpoint_url, "PHOTOQUAL_CHECKPOINTS": PLACE}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    yield running
    S3FileSystem.clear_instance_cache()


def held(store: ObjectStore) -> list[str]:
    return [item["Key"] for item in store.owner.list_objects_v2(Bucket="trainings").get("Contents", ())]


def test_a_checkpoint_is_kept_in_a_store_replaced_and_removed(
    store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    place = checkpoints.address()
    here = Checkpoints(place, "key")
    assert here.read() is None
    for value in (1.0, 2.0):
        here.write(saved(value))
    assert held(store) == [f"of ours/key{SUFFIX}"]
    again = Checkpoints(place, "key").read()
    assert again is not None
    np.testing.assert_array_equal(again.arrays["weights"], np.full(2000, 2.0))
    assert Checkpoints(place, "other").read() is None
    assert "1 checkpoint(s)" in caplog.text
    data = store.owner.get_object(Bucket="trainings", Key=held(store)[0])["Body"].read()
    store.owner.put_object(Bucket="trainings", Key=held(store)[0], Body=data[:-100])
    assert here.read() is None
    assert "damaged" in caplog.text
    here.remove()
    here.remove()
    assert held(store) == []


def test_a_killed_training_goes_on_from_the_store(store: ObjectStore) -> None:
    place = checkpoints.address()
    with pytest.raises(Killed):
        fitted(Checkpoints(place, "training"), kill_at=BATCHES + 3)
    kept = Checkpoints(place, "training").read()
    assert kept is not None
    assert (kept.state["epoch"], kept.state["batch"]) == (2, 3)
    _, state = fitted(Checkpoints(place, "training"))
    assert [epoch.epoch for epoch in state.epochs] == [1, 2, 3, 4]
    assert state.epochs[0].loss == pytest.approx(kept.state["epochs"][0]["loss"])


def test_a_store_without_the_bucket_or_the_right_keys_is_an_error_at_the_start_and_a_warning_later(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from s3fs import S3FileSystem

    Checkpoints("s3://nowhere/x", "key").write(saved())
    assert "was not written" in caplog.text
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    S3FileSystem.clear_instance_cache()
    with pytest.raises(TrainingError, match=r"cannot be read.*credentials of the store") as problem:
        Checkpoints(checkpoints.address(), "key").read()
    assert "wrong" not in str(problem.value)

"""Training: every rung learns what can be learned, its two files agree, and nothing half-written is left."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from photoqual.config import Params
from photoqual.errors import FrozenTestLeak, MissingData, ModelError, TooFewPhotos, TrainingError
from photoqual.labels.splits import read_frozen, write_splits
from photoqual.models.agreement import disagreement
from photoqual.models.info import AGREEMENT, read_info
from photoqual.models.keras_files import load_keras
from photoqual.models.scorer import Scorer
from photoqual.training.calibrate import apply, platt, sure_margin
from photoqual.training.curve import moving_average
from photoqual.training.inputs import batches, decode, epoch_order
from photoqual.training.train import train
from tests.model.project import frozen_pixels, make_project

MakeParams = Callable[..., Params]
SMALL = {
    "model.image_width": 64,
    "train.epochs": 4,
    "train.batch_size": 8,
    "train.patience": 3,
    "train.optimizer.learning_rate": 0.003,
}


@pytest.mark.parametrize("kind", ["logistic", "gap_cnn"])
def test_every_rung_learns_and_its_files_agree(tmp_path: Path, make_params: MakeParams, kind: str) -> None:
    layout = make_project(tmp_path)
    summary = train(layout, make_params(**SMALL, **{"model.kind": kind}))
    pixels, good = frozen_pixels(layout, 64)
    assert roc_auc_score(good, Scorer.load(layout.challenger).score(pixels)) > 0.9
    assert disagreement(layout.challenger, pixels) <= AGREEMENT
    history = pd.read_csv(layout.challenger / "history.csv")
    assert len(history) == summary["epochs"]
    assert history["validation_auc"].max() == pytest.approx(summary["validation_auc"])
    assert {path.name for path in layout.challenger.iterdir()} == {
        "model.keras",
        "model.onnx",
        "model.json",
        "history.csv",
        "curve.png",
        "trained_on.parquet",
    }
    trained_on = set(pq.read_table(layout.challenger / "trained_on.parquet")["photo_id"].to_pylist())
    assert not trained_on & set(read_frozen(layout.frozen_test)["photo_id"])


def test_parameters_are_the_published_number(make_params: MakeParams) -> None:
    from photoqual.models import gap_cnn

    trained = sum(int(np.prod(weight.shape)) for weight in gap_cnn.build(1).trainable_weights)
    one_more_neuron = 65
    assert trained + one_more_neuron == 47_266


def test_same_seed_same_scores(tmp_path: Path, make_params: MakeParams) -> None:
    scores = []
    for _ in range(2):
        layout = make_project(tmp_path, 60)
        train(layout, make_params(**{**SMALL, "train.epochs": 1}))
        scores.append(Scorer.load(layout.challenger).score(frozen_pixels(layout, 64)[0]))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)


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


def test_model_files_that_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(ModelError, match="cannot be loaded safely"):
        load_keras(tmp_path / "model.keras")
    with pytest.raises(ModelError, match="not a model folder"):
        read_info(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "gap_cnn"}')
    with pytest.raises(ModelError, match="not of this version"):
        Scorer.load(tmp_path)


def test_batches_hold_one_shape_and_lose_no_photo(tmp_path: Path) -> None:
    layout = make_project(tmp_path, 30)
    rows = pq.read_table(layout.splits).to_pandas()
    photos = decode(layout.photos, rows, 64, tmp_path / "scratch")
    cut = batches(np.arange(len(photos)), photos.shapes, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(cut).tolist()) == list(range(30))
    assert all(len({photos.shapes[index] for index in batch}) == 1 for batch in cut)
    assert all(photos.batch(batch).shape[1:3] == photos.shapes[batch[0]] for batch in cut)
    brightness = [photos.pixels(index).mean() for index in range(30)]
    assert np.mean(np.array(brightness)[photos.good == 1]) > 1.5 * np.mean(np.array(brightness)[photos.good == 0])


def test_oversampling_evens_the_classes_and_shows_every_photo() -> None:
    good = np.array([1] * 3 + [0] * 9)
    order = epoch_order(good, True, np.random.default_rng(1))
    assert np.bincount(good[order]).tolist() == [9, 9]
    assert set(order) == set(range(12))
    assert sorted(epoch_order(good, False, np.random.default_rng(1))) == list(range(12))


def test_moving_average_looks_back_only() -> None:
    np.testing.assert_allclose(moving_average([1, 2, 3, 4], window=2), [1, 1.5, 2.5, 3.5])


def test_platt_scaling_undoes_a_shift_and_keeps_the_order() -> None:
    draw = np.random.default_rng(3)
    logits = draw.normal(size=4000) * 2
    good = (draw.random(4000) < 1 / (1 + np.exp(-logits))).astype(int)
    skewed = 1 / (1 + np.exp(-(logits * 3 + 2)))
    mended = apply(skewed, *platt(good, skewed))
    assert np.abs(mended - 1 / (1 + np.exp(-logits))).mean() < 0.05
    assert (np.diff(mended[np.argsort(skewed)]) >= 0).all()


def test_sure_margin_keeps_the_stated_error_rate() -> None:
    draw = np.random.default_rng(4)
    scores = draw.random(2000)
    good = (draw.random(2000) < scores).astype(int)
    margin = sure_margin(good, scores, 0.5)
    assert margin is not None
    sure = np.abs(scores - 0.5) >= margin
    assert 0.05 < ((scores >= 0.5) != (good == 1))[sure].mean() <= 0.1
    assert sure_margin(good, np.full(2000, 0.5), 0.5) is None

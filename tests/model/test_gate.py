"""The gate: photos of other kinds are told by their features, those of the same kind pass, and its file is checked."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from photoqual.errors import ModelError, TrainingError
from photoqual.models.gate import GATE, Gate, fit_gate


def features(photos: int, seed: int, *, size: int = 300, moved: float = 0.0, noise: float = 0.3) -> np.ndarray:
    """Return features (photos, size) of one kind: five causes behind them all, and noise. `moved` shifts the first
    cause, more `noise` leaves the space of the causes.
    """
    mixing = np.random.default_rng(0).normal(size=(5, size))
    draw = np.random.default_rng(seed)
    causes = draw.normal(size=(photos, 5))
    causes[:, 0] += moved
    return np.maximum(causes @ mixing + noise * draw.normal(size=(photos, size)), 0).astype(np.float32)


def test_one_of_a_hundred_photos_of_the_same_kind_is_unfamiliar_and_nearly_all_of_another_kind() -> None:
    gate = fit_gate(features(800, 1), features(500, 2))
    assert 0.002 <= gate.unfamiliar(features(500, 2)).mean() <= 0.012
    assert gate.unfamiliar(features(4000, 3)).mean() < 0.03
    assert gate.unfamiliar(features(200, 4, noise=1.0)).mean() > 0.95, "out of the space of the training photos"
    assert gate.unfamiliar(features(200, 5, moved=8)).mean() > 0.95, "within it, but far away"
    np.testing.assert_array_equal(gate.unfamiliar(np.array([[np.nan] * 300, [np.inf] * 300], np.float32)), True)
    assert gate.unfamiliar(np.empty((0, 300), np.float32)).shape == (0,)


@pytest.mark.parametrize(("train", "validation"), [(1, 1), (2, 2), (5, 30), (60, 20)])
def test_few_photos_make_a_wary_gate(train: int, validation: int) -> None:
    held = features(validation, 2)
    gate = fit_gate(features(train, 1), held)
    assert not gate.unfamiliar(held).any()
    assert gate.unfamiliar(features(500, 3)).mean() < 0.2


def test_a_feature_that_never_moves_is_harmless() -> None:
    train, held = features(200, 1), features(120, 2)
    train[:, 7], held[:, 7] = 3.0, 3.0
    assert np.isfinite(fit_gate(train, held).distance(held)).all()
    constant = np.ones((50, 40), np.float32)
    assert not fit_gate(constant, constant).unfamiliar(constant).any()


def test_the_file_gives_the_same_answers_is_small_and_needs_no_pickle(tmp_path: Path) -> None:
    many = np.random.default_rng(0).random((40, 20_544)).astype(np.float32)
    gate = fit_gate(np.tile(many, (4, 1)), many)
    gate.save(tmp_path)
    assert (tmp_path / GATE).stat().st_size < 3e6
    loaded = Gate.load(tmp_path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.distance(many), gate.distance(many))
    assert Gate.load(tmp_path / "none") is None


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 truncated", {"mean": np.zeros(3)}, {"mean": np.array([{"a": 1}])}, "other shapes"]
)
def test_a_file_that_is_no_gate_is_a_clear_error(tmp_path: Path, content: object) -> None:
    if isinstance(content, bytes):
        (tmp_path / GATE).write_bytes(content)
    elif isinstance(content, dict):
        np.savez(tmp_path / GATE, **content)
    else:
        gate = fit_gate(features(40, 1), features(40, 2))
        Gate(gate.mean[:-1], gate.scale, gate.directions, gate.precision, gate.usual, gate.threshold).save(tmp_path)
    with pytest.raises(ModelError, match=r"not a gate of this version.*Train the model again"):
        Gate.load(tmp_path)


def test_many_photos_are_sampled_and_looked_at_in_parts() -> None:
    train, held = features(6000, 1, size=40), features(12_000, 2, size=40)
    gate = fit_gate(train, held)
    assert 0.004 <= gate.unfamiliar(held).mean() <= 0.02
    alone = np.concatenate([gate.distance(held[index : index + 1]) for index in range(0, 1200, 100)])
    np.testing.assert_allclose(gate.distance(held[:1200])[::100], alone, rtol=1e-3, atol=1e-3)
    tracemalloc.start()
    fit_gate(np.tile(train[:300], (1, 100)), np.tile(held[:5000], (1, 100)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5000 * 4000 * 4 * 2.5, "the features themselves and a part of them, with nothing of their size beside"


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(TrainingError, match="no finite numbers"):
        fit_gate(np.full((20, 5), np.nan, np.float32), features(20, 1, size=5))
    with pytest.raises(TrainingError, match="0 photos"):
        fit_gate(features(20, 1), np.empty((0, 300), np.float32))


@pytest.mark.skipif("PHOTOQUAL_BENCH_DATA" not in os.environ, reason="needs the photos of PHOTOQUAL_BENCH_DATA")
def test_real_photos_pass_and_screens_noise_and_text_do_not() -> None:
    """Features are simple statistics of the picture here, so that no backbone is needed; figures with Lite0 are in
    docs/how-to/ratings.md.
    """
    from PIL import Image

    paths = sorted(Path(os.environ["PHOTOQUAL_BENCH_DATA"], "blur").glob("*/*.jpg"))[:200]
    photos = np.stack([statistics(np.asarray(Image.open(path).convert("RGB"))) for path in paths])
    gate = fit_gate(photos[0::2], photos[1::2])
    draw = np.random.default_rng(1)
    noise = np.stack([statistics(draw.integers(0, 256, (320, 320, 3), dtype=np.uint8)) for _ in range(10)])
    page = np.full((320, 320, 3), 250, np.uint8)
    page[::12, 20:300] = 20
    assert gate.unfamiliar(np.vstack([noise, statistics(page)[None]])).all()
    assert gate.unfamiliar(photos).mean() < 0.1


def statistics(pixels: np.ndarray) -> np.ndarray:
    """Return 24 features: quantiles of luma, of its gradients across and down, and of their products of scale 4."""
    luma = pixels.mean(axis=2)
    coarse = luma[: len(luma) // 4 * 4, : luma.shape[1] // 4 * 4].reshape(len(luma) // 4, 4, -1, 4).mean(axis=(1, 3))
    seen = [luma, np.abs(np.diff(luma, axis=0)), np.abs(np.diff(luma, axis=1)), np.abs(np.diff(coarse, axis=1))]
    return np.concatenate([np.quantile(part, [0.05, 0.25, 0.5, 0.75, 0.95, 1.0]) for part in seen]).astype(np.float32)

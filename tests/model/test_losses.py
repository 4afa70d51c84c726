"""Losses and optimizers against numbers worked out by hand."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from photoqual.config import ModelParams, OptimizerParams, TrainParams
from photoqual.errors import ConfigError
from photoqual.models.keras_files import quiet_keras
from photoqual.training import losses, optimizers

LOGIT_80 = float(np.log(4))
"""The logit of 0.8."""


@pytest.mark.parametrize(
    ("loss", "targets", "outputs", "expected"),
    [
        (losses.cross_entropy, [[1.0]], [[LOGIT_80]], -np.log(0.8)),
        (losses.cross_entropy, [[1.0, 0.0]], [[LOGIT_80, LOGIT_80]], -(np.log(0.8) + np.log(0.2)) / 2),
        (losses.cross_entropy, [[1.0]], [[-1000.0]], 1000.0),
        (losses.focal, [[1.0]], [[LOGIT_80]], -(0.2**2) * np.log(0.8)),
        (losses.focal, [[0.0]], [[LOGIT_80]], -(0.8**2) * np.log(0.2)),
        (losses.softmax_cross_entropy, [[0.0, 1.0]], [[0.0, LOGIT_80]], -np.log(0.8)),
        (losses.softmax_focal, [[1.0, 0.0]], [[0.0, LOGIT_80]], -(0.8**2) * np.log(0.2)),
        (losses.squared_error, [[0.75]], [[0.25]], 0.25),
        # all mass one bin to the right: cumulative shares differ by 1 in one bin of four
        (losses.earth_movers, [[0, 1.0, 0, 0]], [[-99.0, -99.0, 99.0, -99.0]], 1 / 4),
        # two bins to the right costs twice as much, where cross entropy could not tell
        (losses.earth_movers, [[0, 1.0, 0, 0]], [[-99.0, -99.0, -99.0, 99.0]], 2 / 4),
        (losses.earth_movers, [[0.5, 0.5]], [[7.0, 7.0]], 0.0),
    ],
)
def test_loss_of_one_photo(loss: Any, targets: Any, outputs: Any, expected: float) -> None:
    found = np.asarray(loss(np.array(targets, np.float32), np.array(outputs, np.float32)))
    np.testing.assert_allclose(found, [expected], rtol=1e-5, atol=1e-6)


def total(weights: dict[str, list[float]]) -> float:
    of_heads = losses.losses_of(["binary", "linear"], TrainParams())
    targets = {"binary": np.array([[1.0], [0.0]]), "linear": np.array([[1.0], [0.0]])}
    outputs = {"binary": np.array([[LOGIT_80], [LOGIT_80]]), "linear": np.array([[0.5], [0.0]])}
    return float(losses.total(of_heads, targets, outputs, {head: np.array(value) for head, value in weights.items()}))


@pytest.mark.parametrize(
    ("binary", "linear", "expected"),
    [
        ([1, 1], [1, 1], -(np.log(0.8) + np.log(0.2)) / 2 + 0.125),
        ([1, 0], [1, 0], -np.log(0.8) + 0.25),  # averaged over the photo that has a label
        ([1, 1], [0, 0], -(np.log(0.8) + np.log(0.2)) / 2),  # no label at all: nothing, never NaN
        ([0, 0], [0, 0], 0.0),
        ([2, 2], [0, 0], -(np.log(0.8) + np.log(0.2))),  # weights count, even when equal within a batch
    ],
)
def test_labels_may_be_missing_per_head(binary: list[float], linear: list[float], expected: float) -> None:
    assert total({"binary": binary, "linear": linear}) == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_focal_wants_a_head_that_has_it() -> None:
    focal = TrainParams(loss="focal")
    assert losses.losses_of(["binary", "linear"], focal) == {
        "binary": losses.focal,
        "linear": losses.squared_error,
    }
    with pytest.raises(ConfigError, match="no meaning for head ordinal"):
        losses.losses_of(["ordinal"], focal)


@pytest.mark.parametrize(
    ("options", "rates"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"warmup": 0.2}, [0.5, 1, 1, 1, 1]),
        ({"schedule": "cosine"}, [1, 0.5 + 0.5 * np.cos(0.1 * np.pi), 0.5, 0.5 + 0.5 * np.cos(0.9 * np.pi), 0]),
        ({"schedule": "cosine", "warmup": 0.2}, [0.5, 1, 0.5 + 0.5 * np.cos(np.pi * 3 / 8), None, 0]),
    ],
)
def test_the_rate_over_ten_steps(options: dict[str, Any], rates: list[float | None]) -> None:
    params = OptimizerParams(learning_rate=0.01, **options)
    ops = quiet_keras().ops
    for step, rate in zip([0, 1, 5, 9, 10], rates, strict=True):
        if rate is not None:
            assert optimizers.learning_rate(params, 10, step) == pytest.approx(0.01 * rate, abs=1e-9)
            graph = optimizers.learning_rate(params, 10, ops.convert_to_tensor(float(step)), ops)
            assert float(graph) == pytest.approx(0.01 * rate, abs=1e-8)


def stepped(params: OptimizerParams, gradients: list[list[float]], start: list[float]) -> np.ndarray:
    """Return the weights after one step per gradient."""
    keras = quiet_keras()
    weights = keras.Variable(np.array(start, np.float32), name="kernel")
    optimizer = optimizers.make(params, len(gradients))
    optimizer.build([weights])
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(np.array(gradient, np.float32))], [weights])
    return np.asarray(keras.ops.convert_to_numpy(weights))


@pytest.mark.parametrize(
    ("options", "gradients", "expected"),
    [
        # SGD 1e-4 with momentum 0.9 and gradients clipped at 0.5: the second step goes 1.9 times as far
        (
            {"name": "sgd", "learning_rate": 1e-4, "momentum": 0.9, "clip_value": 0.5},
            [[3.0, -4.0], [3.0, -4.0]],
            [1 - 1.45e-4, 1 + 1.45e-4],
        ),
        # the norm of all gradients together is 5 and becomes 0.5
        ({"name": "sgd", "learning_rate": 0.1, "momentum": 0.0, "clip_norm": 0.5}, [[3.0, -4.0]], [0.97, 1.04]),
        # a first step of Adam is the rate itself, whatever the gradient
        ({"name": "adam", "learning_rate": 0.1}, [[3.0, -4.0]], [0.9, 1.1]),
        # decay takes rate · decay · weight beside it
        ({"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.1}, [[3.0, -4.0]], [0.89, 1.09]),
        # rate · g / sqrt(0.1 g²)
        (
            {"name": "rmsprop", "learning_rate": 0.1, "momentum": 0.0},
            [[3.0, -4.0]],
            [1 - 0.1 / np.sqrt(0.1), 1 + 0.1 / np.sqrt(0.1)],
        ),
    ],
)
def test_first_steps_of_each_optimizer(
    options: dict[str, Any], gradients: list[list[float]], expected: list[float]
) -> None:
    np.testing.assert_allclose(stepped(OptimizerParams(**options), gradients, [1.0, 1.0]), expected, rtol=1e-5)


def test_offsets_are_not_decayed() -> None:
    keras = quiet_keras()
    optimizer = optimizers.make(OptimizerParams(name="adamw", learning_rate=0.1, weight_decay=0.5), 1)
    weights = [keras.Variable(np.ones(1, np.float32), name=name) for name in ("kernel", "bias")]
    optimizer.build(weights)
    optimizer.apply([keras.ops.zeros(1), keras.ops.zeros(1)], weights)
    assert [float(weight.numpy()[0]) for weight in weights] == pytest.approx([0.95, 1.0])


@pytest.mark.parametrize(
    "options", [{"clip_norm": 1.0, "clip_value": 1.0}, {"name": "sgd", "weight_decay": 0.1}, {"weight_decay": 0.1}]
)
def test_settings_that_exclude_one_another(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"train\.optimizer"):
        optimizers.make(OptimizerParams(**options), 1)


def test_the_examples_of_the_page_can_be_trained(project_root: Path) -> None:
    page = (project_root / "docs/how-to/training.md").read_text()
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    assert len(examples) == 4
    for example in examples:
        ModelParams.model_validate(example["model"])
        made = optimizers.make(TrainParams.model_validate(example["train"]).optimizer, 100)
        assert type(made).__name__.lower() == example["train"]["optimizer"]["name"]
    published = optimizers.make(TrainParams.model_validate(examples[1]["train"]).optimizer, 100)
    assert (float(published.learning_rate), published.momentum, published.clipvalue) == (pytest.approx(1e-4), 0.9, 0.5)

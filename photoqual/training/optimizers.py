"""Optimizers of Keras from params, and the learning rate over all steps of a training."""

from typing import Any

import numpy as np

from photoqual.config import OptimizerParams
from photoqual.errors import ConfigError
from photoqual.models.keras_files import quiet_keras

_NOT_DECAYED = (r"\bbias\b", r"\bgamma\b", r"\bbeta\b", r"\bfirst\b", r"\bsteps\b")
"""Patterns of the names of weights that adamw's decay leaves alone: offsets, norms, thresholds."""


def learning_rate(params: OptimizerParams, steps: int, step: Any, ops: Any = np) -> Any:
    """Return the rate of step number `step` of `steps`, from 0: a linear rise over the share `warmup`, then constant or
    half a cosine down to nothing. `ops`: the module to compute with, numpy or keras.ops.
    """
    rise = round(params.warmup * steps)
    peak = params.learning_rate
    warming = (step + 1) / max(1, rise)
    if params.schedule == "constant":
        return peak * ops.minimum(warming, 1.0) if rise else peak * (0 * step + 1.0)
    progress = ops.clip((step - rise) / max(1, steps - rise), 0.0, 1.0)
    return peak * ops.minimum(warming if rise else 1.0, 0.5 * (1 + ops.cos(np.pi * progress)))


def make(params: OptimizerParams, steps: int) -> Any:
    """Return a new optimizer whose schedule spans `steps`; a restored one goes on where its own count of steps is.

    Raise ConfigError for settings that exclude one another.
    """
    check(params)
    optimizers = quiet_keras().optimizers
    scheduled = params.schedule != "constant" or params.warmup > 0
    rate = _schedule(params, steps) if scheduled else params.learning_rate
    clip = {"global_clipnorm": params.clip_norm, "clipvalue": params.clip_value}
    match params.name:
        case "adam":
            return optimizers.Adam(rate, **clip)
        case "adamw":
            optimizer = optimizers.AdamW(rate, weight_decay=params.weight_decay, **clip)
            optimizer.exclude_from_weight_decay(var_names=list(_NOT_DECAYED))
            return optimizer
        case "sgd":
            return optimizers.SGD(rate, momentum=params.momentum, **clip)
        case "rmsprop":
            return optimizers.RMSprop(rate, momentum=params.momentum, **clip)


def check(params: OptimizerParams) -> None:
    """Raise ConfigError for settings that exclude one another."""
    if params.clip_norm and params.clip_value:
        raise ConfigError(
            "train.optimizer has both clip_norm and clip_value.", next_step="Keep one of them; the other: null."
        )
    if params.weight_decay and params.name != "adamw":
        raise ConfigError(
            f"train.optimizer.weight_decay is that of adamw, and the optimizer is {params.name}.",
            next_step="Set train.optimizer.name to adamw, or weight_decay to 0.",
        )


def _schedule(params: OptimizerParams, steps: int) -> Any:
    keras = quiet_keras()
    base: Any = keras.optimizers.schedules.LearningRateSchedule

    class Schedule(base):
        def __call__(self, step: Any) -> Any:
            ops = keras.ops
            return ops.cast(learning_rate(params, steps, ops.cast(step, "float32"), ops), "float32")

        def get_config(self) -> dict[str, Any]:
            return {**params.model_dump(), "steps": steps}

    return Schedule()

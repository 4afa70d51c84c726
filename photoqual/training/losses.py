"""Losses of the heads: functions of targets (batch, units) and raw outputs (batch, units) to one number per photo.

They are written in operations of Keras, so every backend computes them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from photoqual.config import TrainParams
from photoqual.errors import ConfigError
from photoqual.models.heads import BINARY, DEFECTS, DISTRIBUTION, LINEAR, ORDINAL, SOFTMAX
from photoqual.models.keras_files import quiet_keras

FOCUS = 2.0
"""Exponent of the focal loss: how fast photos that are already told apart lose their say."""

Loss = Callable[[Any, Any], Any]


def cross_entropy(targets: Any, logits: Any) -> Any:
    """Return the binary cross entropy, averaged over the units; for ordinal logits P(level > k) the cumulative one."""
    ops = quiet_keras().ops
    return ops.mean(_binary_terms(targets, logits), axis=-1)


def focal(targets: Any, logits: Any) -> Any:
    """Return cross entropy times (1 − probability of the truth)^2 per unit. Source: Lin et al. 2017, without α."""
    ops = quiet_keras().ops
    terms = _binary_terms(targets, logits)
    missed = ops.abs(targets - ops.sigmoid(logits))
    return ops.mean(missed**FOCUS * terms, axis=-1)


def softmax_cross_entropy(targets: Any, logits: Any) -> Any:
    """Return the cross entropy of classes that exclude one another."""
    ops = quiet_keras().ops
    return -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1)


def softmax_focal(targets: Any, logits: Any) -> Any:
    """Return the focal loss of classes that exclude one another."""
    ops = quiet_keras().ops
    logs = ops.log_softmax(logits, axis=-1)
    return -ops.sum((1 - ops.exp(logs)) ** FOCUS * targets * logs, axis=-1)


def squared_error(targets: Any, values: Any) -> Any:
    """Return the squared difference, averaged over the units."""
    ops = quiet_keras().ops
    return ops.mean((targets - values) ** 2, axis=-1)


def earth_movers(targets: Any, logits: Any) -> Any:
    """Return the mean squared difference of the cumulative shares of two distributions over ordered bins.

    The distance of NIMA (Talebi and Milanfar 2018) with r = 2, without its root, whose slope at 0 is infinite.
    """
    ops = quiet_keras().ops
    apart = ops.cumsum(targets, axis=-1) - ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    return ops.mean(apart**2, axis=-1)


_CROSS_ENTROPY: dict[str, Loss] = {
    BINARY: cross_entropy,
    SOFTMAX: softmax_cross_entropy,
    LINEAR: squared_error,
    ORDINAL: cross_entropy,
    DISTRIBUTION: earth_movers,
    DEFECTS: cross_entropy,
}
_FOCAL: dict[str, Loss] = {BINARY: focal, SOFTMAX: softmax_focal, DEFECTS: focal}


def losses_of(heads: Sequence[str], params: TrainParams) -> dict[str, Loss]:
    """Return the loss of each head. Raise ConfigError when `train.loss` is focal and no head has a focal loss."""
    if params.loss == "focal" and not set(heads) & set(_FOCAL):
        raise ConfigError(
            f"train.loss: focal has no meaning for head {', '.join(heads)}.",
            next_step=f"Heads with a focal loss: {', '.join(_FOCAL)}. Set train.loss to cross_entropy for others.",
        )
    focused = _FOCAL if params.loss == "focal" else {}
    return {head: focused.get(head, _CROSS_ENTROPY[head]) for head in heads}


def total(losses: Mapping[str, Loss], targets: Mapping[str, Any], outputs: Mapping[str, Any], weights: Any) -> Any:
    """Return the sum over the heads of the weighted loss per photo that has a label; 0 for a head without any."""
    ops = quiet_keras().ops
    summed: Any = 0.0
    for head, loss in losses.items():
        weight = ops.cast(weights[head], "float32")
        labelled = ops.sum(ops.cast(weight > 0, "float32"))
        per_photo = loss(ops.cast(targets[head], "float32"), ops.cast(outputs[head], "float32"))
        summed = summed + ops.sum(weight * per_photo) / ops.maximum(labelled, 1.0)
    return summed


def _binary_terms(targets: Any, logits: Any) -> Any:
    ops = quiet_keras().ops
    return ops.maximum(logits, 0) - logits * targets + ops.log1p(ops.exp(-ops.abs(logits)))

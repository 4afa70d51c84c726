"""Heads: what a network answers, from its features. Each gives a raw output to train on and evidence to rate with.

Evidence is one real number per photo that grows with how good it is; calibration turns it into a probability. The raw
outputs are logits, but for `linear`, which is the value itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual.models import layers
from photoqual.models.keras_files import quiet_keras

if TYPE_CHECKING:
    from keras import KerasTensor

BINARY, SOFTMAX, LINEAR, ORDINAL = "binary", "softmax", "linear", "ordinal"
DISTRIBUTION, DEFECTS, SEVERAL = "distribution", "defects", "several"
FEATURES, EVIDENCE, SCORE = "features", "evidence", "score"


@dataclass(frozen=True)
class Answers:
    """What there is to answer: names of defects, bins of a vote distribution, levels of an ordinal label."""

    defects: tuple[str, ...] = ()
    bins: int = 5
    levels: int = 5


@dataclass(frozen=True)
class Raw:
    """A head on features: `output` (batch, units) to train on, `evidence` (batch, 1), and `shown`, what a rating tells
    of it beside the score: probabilities, or None.
    """

    output: "KerasTensor"
    evidence: "KerasTensor"
    shown: "KerasTensor | None" = None


Attach = Callable[["KerasTensor", Answers, Callable[[int, str], Any]], Raw]
"""Features, what to answer, and a function (units, name) that makes a dense layer; gives the head."""


def binary(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """Good or bad: one logit."""
    logit = dense(1, BINARY)(features)
    return Raw(logit, logit)


def softmax(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """Good or bad by two neurons; the evidence is their difference."""
    logits = dense(2, SOFTMAX)(features)
    return Raw(logits, logits[:, 1:2] - logits[:, 0:1])


def linear(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """Regression on the stars, scaled to 0 to 1."""
    value = dense(1, LINEAR)(features)
    return Raw(value, (value - 0.5) * 8.0)


def ordinal(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """Cumulative link: one latent value against rising thresholds; logits of P(level > k), (batch, levels − 1).
    Source: McCullagh 1980.
    """
    latent = dense(1, ORDINAL)(features)
    logits = layers.cumulative_link()(answers.levels - 1, name="thresholds")(latent)
    return Raw(logits, quiet_keras().ops.mean(logits, axis=1, keepdims=True))


def distribution(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """Shares of the votes by bin; the evidence follows their mean. Source: NIMA, Talebi and Milanfar 2018."""
    ops = quiet_keras().ops
    logits = dense(answers.bins, DISTRIBUTION)(features)
    shares = ops.softmax(logits, axis=-1)
    places = np.linspace(-4, 4, answers.bins, dtype=np.float32)[None]
    return Raw(logits, ops.sum(shares * places, axis=1, keepdims=True), shares)


def defects(features: "KerasTensor", answers: Answers, dense: Callable[[int, str], Any]) -> Raw:
    """A logit per defect. The evidence is the log odds of none of them, were they to exclude one another."""
    ops = quiet_keras().ops
    logits = dense(len(answers.defects), DEFECTS)(features)
    return Raw(logits, -ops.logsumexp(logits, axis=-1, keepdims=True), ops.sigmoid(logits))


HEADS: dict[str, Attach] = {
    BINARY: binary,
    SOFTMAX: softmax,
    LINEAR: linear,
    ORDINAL: ordinal,
    DISTRIBUTION: distribution,
    DEFECTS: defects,
}


def names(head: str, several: Sequence[str]) -> tuple[str, ...]:
    """Return the heads that `model.head` stands for; the first of them rates."""
    return tuple(dict.fromkeys(several)) if head == SEVERAL else (head,)

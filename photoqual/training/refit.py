"""Train the heads of a frozen body once more, on training and validation photos together.

With few photos those that chose the best epoch are too many to leave untaught. How long to train is known by then;
what the validation photos say of the heads (their evidence, for calibration) has to be read before.
"""

import numpy as np

from photoqual.config import TrainParams
from photoqual.models.network import Network
from photoqual.training import feed
from photoqual.training.fit import learner
from photoqual.training.targets import Targets, class_factors


def refit(
    network: Network,
    first: list[np.ndarray],
    features: tuple[np.ndarray, np.ndarray],
    targets: tuple[Targets, Targets],
    good: np.ndarray,
    params: TrainParams,
    epochs: int,
) -> None:
    """Train `network.top` from its weights `first` for `epochs` epochs.

    `features` and `targets` are those of the training and of the validation photos, `good` (n,) is the label of both
    one after the other; under `params.class_weights` its classes count alike over both. The schedule runs as it would
    over all of `params.epochs`.
    """
    network.top.set_weights(first)
    together = targets[0].followed_by(targets[1]).scaled(class_factors(good, params))
    shapes = [0] * len(good)
    model = learner(network.top, params, params.epochs * len(feed.plan(good, shapes, params, 1)))
    for epoch in range(1, epochs + 1):
        for indices in feed.plan(good, shapes, params, epoch):
            told = together.of(indices)
            model.train_on_batch(rows_of(features, indices), told.values, told.weights)


def rows_of(parts: tuple[np.ndarray, np.ndarray], indices: np.ndarray) -> np.ndarray:
    """Return the rows `indices` (b,) of both `parts`, (n, d) and (m, d), as if one lay after the other: (b, d)."""
    first, second = parts
    rows = np.empty((len(indices), first.shape[1]), first.dtype)
    early = indices < len(first)
    rows[early], rows[~early] = first[indices[early]], second[indices[~early] - len(first)]
    return rows

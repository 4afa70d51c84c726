"""Train the heads of a frozen body once more, on training and validation photos together.

With few photos those that chose the best epoch are too many to leave untaught. How long to train is known by then;
what the validation photos say of the heads (their evidence, for calibration) has to be read before.
"""

import numpy as np

from photoqual.config import TrainParams
from photoqual.models.network import Network
from photoqual.training import feed
from photoqual.training.fit import learner
from photoqual.training.targets import Targets


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
    one after the other. The schedule runs as it would over all of `params.epochs`.
    """
    network.top.set_weights(first)
    rows, together = np.concatenate(features), targets[0].followed_by(targets[1])
    shapes = [0] * len(rows)
    model = learner(network.top, params, params.epochs * len(feed.plan(good, shapes, params, 1)))
    for epoch in range(1, epochs + 1):
        for indices in feed.plan(good, shapes, params, epoch):
            batch = feed.load_features(rows, together, indices)
            model.train_on_batch(batch.inputs, batch.targets, batch.weights)

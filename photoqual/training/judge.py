"""What a network answers for photos as it is now: features, evidence, and how good that is on validation photos."""

from collections.abc import Callable
from typing import Any

import numpy as np

from photoqual.config import TrainParams
from photoqual.models.keras_files import quiet_keras
from photoqual.models.network import Network
from photoqual.training import losses
from photoqual.training.feed import batches
from photoqual.training.inputs import DecodedPhotos
from photoqual.training.targets import Targets

_BATCH = 32
_ROWS = 2048
"""Rows of features that are answered for at once."""


def forward(model: Any) -> Callable[[np.ndarray], Any]:
    """Return a function from inputs to what `model` gives for them as arrays, with its weights as they are then."""
    keras = quiet_keras()
    inputs = keras.Input(model.input_shape[1:])
    same = keras.Model(inputs, model(inputs))  # of its own, so that no strategy or optimizer of `model` holds for it
    same.compile(jit_compile=False)

    def call(values: np.ndarray) -> Any:
        return same.predict_on_batch(values)

    return call


def features_now(
    call: Callable[[np.ndarray], Any], photos: DecodedPhotos, indices: np.ndarray | None = None
) -> np.ndarray:
    """Return the features (n, d) of `photos`, or of those at `indices`, by the body as it is now; nothing is kept.

    `call` is what `forward` gave for the body.
    """
    wanted = np.arange(len(photos)) if indices is None else indices
    table: np.ndarray | None = None
    for places in batches(np.arange(len(wanted)), [photos.shapes[int(index)] for index in wanted], _BATCH):
        given = np.asarray(call(photos.batch(wanted[places])), dtype=np.float32)
        if table is None:
            table = np.empty((len(wanted), given.shape[-1]), np.float32)
        table[places] = given
    return np.empty((0, 0), np.float32) if table is None else table


def evidence(network: Network, features: np.ndarray) -> np.ndarray:
    """Return the evidence for each photo with `features` (n, d), (n,)."""
    given = _in_parts(forward(network.answering), features)
    return np.asarray(given[0] if isinstance(given, list) else given, dtype=float).reshape(len(features))


class Judge:
    """Validation loss and AUC of a network; `features` gives the features of the validation photos at that time."""

    def __init__(
        self,
        network: Network,
        features: Callable[[], np.ndarray],
        targets: Targets,
        good: np.ndarray,
        params: TrainParams,
    ) -> None:
        self._features, self._targets, self._good = features, targets, good
        self._losses = losses.losses_of(network.heads, params)
        self._outputs, self._answers = forward(network.top), forward(network.answering)

    def __call__(self) -> tuple[float, float]:
        """Return (validation loss, AUC of the evidence against `good`); NaN for an AUC of evidence that is no number."""
        from sklearn.metrics import roc_auc_score

        features = self._features()
        outputs = _in_parts(self._outputs, features)
        loss = float(quiet_keras().ops.convert_to_numpy(self._total(outputs)))
        answers = _in_parts(self._answers, features)
        found = np.asarray(answers[0] if isinstance(answers, list) else answers).reshape(len(features))
        auc = float(roc_auc_score(self._good, found)) if np.isfinite(found).all() else float("nan")
        return loss, auc

    def _total(self, outputs: dict[str, np.ndarray]) -> Any:
        return losses.total(self._losses, self._targets.values, outputs, self._targets.weights)


def _in_parts(call: Callable[[np.ndarray], Any], rows: np.ndarray) -> Any:
    """Return what `call` gives for `rows`, asked a part at a time and put together."""
    tree = quiet_keras().tree
    parts = [call(np.asarray(rows[start : start + _ROWS])) for start in range(0, len(rows), _ROWS)]
    return tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)

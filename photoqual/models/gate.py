"""The gate: is a photo of the kind that a model was trained on? By the distance of its features; NumPy alone to ask.

Features are standardised, and two distances taken: within the space of the 32 main directions of the training photos
(Mahalanobis), and out of that space (length of what is left). Each counts in deviations of its logarithm over the
validation photos; the larger one decides. docs/how-to/ratings.md has what it lets through and what it does not.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from photoqual import files
from photoqual.errors import ModelError, TrainingError

GATE = "gate.npz"
UNFAMILIAR_SHARE = 0.01
"""Share of validation photos that are called unfamiliar."""
_DIRECTIONS = 32
_SAMPLE = 5000
_CHUNK = 512
"""Photos whose features are standardised together, so that memory does not grow with their number."""
_REACH = 6.0
"""Deviations at which a standardised feature is cut off."""
_LEAST_DEVIATION = 0.1
"""Least deviation of a feature, as a part of the median one: a feature that hardly ever moves must not decide alone."""
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Gate:
    """float32 arrays: `mean`, `scale` (d,) standardise features; `directions` (k, d) with `precision` (k, k) of the
    training photos along them; `usual` (2, 2): mean and deviation of the two log distances; `threshold` (1,).
    """

    mean: np.ndarray
    scale: np.ndarray
    directions: np.ndarray
    precision: np.ndarray
    usual: np.ndarray
    threshold: np.ndarray

    def unfamiliar(self, features: np.ndarray) -> np.ndarray:
        """Tell for `features` (n, d) whether each photo is of another kind than the model knows: (n,) bool."""
        return ~(self.distance(features) <= self.threshold[0])

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Return the distance of each photo, (n,), in deviations from the usual one of validation photos. NaN for
        features that are no finite numbers.
        """
        with np.errstate(invalid="ignore"):
            logs = _log_distances(features, self.mean, self.scale, self.directions, self.precision)
            return _furthest(logs, self.usual)

    def save(self, folder: Path) -> None:
        """Write gate.npz into `folder`."""
        buffer = io.BytesIO()
        np.savez(buffer, **asdict(self))
        files.write_bytes(folder / GATE, buffer.getvalue())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the gate in `folder`, None when the model has none. Raise ModelError for a file that is not ours."""
        path = folder / GATE
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                gate = cls(**{name: stored[name] for name in stored.files})
            gate._check()
        except (OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
            raise ModelError(
                f"{path} is not a gate of this version: {error}.", next_step="Train the model again."
            ) from None
        return gate

    def _check(self) -> None:
        """Raise ValueError unless the arrays fit one another."""
        k, d = self.directions.shape
        shapes = ((d,), (d,), (k, d), (k, k), (2, 2), (1,))
        for (name, array), shape in zip(asdict(self).items(), shapes, strict=True):
            if array.dtype != np.float32 or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype} {array.shape}, not finite float32 {shape}")


def fit_gate(train_features: np.ndarray, validation_features: np.ndarray) -> Gate:
    """Return the gate that calls 1 % of the validation photos unfamiliar; features are (n, d) and (m, d), of different
    groups of photos. At most 5,000 of each are looked at. With under 100 validation photos the limit lies where
    a normal distribution of their distances puts 1 % of further photos, and at none of them.

    Raise TrainingError for features that are no finite numbers. Sources: Lee et al. 2018 (Mahalanobis distance); Ledoit
    and Wolf 2004 (covariance).
    """
    sample, held = _sample(train_features), _sample(validation_features)
    for features in (sample, held):
        if not len(features) or not all(np.isfinite(part).all() for part in _chunks(features)):
            raise TrainingError(
                f"Features of {len(features)} photos are missing or no finite numbers.",
                next_step="Train with a lower train.optimizer.learning_rate.",
            )
    mean = sample.mean(axis=0, dtype=np.float64)
    deviation = np.sqrt(sum(((part - mean) ** 2).sum(axis=0) for part in _chunks(sample)) / len(sample))
    scale = 1 / np.maximum(deviation, max(_LEAST_DEVIATION * float(np.median(deviation)), 1e-6))
    mean, scale = mean.astype(np.float32), scale.astype(np.float32)
    directions, precision = _main_directions(_standardised(sample, mean, scale))
    logs = _log_distances(held, mean, scale, directions, precision)
    usual = np.array([logs.mean(axis=1), np.maximum(logs.std(axis=1), 1e-3)], np.float32)
    threshold = np.array([_threshold(_furthest(logs, usual))], np.float32)
    return Gate(mean, scale, directions, precision, usual, threshold)


def _main_directions(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the main directions (k, d) of standardised features (n, d), and the precision (k, k) along them."""
    from sklearn.covariance import ledoit_wolf
    from sklearn.utils.extmath import randomized_svd

    count = max(1, min(_DIRECTIONS, len(z) // 4, z.shape[1]))
    directions = randomized_svd(z, count, random_state=0)[2]
    covariance, _ = ledoit_wolf(z @ directions.T)
    covariance = covariance + 1e-6 * max(float(np.trace(covariance)) / count, 1e-6) * np.eye(count)
    return directions.astype(np.float32), np.linalg.inv(covariance).astype(np.float32)


def _standardised(features: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return np.clip((features.astype(np.float32) - mean) * scale, -_REACH, _REACH)


def _sample(features: np.ndarray) -> np.ndarray:
    if len(features) <= _SAMPLE:
        return features
    return features[np.sort(np.random.default_rng(0).choice(len(features), _SAMPLE, replace=False))]


def _chunks(features: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(features), _CHUNK):
        yield features[start : start + _CHUNK]


def _log_distances(
    features: np.ndarray, mean: np.ndarray, scale: np.ndarray, directions: np.ndarray, precision: np.ndarray
) -> np.ndarray:
    """Return the logarithms of the squared distances within and out of the main directions, (2, n)."""
    found = [_of_standardised(_standardised(part, mean, scale), directions, precision) for part in _chunks(features)]
    return np.concatenate([np.empty((2, 0)), *found], axis=1)


def _of_standardised(z: np.ndarray, directions: np.ndarray, precision: np.ndarray) -> np.ndarray:
    along = z @ directions.T
    within = np.einsum("ij,jk,ik->i", along, precision, along)
    beyond = (z**2).sum(axis=1) - (along**2).sum(axis=1)
    return np.log(np.maximum([within / len(directions), beyond / z.shape[1]], _TINY))


def _furthest(logs: np.ndarray, usual: np.ndarray) -> np.ndarray:
    return ((logs - usual[0][:, None]) / usual[1][:, None]).max(axis=0)


def _threshold(distance: np.ndarray) -> float:
    count = len(distance)
    if count >= 1 / UNFAMILIAR_SHARE:
        return float(np.quantile(distance, 1 - UNFAMILIAR_SHARE))
    if count == 1:
        return float(np.finfo(np.float32).max)
    from scipy.stats import t

    reach = t.ppf(1 - UNFAMILIAR_SHARE, count - 1) * distance.std(ddof=1) * np.sqrt(1 + 1 / count)
    return float(max(distance.max() + 1e-3, distance.mean() + reach))

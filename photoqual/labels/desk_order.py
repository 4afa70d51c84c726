"""In which order photos teach a model most: where it is unsure or out of its depth, and no two alike. Pure."""

import numpy as np

PICKS = 200
"""Photos that are picked one after the other; the others follow by how much each would teach alone."""
_FLOOR = 0.2


def teaching_order(
    scores: np.ndarray,
    features: np.ndarray,
    threshold: float,
    *,
    labelled: np.ndarray | None = None,
    strangeness: np.ndarray | None = None,
    picks: int = PICKS,
) -> np.ndarray:
    """Return the places of n photos in the order in which to label them, (n,). `scores` (n,) lie in 0 to 1 and
    `features` (n, d) are the model's; `labelled` (m, d) are those of photos that have labels; `strangeness` (n,) grows
    with the distance from what the model was trained on.

    Weighted farthest-first traversal: next comes the photo with the largest wᵢ · dᵢ. wᵢ = 0.2 + uᵢ + sᵢ: uᵢ is 1 for a
    score at `threshold` and 0 at the end of the scale that is furthest from it, sᵢ the rank of its strangeness, 0 to 1.
    dᵢ is the distance, 1 − cosine of centred features, to the nearest photo that is labelled or came before, so a
    near duplicate of one comes last. Features that are no finite numbers count as the mean.

    Sources: Lewis and Gale 1994 (uncertainty sampling); Gonzalez 1985 (farthest-first traversal); Sener and Savarese 2018
    (it as active learning).
    """
    count = len(scores)
    weight = _FLOOR + _uncertainty(scores, threshold)
    if strangeness is not None and count > 1:
        weight = weight + np.argsort(np.argsort(np.nan_to_num(strangeness), kind="stable")) / (count - 1)
    held = np.empty((0, features.shape[1])) if labelled is None else labelled
    directions = _directions(np.concatenate([features, held]))
    own, others = directions[:count], directions[count:]
    nearest = np.full(count, 1.0)
    for start in range(0, len(others), 256):
        nearest = np.minimum(nearest, 1 - (own @ others[start : start + 256].T).max(axis=1))
    order: list[int] = []
    left = np.ones(count, dtype=bool)
    for _ in range(min(picks, count)):
        place = int(np.argmax(np.where(left, weight * np.maximum(nearest, 1e-9), -1.0)))
        order.append(place)
        left[place] = False
        nearest = np.minimum(nearest, 1 - own @ own[place])
    rest = np.flatnonzero(left)
    value = weight[rest] * np.maximum(nearest[rest], 1e-9)
    return np.concatenate([np.array(order, dtype=int), rest[np.argsort(-value, kind="stable")]])


def _uncertainty(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 for a score at `threshold`, falling to 0 at the further end of the scale; 0 for no number."""
    reach = max(threshold, 1 - threshold, 1e-9)
    return np.nan_to_num(np.clip(1 - np.abs(scores - threshold) / reach, 0.0, 1.0))


def _directions(features: np.ndarray) -> np.ndarray:
    """Return `features` with the mean taken off, each scaled to length 1."""
    values = features.astype(np.float64)
    finite = np.isfinite(values).all(axis=1, keepdims=True)
    values = np.where(finite, values, 0.0)
    centred = np.where(finite, values - values.sum(axis=0) / max(1, int(finite.sum())), 0.0)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return (centred / np.maximum(length, 1e-12)).astype(np.float32)

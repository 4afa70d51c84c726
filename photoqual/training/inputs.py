"""Input pipeline: stored working copies → decoded pixels on disk, by shape → batches of one shape.

Photos are decoded once, in parallel, into one memory-mapped file per shape, so that memory stays flat in their
number and no padding ever reaches a global pooling layer.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from photoqual.photos.decode import stored_input
from photoqual.photos.shards import read_photos

_AHEAD = 64
"""Photos decoded ahead of the one that is being written."""


class DecodedPhotos:
    """Pixels and labels of one split. `good[i]` is the label of photo i; `batch(indices)` its pixels as float32."""

    def __init__(
        self,
        rows: pd.DataFrame,
        files: dict[tuple[int, int], np.memmap],
        places: dict[str, tuple[tuple[int, int], int]],
    ) -> None:
        self.photo_ids = rows["photo_id"].astype(str).tolist()
        self.good = rows["good"].to_numpy(dtype=np.int8)
        self.weight = rows["weight"].to_numpy(dtype=np.float32)
        self._files = files
        self._places = [places[photo] for photo in self.photo_ids]
        self.shapes = [shape for shape, _ in self._places]

    def __len__(self) -> int:
        return len(self.photo_ids)

    def pixels(self, index: int) -> np.ndarray:
        """Return photo `index` as a uint8 array (height, width, 3)."""
        shape, place = self._places[index]
        return self._files[shape][place]

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Return the photos `indices`, all of one shape, as a float32 array (batch, height, width, 3)."""
        shape = self._places[int(indices[0])][0]
        return self._files[shape][[self._places[int(index)][1] for index in indices]].astype(np.float32)


def decode(photos: Path, rows: pd.DataFrame, image_width: int, scratch: Path) -> DecodedPhotos:
    """Decode the working copies of `rows` (columns photo_id, good, weight, shard, row) into files under `scratch`."""
    scratch.mkdir(parents=True, exist_ok=True)
    buffers: dict[tuple[int, int], Path] = {}
    counts: dict[tuple[int, int], int] = {}
    places: dict[str, tuple[tuple[int, int], int]] = {}
    with ThreadPoolExecutor() as pool:
        for photo, pixels in _decoded(photos, rows, image_width, pool):
            shape = (pixels.shape[0], pixels.shape[1])
            path = buffers.setdefault(shape, scratch / f"{shape[0]}x{shape[1]}.raw")
            with path.open("ab") as file:
                file.write(pixels.tobytes())
            places[photo] = (shape, counts.get(shape, 0))
            counts[shape] = counts.get(shape, 0) + 1
    files = {shape: np.memmap(path, np.uint8, "r", shape=(counts[shape], *shape, 3)) for shape, path in buffers.items()}
    return DecodedPhotos(rows, files, places)


def _decoded(photos: Path, rows: pd.DataFrame, image_width: int, pool: Executor) -> Iterator[tuple[str, np.ndarray]]:
    waiting: deque[tuple[str, Future[np.ndarray]]] = deque()
    for photo, jpeg in read_photos(photos, rows):
        waiting.append((photo, pool.submit(stored_input, jpeg, image_width)))
        if len(waiting) > _AHEAD:
            name, future = waiting.popleft()
            yield name, future.result()
    for name, future in waiting:
        yield name, future.result()


def epoch_order(good: np.ndarray, oversample: bool, draw: np.random.Generator) -> np.ndarray:
    """Return the photos of one epoch in random order; with `oversample` the smaller class is drawn with replacement
    until both classes are equally frequent.
    """
    order = np.arange(len(good))
    classes = [np.flatnonzero(good == value) for value in (0, 1)]
    smaller, larger = sorted(classes, key=len)
    if oversample and 0 < len(smaller) < len(larger):
        order = np.concatenate([order, draw.choice(smaller, len(larger) - len(smaller))])
    return draw.permutation(order)


def batches(
    order: np.ndarray, shapes: list[tuple[int, int]], batch_size: int, draw: np.random.Generator
) -> list[np.ndarray]:
    """Cut `order` into batches whose photos all have one shape, and return these in random order."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for index in order:
        by_shape.setdefault(shapes[int(index)], []).append(int(index))
    cut = [
        np.array(same[start : start + batch_size])
        for same in by_shape.values()
        for start in range(0, len(same), batch_size)
    ]
    return [cut[place] for place in draw.permutation(len(cut))]

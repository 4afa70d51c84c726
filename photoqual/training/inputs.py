"""Stored working copies → decoded photos: streamed past once, or kept for many epochs in memory and on disk.

Each photo is decoded by `photos/decode.stored_input`, with Pillow, because rating decodes with the same code: a model
is served the very pixels it was trained on. Decoders and resizing of a training framework differ by a few levels of
255, and a model that looks for blur and compression sees that. Decoding runs in threads; Pillow lets them run at once.

Photos kept for training are decoded once. What fits `train.cache_megabytes` stays in memory, the rest waits in one
file that is read with pread: pages of a memory map would count as memory of the process, and grow with the photos.
"""

import errno
import hashlib
import inspect
import os
import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import PIL

from photoqual.errors import DataError, TrainingError
from photoqual.photos import decode as decoding
from photoqual.photos.shards import read_photos
from photoqual.training.buffers import Buffers

_TOGETHER = 8
"""Photos that one task decodes."""
_AHEAD = 8
"""Tasks that decode ahead of the photo that is taken."""
Shape = tuple[int, int]
"""Height and width in pixels."""


class Memory:
    """A number of megabytes (of a million bytes) that several sets of photos share, first come, first served."""

    def __init__(self, megabytes: float) -> None:
        self.left = int(megabytes * 1e6)

    def take(self, size: int) -> bool:
        """Take `size` bytes when as many are left; return whether they were."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


class StoredPhotos:
    """Photos of one split as they lie in the shards, for who needs each once: nothing of them is kept.

    `rows` has the columns photo_id, good, weight, shard and row; `good[i]` is the label of photo i.
    """

    def __init__(self, photos: Path, rows: pd.DataFrame, image_width: int) -> None:
        self.photo_ids = rows["photo_id"].astype(str).tolist()
        self.good = rows["good"].to_numpy(dtype=np.int8)
        self.weight = rows["weight"].to_numpy(dtype=np.float32)
        self.image_width = image_width
        self._photos = photos
        self._keys: list[str] = []
        self._rows = rows[["photo_id", "shard", "row"]]

    def __len__(self) -> int:
        return len(self.photo_ids)

    def keys(self) -> list[str]:
        """Return for each photo its id and the digest of its working copy, which other params of photos would change."""
        if not self._keys:
            copies = {photo: hashlib.sha256(jpeg).hexdigest() for photo, jpeg in read_photos(self._photos, self._rows)}
            self._keys = [f"{photo} {copies[photo][:32]}" for photo in self.photo_ids]
        return self._keys

    def each(self, indices: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 pixels (height, width, 3)) of the photos `indices`, or of all, in the shards' order."""
        wanted = np.arange(len(self)) if indices is None else indices
        places = {self.photo_ids[int(index)]: int(index) for index in wanted}
        with ThreadPoolExecutor(_threads()) as pool:
            for photo, pixels in _decoded(self._photos, self._rows.iloc[wanted], self.image_width, pool):
                yield places[photo], pixels


class DecodedPhotos:
    """Photos of one split, decoded once, for random access: in memory, or in one file on disk. Threads may share it."""

    def __init__(self, stored: StoredPhotos, scratch: Path, memory: Memory) -> None:
        self.photo_ids, self.good, self.weight = stored.photo_ids, stored.good, stored.weight
        self.image_width = stored.image_width
        self.keys = stored.keys
        self.buffers = Buffers()
        self.shapes: list[Shape] = [(0, 0)] * len(stored)
        self._held: dict[int, np.ndarray] = {}
        self._offsets = np.full(len(stored), -1, dtype=np.int64)
        scratch.mkdir(parents=True, exist_ok=True)
        path = scratch / "pixels.raw"
        try:
            self._fill(stored, path, memory)
        except OSError as error:
            raise disk_error(error, scratch, "decoded photos") from error
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _fill(self, stored: StoredPhotos, path: Path, memory: Memory) -> None:
        known: dict[Shape, Shape] = {}
        with path.open("wb") as file:
            for index, pixels in stored.each():
                shape = (pixels.shape[0], pixels.shape[1])
                self.shapes[index] = known.setdefault(shape, shape)
                if memory.take(pixels.nbytes):
                    self._held[index] = pixels
                else:
                    self._offsets[index] = file.tell()
                    file.write(pixels.tobytes())

    def __len__(self) -> int:
        return len(self.photo_ids)

    @property
    def held(self) -> int:
        """How many of the photos are held in memory."""
        return len(self._held)

    def pixels(self, index: int) -> np.ndarray:
        """Return photo `index` as a uint8 array (height, width, 3), not to be written to."""
        if index in self._held:
            return self._held[index]
        height, width = self.shapes[index]
        size = height * width * 3
        data = os.pread(self._file, size, int(self._offsets[index]))
        if len(data) != size:
            raise DataError(
                f"The decoded photos in the temporary folder were cut short at photo {self.photo_ids[index][:12]}.",
                next_step="Leave the temporary folder alone while a training runs, and start it again.",
            )
        return np.frombuffer(data, np.uint8).reshape(height, width, 3)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        """Return the photos `indices`, all of one shape, as a float32 array (batch, height, width, 3)."""
        pixels = self.buffers.empty((len(indices), *self.shapes[int(indices[0])], 3))
        for place, index in enumerate(indices):
            pixels[place] = self.pixels(int(index))
        return pixels

    def each(self, indices: np.ndarray | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 pixels (height, width, 3)) of the photos `indices`, or of all."""
        for index in np.arange(len(self)) if indices is None else indices:
            yield int(index), self.pixels(int(index))


def decode(
    photos: Path, rows: pd.DataFrame, image_width: int, scratch: Path, memory: Memory | None = None
) -> DecodedPhotos:
    """Decode the working copies of `rows` (columns photo_id, good, weight, shard, row) for training.

    What `memory` has no room for is written under `scratch`; without `memory`, all of it. Raise TrainingError when
    the disk is full.
    """
    return DecodedPhotos(StoredPhotos(photos, rows, image_width), scratch, memory or Memory(0))


def decoding_version() -> str:
    """Return a digest of the code that turns a working copy into pixels: what was computed from them depends on it."""
    functions = (decoding.stored_input, decoding.model_input, decoding.model_size)
    parts = [inspect.getsource(function) for function in functions]
    parts += [str(decoding.MODEL_SIDE_STEP), str(decoding.MIN_MODEL_SIDE), PIL.__version__]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _decoded(photos: Path, rows: pd.DataFrame, image_width: int, pool: Executor) -> Iterator[tuple[str, np.ndarray]]:
    waiting: deque[Future[list[tuple[str, np.ndarray]]]] = deque()
    read = read_photos(photos, rows)
    try:
        while some := list(islice(read, _TOGETHER)):
            waiting.append(pool.submit(_decode_some, some, image_width))
            if len(waiting) > _AHEAD:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _decode_some(photos: list[tuple[str, bytes]], image_width: int) -> list[tuple[str, np.ndarray]]:
    return [(name, decoding.stored_input(jpeg, image_width)) for name, jpeg in photos]


def _threads() -> int:
    return (os.cpu_count() or 1) + 1


def disk_error(error: OSError, folder: Path, what: str) -> Exception:
    """Return what to raise for `error`, met while `what` was written into `folder`: a TrainingError for a full disk."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return error
    return TrainingError(
        f"There is no room for {what} in {folder}: {error.strerror}.",
        next_step="Point TMPDIR to a larger disk, raise train.cache_megabytes, or lower model.image_width.",
    )

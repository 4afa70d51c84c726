"""Features of a frozen body, computed once per photo and kept on disk for every later training.

They lie in $XDG_CACHE_HOME/photoqual/features (default ~/.cache) in a folder named by all that they depend on: the
body's architecture and weights, the image width, the version of Keras, and the code that decodes. In it are parts of
some thousand photos each, looked up by photo id and digest of the stored working copy, so that photos that came later
are added without touching the rest, and a photo that is kept in another size or quality is another one. Parts are float32,
as computed: a head trained on them equals one trained without them. A part appears whole or not at all, and each
training writes parts of its own, so that two at once and a killed one do no harm; a damaged part is computed again.
Folders unused for longest are removed when all of them together exceed `CACHE_BYTES`. The whole cache may be deleted
at any time.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual import files
from photoqual.errors import ModelError
from photoqual.models.keras_files import quiet_keras
from photoqual.training.inputs import DecodedPhotos, Memory, Shape, StoredPhotos, decoding_version, disk_error

if TYPE_CHECKING:
    import keras

log = logging.getLogger(__name__)

CACHE_BYTES = 20_000_000_000
BATCH = 32
_PART_BYTES = 64_000_000
_WAITING = 256
"""Decoded photos that wait until their shape fills a batch."""
_PART = ".npz"
_FORMAT = 2
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, NotImplementedError)
"""What a damaged archive raises when it is read."""
_NAMED = ("name", "keras_history", "input_layers", "output_layers")
"""Where the configuration of a model names its layers."""


def features(
    body: "keras.Model",
    photos: StoredPhotos | DecodedPhotos,
    memory: Memory | None = None,
    batch_size: int = BATCH,
    cache: Path | None = None,
) -> np.ndarray:
    """Return what `body` gives for each of `photos`, (n, d) float32 in their order; only what is new is computed.

    Without room for it in `memory` the array is a memory map of a temporary file. `cache` is the folder of all caches.
    Raise ModelError when a feature is not finite, TrainingError when the disk is full.
    """
    cache = cache or cache_folder()
    folder = cache / digest(body, photos.image_width)
    table = _empty((len(photos), int(body.output_shape[-1])), memory)
    keys = photos.keys()
    missing = _take_cached(folder, keys, table)
    if len(missing):
        log.info("Features: %d of %d photos to compute", len(missing), len(photos))
        parts = _Parts(folder, max(1, _PART_BYTES // (4 * table.shape[1])))
        for indices, computed in _computed(body, photos, missing, batch_size):
            table[indices] = computed
            parts.add([keys[int(index)] for index in indices], computed)
        parts.flush()
    _mark_used(cache, folder)
    return table


def cache_folder() -> Path:
    """Return the folder that holds the caches of all bodies."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "photoqual/features"


def forget_features(photo_ids: Collection[str], cache: Path | None = None) -> int:
    """Remove the parts of all caches that hold features of one of `photo_ids`; return how many. A damaged one goes too."""
    wanted = {photo.encode() for photo in photo_ids}
    removed = 0
    for path in sorted((cache or cache_folder()).glob(f"*/*{_PART}")):
        try:
            with np.load(path, allow_pickle=False) as part:
                going = any(key.split(b" ")[0] in wanted for key in part["keys"].tolist())
        except _DAMAGED:
            going = True
        if going:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def digest(body: "keras.Model", image_width: int) -> str:
    """Return what names the features of `body`: equal for equal architecture, weights, image width, Keras and
    decoding.

    Names that Keras gives to layers count from the start of the process, so they are replaced by places.
    """
    architecture = _nameless(body.get_config(), {name: f"#{place}" for place, name in enumerate(_names(body))})
    keras = quiet_keras()
    facts = [_FORMAT, image_width, decoding_version(), keras.__version__, keras.backend.backend(), architecture]
    found = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for weight in body.weights:
        value = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        found.update(f"{value.shape}{value.dtype}".encode())
        found.update(value.tobytes())
    return found.hexdigest()[:32]


def _names(model: Any) -> Iterator[str]:
    """Yield the names of `model` and of every layer and operation in it, nested ones too."""
    yield model.name
    for part in getattr(model, "operations", None) or getattr(model, "layers", []):
        yield from _names(part)


def _nameless(config: Any, names: dict[str, str], key: str = "") -> Any:
    """Return `config`, which lies under `key`, without how weights were drawn and are trained; its `names` replaced."""
    if isinstance(config, dict):
        return {
            inner: _nameless(value, names, str(inner))
            for inner, value in config.items()
            if not str(inner).endswith(("initializer", "regularizer", "constraint", "trainable", "seed"))
        }
    if isinstance(config, list | tuple):
        return [_nameless(value, names, key) for value in config]
    return names.get(config, config) if key in _NAMED and isinstance(config, str) else config


def _empty(shape: tuple[int, int], memory: Memory | None) -> np.ndarray:
    if memory is None or memory.take(4 * shape[0] * shape[1]) or not all(shape):
        return np.empty(shape, np.float32)
    with tempfile.TemporaryFile(prefix="photoqual-features-") as file:
        if hasattr(os, "posix_fallocate"):  # a map of a file with holes ends the process when the disk is full
            try:
                os.posix_fallocate(file.fileno(), 0, 4 * shape[0] * shape[1])
            except OSError as error:
                raise disk_error(error, Path(tempfile.gettempdir()), "features") from error
        return np.memmap(file, np.float32, "w+", shape=shape)


def _take_cached(folder: Path, keys: list[str], table: np.ndarray) -> np.ndarray:
    """Fill in the rows of `table`, named by `keys`, that the parts in `folder` hold; return the indices of the others."""
    places = {key.encode(): index for index, key in enumerate(keys)}
    found = np.zeros(len(keys), dtype=bool)
    for path in sorted(folder.glob(f"*{_PART}")):
        try:
            with np.load(path, allow_pickle=False) as part:
                known = [(row, places[name]) for row, name in enumerate(part["keys"].tolist()) if name in places]
                new = [(row, index) for row, index in known if not found[index]]
                if not new:
                    continue
                rows, indices = (list(numbers) for numbers in zip(*new, strict=True))
                table[indices] = part["features"][rows]
                found[indices] = True
        except _DAMAGED as error:
            log.warning("Features in %s are damaged (%s) and are computed again.", path, error)
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError as error:
            log.warning("Features in %s cannot be read (%s) and are computed again; the file stays.", path, error)
    return np.flatnonzero(~found)


def _computed(
    body: Any, photos: StoredPhotos | DecodedPhotos, indices: np.ndarray, batch_size: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yield (indices of photos, their features), a batch of one shape at a time."""
    predict = _predictor(body)
    waiting: dict[Shape, list[tuple[int, np.ndarray]]] = {}

    def take(shape: Shape) -> tuple[list[int], np.ndarray]:
        places, pixels = (list(values) for values in zip(*waiting.pop(shape), strict=True))
        given = predict(np.stack(pixels).astype(np.float32))
        finite = np.isfinite(given).all(axis=1)
        if not finite.all():
            odd = [photos.photo_ids[place] for place, fine in zip(places, finite, strict=True) if not fine]
            raise ModelError(
                f"The network gives features that are no numbers for {len(odd)} photos of a batch, first {odd[0][:12]}.",
                next_step="Check the weights in model.backbone.weights; with train.precision float32 they may be right.",
                photo_ids=odd,
            )
        return places, given

    for index, pixels in photos.each(indices):
        shape = (pixels.shape[0], pixels.shape[1])
        waiting.setdefault(shape, []).append((index, pixels))
        if len(waiting[shape]) == batch_size:
            yield take(shape)
        elif sum(map(len, waiting.values())) > max(_WAITING, batch_size):
            yield take(max(waiting, key=lambda key: len(waiting[key])))
    while waiting:
        yield take(next(iter(waiting)))


def _predictor(body: Any) -> Any:
    """Return a function from pixels (batch, height, width, 3) to features (batch, d), as a graph without XLA, which is
    slow on a CPU and compiles each shape of photo anew.
    """
    keras = quiet_keras()
    same = keras.Model(body.inputs, body.outputs)
    same.compile(jit_compile=False)

    def predict(pixels: np.ndarray) -> np.ndarray:
        given = same.predict_on_batch(pixels)
        return np.asarray(given[0] if isinstance(given, list) else given, dtype=np.float32)

    return predict


class _Parts:
    """Collects features and writes them in parts; a disk that is full or read-only costs the cache, not the training."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, rows
        self._keys: list[str] = []
        self._features: list[np.ndarray] = []
        self._writable = True

    def add(self, keys: list[str], computed: np.ndarray) -> None:
        if self._writable:
            self._keys += keys
            self._features.append(computed)
            if len(self._keys) >= self._rows:
                self.flush()

    def flush(self) -> None:
        """Write what was collected since the last part."""
        if not self._keys:
            return
        try:
            with files.atomic(self._folder / f"{uuid.uuid4().hex}{_PART}") as temporary, temporary.open("wb") as file:
                np.savez(file, keys=np.array(self._keys, dtype="S"), features=np.concatenate(self._features))
        except OSError as error:
            log.warning("Features cannot be kept in %s: %s. Training goes on without.", self._folder, error)
            self._writable = False
        self._keys, self._features = [], []


def _mark_used(cache: Path, folder: Path) -> None:
    """Note that `folder` was used now, and remove the folders unused for longest while all exceed `CACHE_BYTES`."""
    try:
        if folder.is_dir():
            os.utime(folder)
        sizes = {
            path: (path.stat().st_mtime, sum(part.stat().st_size for part in path.iterdir()))
            for path in cache.iterdir()
            if path.is_dir()
        }
    except OSError:
        return
    total = sum(size for _, size in sizes.values())
    for path in sorted(sizes, key=lambda path: sizes[path][0]):
        if total <= CACHE_BYTES or path == folder:
            break
        log.info("Features of %s were not used for longest and are removed.", path.name)
        shutil.rmtree(path, ignore_errors=True)
        total -= sizes[path][1]

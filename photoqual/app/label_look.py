"""What the model makes of a bounded sample of the photos, found out in a thread beside the labelling."""

import hashlib
import io
import logging
import threading
import zipfile
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from photoqual import files
from photoqual.errors import DataError, PhotoqualError, UnreadablePhoto
from photoqual.labels.desk_order import teaching_order
from photoqual.labels.desk_photos import LIMITS, Photos, read_photo
from photoqual.models.heads import FEATURES, SCORE
from photoqual.models.info import ONNX
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.decode import open_photo

SAMPLE = 2000
"""Photos that a model looks at before it says which of them teach it most."""
_BATCH = 16
_ENOUGH = 64
"""Photos looked at from which on an order is made."""
_STALE = 10
"""Labels given since the last order from which on it is made anew."""
_DIRECTIONS = 256
"""Random directions that features are projected on, which keeps distances nearly (Johnson and Lindenstrauss 1984)."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What the model said of a photo: score, strangeness (0 without a gate), and features projected to float32 (k,)."""

    score: float
    strangeness: float
    features: np.ndarray


class Look:
    """What the model in `folder` says of `wanted`; what it has said is kept in `kept`, a folder. Safe among threads.

    `problem` says why there is no order; `count` of `total` photos were looked at.
    """

    def __init__(self, folder: Path, photos: Photos, wanted: Sequence[str], kept: Path) -> None:
        self.total, self.problem = len(wanted), ""
        self._folder, self._photos, self._wanted, self._kept = folder, photos, wanted, kept
        self._known: dict[str, Seen] = {}
        self._threshold = 0.5
        self._order: list[str] | None = None
        self._made_with = (0, 0)
        self._making: Future[None] | None = None
        self._lock = threading.Lock()
        self._finished = False
        self._orders = ThreadPoolExecutor(1, thread_name_prefix="label-order")
        threading.Thread(target=self._look, name="label-look", daemon=True).start()

    @property
    def count(self) -> int:
        return min(len(self._known), self.total)

    def order(self, labelled: Collection[str]) -> list[str] | None:
        """Return the last order that was made, None before there is one, and have it made anew when it is stale."""
        with self._lock:
            known, labels = self._made_with
            more = len(self._known) >= 1.5 * known and len(self._known) > known
            stale = more or abs(len(labelled) - labels) >= _STALE
            enough = len(self._known) >= _ENOUGH or self._finished
            if enough and stale and self._known and (self._making is None or self._making.done()):
                self._made_with = len(self._known), len(labelled)
                self._making = self._orders.submit(self._make_order, dict(self._known), frozenset(labelled))
            return self._order

    def _make_order(self, known: dict[str, Seen], labelled: frozenset[str]) -> None:
        waiting = {photo: seen for photo, seen in known.items() if photo not in labelled}
        held = [seen.features for photo, seen in known.items() if photo in labelled]
        if waiting:
            found = teaching_order(
                np.array([seen.score for seen in waiting.values()]),
                np.stack([seen.features for seen in waiting.values()]),
                self._threshold,
                labelled=np.stack(held) if held else None,
                strangeness=np.array([seen.strangeness for seen in waiting.values()]),
            )
            names = list(waiting)
            self._order = [names[place] for place in found]

    def _look(self) -> None:
        try:
            scorer = Scorer.load(self._folder, threads=1)
            if FEATURES not in scorer.info.outputs:
                self.problem = "The model gives no features to tell photos apart by."
                return
            self._threshold = scorer.info.threshold
            kept = self._kept / f"{_digest(self._folder / ONNX)}.npz"
            self._add({photo: seen for photo, seen in _read(kept).items() if photo in self._photos.paths})
            left = [photo for photo in self._wanted if photo not in self._known]
            for start in range(0, len(left), _BATCH):
                self._add(self._seen(left[start : start + _BATCH], scorer))
            self._finished = True
            if left and self._known:
                _write(kept, self._known)
        except PhotoqualError as error:
            self.problem = error.message
        except Exception:
            logger.exception("the photos could not be looked at")
            self.problem = "The model failed on these photos; the log of the app says how."

    def _seen(self, photos: Sequence[str], scorer: Scorer) -> dict[str, Seen]:
        names, batch = [], []
        for photo in photos:
            try:
                image, _ = open_photo(read_photo(self._photos, photo), LIMITS)
            except (UnreadablePhoto, DataError):  # the page says so, should it come to be shown
                continue
            names.append(photo)
            batch.append(input_of(image, scorer.info))
        if not batch:
            return {}
        said = scorer.answers_of(batch, (SCORE, FEATURES))
        distances = scorer.gate.distance(said[FEATURES]) if scorer.gate is not None else np.zeros(len(batch))
        rows = zip(said[SCORE].ravel().tolist(), distances.tolist(), projected(said[FEATURES]), strict=True)
        return {name: Seen(*row) for name, row in zip(names, rows, strict=True)}

    def _add(self, found: dict[str, Seen]) -> None:
        with self._lock:
            self._known |= found


def projected(features: np.ndarray) -> np.ndarray:
    """Return `features` (n, d) on 256 random directions, the same each time; as they are when d is no more."""
    units = features.shape[1]
    if units <= _DIRECTIONS:
        return features.astype(np.float32)
    directions = np.random.default_rng(0).standard_normal((units, _DIRECTIONS), dtype=np.float32)
    return features.astype(np.float32) @ directions / np.float32(_DIRECTIONS**0.5)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _read(path: Path) -> dict[str, Seen]:
    """Return what is kept in `path`, nothing where that is no file of ours: it can be found out anew."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            names, scores, strangeness = (stored[name].tolist() for name in ("photos", "scores", "strangeness"))
            rows = zip(scores, strangeness, stored["features"], strict=True)
            return {name: Seen(*row) for name, row in zip(names, rows, strict=True)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}


def _write(path: Path, known: dict[str, Seen]) -> None:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        photos=np.array(list(known)),
        scores=np.array([seen.score for seen in known.values()]),
        strangeness=np.array([seen.strangeness for seen in known.values()]),
        features=np.stack([seen.features for seen in known.values()]),
    )
    try:
        files.write_bytes(path, buffer.getvalue())
    except OSError:
        logger.warning("%s cannot be written; the photos will be looked at again next time", path)

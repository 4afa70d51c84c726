"""Run models on the frozen photos and on changed versions of some of them: what the guardrails judge."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from photoqual.config import GuardrailParams
from photoqual.errors import MissingData
from photoqual.evaluation import checks
from photoqual.evaluation.guardrails import Behaviour
from photoqual.models import answer
from photoqual.models.heads import FEATURES, SCORE
from photoqual.models.info import ONNX, ModelInfo
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.shards import read_photos

ORIGINAL = ""
_MEGABYTES = 64
"""Model inputs that are held before they are scored."""
_TIMED_PHOTOS = 32
_ROUNDS = 7
_TIMING_SECONDS = 10.0
"""The speed is that of the fastest of so many runs; after this time no further one is begun, but there are two."""


_View = tuple[int, bool]
"""What decides how a model sees a photo; models of one view share the inputs."""


def _view(info: ModelInfo) -> _View:
    return info.image_width, info.enlarge


@dataclass(frozen=True)
class Observed:
    """What one model did: scores (n,) in the order of the frozen rows. `problem` says in words why the scores cannot be
    used: the model cannot be run, or gives something that is not a number; what it did not score is NaN.
    """

    scores: np.ndarray
    behaviour: Behaviour
    problem: str | None = None


@dataclass(frozen=True)
class Observation:
    """`models`: in the order of the scorers. `brightness`: (n,) mean luma of each photo's working copy, 0 to 255.
    `checked`: ids of the photos that the checks were made on, in the order of the frozen rows.
    """

    models: tuple[Observed, ...]
    brightness: np.ndarray
    checked: tuple[str, ...]


def observe(photos: Path, frozen: pd.DataFrame, scorers: Sequence[Scorer], params: GuardrailParams) -> Observation:
    """Decode each frozen photo once and score it with every one of `scorers`; on at most `params.check_photos` of the
    good ones, make every check of evaluation.checks.

    `photos` is the folder of shards, `frozen` has the columns `photo_id`, `good`, `shard` and `row`. Memory stays
    bounded however many photos there are. Raise MissingData when a photo is not in its shard. A model that fails has a
    `problem` and leaves the others alone.
    """
    wanted = checks.chosen(frozen.loc[frozen["good"] == 1, "photo_id"], params.check_photos)
    runs = [_Run(scorer) for scorer in scorers]
    views = {_view(scorer.info): scorer.info for scorer in scorers}
    timed: dict[_View, list[np.ndarray]] = {view: [] for view in views}
    brightness: dict[str, float] = {}
    size = 0
    for photo_id, jpeg in read_photos(photos, frozen):
        image = _opened(jpeg)
        brightness[photo_id] = float(np.asarray(image.convert("L")).mean())
        versions = {ORIGINAL: image}
        if photo_id in wanted:
            changes = checks.changed(np.asarray(image), photo_id)
            versions |= {name: Image.fromarray(pixels) for name, pixels in changes.items()}
        for view, info in views.items():
            inputs = {(photo_id, name): input_of(version, info) for name, version in versions.items()}
            if len(timed[view]) < _TIMED_PHOTOS:
                timed[view].append(inputs[photo_id, ORIGINAL])
            for run in runs:
                if _view(run.scorer.info) == view:
                    run.waiting |= inputs
            size += sum(pixels.nbytes for pixels in inputs.values())
        if size > _MEGABYTES * 1e6:
            _flush(runs)
            size = 0
    _flush(runs)
    ids = [str(photo_id) for photo_id in frozen["photo_id"]]
    _require_all(ids, brightness)
    checked = tuple(photo_id for photo_id in ids if photo_id in wanted)
    speeds = _photos_per_second(runs, timed)
    return Observation(
        tuple(run.observed(ids, checked, speed) for run, speed in zip(runs, speeds, strict=True)),
        np.array([brightness[photo_id] for photo_id in ids]),
        checked,
    )


@dataclass
class _Run:
    """One model on its way through the photos: inputs that wait, and scores found, by photo and check. `familiar`: what
    the gate says of the originals, nothing where the model has none.
    """

    scorer: Scorer
    waiting: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    found: dict[tuple[str, str], float] = field(default_factory=dict)
    familiar: dict[str, bool] = field(default_factory=dict)
    failure: str | None = None

    def score(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the scores of `inputs`, NaN from the first failure of the model on."""
        return self._answers(inputs, (SCORE,))[SCORE].astype(float).reshape(len(inputs))

    def flush(self) -> None:
        """Score what waits, and ask the gate, if there is one, about the originals."""
        originals = {photo_id: pixels for (photo_id, name), pixels in self.waiting.items() if name == ORIGINAL}
        if self.scorer.gate is not None and originals:
            given = self._answers(list(originals.values()), (SCORE, FEATURES))
            self.found.update(zip(((name, ORIGINAL) for name in originals), given[SCORE].ravel().tolist(), strict=True))
            self.familiar.update(zip(originals, (~self.scorer.gate.unfamiliar(given[FEATURES])).tolist(), strict=True))
        left = {key: pixels for key, pixels in self.waiting.items() if key not in self.found}
        self.found.update(zip(left, self.score(list(left.values())).tolist(), strict=True))
        self.waiting.clear()

    def _answers(self, inputs: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, np.ndarray]:
        if self.failure is None:
            try:
                return self.scorer.answers_of(inputs, names)
            except MemoryError:
                raise
            except Exception as error:  # onnxruntime raises a family of its own C++ exceptions
                told = " ".join(str(error).split())
                self.failure = f"The model in {self.scorer.folder} cannot be run: {told}"
        size = {SCORE: 1, FEATURES: len(self.scorer.gate.mean) if self.scorer.gate is not None else 0}
        return {name: np.full((len(inputs), size[name]), np.nan, np.float32) for name in names}

    def observed(self, ids: Sequence[str], checked: Sequence[str], speed: float) -> Observed:
        scores = np.array([self.found[photo_id, ORIGINAL] for photo_id in ids], dtype=float)
        before = np.array([self.found[photo_id, ORIGINAL] for photo_id in checked], dtype=float)
        behaviour = Behaviour(
            sure=np.array(
                [
                    answer.sure(score, self.scorer.info, self.familiar.get(photo_id))
                    for photo_id, score in zip(ids, scores, strict=True)
                ],
                dtype=bool,
            ),
            photos_per_second=speed,
            model_bytes=(self.scorer.folder / ONNX).stat().st_size,
            changes={
                name: np.array([self.found[photo_id, name] for photo_id in checked], dtype=float) - before
                for name in (*checks.DAMAGES, *checks.HARMLESS)
            },
        )
        missing = int((~np.isfinite(scores)).sum())
        problem = self.failure
        if missing and problem is None:
            problem = f"The model in {self.scorer.folder} gives no number for {missing} of {len(scores)} photos"
        return Observed(scores, behaviour, problem)


def _opened(jpeg: bytes) -> Image.Image:
    """Return the working copy `jpeg` (ours, so trusted) in its full size."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        return image.convert("RGB")


def _flush(runs: list[_Run]) -> None:
    for run in runs:
        run.flush()


def _require_all(ids: list[str], found: dict[str, float]) -> None:
    missing = [photo_id for photo_id in ids if photo_id not in found]
    if missing:
        raise MissingData(
            f"{len(missing)} of {len(ids)} photos are not in any shard; the first is {missing[0][:12]}.",
            next_step="Run `dvc checkout` to bring photos and rows to one revision.",
        )


def _photos_per_second(runs: list[_Run], timed: dict[_View, list[np.ndarray]]) -> list[float]:
    """Return the photos a second of each model on the same photos, decoding left out; NaN for one that fails.

    Models take turns and the fastest run of each counts, so that what else the machine does falls on both alike.
    """
    best = [np.inf] * len(runs)
    started = time.perf_counter()
    for turn in range(_ROUNDS):
        if turn >= 2 and time.perf_counter() - started > _TIMING_SECONDS:
            break
        for index, run in enumerate(runs):
            before = time.perf_counter()
            run.score(timed[_view(run.scorer.info)])
            best[index] = min(best[index], time.perf_counter() - before)
    return [
        np.nan if run.failure else len(timed[_view(run.scorer.info)]) / seconds
        for run, seconds in zip(runs, best, strict=True)
    ]

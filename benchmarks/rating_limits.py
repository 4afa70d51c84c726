"""What bounds the speed of rating: decoding alone, the network alone; and what others do. All in photos per second."""

import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from PIL import Image

from benchmarks.rating_photos import Model
from photoqual.models.info import read_info
from photoqual.models.scorer import Scorer
from photoqual.models.seen import look_at
from photoqual.rating.found import Skipped, find_photos
from photoqual.rating.output.formats import FORMATS
from photoqual.rating.output.kept import Kept
from photoqual.rating.rater import cores, rate_with

T = TypeVar("T")

CLEANVISION = ("cleanvision==0.3.7", "numpy==2.2.*")
_BATCH = 32
_HERE = Path(__file__).parent


def rated(photos: Sequence[Path], model: Model, folder: Path) -> float:
    """Return the photos per second of what `photoqual rate` does once it has loaded the model: from files to a file of
    JSON lines.
    """
    scorer = Scorer.load(model.folder, threads=1)
    kept = Kept(folder / "speed.json", FORMATS["json"], resume=False)
    began = time.perf_counter()
    for found in rate_with(scorer, find_photos(photos), model.name, lambda _: None):
        if isinstance(found, Skipped):
            raise RuntimeError(f"{found.photo} was skipped: {found.message}")
        kept.write(found[0])
    kept.finish().unlink()
    return len(photos) / (time.perf_counter() - began)


def decoded(photos: Sequence[Path], model: Model) -> float:
    """Return the photos per second of reading and decoding on all cores, and nothing else: by the smallest DCT scaling
    that leaves the width of the model.
    """
    width = read_info(model.folder).image_width
    return _per_second(partial(_decode, width=width), photos, cores())


def _decode(path: Path, width: int) -> None:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        wide, high = (side * width // max(image.size) for side in image.size)
        image.draft(None, (wide, high))
        image.load()


def network(photos: Sequence[Path], model: Model) -> tuple[float, str]:
    """Return the photos per second of ONNX Runtime alone on ready arrays, and how: in batches on all cores, or a photo at
    a time on each, whichever is faster.
    """
    info = read_info(model.folder)
    arrays = [look_at(path.read_bytes(), info)[1] for path in photos]
    wide, narrow = Scorer.load(model.folder), Scorer.load(model.folder, threads=1)
    wide.answers_of(arrays[:_BATCH])
    narrow.answers_of(arrays[:1])
    began = time.perf_counter()
    wide.answers_of(arrays)
    batches = len(arrays) / (time.perf_counter() - began)
    single = _per_second(lambda array: narrow.answers_of([array]), arrays, cores())
    return max((batches, "batches of 32"), (single, "a photo a core"))


def _per_second(work: Callable[[T], object], items: Sequence[T], threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(work, items))
        return len(items) / (time.perf_counter() - began)


def keras_loop(photos: Sequence[Path], width: int) -> float:
    """Return the photos per second of a loop of full decode and `model.predict`, in a process of its own."""
    return _told([sys.executable, str(_HERE / "rating_keras.py"), str(width), *map(str, photos)])


def keras_model(folder: Path) -> Model:
    """Return the model of the shipped params.yaml, untrained."""
    command = [sys.executable, str(_HERE / "rating_keras.py"), "--model", str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=_HERE.parent)
    return Model("gap_cnn, 288 px", folder)


def cleanvision(photos: Sequence[Path]) -> float:
    """Return CleanVision's photos per second. Raise RuntimeError where it cannot be had."""
    command = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
    for package in CLEANVISION:
        command += ["--with", package]
    return _told([*command, "python", str(_HERE / "rating_peer.py")], "\n".join(map(str, photos)))


def _told(command: Sequence[str], given: str | None = None) -> float:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, cwd=_HERE.parent)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with code {done.returncode}: {done.stderr[-1500:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["per_second"])


def median_ratio(ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Return the median of our photos per second over theirs, taken by turns, and the medians of both."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratio = statistics.median(first / second for first, second in pairs)
    return ratio, *(statistics.median(side) for side in zip(*pairs, strict=True))

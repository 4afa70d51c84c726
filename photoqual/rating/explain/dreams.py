"""The deep dream of a photo (models/dream.py), in a process of its own: rating never loads TensorFlow."""

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import photoqual
from photoqual.errors import ConfigError, ModelError
from photoqual.models.dream import Dream
from photoqual.models.info import KERAS

SECONDS = 900
"""After so long a dream is given up."""
_TOLD = 300
_AMPLIFIED = 3


def dream_of(folder: Path, pixels: np.ndarray) -> Dream:
    """Return `pixels`, uint8 (height, width, 3) by `models.seen.look_at`, as the model in `folder` would have them better
    and worse. Raise ConfigError where it cannot dream: no Keras file, no TensorFlow; ModelError when it failed.
    """
    if not (folder / KERAS).is_file():
        raise ConfigError(
            f"This model cannot dream: it has no {KERAS}, and ONNX files give no gradients.",
            next_step="Name a model that was trained here, such as models:/photoqual@champion.",
        )
    if find_spec("tensorflow") is None:
        raise ConfigError(
            "Dreaming needs TensorFlow, which is not installed.",
            next_step="Install photoqual with the extra `train-cpu`.",
        )
    with tempfile.TemporaryDirectory(prefix="photoqual-dream-") as scratch:
        given, made = Path(scratch, "pixels.npy"), Path(scratch, "dream.npz")
        np.save(given, pixels)
        _run([str(folder.absolute()), str(given), str(made)])
        with np.load(made, allow_pickle=False) as found:
            scores = {name: float(found[name]) for name in ("score", "better_score", "worse_score")}
            return Dream(found["better"], found["worse"], **scores)


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return what was changed as a picture, uint8 (height, width, 3): three times as strong, on grey."""
    moved = after.astype(np.int16) - before.astype(np.int16)
    return np.clip(128 + _AMPLIFIED * moved, 0, 255).astype(np.uint8)


def _run(arguments: list[str]) -> None:
    """Run the dream with this photoqual, whatever lies in the folder we stand in."""
    home = str(Path(photoqual.__file__).parents[1])
    path = os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH")) if part)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    command = [sys.executable, "-P", "-m", "photoqual.models.dream", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environment, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise ModelError(
            f"The dream took more than {SECONDS} s.", next_step="Leave it out with --no-dream, or try a smaller model."
        ) from None
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ModelError(f"The dream failed: {why[:_TOLD]}", next_step="Leave it out with --no-dream.")

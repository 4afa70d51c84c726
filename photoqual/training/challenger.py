"""The model folder that a training leaves: written beside its place, checked, then renamed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from photoqual.errors import ModelError
from photoqual.models.agreement import disagreement
from photoqual.models.gate import fit_gate
from photoqual.models.info import AGREEMENT, KERAS, TRAINED_ON, ModelInfo, write_info
from photoqual.models.keras_files import save_keras_and_onnx
from photoqual.photos.measures import NAMES, measure
from photoqual.training import devices
from photoqual.training.curve import draw_curve, write_history
from photoqual.training.fit import State
from photoqual.training.inputs import StoredPhotos

_MEASURED_PHOTOS = 500
_GATE_WIDTH = 30_000
"""Features wider than this get no gate: it would be larger than the model."""
_EXPORT = """
import sys
from pathlib import Path
from photoqual.models.info import KERAS
from photoqual.models.keras_files import load_keras, save_keras_and_onnx
save_keras_and_onnx(load_keras(Path(sys.argv[1], KERAS)), Path(sys.argv[1]))
"""


def good_ranges(photos: StoredPhotos) -> dict[str, tuple[float, float]]:
    """Return, by measure, where 90 % of the good photos lie; 500 of them are looked at."""
    good = np.flatnonzero(photos.good == 1)[:_MEASURED_PHOTOS]
    measured = pd.DataFrame([measure(pixels) for _, pixels in photos.each(good)])
    return {name: (float(measured[name].quantile(0.05)), float(measured[name].quantile(0.95))) for name in NAMES}


def write(
    folder: Path,
    model: Any,
    info: ModelInfo,
    state: State,
    photo_ids: pd.Series,
    samples: list[np.ndarray],
    features: tuple[np.ndarray, np.ndarray],
) -> float:
    """Write the rating `model` with all that belongs to it into `folder`; return how far Keras and ONNX lie apart.

    `features` are those of training and of validation photos, each (n, d), for the gate. Raise ModelError when both
    files differ on `samples`; what was in `folder` before then stays.
    """
    restore(folder)
    making = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    _save(model, making)
    write_info(making, info)
    write_history(making / "history.csv", state.epochs)
    draw_curve(making / "curve.png", state.losses, state.epochs)
    pd.DataFrame({"photo_id": sorted(photo_ids)}).to_parquet(making / TRAINED_ON, index=False)
    if features[0].shape[1] <= _GATE_WIDTH:
        fit_gate(*features).save(making)
    apart = disagreement(making, samples)
    if not apart <= AGREEMENT:
        raise ModelError(
            f"Keras and ONNX scores differ by {apart:.2g}, more than {AGREEMENT:g}.",
            next_step="Report it with the model kind and the versions of keras and tf2onnx.",
        )
    replace(folder, making)
    return apart


def replace(folder: Path, making: Path) -> None:
    """Put `making` in the place of `folder`. A kill in between leaves the old folder aside, for `restore`."""
    aside = _aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    making.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def restore(folder: Path) -> None:
    """Put `folder` back when a kill left it aside."""
    aside = _aside(folder)
    if aside.is_dir() and not folder.exists():
        aside.rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _save(model: Any, folder: Path) -> None:
    """Write model.keras and model.onnx. ONNX is exported by TensorFlow; where another backend trained, it does so in a
    process of its own, from model.keras, which all backends read.
    """
    if devices.backend() == "tensorflow":
        save_keras_and_onnx(model, folder)
        return
    folder.mkdir(parents=True)
    model.save(folder / KERAS)
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    command = [sys.executable, "-c", _EXPORT, str(folder.absolute())]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise ModelError(
            f"The model was trained by {devices.backend()} and could not be exported to ONNX: {done.stderr.strip()[-300:]}",
            next_step="Install tensorflow-cpu beside it and run `photoqual train` again: it goes on from the checkpoint.",
        )

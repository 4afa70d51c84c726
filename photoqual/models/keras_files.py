"""Load and save Keras models: safe mode only, so that a model file can never run code; ONNX beside every one."""

import logging
import os
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from photoqual.errors import ModelError
from photoqual.models.info import KERAS, ONNX

if TYPE_CHECKING:
    import keras


def quiet_keras() -> ModuleType:
    """Import Keras without the start-up chatter of TensorFlow, which reads this variable when it loads."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def load_keras(path: Path) -> "keras.Model":
    """Load `path` in Keras safe mode. Raise ModelError when it is missing, truncated or not allowed."""
    keras = quiet_keras()
    from photoqual.models import layers

    layers.register()
    if not path.is_file():
        raise ModelError(f"{path} does not exist.", next_step="Train the model again: `photoqual train` writes it.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises ValueError, KeyError, OSError, zipfile errors, …
        raise ModelError(
            f"{path} cannot be loaded safely: {error}.",
            next_step="Only load model files that photoqual wrote; train the model again.",
        ) from None


def save_keras_and_onnx(model: "keras.Model", folder: Path) -> None:
    """Write model.keras and model.onnx of `model` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / KERAS)
    model(np.zeros((1, 64, 64, 3), np.float32), training=False)  # a model that was never called cannot be exported
    for name in ("tf2onnx", "onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(folder / ONNX, format="onnx", verbose=False)

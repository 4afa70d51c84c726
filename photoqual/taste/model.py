"""From what was learned of a person to a model folder: the champion's network with a score of its own."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photoqual.errors import ModelError
from photoqual.models.agreement import disagreement
from photoqual.models.gate import GATE
from photoqual.models.heads import FEATURES, SCORE
from photoqual.models.info import AGREEMENT, KERAS, TRAINED_ON, ModelInfo, write_info
from photoqual.models.keras_files import load_keras, quiet_keras, save_keras_and_onnx
from photoqual.taste.correction import CLIP, REACH, Correction
from photoqual.training.calibrate import Curve

if TYPE_CHECKING:
    from collections.abc import Sequence


def write_model(
    base: Path,
    folder: Path,
    learned: Correction | Curve,
    info: ModelInfo,
    photo_ids: "Sequence[str]",
    samples: "Sequence[np.ndarray]",
) -> float:
    """Write the model folder `folder` from the champion's folder `base`; return how far Keras and ONNX differ.

    `info` describes the new model, whose outputs are those of `base`; `photo_ids` are the person's photos, added to
    those of `base`; the two files are compared on `samples`. Raise ModelError when they differ too far.
    """
    model = corrected(load_keras(base / KERAS), info.outputs, learned)
    save_keras_and_onnx(model, folder)
    write_info(folder, info)
    if (base / GATE).is_file():
        shutil.copyfile(base / GATE, folder / GATE)
    before = pd.read_parquet(base / TRAINED_ON)["photo_id"].astype(str) if (base / TRAINED_ON).is_file() else []
    pd.DataFrame({"photo_id": sorted({*before, *photo_ids})}).to_parquet(folder / TRAINED_ON, index=False)
    apart = disagreement(folder, samples)
    if not apart <= AGREEMENT:
        raise ModelError(
            f"Keras and ONNX scores differ by {apart:.2g}, more than {AGREEMENT:g}.",
            next_step="Report it with the model kind and the versions of keras and tf2onnx.",
        )
    return apart


def corrected(champion: Any, outputs: tuple[str, ...], learned: Correction | Curve) -> Any:
    """Return a Keras model with the outputs of `champion`, named `outputs`, but the score of `learned`."""
    keras = quiet_keras()
    champion.trainable = False
    pixels = keras.Input((None, None, 3), name="pixels")
    answers = dict(zip(outputs, champion(pixels), strict=True))
    bounded = keras.ops.clip(answers[SCORE], CLIP, 1 - CLIP)
    logit = keras.ops.log(bounded) - keras.ops.log(1 - bounded)
    evidence = _dense("taste_champion", logit, [[learned.slope]], learned.offset)
    if isinstance(learned, Correction):
        standard = keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=0.0, trainable=False, name="taste_standard", dtype="float32"
        )
        z = keras.ops.clip(standard(answers[FEATURES]), -REACH, REACH)
        standard.set_weights([learned.standard.mean, np.square(learned.standard.deviation)])
        evidence = evidence + _dense("taste_features", z, learned.weights[:, None], 0.0)
    answers[SCORE] = keras.layers.Activation("sigmoid", name="taste_score", dtype="float32")(evidence)
    return keras.Model(pixels, list(answers.values()), name="taste")


def _dense(name: str, x: Any, kernel: Any, bias: float) -> Any:
    layer = quiet_keras().layers.Dense(1, name=name, dtype="float32")
    result = layer(x)
    layer.set_weights([np.asarray(kernel, np.float32), np.array([bias], np.float32)])
    return result

"""Do the Keras model and its ONNX twin in one folder give the same answers?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from photoqual.models.heads import FEATURES
from photoqual.models.info import KERAS
from photoqual.models.keras_files import load_keras, quiet_keras
from photoqual.models.scorer import Scorer


def disagreement(folder: Path, photos: Sequence[np.ndarray]) -> float:
    """Return the largest difference between Keras and ONNX over all outputs and `photos`, uint8 arrays (height, width,
    3): absolute for score and probabilities, for features as a part of the photo's largest one. Loads Keras, which runs on
    the CPU as ONNX does: matrix products of a GPU may be rounded to 10 bits (TF32).
    """
    keras = quiet_keras()
    scorer = Scorer.load(folder)
    names = scorer.info.outputs
    ours = scorer.answers_of(photos, names)
    apart = 0.0
    with keras.device("cpu"):
        model = load_keras(folder / KERAS)
        for index, photo in enumerate(photos):
            given = model(keras.ops.convert_to_tensor(photo[None], "float32"), training=False)
            given = given if isinstance(given, list | tuple) else [given]
            for name, output in zip(names, given, strict=True):
                theirs = keras.ops.convert_to_numpy(output).astype(float).ravel()
                size = max(float(np.abs(theirs).max(initial=0.0)), 1e-6) if name == FEATURES else 1.0
                apart = float(np.maximum(apart, np.abs(ours[name][index].ravel() - theirs).max(initial=0.0) / size))
    return apart

"""Do the Keras model and its ONNX twin in one folder give the same scores?"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from photoqual.models.info import KERAS
from photoqual.models.keras_files import load_keras
from photoqual.models.scorer import Scorer


def disagreement(folder: Path, photos: Sequence[np.ndarray]) -> float:
    """Return the largest absolute difference between Keras and ONNX scores over `photos`, uint8 arrays
    (height, width, 3). Loads TensorFlow.
    """
    model = load_keras(folder / KERAS)
    ours = Scorer.load(folder).score(photos)
    theirs = np.array(
        [float(np.asarray(model(photo[None].astype(np.float32), training=False)).reshape(())) for photo in photos]
    )
    return float(np.abs(ours - theirs).max(initial=0.0))

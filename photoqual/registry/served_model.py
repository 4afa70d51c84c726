"""The model as MLflow serves it: encoded photos in, ratings out. MLflow runs this file when it loads a version.

`mlflow models serve -m models:/photoqual@champion` takes {"dataframe_records": [{"photo": "<base64>"}]}. Needs ONNX
Runtime and Pillow, no TensorFlow. A photo that cannot be read gets no score and the reason in `skipped`.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.models import answer
from photoqual.models.scorer import Scorer
from photoqual.photos import decode

ARTIFACT = "model"
COLUMN = "photo"
_AT_ONCE = 16
"""Photos that are decoded before they are scored."""


class PhotoRater(PythonModel):
    """Rates encoded photos (JPEG, PNG, …) with the model folder it was logged with."""

    def load_context(self, context: Any) -> None:
        """Load the model folder."""
        self._scorer = Scorer.load(Path(context.artifacts[ARTIFACT]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return `score`, `stars`, `sure`, `label` and `skipped` for each row of column `photo` (bytes)."""
        photos = model_input[COLUMN].tolist()
        rows: list[dict[str, Any]] = []
        for start in range(0, len(photos), _AT_ONCE):
            rows += self._rate(photos[start : start + _AT_ONCE])
        return pd.DataFrame(rows, columns=["score", "stars", "sure", "label", "skipped"])

    def _rate(self, photos: list[bytes]) -> list[dict[str, Any]]:
        info = self._scorer.info
        pixels, reasons = [], []
        for photo in photos:
            try:
                image, _ = decode.open_photo(bytes(photo or b""), PhotosParams())
                pixels.append(decode.model_input(image, info.image_width))
                reasons.append("")
            except UnreadablePhoto as error:
                reasons.append(error.reason)
        scores = iter(self._scorer.score(pixels).tolist())
        return [_rating(next(scores), info) if not reason else _skipped(reason) for reason in reasons]


def _rating(score: float, info: Any) -> dict[str, Any]:
    return {
        "score": score,
        "stars": answer.stars(score),
        "sure": answer.sure(score, info),
        "label": answer.label(score, info),
        "skipped": "",
    }


def _skipped(reason: str) -> dict[str, Any]:
    return {"score": float("nan"), "stars": 0, "sure": False, "label": "", "skipped": reason}


mlflow.models.set_model(PhotoRater())

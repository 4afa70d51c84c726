"""The model as MLflow serves it: encoded photos in, ratings out. MLflow runs this file when it loads a version.

`mlflow models serve -m models:/photoqual@champion` takes {"dataframe_records": [{"photo": "<base64>"}]}. Needs ONNX
Runtime and Pillow, no TensorFlow. `familiar` is null for a model that cannot tell, `defects` a JSON object of
probabilities by name. A photo that cannot be read gets null for a score and the reason in `skipped`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.models import answer
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos import decode

ARTIFACT = "model"
COLUMN = "photo"
OUTPUTS = ("score", "stars", "sure", "familiar", "label", "defects", "skipped")
_AT_ONCE = 16
"""Photos that are decoded before they are scored."""


class PhotoRater(PythonModel):
    """Rates encoded photos (JPEG, PNG, …) with the model folder it was logged with."""

    def load_context(self, context: Any) -> None:
        """Load the model folder."""
        self._scorer = Scorer.load(Path(context.artifacts[ARTIFACT]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return OUTPUTS for each row of column `photo` (bytes)."""
        photos = model_input[COLUMN].tolist()
        rows: list[dict[str, Any]] = []
        for start in range(0, len(photos), _AT_ONCE):
            rows += self._rate(photos[start : start + _AT_ONCE])
        table = pd.DataFrame(rows, columns=list(OUTPUTS))
        if table["score"].isna().any():
            table["score"] = table["score"].astype(object).where(table["score"].notna(), None)
        return table

    def _rate(self, photos: list[bytes]) -> list[dict[str, Any]]:
        info = self._scorer.info
        pixels, reasons = [], []
        for photo in photos:
            try:
                image, _ = decode.open_photo(bytes(photo or b""), PhotosParams())
                pixels.append(input_of(image, info))
                reasons.append("")
            except UnreadablePhoto as error:
                reasons.append(error.reason)
        said = iter(answer.answers(self._scorer, pixels))
        return [_skipped(reason) if reason else _rating(next(said)) for reason in reasons]


def _rating(said: answer.Answer) -> dict[str, Any]:
    return {**asdict(said), "defects": json.dumps(said.defects), "skipped": ""}


def _skipped(reason: str) -> dict[str, Any]:
    return {
        "score": None,
        "stars": 0,
        "sure": False,
        "familiar": None,
        "label": "",
        "defects": "{}",
        "skipped": reason,
    }


mlflow.models.set_model(PhotoRater())

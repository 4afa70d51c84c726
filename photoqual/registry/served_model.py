"""The model as MLflow serves it: encoded photos in, ratings out. MLflow runs this file when it loads a version.

`mlflow models serve -m models:/photoqual@champion` takes {"dataframe_records": [{"photo": "<base64>"}]}. Needs ONNX
Runtime and Pillow, no TensorFlow. The numbers are those of `photoqual rate` (models/seen.py). `familiar` is null for a model that cannot tell, `defects` a JSON object of
probabilities by name. A photo that cannot be read gets null for a score and the reason in `skipped`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel

from photoqual.errors import UnreadablePhoto
from photoqual.models.answer import Answer
from photoqual.models.scorer import Scorer
from photoqual.models.seen import look_at, say

ARTIFACT = "model"
COLUMN = "photo"
OUTPUTS = ("score", "stars", "sure", "familiar", "label", "defects", "skipped")


class PhotoRater(PythonModel):
    """Rates encoded photos (JPEG, PNG, …) with the model folder it was logged with."""

    def load_context(self, context: Any) -> None:
        """Load the model folder."""
        self._scorer = Scorer.load(Path(context.artifacts[ARTIFACT]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return OUTPUTS for each row of column `photo` (bytes)."""
        rows = [self._rate(bytes(photo or b"")) for photo in model_input[COLUMN].tolist()]
        table = pd.DataFrame(rows, columns=list(OUTPUTS))
        if table["score"].isna().any():
            table["score"] = table["score"].astype(object).where(table["score"].notna(), None)
        return table

    def _rate(self, photo: bytes) -> dict[str, Any]:
        try:
            _, pixels = look_at(photo, self._scorer.info)
        except UnreadablePhoto as error:
            return _skipped(error.reason)
        return _rating(say(self._scorer, pixels))


def _rating(said: Answer) -> dict[str, Any]:
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

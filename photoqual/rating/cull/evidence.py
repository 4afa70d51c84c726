"""Find how a model did on its frozen test set: in the project that one stands in, else in the registry."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from photoqual.errors import MissingData, PhotoqualError
from photoqual.evaluation.evaluate import MODEL_DIGEST, model_digest, read_predictions
from photoqual.layout import Layout
from photoqual.rating.cull.promise import Truth
from photoqual.registry.fetch import parse_address
from photoqual.registry.store import MODEL_NAME, connected, version_of

_ARTIFACT = "evaluation/predictions.parquet"


def truth_of(name: str, folder: Path, *, root: Path = Path()) -> Truth | str:
    """Return what people and the model say of the frozen test set of the model `name`, whose files lie in `folder`, or why
    that is not known.
    """
    digest = model_digest(folder)
    found = _read(Layout(root).predictions, digest)
    if found is None and name.startswith("models:"):
        try:
            found = _registered(name, digest, root)
        except PhotoqualError as error:
            return f"its evaluation cannot be read: {error.message}"
    return (
        truth_from(found) if found is not None else f"there is no evaluation of the model {name} on a frozen test set"
    )


def truth_from(predictions: pd.DataFrame) -> Truth:
    """Return what rows of predictions.parquet say: photos are worth their stars where all have them, else good or bad."""
    stars = predictions["stars"].to_numpy(dtype=float)
    worth = stars if np.isfinite(stars).all() else predictions["good"].to_numpy(dtype=float)
    groups = predictions["group"].astype(object).where(predictions["group"].notna(), None).to_numpy(dtype=object)
    return Truth(worth, groups, predictions["score"].to_numpy(dtype=float))


def _read(path: Path, digest: str) -> pd.DataFrame | None:
    """Return the predictions in `path` where they are there and of the model with that digest."""
    try:
        predictions, metadata = read_predictions(path)
    except MissingData:
        return None
    return predictions if metadata[MODEL_DIGEST] == digest and len(predictions) else None


def _registered(address: str, digest: str, root: Path) -> pd.DataFrame | None:
    name, wanted = parse_address(address)
    if name != MODEL_NAME:
        return None
    with connected(root) as client, TemporaryDirectory() as folder:
        import mlflow

        version = version_of(client, wanted, name)
        if version is None or not version.run_id:
            return None
        try:
            path = mlflow.artifacts.download_artifacts(
                run_id=version.run_id, artifact_path=_ARTIFACT, dst_path=folder, tracking_uri=client.tracking_uri
            )
        except OSError:
            return None
        return _read(Path(path), digest)

"""Gather what champion and challenger do on the same frozen photos, in one run: what `promotion.decide` judges."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import GuardrailParams
from photoqual.errors import DataError, MissingData, ModelError
from photoqual.evaluation.behaviour import Observed, observe
from photoqual.evaluation.slices import slices
from photoqual.labels.splits import frozen_digest
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.models.scorer import Scorer
from photoqual.registry.fetch import fetch_version
from photoqual.registry.promotion import Evidence
from photoqual.registry.store import tracking_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """A model at hand, or the `problem` why it is not."""

    version: str
    scorer: Scorer | None = None
    problem: str | None = None


def gather(
    layout: Layout,
    frozen: pd.DataFrame,
    params: GuardrailParams,
    champion: "ModelVersion | None",
    challenger: "ModelVersion",
) -> tuple[Evidence | None, Evidence]:
    """Score both on `frozen`; return their evidence. A model that cannot be used is evidence with a problem.

    Call it within `store.connected`. Raise MissingData when the photos are not here.
    """
    loaded = [_load(layout, version) for version in (champion, challenger) if version is not None]
    usable = [model for model in loaded if model.scorer is not None]
    seen = observe(layout.photos, frozen, [model.scorer for model in usable if model.scorer], params)
    found = dict(zip((model.version for model in usable), seen.models, strict=True))
    parts = slices(frozen, seen.brightness)
    evidence = [_evidence(model, found.get(model.version), frozen, parts) for model in loaded]
    return (evidence[0] if champion is not None else None), evidence[-1]


def _load(layout: Layout, version: "ModelVersion") -> _Loaded:
    number = str(version.version)
    try:
        folder = fetch_version(number, str(version.source), registry=tracking_uri(layout.root))
        return _Loaded(number, Scorer.load(folder))
    except MissingData:
        raise
    except (ModelError, DataError) as error:
        return _Loaded(number, problem=error.message.rstrip("."))


def _evidence(model: _Loaded, seen: Observed | None, frozen: pd.DataFrame, parts: dict[str, np.ndarray]) -> Evidence:
    digest = frozen_digest(frozen)
    if model.scorer is None or seen is None:
        return Evidence(model.version, digest, problem=model.problem)
    return Evidence(
        model.version,
        digest,
        frozen["good"].to_numpy(),
        seen.scores,
        frozen["group"].to_numpy(dtype=object),
        parts,
        seen.behaviour,
        frozen_in_training(model.scorer.folder, frozen),
        answers=model.scorer.answers,
        problem=seen.problem,
    )


def frozen_in_training(folder: Path, frozen: pd.DataFrame) -> int | None:
    """Return how many frozen photos the model in `folder` was trained on, None when it does not say."""
    trained = trained_on(folder)
    return None if trained is None else int(frozen["photo_id"].isin(trained).sum())


def trained_on(folder: Path) -> pd.Series | None:
    """Return the ids of the photos that the model in `folder` was trained and validated on, None when it does not say."""
    path = folder / TRAINED_ON
    try:
        table = files.read_table(path) if path.is_file() else None
    except DataError as error:
        log.warning("%s", error.message)
        return None
    return table["photo_id"].to_pandas() if table is not None and "photo_id" in table.schema.names else None

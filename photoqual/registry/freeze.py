"""Start the next frozen test set when the present one is worn out: from photos that no registered model was trained on."""

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photoqual.config import Params
from photoqual.errors import DataError, MissingData, ModelError, TooFewPhotos
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.scoring import score_photos
from photoqual.evaluation.significance import careful_interval
from photoqual.labels.splits import (
    TEST,
    draw_next,
    frozen_digest,
    labelled_photos,
    read_frozen,
    require_both_classes,
    split,
    write_frozen,
)
from photoqual.layout import Layout
from photoqual.models.scorer import Scorer
from photoqual.photos.fingerprints import split_units
from photoqual.registry import journal
from photoqual.registry.evidence import trained_on
from photoqual.registry.fetch import fetch_version
from photoqual.registry.store import MODEL_NAME, connected, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

MIN_PHOTOS = 50


def freeze_next(layout: Layout, params: Params, *, min_photos: int = MIN_PHOTOS) -> dict[str, Any]:
    """Draw the next frozen test set, split anew, and judge the champion on it; return what was done.

    Left out are photos that any registered model was trained on, those of the present frozen set, their group-mates and
    near duplicates. The present set stays in DVC's history. The journal notes both digests and the champion's AUC on
    the new set; where the photos themselves are not here, the champion is judged with the next challenger. Raise
    TooFewPhotos when fewer than `min_photos`, or one class only, are left.
    """
    present = read_frozen(layout.frozen_test)
    photos = labelled_photos(layout)
    with connected(layout.root) as client:
        trained, unknown = _trained(client, layout)
        chosen = _next(photos, trained, present, params)
        if len(chosen) < min_photos:
            raise TooFewPhotos(
                f"{len(chosen)} labelled photos are free for a new frozen test set (no registered model was trained on "
                f"them, nor on one of their group); it needs at least {min_photos}.",
                next_step="Refresh first and do not train on what comes: new photos are free until a model is registered "
                "that was trained on them. `--min-photos` sets another limit.",
            )
        require_both_classes(chosen, TEST, params.split.test)
        digest = frozen_digest(chosen)
        _, champion = journal.settled(client)
        figures = _judged(layout, params, champion, chosen) if champion is not None else {}
        facts = {"frozen_test_digest": digest, "before": frozen_digest(present), "photos": len(chosen), **figures}
        if champion is not None and not _noted(client, digest):
            reason = f"A new frozen test set of {len(chosen)} photos, {digest[:12]}, follows {facts['before'][:12]}."
            journal.append(
                client,
                journal.FROZEN,
                version=champion,
                champion=str(champion.version),
                reason=reason,
                facts=facts,
            )
        write_frozen(layout.frozen_test, chosen)
    return {**facts, "versions_without_a_list": unknown, "split": split(layout, params)}


def _trained(client: "MlflowClient", layout: Layout) -> tuple[set[str], list[str]]:
    """Return the ids of all photos that a registered model was trained on, and the versions that do not say."""
    known: set[str] = set()
    unknown: list[str] = []
    for version in client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=10_000):
        try:
            folder = fetch_version(str(version.version), str(version.source), registry=tracking_uri(layout.root))
            ids = trained_on(folder)
        except ModelError as error:
            log.warning("Version %s: %s", version.version, error.message)
            ids = None
        if ids is None:
            unknown.append(str(version.version))
        else:
            known.update(ids)
    return known, unknown


def _next(photos: pd.DataFrame, trained: set[str], present: pd.DataFrame, params: Params) -> pd.DataFrame:
    both = pd.concat([photos, present], ignore_index=True)
    units = split_units(both, params.split.near_duplicate_bits)
    used = np.isin(units, units[(both["photo_id"].isin(trained) | (both.index >= len(photos))).to_numpy(dtype=bool)])
    mask = draw_next(photos, units[: len(photos)], used[: len(photos)], frozen_digest(present), params.split)
    return photos.loc[mask]


def _judged(layout: Layout, params: Params, champion: "ModelVersion", frozen: pd.DataFrame) -> dict[str, Any]:
    """Return the champion's AUC on the new set with its interval; nothing where photos or model are not at hand."""
    number = str(champion.version)
    try:
        folder = fetch_version(number, str(champion.source), registry=tracking_uri(layout.root))
        scores = score_photos(layout.photos, frozen, Scorer.load(folder))
    except MissingData:
        return {"champion": number, "champion_problem": "the photos are not here; the next promotion judges it anew"}
    except (ModelError, DataError) as error:
        return {"champion": number, "champion_problem": error.message}
    good, groups = frozen["good"].to_numpy(), frozen["group"].to_numpy(dtype=object)
    low, high = careful_interval(good, scores, params.evaluate.confidence, groups)
    return {"champion": number, "champion_auc": auc(good, scores), "champion_auc_low": low, "champion_auc_high": high}


def _noted(client: "MlflowClient", digest: str) -> bool:
    return any(
        entry.event == journal.FROZEN and entry.facts.get("frozen_test_digest") == digest
        for entry in journal.entries(client)
    )

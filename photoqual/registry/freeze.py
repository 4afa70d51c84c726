"""Start the next frozen test set when the present one is worn out: from photos that no registered model was trained on."""

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photoqual.config import Params
from photoqual.errors import DataError, MissingData, ModelError, RegistryError, TooFewPhotos
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
from photoqual.photos.duplicates import split_units
from photoqual.registry import journal
from photoqual.registry.evidence import trained_on
from photoqual.registry.fetch import fetch_version
from photoqual.registry.looks import pairs
from photoqual.registry.store import CHALLENGER, MODEL_NAME, connected, tracking_uri, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

MIN_PHOTOS = 50
RETIRED = "retired_frozen_test"
"""Artifacts of the run of the model that was champion then: the photo ids of frozen sets that were retired."""


def freeze_next(layout: Layout, params: Params, *, min_photos: int = MIN_PHOTOS) -> dict[str, Any]:
    """Draw the next frozen test set, split anew, and judge the champion on it; return what was done.

    Left out are photos that any registered model was trained on or that were in any frozen set before, their
    group-mates and near duplicates. The present set stays in DVC's history. The journal notes both digests and the
    champion's AUC on the new set; where the photos themselves are not here, the champion is judged with the next
    challenger. When the present set was started by an earlier call and nothing was judged on it, that call is finished.
    Raise TooFewPhotos when fewer than `min_photos`, or one class only, are left.
    """
    present = read_frozen(layout.frozen_test)
    photos = labelled_photos(layout)
    digest = frozen_digest(present)
    with connected(layout.root) as client:
        written = journal.entries(client)
        newest = next((entry for entry in reversed(written) if entry.event == journal.FROZEN), None)
        if newest is not None and newest.facts["frozen_test_digest"] == digest and not pairs(written, digest):
            log.info("The present frozen test set was started at %s; nothing was judged on it yet.", newest.at)
            return {**newest.facts, "split": split(layout, params)}
        trained, unknown = _trained(client, layout)
        retired = _retired(client, written)
        chosen = _next(photos, trained | retired, present, params)
        if len(chosen) < min_photos:
            raise TooFewPhotos(
                f"{len(chosen)} labelled photos are free for a new frozen test set (no registered model was trained on "
                f"them or on one of their group, and no frozen set held them); it needs at least {min_photos}.",
                next_step="Refresh first and do not train on what comes: new photos are free until a model is registered "
                "that was trained on them. `--min-photos` sets another limit.",
            )
        require_both_classes(chosen, TEST, params.split.test)
        facts = _note(client, layout, params, present, chosen)
        write_frozen(layout.frozen_test, chosen)
    return {**facts, "versions_without_a_list": unknown, "split": split(layout, params)}


def _note(
    client: "MlflowClient", layout: Layout, params: Params, present: pd.DataFrame, chosen: pd.DataFrame
) -> dict[str, Any]:
    """Keep who was in the set that retires, and write the entry of the journal, once; return its facts."""
    _, champion = journal.settled(client)
    figures = _judged(layout, params, champion, chosen) if champion is not None else {}
    before, digest = frozen_digest(present), frozen_digest(chosen)
    facts = {"frozen_test_digest": digest, "before": before, "photos": len(chosen), **figures}
    about = champion or version_of(client, CHALLENGER)
    if about is None:
        return facts
    client.log_text(about.run_id, "\n".join(sorted(present["photo_id"])), f"{RETIRED}/{before}.txt")
    if not any(
        entry.event == journal.FROZEN and entry.facts.get("frozen_test_digest") == digest
        for entry in journal.entries(client)
    ):
        reason = f"A new frozen test set of {len(chosen)} photos, {digest[:12]}, follows {before[:12]}."
        journal.append(
            client,
            journal.FROZEN,
            version=about,
            champion=str(champion.version) if champion else None,
            reason=reason,
            facts={**facts, "mlflow_run": about.run_id},
        )
    return facts


def _retired(client: "MlflowClient", written: list[journal.Entry]) -> set[str]:
    """Return the ids of the photos of every frozen set that was retired. Raise RegistryError when a list is gone."""
    known: set[str] = set()
    for entry in written:
        if entry.event != journal.FROZEN:
            continue
        name = f"{RETIRED}/{entry.facts['before']}.txt"
        try:
            with tempfile.TemporaryDirectory(prefix="photoqual-frozen-") as scratch:
                file = client.download_artifacts(entry.facts["mlflow_run"], name, scratch)
                known.update(Path(file).read_text(encoding="utf-8").split())
        except OSError as error:
            raise RegistryError(
                f"The list of a retired frozen test set, {name} of MLflow run {entry.facts['mlflow_run']}, cannot be read: {error}.",
                next_step="Restore it in the artifact store: without it worn photos could come back.",
            ) from error
    return known


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


def _next(photos: pd.DataFrame, seen: set[str], present: pd.DataFrame, params: Params) -> pd.DataFrame:
    both = pd.concat([photos, present], ignore_index=True)
    units = split_units(both, params.split.near_duplicate_bits)
    used = np.isin(units, units[(both["photo_id"].isin(seen) | (both.index >= len(photos))).to_numpy(dtype=bool)])
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

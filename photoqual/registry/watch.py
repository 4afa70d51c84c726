"""Watch the champion: does it still rank photos that came after its training, and are these still of the same kind?

What counts as new: photos with a label that are neither in the champion's training nor in the frozen test set, nor
alike (same group or near duplicate) to a frozen photo, since those are held out of every training. The AUC is taken
over those of them that are not alike to a training photo either, where there are enough, else over all, which favours
the champion; docs/how-to/watching.md says why.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import Params
from photoqual.errors import DataError, ModelError
from photoqual.evaluation.drift import Finding, Sample, assess
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.scoring import score_photos
from photoqual.evaluation.significance import careful_interval
from photoqual.labels.rules import read_labels
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos import catalog as catalogs
from photoqual.photos.duplicates import split_units
from photoqual.photos.forgotten import read_forgotten
from photoqual.photos.measures import WATCHED, measure
from photoqual.photos.shards import read_photos
from photoqual.registry import lineage, watch_page, watch_series
from photoqual.registry.evidence import trained_on
from photoqual.registry.fetch import fetch_version
from photoqual.registry.store import champion_of, connected, no_champion, sqlite_file, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

ALARM, QUIET, TOO_FEW = "alarm", "quiet", "too_few"
UNSEEN, ALL = "unseen groups", "all"
"""What the AUC is taken over."""
REFERENCE_PHOTOS = 1000
"""Training photos that the measures of the new ones are compared with, at most; drawn with a fixed seed."""
_SEED = 20
_DECIMALS = 4
"""Measures are rounded to so many: what is smaller is noise of the arithmetic, and would count as a change."""


@dataclass(frozen=True)
class Chosen:
    """What a watch looks at. `newest`: rows with `good`, `unit` and `unseen` (not alike to a training photo), newest
    first; `frozen` and `training`: rows with `unit`. `counts`: what was found and left out, by reason.
    """

    newest: pd.DataFrame
    frozen: pd.DataFrame
    training: pd.DataFrame
    counts: dict[str, int]


def watch(layout: Layout, params: Params, *, revision: str | None = None, run_id: str | None = None) -> dict[str, Any]:
    """Watch the champion on the photos that are here; return what was found and keep it in MLflow and reports/watch.

    `outcome` is `alarm`, `quiet` or `too_few`. `revision`: that of the data, kept with the result (default: HEAD).
    Raise NoChampion when there is none, MissingData without photos, labels or frozen test set.
    """
    registry = tracking_uri(layout.root)
    file = sqlite_file(registry)
    if file is not None and not file.exists():
        raise no_champion(registry)
    with connected(layout.root) as client:
        champion = champion_of(client)
        scorer = Scorer.load(fetch_version(str(champion.version), str(champion.source), registry=registry))
        chosen = choose(layout, params, _trained_on(scorer))
        summary, seen = _look(layout, params, champion, scorer, chosen)
        summary |= {"revision": revision or _revision(layout), "run_id": run_id}
        earlier = watch_series.earlier(client, str(champion.version))
        page = watch_page.page(summary, seen, [*earlier, watch_series.Point.of(summary)], params, layout.photos)
        layout.watch.mkdir(parents=True, exist_ok=True)
        files.write_bytes(layout.watch / "index.html", page.encode())
        files.write_json(layout.watch / "summary.json", summary)
        summary["mlflow_run"] = watch_series.record(client, layout.root, summary, earlier, layout.watch)
    log.info("%s", summary["text"])
    return summary


def choose(layout: Layout, params: Params, trained: pd.Series) -> Chosen:
    """Choose the photos of a watch, given the ids that the champion was `trained` on."""
    catalog = catalogs.usable(catalogs.read_catalog(layout.catalog))
    labels = read_labels(layout)[["photo_id", "good"]].dropna(subset=["good"])
    frozen = _frozen(layout)
    is_trained = catalog["photo_id"].isin(trained).to_numpy(dtype=bool)
    is_frozen = catalog["photo_id"].isin(frozen["photo_id"]).to_numpy(dtype=bool)
    is_labelled = catalog["photo_id"].isin(labels["photo_id"]).to_numpy(dtype=bool)
    training = catalog[is_trained]
    fresh = catalog[~is_trained & ~is_frozen & is_labelled].merge(labels, on="photo_id")
    leaked = frozen["photo_id"].isin(trained).to_numpy(dtype=bool)

    columns = ["photo_id", "group", "phash"]
    units = split_units(
        pd.concat([part[columns].astype(object) for part in (fresh, training, frozen)], ignore_index=True),
        params.split.near_duplicate_bits,
    )
    of_fresh, of_training, of_frozen = np.split(units, [len(fresh), len(fresh) + len(training)])
    held_out = np.isin(of_fresh, of_frozen)
    fresh = fresh.assign(unit=of_fresh, unseen=~np.isin(of_fresh, of_training))[~held_out]
    order = ["first_seen", "uploaded_at", "photo_id"]
    newest = fresh.sort_values(order, ascending=False).head(params.watch.newest_photos).reset_index(drop=True)
    sample = training.assign(unit=of_training).sample(
        min(len(training), REFERENCE_PHOTOS), random_state=np.random.default_rng(_SEED)
    )
    since = training["first_seen"].max() if len(training) else None
    came_after = (catalog["first_seen"] > since).to_numpy(dtype=bool) if since is not None else ~is_trained
    counts = {
        "new": len(fresh),
        "looked_at": len(newest),
        "unseen_groups": int(newest["unseen"].sum()),
        "good": int(newest["good"].sum()),
        "left_out_alike_to_frozen": int(held_out.sum()),
        "left_out_without_label": int((came_after & ~is_labelled & ~is_trained & ~is_frozen).sum()),
        "left_out_frozen_in_training": int(leaked.sum()),
        "training": len(sample),
        "training_no_longer_in_catalog": int(len(trained) - is_trained.sum()),
        "frozen": int((~leaked).sum()),
    }
    return Chosen(newest, frozen.assign(unit=of_frozen)[~leaked].reset_index(drop=True), sample, counts)


def _frozen(layout: Layout) -> pd.DataFrame:
    """Return the frozen test set without photos that were forgotten, which the next split takes out of it."""
    frozen = read_frozen(layout.frozen_test)
    return frozen[~frozen["photo_id"].isin(read_forgotten(layout.forgotten).photos)].reset_index(drop=True)


def _look(
    layout: Layout, params: Params, champion: "ModelVersion", scorer: Scorer, chosen: Chosen
) -> tuple[dict[str, Any], "watch_page.Seen | None"]:
    """Score and measure the chosen photos; return the summary and what the pictures are drawn from."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    digest = frozen_digest(_frozen(layout))
    summary: dict[str, Any] = {
        "version": str(champion.version),
        "at": now,
        "photos": chosen.counts,
        "frozen_test_digest": digest,
        "frozen_test_of_version": champion.tags.get("frozen_test_digest") == digest,
        "judged_on": None,
        "findings": [],
        "metrics": {},
    }
    if len(chosen.newest) < params.watch.min_photos:
        text = f"Too few new photos to tell anything about version {champion.version}: {len(chosen.newest)} of {params.watch.min_photos}."
        return {**summary, "outcome": TOO_FEW, "text": text}, None
    for name, rows in (("frozen test", chosen.frozen), ("training", chosen.training)):
        if rows.empty:
            raise DataError(
                f"None of the {name} photos of version {champion.version} is in the catalog, so there is nothing to compare with.",
                next_step="Watch with the data that the champion was trained on: check `dvc checkout` and the sources in params.yaml.",
            )
    measured: dict[str, dict[str, float]] = {}
    newest, frozen, training = chosen.newest, chosen.frozen, chosen.training
    scores = score_photos(
        layout.photos, newest, scorer, observe=lambda photo, pixels: measured.update({photo: measure(pixels)})
    )
    frozen_scores = score_photos(layout.photos, frozen, scorer)
    for photo, jpeg in read_photos(layout.photos, training):
        measured[photo] = measure(input_of(jpeg, scorer.info))
    seen = watch_page.Seen(
        newest.assign(score=scores), frozen_scores, _measures(newest, measured), _measures(training, measured)
    )
    good = newest["good"].to_numpy(dtype=int)
    units = newest["unit"].to_numpy()
    unseen = newest["unseen"].to_numpy(dtype=bool)
    alike = unseen.sum() < params.watch.min_photos or len(np.unique(good[unseen])) < 2
    of_all = Sample(units, scores, seen.newest_measures, good)
    judged = of_all if alike else Sample(units[unseen], scores[unseen], good=good[unseen])
    then = Sample(frozen["unit"].to_numpy(), frozen_scores, good=frozen["good"].to_numpy())
    findings = assess(
        newest=of_all,
        judged=judged,
        frozen=then,
        training=Sample(training["unit"].to_numpy(), measures=seen.training_measures),
        policy=params.watch,
    )
    summary["findings"] = [asdict(finding) for finding in findings]
    summary["judged_on"] = ALL if alike else UNSEEN
    samples = {"auc_all": of_all, "frozen_auc": then, **({} if alike else {"auc": judged})}
    summary["metrics"] = _metrics(findings, samples, params)
    return {**summary, **_told(findings, str(champion.version), len(newest))}, seen


def _told(findings: list[Finding], version: str, photos: int) -> dict[str, str]:
    crossed = [finding for finding in findings if finding.crossed]
    if not crossed:
        return {"outcome": QUIET, "text": f"Version {version} on the {photos} newest photos: no threshold is crossed."}
    causes = " ".join(f"{finding.name}: {finding.text}" for finding in crossed)
    return {"outcome": ALARM, "text": f"Version {version} on the {photos} newest photos: alarm. {causes}"}


def _metrics(findings: list[Finding], samples: Mapping[str, Sample], params: Params) -> dict[str, float]:
    """Return the numbers of the series by stable name; what could not be found is left out."""
    metrics = {finding.name: finding.value for finding in findings if finding.value is not None}
    for name, sample in samples.items():
        good, scores, groups = (np.asarray(part) for part in (sample.good, sample.scores, sample.groups))
        if 0 < good.sum() < len(good):
            low, high = careful_interval(good, scores, params.evaluate.confidence, groups)
            metrics |= {name: auc(good, scores), f"{name}_low": low, f"{name}_high": high}
    return metrics


def _measures(rows: pd.DataFrame, measured: Mapping[str, Mapping[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([measured[photo][name] for photo in rows["photo_id"]]).round(_DECIMALS) for name in WATCHED}


def _trained_on(scorer: Scorer) -> pd.Series:
    found = trained_on(scorer.folder)
    if found is None:
        raise ModelError(
            f"The champion in {scorer.folder} does not say what it was trained on: it has no usable {TRAINED_ON}.",
            next_step="Train again with `dvc repro`; models of this version keep that list.",
        )
    return found


def _revision(layout: Layout) -> str:
    try:
        return lineage.git_revision(layout.root)
    except DataError:
        return "unknown"

"""Promote: score champion and challenger in this run on the same frozen photos, decide, write the verdict, move aliases.

A run that is killed anywhere can be run again: aliases move one after the other, `champion` last, and the verdict is
marked done only after that.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from photoqual.config import Params
from photoqual.errors import ChampionMoved, DataError, MissingData, ModelError, RegistryError
from photoqual.evaluation.scoring import score_photos
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.models.scorer import Scorer
from photoqual.registry.audit import record
from photoqual.registry.fetch import fetch_version
from photoqual.registry.promotion import Decision, Evidence, decide
from photoqual.registry.store import (
    CHALLENGER,
    CHAMPION,
    MODEL_NAME,
    PREVIOUS_CHAMPION,
    connected,
    tracking_uri,
    version_of,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

PREFIX = "promotion."
PROMOTING, PROMOTED, REFUSED, NOT_EVALUABLE = "promoting", "promoted", "refused", "not_evaluable"
ALREADY = "already_champion"
_DECISIONS = {"promote": PROMOTED, "refuse": REFUSED, "not_evaluable": NOT_EVALUABLE}


def promote(layout: Layout, params: Params, *, version: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Judge `version` (default: alias `challenger`) against the champion; promote it on evidence only.

    Return the verdict: `decision` (promoted, refused, not_evaluable, already_champion), `reason`, `numbers`. The same
    is written on the version, promoted or not; `dry_run` writes nothing and moves nothing. Raise ChampionMoved when
    another run changed the champion in between.
    """
    with connected(layout.root) as client:
        challenger = _challenger(client, version)
        champion = version_of(client, CHAMPION)
        if champion is not None and champion.version == challenger.version:
            return _already(client, challenger, dry_run)
        frozen = read_frozen(layout.frozen_test)
        decision = decide(
            _evidence(layout, champion, frozen) if champion else None,
            _evidence(layout, challenger, frozen),
            params.promote,
        )
        verdict = _verdict(decision, challenger, champion, frozen, dry_run)
        log.info("%s: %s", verdict["decision"], decision.reason)
        if not dry_run:
            _carry_out(client, decision, verdict, challenger, champion)
    return verdict


def _challenger(client: "MlflowClient", version: str | None) -> "ModelVersion":
    found = version_of(client, version or CHALLENGER)
    if found is None:
        missing = f"version {version}" if version else f"alias {CHALLENGER}"
        raise RegistryError(
            f"The registry at {tracking_uri()} has no {missing} of {MODEL_NAME}.",
            next_step="`photoqual history` lists the versions; `photoqual register` makes one.",
        )
    return found


def _evidence(layout: Layout, version: "ModelVersion", frozen: pd.DataFrame) -> Evidence:
    """Score `version` on the frozen photos; a model that cannot be used is evidence with a problem, not an error."""
    number, digest = str(version.version), frozen_digest(frozen)
    try:
        folder = fetch_version(number, str(version.source), registry=tracking_uri(layout.root))
        scores = score_photos(layout.photos, frozen, Scorer.load(folder))
    except MissingData:
        raise
    except (ModelError, DataError) as error:
        return Evidence(number, digest, problem=error.message.rstrip("."))
    return Evidence(
        number,
        digest,
        frozen["good"].to_numpy(),
        scores,
        frozen["group"].to_numpy(dtype=object),
        _frozen_in_training(folder, frozen),
    )


def _frozen_in_training(folder: Path, frozen: pd.DataFrame) -> int | None:
    """Return how many frozen photos the model in `folder` was trained on, None when it does not say."""
    path = folder / TRAINED_ON
    if not path.is_file():
        return None
    return int(frozen["photo_id"].isin(pd.read_parquet(path, columns=["photo_id"])["photo_id"]).sum())


def _verdict(
    decision: Decision, challenger: "ModelVersion", champion: "ModelVersion | None", frozen: pd.DataFrame, dry_run: bool
) -> dict[str, Any]:
    return {
        "decision": _DECISIONS[decision.outcome],
        "reason": decision.reason,
        "numbers": decision.numbers,
        "version": str(challenger.version),
        "against": str(champion.version) if champion else None,
        "frozen_test_digest": frozen_digest(frozen),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dry_run": dry_run,
    }


def _carry_out(
    client: "MlflowClient",
    decision: Decision,
    verdict: dict[str, Any],
    challenger: "ModelVersion",
    champion: "ModelVersion | None",
) -> None:
    """Write the verdict; when it is to promote, move the aliases in between."""
    number = str(challenger.version)
    if not decision.promote:
        _write(client, challenger, verdict)
        return
    _assert_unmoved(client, champion)
    _write(client, challenger, {**verdict, "decision": PROMOTING})
    if champion is not None:
        client.set_registered_model_alias(MODEL_NAME, PREVIOUS_CHAMPION, champion.version)
    _assert_unmoved(client, champion)
    client.set_registered_model_alias(MODEL_NAME, CHAMPION, number)
    _write(client, challenger, verdict)
    record(client, "promoted", made=number, replaced=verdict["against"], reason=decision.reason)


def _assert_unmoved(client: "MlflowClient", judged: "ModelVersion | None") -> None:
    """Raise ChampionMoved when the champion is no longer the one that was judged."""
    now = version_of(client, CHAMPION)
    then, found = (str(mv.version) if mv else None for mv in (judged, now))
    if then != found:
        raise ChampionMoved(
            f"Another run made version {found} champion while version {then or 'none'} was being judged; nothing was promoted.",
            next_step="Run `photoqual promote` again: it judges against the new champion.",
            judged=then,
            found=found,
        )


def _write(client: "MlflowClient", challenger: "ModelVersion", verdict: Mapping[str, Any]) -> None:
    """Write the verdict as tags of the version, and as verdict.json with its run."""
    number = str(challenger.version)
    for name in ("reason", "against", "at", "decision"):
        client.set_model_version_tag(MODEL_NAME, number, PREFIX + name, str(verdict[name] or ""))
    client.set_model_version_tag(MODEL_NAME, number, PREFIX + "numbers", json.dumps(verdict["numbers"]))
    if challenger.run_id:
        client.log_dict(challenger.run_id, dict(verdict), "verdict.json")


def _already(client: "MlflowClient", champion: "ModelVersion", dry_run: bool) -> dict[str, Any]:
    """Return the verdict on a version that is champion; finish the record of a run that was killed on the way."""
    number = str(champion.version)
    if champion.tags.get(PREFIX + "decision") == PROMOTING and not dry_run:
        client.set_model_version_tag(MODEL_NAME, number, PREFIX + "decision", PROMOTED)
        record(
            client,
            "promoted",
            made=number,
            replaced=champion.tags.get(PREFIX + "against") or None,
            reason=champion.tags.get(PREFIX + "reason", ""),
        )
    return {
        "decision": ALREADY,
        "reason": f"Version {number} is the champion already; nothing was changed.",
        "numbers": {},
        "version": number,
        "against": number,
        "dry_run": dry_run,
    }

"""Prune: delete old versions that never mattered, and keep what people may come back to.

Kept are every version that was ever champion, those with an alias or a rollback, those that await approval or are being
judged, and the newest. What is deleted leaves an entry with its verdict and lineage in the journal; its MLflow run
stays too, with the report. The entry comes first and the version goes last, so a prune that was killed can be run again.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.errors import ConfigError
from photoqual.registry import journal
from photoqual.registry.store import MODEL_NAME, connected, masked, sqlite_file, tracking_uri
from photoqual.registry.verdicts import AWAITING, PREFIX, PROMOTED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

KEEP = 10
_JUDGING = timedelta(days=1)
"""A verdict that was begun and has no outcome is waited for so long; then its run is taken for dead."""
_PAGE = 200
_LINEAGE = ("git_rev", "data_rev", "frozen_test_digest", "model_digest", "environment_lock", "run_id")


@dataclass(frozen=True)
class Known:
    """What decides over one version; `judging` is True while a run is at work on its verdict."""

    number: int
    aliases: tuple[str, ...] = ()
    was_champion: bool = False
    rolled_back: bool = False
    decision: str | None = None
    judging: bool = False


def kept(versions: Iterable[Known], keep: int) -> dict[int, str]:
    """Return {version: why} of those that stay; all others may go. The newest `keep` stay whatever they are."""
    ordered = sorted(versions, key=lambda version: -version.number)
    told = {version.number: _why(version) for version in ordered}
    newest = {version.number: f"one of the newest {keep}" for version in ordered[:keep]}
    return {number: why or newest.get(number, "") for number, why in told.items() if why or number in newest}


def _why(version: Known) -> str:
    if version.aliases:
        return f"has the alias {', '.join(version.aliases)}"
    if version.was_champion or version.decision == PROMOTED:
        return "was champion"
    if version.rolled_back:
        return "has a part in a rollback"
    if version.decision == AWAITING:
        return "awaits approval"
    return "is being judged" if version.judging else ""


def prune(root: Path = Path(), *, keep: int = KEEP, dry_run: bool = True) -> dict[str, Any]:
    """Delete the versions that `kept` does not name, with their logged models; a dry run lists them alone.

    Return `pruned` (or `would_prune`) and `kept`, newest first, each with the version and what is known of it. Each
    version is looked at once more right before it goes. Raise ConfigError when `keep` is negative, RegistryError when
    there is no registry.
    """
    if keep < 0:
        raise ConfigError(f"--keep {keep} is negative.", next_step="Name how many of the newest versions to keep.")
    with connected(root) as client:
        versions = _versions(client)
        stay = kept(_known(client, versions.values()), keep)
        going = sorted(versions.keys() - stay.keys())
        if not dry_run:
            needed = [number for number in going if not _delete(client, versions[number], keep)]
            stay |= dict.fromkeys(needed, "is needed since this began")
        gone = [_told(versions[number]) for number in reversed(going) if number not in stay]
    return {
        "dry_run": dry_run,
        "would_prune" if dry_run else "pruned": gone,
        "kept": [{"version": str(number), "why": stay[number]} for number in sorted(stay, reverse=True)],
        "next_step": _next_step(root, dry_run, len(gone)),
    }


def _next_step(root: Path, dry_run: bool, number: int) -> str:
    if not number:
        return "Nothing to delete."
    if dry_run:
        return "Add --yes to delete them; the journal keeps their verdicts."
    uri = tracking_uri(root)
    database = uri if sqlite_file(uri) else "<database of the MLflow server>"
    gc = f"mlflow gc --backend-store-uri {database} --tracking-uri {masked(uri)}"
    return f"Free the space of the deleted models: `{gc}`. `photoqual history` has their verdicts."


def _delete(client: "MlflowClient", version: "ModelVersion", keep: int) -> bool:
    """Delete one version, unless it has become one to keep; return whether it is gone."""
    from mlflow.exceptions import MlflowException

    number = int(version.version)
    versions = _versions(client)
    if number not in versions:
        return True
    if number in kept(_known(client, versions.values()), keep):
        return False
    if not any(entry.event == journal.PRUNED and entry.version == str(number) for entry in journal.entries(client)):
        told = _told(version)
        journal.append(
            client, journal.PRUNED, version=version, reason=f"not among the newest {keep}, never champion", facts=told
        )
    source = str(version.source)
    shared = any(str(other.source) == source for other in versions.values() if int(other.version) != number)
    if source.startswith("models:/m-") and not shared:
        try:
            client.delete_logged_model(source.removeprefix("models:/"))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                raise
    client.delete_model_version(MODEL_NAME, str(number))
    return True


def _versions(client: "MlflowClient") -> "dict[int, ModelVersion]":
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = client.search_model_versions(f"name = '{MODEL_NAME}'", max_results=_PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return {int(version.version): version for version in found}


def _known(client: "MlflowClient", versions: "Iterable[ModelVersion]") -> list[Known]:
    """Gather what decides over each version. Listings carry no aliases, so they are asked of the model."""
    aliases: dict[int, list[str]] = {}
    for model in client.search_registered_models(f"name = '{MODEL_NAME}'"):
        for alias, number in client.get_registered_model(model.name).aliases.items():
            aliases.setdefault(int(number), []).append(alias)
    written = journal.entries(client)
    champions = {number for change in journal.changes(written) for number in (change.champion, change.replaced)}
    judged = {entry.version: entry for entry in written if entry.event == journal.JUDGED}
    told = []
    for version in versions:
        number = str(version.version)
        entry = judged.get(number)
        decided = entry.facts.get("decision") if entry else None
        told.append(
            Known(
                int(number),
                tuple(sorted(aliases.get(int(number), []))),
                was_champion=number in champions,
                rolled_back="rollback" in version.tags,
                decision=version.tags.get(PREFIX + "decision") or decided,
                judging=entry is not None and not decided and _young(entry.at),
            )
        )
    return told


def _young(at: str) -> bool:
    return datetime.now(UTC) - datetime.fromisoformat(at) < _JUDGING


def _told(version: "ModelVersion") -> dict[str, Any]:
    tags = version.tags
    return {
        "version": str(version.version),
        "registered_at": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        "decision": tags.get(PREFIX + "decision"),
        "reason": tags.get(PREFIX + "reason"),
        "against": tags.get(PREFIX + "against") or None,
        "numbers": json.loads(tags.get(PREFIX + "numbers") or "{}"),
        **{name: tags[name] for name in _LINEAGE if name in tags},
    }

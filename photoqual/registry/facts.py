"""What the registry alone knows of one version: tags, params, metrics, verdict, and how it became champion."""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.errors import ConfigError, NoChampion, RegistryError
from photoqual.registry import journal
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected, masked, no_champion, tracking_uri, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NAMED = re.compile(rf"(?:models:/{MODEL_NAME}[@/])?(?P<which>\d+|[A-Za-z][A-Za-z0-9_-]*)")
_PROMOTION = "promotion."


@dataclass(frozen=True)
class Facts:
    """One version. `before` is the champion it replaced or was judged against, with that one's params (None where
    the registry has them no more); `missing` says in words what the registry does not have.
    """

    version: str
    aliases: list[str]
    registered_at: str
    registered_by: str
    mlflow_run: str
    tags: dict[str, str]
    params: dict[str, str] | None
    metrics: dict[str, float]
    changes: list[journal.Entry]
    before: str | None
    before_params: dict[str, str] | None
    missing: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> dict[str, Any]:
        """The newest verdict as the version's tags tell it; {} when it was not judged."""
        told = {name: self.tags.get(_PROMOTION + name) or None for name in ("decision", "reason", "against", "at")}
        return (
            {**told, "numbers": json.loads(self.tags.get(_PROMOTION + "numbers") or "{}")} if told["decision"] else {}
        )


def version_facts(model: str, *, root: Path = Path()) -> Facts:
    """Return what the registry knows of `model`: `models:/photoqual@champion`, `models:/photoqual/3`, `champion`, `3`.

    Raise NoChampion, RegistryError when there is no such version, ConfigError for an address of another kind.
    """
    which = named(model)
    with connected(root) as client:
        version = found(client, which)
        number = str(version.version)
        changes = [
            change
            for change in journal.changes(journal.entries(client))
            if number in (change.champion, change.replaced)
        ]
        missing: list[str] = []
        params, metrics, by = _run(client, version, missing)
        before = _before(version, changes)
        return Facts(
            version=number,
            aliases=sorted(version.aliases),
            registered_at=_instant(version.creation_timestamp),
            registered_by=by,
            mlflow_run=str(version.run_id or ""),
            tags=dict(version.tags),
            params=params,
            metrics=metrics,
            changes=changes,
            before=before,
            before_params=_params_of(client, before, missing) if before else None,
            missing=missing,
        )


def named(model: str) -> str:
    """Return the alias or the number of the version that an address, an alias or a number names."""
    match = _NAMED.fullmatch(model)
    if match is None:
        raise ConfigError(
            f"{model} does not name a registered model.",
            next_step=f"Write models:/{MODEL_NAME}@champion, models:/{MODEL_NAME}/3, an alias, or a number.",
        )
    return match["which"]


def found(client: "MlflowClient", which: str) -> "ModelVersion":
    """Return the version with that number or alias. Raise NoChampion or RegistryError when there is none."""
    version = version_of(client, which)
    if version is not None:
        return version
    if which == CHAMPION:
        raise no_champion(tracking_uri())
    place = masked(tracking_uri())
    if not which.isdigit():
        raise NoChampion(
            f"No version has the alias {which} in the registry at {place}.",
            next_step="`photoqual history` lists the versions and their aliases.",
        )
    pruned = any(entry.event == journal.PRUNED and entry.version == which for entry in journal.entries(client))
    raise RegistryError(
        f"Version {which} was pruned; only its verdict is left."
        if pruned
        else f"There is no version {which} in the registry at {place}.",
        next_step="`photoqual history` tells what is known of every version.",
    )


def _before(version: "ModelVersion", changes: list[journal.Entry]) -> str | None:
    made = [
        change for change in changes if change.event == journal.PROMOTED and change.champion == str(version.version)
    ]
    if made:
        return made[-1].replaced
    against = version.tags.get(_PROMOTION + "against") or None
    return against if against != str(version.version) else None


def _run(
    client: "MlflowClient", version: "ModelVersion", missing: list[str]
) -> tuple[dict[str, str] | None, dict[str, float], str]:
    """Return params, metrics and user of the MLflow run behind a version."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        missing.append(f"params and metrics: the MLflow run {version.run_id or '(none)'} is gone")
        return None, {}, ""
    return dict(run.data.params), dict(run.data.metrics), str(run.data.tags.get("mlflow.user") or "")


def _params_of(client: "MlflowClient", number: str, missing: list[str]) -> dict[str, str] | None:
    version = version_of(client, number)
    if version is None:
        missing.append(f"params of version {number}, the champion before: it is not in the registry any more")
        return None
    gone: list[str] = []
    params, _, _ = _run(client, version, gone)
    missing += [f"version {number}, the champion before: {text}" for text in gone]
    return params


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")

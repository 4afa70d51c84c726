"""Verdicts as they are kept: their words, the version they are about, and what is written on it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photoqual.errors import RegistryError
from photoqual.registry import journal
from photoqual.registry.store import CHALLENGER, MODEL_NAME, masked, tracking_uri, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PREFIX = "promotion."
PROMOTED, REFUSED, NOT_EVALUABLE = "promoted", "refused", "not_evaluable"
AWAITING, REJECTED, SUPERSEDED = "awaiting_approval", "rejected", "superseded"
ALREADY, OFF = "already_champion", "off"


def named(client: "MlflowClient", version: str | None) -> "ModelVersion":
    """Return the model version of that number, by default that of the alias `challenger`. Raise RegistryError."""
    found = version_of(client, CHALLENGER if version is None else version)
    if found is None:
        missing = f"alias {CHALLENGER}" if version is None else f"version {version}"
        raise RegistryError(
            f"The registry at {masked(tracking_uri())} has no {missing} of {MODEL_NAME}.",
            next_step="`photoqual history` lists the versions; `photoqual register` makes one.",
        )
    return found


def note_verdict(client: "MlflowClient", entry: int, verdict: Mapping[str, Any]) -> None:
    """Write what came of a verdict into its entry of the journal, the guardrails by name and outcome alone."""
    rails = {rail["name"]: rail["outcome"] for rail in verdict.get("guardrails", [])}
    facts = {name: value for name, value in verdict.items() if name != "guardrails"} | {"guardrails": rails}
    counted = verdict["numbers"].get("look") is not None
    journal.note(client, entry, reason=str(verdict["reason"]), facts=facts | {"counted": counted})


def show_wear(client: "MlflowClient", digest: str, looks: int, left: float) -> None:
    """Show on the registered model how worn a frozen set is."""
    told = f"{looks} pair(s) judged on it, {left:.0%} of its chance of error left"
    client.set_registered_model_tag(MODEL_NAME, f"frozen_test.{digest[:12]}", told)


def write_tags(client: "MlflowClient", version: "ModelVersion", verdict: Mapping[str, Any]) -> None:
    """Write the verdict as tags of the version, the decision last."""
    number = str(version.version)
    for name in ("reason", "against", "at", "entry"):
        client.set_model_version_tag(MODEL_NAME, number, PREFIX + name, str(verdict[name] or ""))
    client.set_model_version_tag(MODEL_NAME, number, PREFIX + "numbers", json.dumps(verdict["numbers"]))
    client.set_model_version_tag(MODEL_NAME, number, PREFIX + "decision", verdict["decision"])

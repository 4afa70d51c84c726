"""Who became champion, when and why: one tag per event on the registered model, never changed after."""

import getpass
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from photoqual.registry.store import AUDIT, MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient


def record(client: "MlflowClient", event: str, *, made: str, replaced: str | None, reason: str) -> None:
    """Write that version `made` became champion in place of `replaced`."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    entry = {"at": now, "event": event, "champion": made, "replaced": replaced, "by": _person(), "reason": reason}
    client.set_registered_model_tag(MODEL_NAME, AUDIT + now.replace(":", "").replace("+", "Z"), json.dumps(entry))


def events(client: "MlflowClient") -> list[dict[str, Any]]:
    """Return every event, oldest first."""
    tags = client.get_registered_model(MODEL_NAME).tags
    return sorted(
        (json.loads(text) for name, text in tags.items() if name.startswith(AUDIT)), key=lambda entry: entry["at"]
    )


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"

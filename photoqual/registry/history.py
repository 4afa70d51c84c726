"""What became of every version: verdict, numbers and aliases, read from tags alone."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.registry.promote import PREFIX
from photoqual.registry.store import MODEL_NAME, connected

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def history(root: Path = Path(), *, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the newest `limit` versions (default: all), newest first, each with `version`, `registered_at`,
    `aliases`, `decision` (None: not judged yet), `reason`, `numbers`, `against`, `rollback` and its lineage.
    """
    with connected(root) as client:
        aliases: dict[str, list[str]] = {}
        found: list[ModelVersion] = []
        token: str | None = None
        for model in client.search_registered_models(f"name = '{MODEL_NAME}'"):
            for alias, version in client.get_registered_model(model.name).aliases.items():
                aliases.setdefault(str(version), []).append(alias)
        while limit is None or len(found) < limit:
            page = client.search_model_versions(
                f"name = '{MODEL_NAME}'", max_results=200, order_by=["version_number DESC"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                break
    return [_entry(version, sorted(aliases.get(str(version.version), []))) for version in found[:limit]]


def _entry(version: "ModelVersion", aliases: list[str]) -> dict[str, Any]:
    tags = version.tags
    return {
        "version": str(version.version),
        "registered_at": datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds"),
        "aliases": aliases,
        "decision": tags.get(PREFIX + "decision"),
        "reason": tags.get(PREFIX + "reason"),
        "numbers": json.loads(tags.get(PREFIX + "numbers", "{}")),
        "against": tags.get(PREFIX + "against") or None,
        "rollback": tags.get("rollback"),
        **{name: tags.get(name) for name in ("git_rev", "data_rev", "frozen_test_digest", "run_id")},
    }

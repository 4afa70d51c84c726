"""What became of every version and who decided what, when: read from the registry alone."""

import json
from collections.abc import Container, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from photoqual.evaluation.wear import left
from photoqual.registry import journal
from photoqual.registry.looks import pairs
from photoqual.registry.store import MODEL_NAME, connected
from photoqual.registry.verdicts import PREFIX, PROMOTED

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


def events(root: Path = Path()) -> list[dict[str, Any]]:
    """Return every verdict, promotion, rollback, freeze and pruning, newest first: who, when, why, with its numbers.

    A change of the champion that came second has `valid` False.
    """
    with connected(root) as client:
        written = journal.entries(client)
    return [asdict(entry) for entry in reversed(written)]


def wear(root: Path = Path()) -> list[dict[str, Any]]:
    """Return, for each frozen test set that was judged on, newest first: its digest, how many pairs were judged on it,
    and which share of what may go wrong is left.
    """
    with connected(root) as client:
        written = journal.entries(client)
    digests = dict.fromkeys(
        entry.facts["frozen_test_digest"] for entry in reversed(written) if entry.facts.get("frozen_test_digest")
    )
    looks = {digest: len(pairs(written, digest)) for digest in digests}
    return [{"frozen_test_digest": digest, "looks": count, "left": left(count)} for digest, count in looks.items()]


def print_history(told: Mapping[str, list[dict[str, Any]]]) -> None:
    """Print versions, events and the wear of frozen sets as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    versions = Table("version", "registered", "aliases", "verdict", "reason", title="Versions", title_justify="left")
    for row in told["versions"]:
        cells = (row["registered_at"][:16], ", ".join(row["aliases"]), row["decision"] or "not judged", row["reason"])
        versions.add_row(row["version"], *(escape(cell or "") for cell in cells))
    journal_ = Table("entry", title="Journal", title_justify="left")
    journal_.add_column("when", no_wrap=True)
    for name in ("who", "what", "version", "against", "why"):
        journal_.add_column(name)
    carried_out = {row["facts"].get("verdict") for row in told["events"] if row["event"] == journal.PROMOTED}
    for row in told["events"]:
        against = row["replaced"] or (row["champion"] if row["event"] == journal.JUDGED else "")
        what = _what(row, carried_out)
        told_of_it = (
            row["at"][:16].replace("T", " "),
            row["by"],
            what,
            row["version"] or "",
            against or "",
            row["reason"],
        )
        journal_.add_row(str(row["number"]), *(escape(text) for text in told_of_it))
    sets = Table("frozen test set", "pairs judged", "left", title="Frozen test sets", title_justify="left")
    for row in told["frozen_sets"]:
        sets.add_row(row["frozen_test_digest"][:12], str(row["looks"]), f"{row['left']:.0%}")
    for table in (versions, journal_, sets):
        console.print(table)


def _what(row: Mapping[str, Any], carried_out: Container[int | None]) -> str:
    """Return in a few words what an event was."""
    if row["event"] != journal.JUDGED:
        return row["event"] if row["valid"] else f"{row['event']} (came second; void)"
    facts = row["facts"]
    decision = facts.get("decision")
    if facts.get("dry_run"):
        return f"judged: {decision or 'no verdict'} (dry run)"
    if decision == PROMOTED and row["number"] not in carried_out:
        return "judged: promoted (not carried out)"
    return f"judged: {decision or 'no verdict (stopped on the way)'}"


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

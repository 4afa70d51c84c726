"""What the registry knows of the version that answers: since when, by which verdict, its card and its report."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.registry import journal
from photoqual.registry.history import history
from photoqual.registry.store import CHAMPION, connected, version_of
from photoqual.registry.verdicts import PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NEWEST = 10


@dataclass(frozen=True)
class Facts:
    """`entry`: what the history says of the version (registry/history.py); `since`: the event that made it champion,
    None where the journal has none; `card`: Markdown; `report`: an HTML page; `newest`: the newest versions.
    """

    entry: dict[str, Any]
    since: journal.Entry | None
    card: str
    report: str | None
    newest: list[dict[str, Any]] = field(default_factory=list)


def facts_of(number: str, root: Path = Path()) -> Facts:
    """Return what is known of version `number` of the registered model. Raise RegistryError."""
    told = history(root)
    entry = next((row for row in told if row["version"] == number), {"version": number, "aliases": [], "numbers": {}})
    with connected(root) as client:
        version = version_of(client, number)
        if version is None:
            return Facts(entry, None, "", None, told[:_NEWEST])
        run = str(version.run_id)
        card = _text(client, run, "model_card.md") or str(version.description or "")
        report = (
            _text(client, run, f"promotion/{version.tags[PREFIX + 'entry']}/report.html") if _judged(version) else None
        )
        changes = [change for change in journal.changes(journal.entries(client)) if change.champion == number]
    return Facts(entry, changes[-1] if changes and CHAMPION in entry["aliases"] else None, card, report, told[:_NEWEST])


def _judged(version: "ModelVersion") -> bool:
    return bool(version.tags.get(PREFIX + "entry"))


def _text(client: "MlflowClient", run: str, path: str) -> str | None:
    """Return the text of an artifact; None where it is lost, which a page can do without."""
    import tempfile

    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory(prefix="photoqual-app-") as folder:
            return Path(client.download_artifacts(run, path, folder)).read_text(encoding="utf-8")
    except (MlflowException, OSError, UnicodeDecodeError):
        return None

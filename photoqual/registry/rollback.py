"""Roll back: the champion before becomes champion again, and the present one the previous one."""

from typing import TYPE_CHECKING, Any

from photoqual.errors import ConfigError, ModelError, NoChampion
from photoqual.layout import Layout
from photoqual.models.scorer import Scorer
from photoqual.registry import journal
from photoqual.registry.fetch import fetch_version
from photoqual.registry.store import MODEL_NAME, connected, no_champion, tracking_uri, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

TAG = "rollback"


def rollback(layout: Layout, *, reason: str) -> dict[str, Any]:
    """Make the champion before the present one champion again; keep `reason` with both and in the journal.

    The same rollback asked for twice, by the same person for the same reason, is done once: a run that was killed can
    be run again. Raise NoChampion when there is no champion or no other one before it, ModelError when that one's
    files are gone, ChampionMoved when another run changed the champion meanwhile.
    """
    if not reason.strip():
        raise ConfigError("A rollback needs a reason.", next_step='Say why: `photoqual rollback --reason "…"`.')
    with connected(layout.root) as client:
        head, current = journal.settled(client)
        if head is None or current is None:
            raise no_champion(tracking_uri(layout.root))
        if head.event != journal.ROLLED_BACK or (head.reason, head.by) != (reason, journal.person()):
            previous = _before(client, layout, head, current)
            replaced = str(current.version)
            head = journal.change(
                client, journal.ROLLED_BACK, version=previous, replaced=replaced, head=head, reason=reason
            )
        made, replaced = str(head.champion), str(head.replaced)
        for number, text in (
            (made, f"champion again in place of version {replaced}: {reason}"),
            (replaced, f"rolled back to version {made}: {reason}"),
        ):
            client.set_model_version_tag(MODEL_NAME, number, TAG, text)
    return {"champion": made, "previous_champion": replaced, "reason": reason, "entry": head.number}


def _before(client: "MlflowClient", layout: Layout, head: journal.Entry, current: "ModelVersion") -> "ModelVersion":
    """Return the champion before the present one, its files checked."""
    found = version_of(client, head.replaced) if head.replaced else None
    if found is None:
        raise NoChampion(
            f"There is no champion before version {current.version} to go back to.",
            next_step="`photoqual history` lists the versions; `photoqual promote --version N` judges one of them.",
        )
    try:
        Scorer.load(fetch_version(str(found.version), str(found.source), registry=tracking_uri(layout.root)))
    except ModelError as error:
        raise ModelError(
            f"The champion before, version {found.version}, cannot be used: {error.message}",
            next_step="Restore its files in the artifact store; the present champion stays.",
        ) from None
    return found

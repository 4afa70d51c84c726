"""Roll back: the previous champion becomes champion again, and the champion the previous one."""

from typing import Any

from photoqual.errors import ConfigError, NoChampion
from photoqual.layout import Layout
from photoqual.registry import journal
from photoqual.registry.store import MODEL_NAME, PREVIOUS_CHAMPION, connected, no_champion, tracking_uri, version_of


def rollback(layout: Layout, *, reason: str) -> dict[str, Any]:
    """Swap the aliases `champion` and `previous_champion` and keep `reason` with both versions and in the journal.

    Raise NoChampion when there is no champion or no other one before it, ChampionMoved when another run changed the
    champion meanwhile.
    """
    if not reason.strip():
        raise ConfigError("A rollback needs a reason.", next_step='Say why: `photoqual rollback --reason "…"`.')
    with connected(layout.root) as client:
        head, current = journal.settled(client)
        if current is None:
            raise no_champion(tracking_uri(layout.root))
        previous = version_of(client, PREVIOUS_CHAMPION)
        if previous is None or previous.version == current.version:
            raise NoChampion(
                f"There is no champion before version {current.version} to go back to.",
                next_step="`photoqual history` lists the versions; `photoqual promote --version N` judges one of them.",
            )
        journal.change(
            client, journal.ROLLED_BACK, version=previous, replaced=str(current.version), head=head, reason=reason
        )
        for version, text in (
            (previous, f"champion again in place of version {current.version}: {reason}"),
            (current, f"rolled back to version {previous.version}: {reason}"),
        ):
            client.set_model_version_tag(MODEL_NAME, version.version, "rollback", text)
    return {"champion": str(previous.version), "previous_champion": str(current.version), "reason": reason}

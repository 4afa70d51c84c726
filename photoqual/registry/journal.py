"""The journal of the registry: what was judged, who became champion, when, why and by whom.

Entries are the versions of a registered model of their own, because MLflow numbers versions one after the other even
when two clients write at once, and nothing else in its interface is atomic in that way. An entry that changes the
champion names the entry it builds on (`after`). Of two that build on the same one, the first is valid and the other
void, and every reader comes to the same answer. Aliases follow the journal: an entry whose aliases were not moved
because its writer was killed is finished by whoever comes next.
"""

import getpass
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from photoqual.errors import ChampionMoved, RegistryError
from photoqual.registry.store import CHAMPION, JOURNAL, MODEL_NAME, PREVIOUS_CHAMPION, ensure_model, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

JUDGED, APPROVED, REJECTED, FROZEN, PRUNED = "judged", "approved", "rejected", "frozen", "pruned"
PROMOTED, ROLLED_BACK, ADOPTED = "promoted", "rolled back", "adopted"
CHANGES = (PROMOTED, ROLLED_BACK, ADOPTED)
"""Events that change the champion. `adopted`: somebody moved the alias by hand; the journal takes note."""
PATIENCE_SECONDS = 5.0
"""How long the writer of an entry is given to move the aliases before another finishes it."""
_PAGE = 1000
_TRIES = 5
_ABOUT = "What was judged, promoted and rolled back: one version is one entry. Written by photoqual; never edit it."


@dataclass(frozen=True)
class Entry:
    """One event. `version`: the model version it is about; `champion`: the champion after it (changes), or the one
    judged against; `replaced`: the champion before it; `after`: the entry a change builds on, 0 for none;
    `valid`: False for a change that came second; `done`: its aliases were moved.
    """

    number: int
    event: str
    at: str
    by: str
    version: str | None
    champion: str | None
    replaced: str | None
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)
    after: int = 0
    valid: bool = True
    done: bool = False


def person() -> str:
    """Return the name of whoever runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        return "unknown"


def entries(client: "MlflowClient") -> list[Entry]:
    """Return every entry in order; changes that came second have `valid` False."""
    from mlflow.exceptions import MlflowException

    found: list[ModelVersion] = []
    token: str | None = None
    try:
        while True:
            page = client.search_model_versions(f"name = '{JOURNAL}'", max_results=_PAGE, page_token=token)
            found += page
            token = page.token
            if not token:
                break
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    return validated(sorted((_entry(version) for version in found), key=lambda entry: entry.number))


def validated(written: Iterable[Entry]) -> list[Entry]:
    """Mark the changes that do not build on the valid change before them."""
    told, head = [], 0
    for entry in written:
        if entry.event in CHANGES and entry.after != head:
            told.append(replace(entry, valid=False))
            continue
        if entry.event in CHANGES:
            head = entry.number
        told.append(entry)
    return told


def changes(written: Iterable[Entry]) -> list[Entry]:
    """Return the valid changes of the champion."""
    return [entry for entry in written if entry.event in CHANGES and entry.valid]


def head_of(written: Iterable[Entry]) -> Entry | None:
    """Return the newest valid change, None when there has been none."""
    return next(reversed(changes(written)), None)


def append(
    client: "MlflowClient",
    event: str,
    *,
    version: "ModelVersion",
    champion: str | None = None,
    replaced: str | None = None,
    reason: str = "",
    by: str | None = None,
    facts: Mapping[str, Any] | None = None,
    after: int = 0,
) -> int:
    """Write an entry about `version` and return its number. A change is only valid if it turns out to be the first
    that builds on `after`: see `change`.
    """
    from mlflow.exceptions import MlflowException

    ensure_model(client, JOURNAL, _ABOUT)
    tags = {
        "event": event,
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "by": by or person(),
        "version": str(version.version),
        "champion": champion or "",
        "replaced": replaced or "",
        "reason": reason,
        "facts": json.dumps(dict(facts or {})),
        "after": str(after),
    }
    source = str(version.source)
    model_id = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    for attempt in range(_TRIES):
        try:
            made = client.create_model_version(
                JOURNAL, source, version.run_id, tags=tags, description=reason or event, model_id=model_id
            )
            return int(made.version)
        except MlflowException as error:  # MLflow gives up numbering when many write at once
            if "Giving up" not in str(error) or attempt == _TRIES - 1:
                raise
    raise AssertionError  # the loop returns or raises


def note(client: "MlflowClient", number: int, **tags: Any) -> None:
    """Add what came of an entry: `decision`, `reason`, `facts`."""
    for name, value in tags.items():
        client.set_model_version_tag(JOURNAL, str(number), name, value if isinstance(value, str) else json.dumps(value))


def change(
    client: "MlflowClient",
    event: str,
    *,
    version: "ModelVersion",
    replaced: str | None,
    head: Entry | None,
    **told: Any,
) -> Entry:
    """Make `version` champion in place of `replaced`, building on `head`; return the entry, its aliases moved.

    Raise ChampionMoved when another change was first; nothing has changed then.
    """
    made = str(version.version)
    number = append(
        client,
        event,
        version=version,
        champion=made,
        replaced=replaced,
        after=head.number if head else 0,
        **told,
    )
    now = head_of(entries(client))
    if now is None or now.number != number:
        found = now.champion if now else None
        raise ChampionMoved(
            f"Another run made version {found} champion while version {replaced or 'none'} was; nothing was changed.",
            next_step="Run this again: it builds on the new champion.",
            judged=replaced,
            found=found,
        )
    _move_aliases(client, now)
    return now


def settled(client: "MlflowClient") -> tuple[Entry | None, "ModelVersion | None"]:
    """Return the newest valid change and the champion; finish first what a killed run left undone, and take note of
    an alias that was moved by hand.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen: tuple[int, str | None] | None = None
    for _ in range(1000):
        head = head_of(entries(client))
        champion = version_of(client, CHAMPION)
        now = str(champion.version) if champion else None
        if head is None and champion is None:
            return None, None
        if head is not None and not head.done:
            if time.monotonic() < deadline:
                time.sleep(min(0.2, PATIENCE_SECONDS))
                continue
            log.info("Finishing entry %d of the journal: version %s becomes champion.", head.number, head.champion)
            _move_aliases(client, head)
            continue
        if head is not None and head.champion == now:
            return head, champion
        here = (head.number if head else 0, now)
        if seen != here:  # ask twice: a run that moves the aliases just now is not a person
            seen = here
            continue
        _adopt(client, head, champion)
    raise RegistryError(
        "The champion keeps changing.", next_step="Wait until other runs have ended, then run this again."
    )


def _adopt(client: "MlflowClient", head: Entry | None, champion: "ModelVersion | None") -> None:
    before = head.champion if head else None
    about = champion or (version_of(client, before) if before else None)
    if about is None:
        raise RegistryError(
            f"The alias {CHAMPION} is gone, and so is version {before}.",
            next_step=f"Set the alias {CHAMPION} of {MODEL_NAME} to a version that exists; `photoqual history` lists them.",
        )
    now = str(champion.version) if champion else None
    number = append(
        client,
        ADOPTED,
        version=about,
        champion=now,
        replaced=before,
        reason=f"The alias {CHAMPION} was {'moved' if now else 'removed'} by hand.",
        by="unknown",
        after=head.number if head else 0,
    )
    if before and champion is not None and version_of(client, before) is not None:
        client.set_registered_model_alias(MODEL_NAME, PREVIOUS_CHAMPION, before)
    note(client, number, done="true")


def _move_aliases(client: "MlflowClient", head: Entry) -> None:
    """Let the aliases follow the newest valid change; another change may come while they are moved."""
    while True:
        if head.replaced and head.replaced != head.champion:
            client.set_registered_model_alias(MODEL_NAME, PREVIOUS_CHAMPION, head.replaced)
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, str(head.champion))
        now = head_of(entries(client))
        if now is None or now.number == head.number:
            break
        head = now
    note(client, head.number, done="true")


def _entry(version: "ModelVersion") -> Entry:
    tags = version.tags
    return Entry(
        number=int(version.version),
        event=tags.get("event", ""),
        at=tags.get("at", ""),
        by=tags.get("by", ""),
        version=tags.get("version") or None,
        champion=tags.get("champion") or None,
        replaced=tags.get("replaced") or None,
        reason=tags.get("reason", ""),
        facts=json.loads(tags.get("facts") or "{}"),
        after=int(tags.get("after") or 0),
        done=tags.get("done") == "true",
    )

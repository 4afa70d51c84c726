"""A person's word on a promotion that the evidence allows: approve carries it out, reject ends it. Both can be run again."""

from typing import Any

from photoqual.config import Params
from photoqual.errors import ConfigError, RegistryError
from photoqual.layout import Layout
from photoqual.registry import journal
from photoqual.registry.answers import answer
from photoqual.registry.promote import promote
from photoqual.registry.store import connected
from photoqual.registry.verdicts import REJECTED, named, write_tags


def approve(layout: Layout, params: Params, *, version: str, reason: str, by: str | None = None) -> dict[str, Any]:
    """Promote `version`, which awaits approval; return the verdict.

    It is judged again first. When the champion is another by now, the approval says nothing about the new pair: it
    awaits approval again. Raise RegistryError when nothing awaits or it was rejected, ConfigError without a reason.
    """
    _assert_reason(reason)
    with connected(layout.root) as client:
        _, champion = journal.settled(client)
        about = named(client, version)
        if champion is None or champion.version != about.version:
            answer(client, about, journal.APPROVED, reason, by)
    return promote(layout, params, version=version)


def reject(layout: Layout, *, version: str, reason: str, by: str | None = None) -> dict[str, Any]:
    """End the promotion of `version`, which awaits approval; return the verdict. Nothing moves. Raise RegistryError
    when nothing awaits or it was approved, ConfigError without a reason.
    """
    _assert_reason(reason)
    with connected(layout.root) as client:
        _, champion = journal.settled(client)
        about = named(client, version)
        if champion is not None and champion.version == about.version:
            raise RegistryError(
                f"Version {version} is the champion.", next_step='Go back with `photoqual rollback --reason "…"`.'
            )
        verdict, given = answer(client, about, journal.REJECTED, reason, by)
        told = {
            **verdict.facts,
            "decision": REJECTED,
            "reason": f"{verdict.reason} Rejected by {given.by}: {given.reason}",
            "at": given.at,
            "rejected_by": given.by,
        }
        write_tags(client, about, told)
    return told


def _assert_reason(reason: str) -> None:
    if not reason.strip():
        raise ConfigError("An approval or a rejection needs a reason.", next_step='Say why: --reason "…".')

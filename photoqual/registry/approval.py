"""A person's word on a promotion that the evidence allows: approve carries it out, reject ends it."""

from typing import Any

from photoqual.config import Params
from photoqual.errors import ConfigError, RegistryError
from photoqual.layout import Layout
from photoqual.registry import journal
from photoqual.registry.promote import AWAITING, PREFIX, REJECTED, Approval, named, note_verdict, promote, write_tags
from photoqual.registry.store import connected


def approve(layout: Layout, params: Params, *, version: str, reason: str, by: str | None = None) -> dict[str, Any]:
    """Promote `version`, which awaits approval; return the verdict.

    It is judged again first. When the champion is another by now, the earlier approval says nothing about the new pair:
    it awaits approval again. Raise RegistryError when nothing awaits, ConfigError without a reason.
    """
    word = _word(reason, by)
    with connected(layout.root) as client:
        _assert_awaiting(named(client, version).tags, version)
    return promote(layout, params, version=version, approval=word)


def reject(layout: Layout, *, version: str, reason: str, by: str | None = None) -> dict[str, Any]:
    """End the promotion of `version`, which awaits approval; return the verdict. Nothing moves."""
    word = _word(reason, by)
    with connected(layout.root) as client:
        found = named(client, version)
        _assert_awaiting(found.tags, version)
        number = int(found.tags[PREFIX + "entry"])
        (entry,) = (entry for entry in journal.entries(client) if entry.number == number)
        verdict = {
            **entry.facts,
            "decision": REJECTED,
            "reason": f"{entry.reason} Rejected by {word.by}: {word.reason}",
            "rejected_by": word.by,
            "guardrails": [],
        }
        note_verdict(client, number, verdict)
        write_tags(client, found, verdict)
    return verdict


def _word(reason: str, by: str | None) -> Approval:
    if not reason.strip():
        raise ConfigError("An approval or a rejection needs a reason.", next_step='Say why: --reason "…".')
    return Approval(by or journal.person(), reason)


def _assert_awaiting(tags: dict[str, str], version: str) -> None:
    if tags.get(PREFIX + "decision") != AWAITING:
        raise RegistryError(
            f"Version {version} does not await approval: its verdict is {tags.get(PREFIX + 'decision') or 'not there'}.",
            next_step="`photoqual history` lists the versions with their verdicts; `photoqual promote` judges one.",
        )

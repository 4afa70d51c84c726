"""Answers of people to verdicts that await approval: entries of the journal that name the verdict they answer.

The first answer to a verdict counts, so of an approval and a rejection at the same time one is told that it came late.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from photoqual.errors import RegistryError
from photoqual.registry import journal
from photoqual.registry.journal import Entry
from photoqual.registry.verdicts import AWAITING, PREFIX, REJECTED

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ANSWERS = (journal.APPROVED, journal.REJECTED)


def approval_of(written: Iterable[Entry], verdict: Mapping[str, Any]) -> Entry | None:
    """Return the approval of the pair and the frozen set that `verdict` is on, None when its newest answer is none."""
    written = list(written)
    answered = [
        answer
        for entry in written
        if _awaits(entry, verdict["version"])
        and entry.champion == verdict["against"]
        and entry.facts.get("frozen_test_digest") == verdict["frozen_test_digest"]
        and (answer := _first_answer(written, entry))
    ]
    return answered[-1] if answered and answered[-1].event == journal.APPROVED else None


def answer(
    client: "MlflowClient", about: "ModelVersion", event: str, reason: str, by: str | None
) -> tuple[Entry, Entry]:
    """Answer the newest verdict on a version that awaits approval; return the verdict and its answer."""
    number = str(about.version)
    written = journal.entries(client)
    waiting = [entry for entry in written if _awaits(entry, number)]
    decision = about.tags.get(PREFIX + "decision")
    if not waiting or decision not in (AWAITING, REJECTED, None):
        raise RegistryError(
            f"Version {number} does not await approval: its verdict is {decision or 'not there'}.",
            next_step="`photoqual history` lists the versions with their verdicts; `photoqual promote` judges one.",
        )
    verdict = waiting[-1]
    given = _first_answer(written, verdict)
    if given is None:
        journal.append(client, event, version=about, reason=reason, by=by, facts={"verdict": verdict.number})
        given = _first_answer(journal.entries(client), verdict)
        if given is None:
            raise RegistryError("The answer is not in the journal.", next_step="Run this again.")
    if given.event != event:
        raise RegistryError(
            f"Version {number} was {given.event} by {given.by} at {given.at}: {given.reason}",
            next_step="`photoqual promote --version N` judges it again; what it then finds can be answered anew.",
        )
    return verdict, given


def _awaits(entry: Entry, version: str) -> bool:
    return (
        entry.event == journal.JUDGED
        and entry.version == version
        and entry.facts.get("decision") == AWAITING
        and not entry.facts.get("dry_run")
    )


def _first_answer(written: Iterable[Entry], verdict: Entry) -> Entry | None:
    return next(
        (entry for entry in written if entry.event in ANSWERS and entry.facts.get("verdict") == verdict.number), None
    )

"""How often a frozen test set was looked at: every pair that was judged on it counts once, dry runs too."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from photoqual.registry import journal
from photoqual.registry.journal import Entry

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Pair = tuple[str | None, str | None]


@dataclass(frozen=True)
class Claim:
    """`entry`: number in the journal. `look`: number of this pair on the frozen set; `looks`: of all pairs until now."""

    entry: int
    look: int
    looks: int


def pairs(written: Iterable[Entry], digest: str) -> list[Pair]:
    """Return the pairs (champion, challenger) that were judged on the frozen set `digest`, in order of the first look."""
    looked = (
        (entry.champion, entry.version)
        for entry in written
        if entry.event == journal.JUDGED
        and entry.facts.get("frozen_test_digest") == digest
        and entry.facts.get("counted")
    )
    return list(dict.fromkeys(looked))


def claim(
    client: "MlflowClient",
    challenger: "ModelVersion",
    champion: "ModelVersion | None",
    digest: str,
    *,
    counted: bool,
    dry_run: bool,
) -> Claim:
    """Write that the pair is being judged on the frozen set; return what it was given.

    Two runs that judge two pairs at once get two numbers. A pair that cannot be judged is not `counted`: nothing is
    learnt from it.
    """
    against = str(champion.version) if champion else None
    number = journal.append(
        client,
        journal.JUDGED,
        version=challenger,
        champion=against,
        facts={"frozen_test_digest": digest, "counted": counted, "dry_run": dry_run},
    )
    written = [entry for entry in journal.entries(client) if entry.number <= number]
    known = pairs(written, digest)
    pair = (against, str(challenger.version))
    return Claim(number, known.index(pair) + 1 if pair in known else len(known) + 1, len(known))

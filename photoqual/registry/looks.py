"""How often a frozen test set was looked at: every pair that was judged on it counts once, dry runs too."""

from collections.abc import Iterable, Sequence
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
    """Return the pairs (champion, challenger) that were judged on the frozen set `digest`, in order of the first look.

    A set that is what forgotten photos left of another was looked at as often as that one.
    """
    judged = [entry for entry in written if entry.event == journal.JUDGED]
    sets = {digest}
    for entry in judged:
        if entry.facts.get("frozen_test_digest") == digest:
            sets.update(entry.facts.get("reduced_from", ()))
    looked = (
        (entry.champion, entry.version)
        for entry in judged
        if entry.facts.get("frozen_test_digest") in sets and entry.facts.get("counted")
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
    reduced_from: Sequence[str] = (),
) -> Claim:
    """Write that the pair is being judged on the frozen set, which is what is left of those in `reduced_from`; return
    what it was given.

    Two runs that judge two pairs at once get two numbers. A pair that cannot be judged is not `counted`: nothing is
    learnt from it.
    """
    against = str(champion.version) if champion else None
    number = journal.append(
        client,
        journal.JUDGED,
        version=challenger,
        champion=against,
        facts={
            "frozen_test_digest": digest,
            "counted": counted,
            "dry_run": dry_run,
            **({"reduced_from": list(reduced_from)} if reduced_from else {}),
        },
    )
    written = [entry for entry in journal.entries(client) if entry.number <= number]
    known = pairs(written, digest)
    pair = (against, str(challenger.version))
    return Claim(number, known.index(pair) + 1 if pair in known else len(known) + 1, len(known))

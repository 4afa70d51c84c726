"""Promote: score champion and challenger in this run on the same frozen photos, decide, write the verdict, move aliases.

A run that is killed anywhere can be run again: see `journal`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from photoqual import files
from photoqual.config import Params
from photoqual.errors import ChampionMoved
from photoqual.evaluation.wear import left
from photoqual.labels.splits import frozen_digest, read_frozen, reduced_from
from photoqual.layout import Layout
from photoqual.photos.shards import read_photos
from photoqual.registry import journal
from photoqual.registry.answers import approval_of
from photoqual.registry.evidence import gather
from photoqual.registry.looks import claim
from photoqual.registry.promotion import Decision, Evidence, decide, flaw_of
from photoqual.registry.report import verdict_page
from photoqual.registry.store import connected
from photoqual.registry.verdicts import (
    ALREADY,
    AWAITING,
    NOT_EVALUABLE,
    OFF,
    PREFIX,
    PROMOTED,
    REFUSED,
    SUPERSEDED,
    named,
    note_verdict,
    show_wear,
    write_tags,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

_DECISIONS = {"promote": PROMOTED, "refuse": REFUSED, "not_evaluable": NOT_EVALUABLE}
_ATTEMPTS = 5
"""How often a challenger is judged anew because another run changed the champion meanwhile."""


def promote(layout: Layout, params: Params, *, version: str | None = None, dry_run: bool = False) -> dict[str, Any]:
    """Judge `version` (default: alias `challenger`) against the champion; promote it on evidence only.

    Return the verdict: `decision` (promoted, refused, not_evaluable, awaiting_approval, already_champion, off),
    `reason`, `numbers`, `guardrails`. It is written on the version with a report page, promoted or not. A dry run
    (`dry_run`, or `promote.mode: dry_run`) moves nothing; it counts as a look at the frozen photos all the same. When
    another run changes the champion meanwhile, the challenger is judged anew against the new one. Raise ChampionMoved
    when that happens again and again, RegistryError when there is no challenger.
    """
    if params.promote.mode == "off":
        reason = "`promote.mode` in params.yaml is off: nothing was judged."
        return {"decision": OFF, "reason": reason, "numbers": {}, "version": version, "dry_run": dry_run}
    with connected(layout.root) as client:
        run = _Run(client, layout, params, dry_run or params.promote.mode == "dry_run")
        for attempt in range(_ATTEMPTS):
            try:
                return run.judge(version)
            except ChampionMoved as moved:
                if attempt == _ATTEMPTS - 1:
                    raise
                log.info("%s Judging against it.", moved.message)
    raise AssertionError  # the loop returns or raises


@dataclass(frozen=True)
class _Judged:
    """A pair that was judged, with all that its report shows."""

    challenger: "ModelVersion"
    frozen: pd.DataFrame
    ours: Evidence | None
    theirs: Evidence
    decision: Decision


@dataclass(frozen=True)
class _Run:
    """One call of `promote`."""

    client: "MlflowClient"
    layout: Layout
    params: Params
    dry_run: bool

    def judge(self, name: str | None) -> dict[str, Any]:
        """Judge once against the champion of this moment. Raise ChampionMoved when it changed until the end."""
        head, champion = journal.settled(self.client)
        challenger = named(self.client, name)
        if champion is not None and champion.version == challenger.version:
            return self._already(challenger)
        frozen = read_frozen(self.layout.frozen_test)
        ours, theirs = gather(self.layout, frozen, self.params.promote.guardrails, champion, challenger)
        flaw = flaw_of(ours, theirs)
        digest = frozen_digest(frozen)
        claimed = claim(
            self.client,
            challenger,
            champion,
            digest,
            counted=flaw is None,
            dry_run=self.dry_run,
            reduced_from=reduced_from(self.layout.frozen_test),
        )
        judged = _Judged(challenger, frozen, ours, theirs, decide(ours, theirs, self.params.promote, look=claimed.look))
        verdict = self._verdict(judged, claimed.entry, claimed.looks)
        self._keep(verdict, judged)
        report = self.layout.promotion / "report.html"
        log.info("%s: %s The report is %s.", verdict["decision"], verdict["reason"], report)
        note_verdict(self.client, claimed.entry, verdict)
        if flaw is None:
            show_wear(self.client, digest, claimed.looks, left(claimed.looks))
        if verdict["decision"] == PROMOTED and not self.dry_run:
            self._promote(verdict, judged, head)
        if not self.dry_run:
            write_tags(self.client, challenger, verdict)
        return verdict

    def _verdict(self, judged: _Judged, entry: int, looks: int) -> dict[str, Any]:
        decision = judged.decision
        numbers = decision.numbers
        before = reduced_from(self.layout.frozen_test)
        verdict = {
            "decision": _DECISIONS[decision.outcome],
            "reason": decision.reason,
            "numbers": numbers | {"alpha_left": left(looks)} if "look" in numbers else numbers,
            "guardrails": [asdict(rail) for rail in decision.guardrails],
            "version": str(judged.challenger.version),
            "against": judged.ours.version if judged.ours else None,
            "frozen_test_digest": judged.theirs.frozen_test_digest,
            **({"reduced_from": before} if before else {}),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dry_run": self.dry_run,
            "entry": entry,
        }
        if not decision.promote or self.dry_run or not self.params.promote.require_approval:
            return verdict
        approval = approval_of(journal.entries(self.client), verdict)
        if approval is None:
            return verdict | {
                "decision": AWAITING,
                "reason": f"{decision.reason} It awaits the approval of a person.",
            }
        return verdict | {
            "reason": f"{decision.reason} Approved by {approval.by}: {approval.reason}",
            "approved_by": approval.by,
        }

    def _promote(self, verdict: Mapping[str, Any], judged: _Judged, head: journal.Entry | None) -> None:
        try:
            journal.change(
                self.client,
                journal.PROMOTED,
                version=judged.challenger,
                replaced=verdict["against"],
                head=head,
                reason=judged.decision.reason,
                by=verdict.get("approved_by"),
                facts={"verdict": verdict["entry"]},
            )
        except ChampionMoved as moved:
            late = {**verdict, "decision": SUPERSEDED, "reason": f"{verdict['reason']} {moved.message}"}
            note_verdict(self.client, verdict["entry"], late)
            self._keep(late, judged)
            raise

    def _keep(self, verdict: Mapping[str, Any], judged: _Judged) -> None:
        """Write verdict.json and report.html: into reports/promotion, and with the version's MLflow run."""

        def thumbnails(ids: Sequence[str]) -> dict[str, bytes]:
            wanted = judged.frozen["photo_id"].isin(set(ids))
            return dict(read_photos(self.layout.photos, judged.frozen[wanted]))

        ours, theirs = judged.ours, judged.theirs
        page = verdict_page(
            verdict,
            judged.frozen,
            None if theirs.problem else theirs.scores,
            None if ours is None or ours.problem else ours.scores,
            judged.decision.guardrails,
            thumbnails,
            (theirs.version, ours.version if ours else None),
        )
        files.write_json(self.layout.promotion / "verdict.json", dict(verdict))
        files.write_bytes(self.layout.promotion / "report.html", page.encode())
        if run := judged.challenger.run_id:
            folder = f"promotion/{verdict['entry']}"
            self.client.log_dict(run, dict(verdict), f"{folder}/verdict.json")
            self.client.log_text(run, page, f"{folder}/report.html")

    def _already(self, champion: "ModelVersion") -> dict[str, Any]:
        """Return the verdict on a version that is champion; finish the record of a run that was killed on the way."""
        number = str(champion.version)
        if not self.dry_run and champion.tags.get(PREFIX + "decision") != PROMOTED:
            written = journal.entries(self.client)
            made = [change for change in journal.changes(written) if change.event == journal.PROMOTED]
            verdicts = [change.facts.get("verdict") for change in made if change.champion == number]
            facts = next((entry.facts for entry in written if verdicts and entry.number == verdicts[-1]), None)
            if facts:
                write_tags(self.client, champion, facts)
        return {
            "decision": ALREADY,
            "reason": f"Version {number} is the champion already; nothing was changed.",
            "numbers": {},
            "version": number,
            "against": number,
            "dry_run": self.dry_run,
        }

"""Promote: score champion and challenger in this run on the same frozen photos, decide, write the verdict, move aliases.

A run that is killed anywhere can be run again: see `journal`.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from photoqual import files
from photoqual.config import Params
from photoqual.errors import ChampionMoved, RegistryError
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.photos.shards import read_photos
from photoqual.registry import journal
from photoqual.registry.evidence import gather
from photoqual.registry.looks import claim
from photoqual.registry.promotion import Decision, Evidence, decide, flaw_of
from photoqual.registry.report import verdict_page
from photoqual.registry.store import CHALLENGER, MODEL_NAME, connected, tracking_uri, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

PREFIX = "promotion."
PROMOTED, REFUSED, NOT_EVALUABLE = "promoted", "refused", "not_evaluable"
AWAITING, REJECTED, SUPERSEDED = "awaiting_approval", "rejected", "superseded"
ALREADY, OFF = "already_champion", "off"
_DECISIONS = {"promote": PROMOTED, "refuse": REFUSED, "not_evaluable": NOT_EVALUABLE}
_ATTEMPTS = 5
"""How often a challenger is judged anew because another run changed the champion meanwhile."""


@dataclass(frozen=True)
class Approval:
    """Who approves a promotion, and why."""

    by: str
    reason: str


def promote(
    layout: Layout,
    params: Params,
    *,
    version: str | None = None,
    dry_run: bool = False,
    approval: Approval | None = None,
) -> dict[str, Any]:
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
        run = _Run(client, layout, params, dry_run or params.promote.mode == "dry_run", approval)
        for attempt in range(_ATTEMPTS):
            try:
                return run.judge(version)
            except ChampionMoved as moved:
                if attempt == _ATTEMPTS - 1:
                    raise
                log.info("%s Judging against it.", moved.message)
    raise AssertionError  # the loop returns or raises


@dataclass(frozen=True)
class _Run:
    """One call of `promote`."""

    client: "MlflowClient"
    layout: Layout
    params: Params
    dry_run: bool
    approval: Approval | None

    def judge(self, name: str | None) -> dict[str, Any]:
        """Judge once against the champion of this moment. Raise ChampionMoved when it changed until the end."""
        head, champion = journal.settled(self.client)
        challenger = named(self.client, name)
        if champion is not None and champion.version == challenger.version:
            return self._already(challenger)
        frozen = read_frozen(self.layout.frozen_test)
        ours, theirs = gather(self.layout, frozen, self.params.promote.guardrails, champion, challenger)
        flaw = flaw_of(ours, theirs)
        entry, look = claim(
            self.client, challenger, champion, frozen_digest(frozen), counted=flaw is None, dry_run=self.dry_run
        )
        decision = decide(ours, theirs, self.params.promote, look=look)
        verdict = self._verdict(decision, challenger, champion, frozen, entry)
        log.info("%s: %s", verdict["decision"], verdict["reason"])
        self._keep(verdict, decision, frozen, ours, theirs, challenger)
        note_verdict(self.client, entry, verdict)
        if flaw is None:
            show_wear(self.client, verdict)
        if verdict["decision"] == PROMOTED and not self.dry_run:
            try:
                journal.change(
                    self.client,
                    journal.PROMOTED,
                    version=challenger,
                    replaced=verdict["against"],
                    head=head,
                    reason=decision.reason,
                    by=self.approval.by if self.approval else None,
                    facts={"verdict": entry},
                )
            except ChampionMoved:
                note_verdict(self.client, entry, {**verdict, "decision": SUPERSEDED})
                raise
        if not self.dry_run:
            write_tags(self.client, challenger, verdict)
        return verdict

    def _verdict(
        self,
        decision: Decision,
        challenger: "ModelVersion",
        champion: "ModelVersion | None",
        frozen: pd.DataFrame,
        entry: int,
    ) -> dict[str, Any]:
        against = str(champion.version) if champion else None
        verdict = {
            "decision": _DECISIONS[decision.outcome],
            "reason": decision.reason,
            "numbers": decision.numbers,
            "guardrails": [asdict(rail) for rail in decision.guardrails],
            "version": str(challenger.version),
            "against": against,
            "frozen_test_digest": frozen_digest(frozen),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "dry_run": self.dry_run,
            "mode": "dry_run" if self.dry_run else "on",
            "entry": entry,
        }
        if not decision.promote or self.dry_run or not self.params.promote.require_approval:
            return verdict
        if self.approval and awaiting(journal.entries(self.client), verdict):
            return verdict | {
                "reason": f"{decision.reason} Approved by {self.approval.by}: {self.approval.reason}",
                "approved_by": self.approval.by,
            }
        return verdict | {"decision": AWAITING, "reason": f"{decision.reason} It awaits the approval of a person."}

    def _keep(
        self,
        verdict: Mapping[str, Any],
        decision: Decision,
        frozen: pd.DataFrame,
        champion: Evidence | None,
        challenger: Evidence,
        version: "ModelVersion",
    ) -> None:
        """Write verdict.json and report.html: into reports/promotion, and with the version's MLflow run."""

        def thumbnails(ids: Any) -> dict[str, bytes]:
            return dict(read_photos(self.layout.photos, frozen[frozen["photo_id"].isin(set(ids))]))

        known = [evidence for evidence in (challenger, champion) if evidence is not None and not evidence.problem]
        scores = {evidence.version: evidence.scores for evidence in known}
        page = verdict_page(
            verdict,
            frozen,
            scores.get(challenger.version),
            scores.get(champion.version) if champion else None,
            decision.guardrails,
            thumbnails,
            (challenger.version, champion.version if champion else None),
        )
        files.write_json(self.layout.promotion / "verdict.json", dict(verdict))
        files.write_bytes(self.layout.promotion / "report.html", page.encode())
        if version.run_id:
            folder = f"promotion/{verdict['entry']}"
            self.client.log_dict(version.run_id, dict(verdict), f"{folder}/verdict.json")
            self.client.log_text(version.run_id, page, f"{folder}/report.html")

    def _already(self, champion: "ModelVersion") -> dict[str, Any]:
        """Return the verdict on a version that is champion; finish the record of a run that was killed on the way."""
        number = str(champion.version)
        if not self.dry_run and champion.tags.get(PREFIX + "decision") != PROMOTED:
            told = [entry for entry in journal.entries(self.client) if entry.version == number]
            verdicts = [entry.facts for entry in told if entry.facts.get("decision") == PROMOTED]
            if verdicts:
                write_tags(self.client, champion, verdicts[-1])
        return {
            "decision": ALREADY,
            "reason": f"Version {number} is the champion already; nothing was changed.",
            "numbers": {},
            "version": number,
            "against": number,
            "dry_run": self.dry_run,
        }


def named(client: "MlflowClient", version: str | None) -> "ModelVersion":
    """Return the model version of that number, by default that of the alias `challenger`. Raise RegistryError."""
    found = version_of(client, version or CHALLENGER)
    if found is None:
        missing = f"version {version}" if version else f"alias {CHALLENGER}"
        raise RegistryError(
            f"The registry at {tracking_uri()} has no {missing} of {MODEL_NAME}.",
            next_step="`photoqual history` lists the versions; `photoqual register` makes one.",
        )
    return found


def awaiting(told: list[journal.Entry], verdict: Mapping[str, Any]) -> bool:
    """Tell whether the newest earlier verdict on this pair and frozen set is one that awaits approval."""
    same = [
        entry
        for entry in told
        if entry.event == journal.JUDGED
        and entry.number != verdict["entry"]
        and entry.version == verdict["version"]
        and entry.champion == verdict["against"]
        and entry.facts.get("frozen_test_digest") == verdict["frozen_test_digest"]
        and entry.facts.get("decision")
        and not entry.facts.get("dry_run")
    ]
    return bool(same) and same[-1].facts["decision"] == AWAITING


def note_verdict(client: "MlflowClient", entry: int, verdict: Mapping[str, Any]) -> None:
    """Write what came of a verdict into its entry of the journal, the guardrails by name and outcome alone."""
    rails = {rail["name"]: rail["outcome"] for rail in verdict.get("guardrails", [])}
    facts = {name: value for name, value in verdict.items() if name != "guardrails"} | {"guardrails": rails}
    counted = verdict["numbers"].get("look") is not None
    journal.note(client, entry, reason=str(verdict["reason"]), facts=facts | {"counted": counted})


def show_wear(client: "MlflowClient", verdict: Mapping[str, Any]) -> None:
    """Show on the registered model how worn the frozen set is."""
    numbers = verdict["numbers"]
    told = f"{numbers['look']} pair(s) judged on it, {numbers['alpha_left']:.0%} of its chance of error left"
    client.set_registered_model_tag(MODEL_NAME, f"frozen_test.{verdict['frozen_test_digest'][:12]}", told)


def write_tags(client: "MlflowClient", version: "ModelVersion", verdict: Mapping[str, Any]) -> None:
    """Write the verdict as tags of the version, the decision last."""
    number = str(version.version)
    for name in ("reason", "against", "at", "entry"):
        client.set_model_version_tag(MODEL_NAME, number, PREFIX + name, str(verdict[name] or ""))
    client.set_model_version_tag(MODEL_NAME, number, PREFIX + "numbers", json.dumps(verdict["numbers"]))
    client.set_model_version_tag(MODEL_NAME, number, PREFIX + "decision", verdict["decision"])

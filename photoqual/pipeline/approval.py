"""A person's approval of a promotion, asked for in Airflow's UI. Without an answer in time the answer is no."""

import json
import logging
from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from photoqual.pipeline import tasks

log = logging.getLogger(__name__)

PROMOTE, APPROVE, ANSWER = "promote", "approve", "answer"
_VERDICT = "(ti.xcom_pull(task_ids='promote') or {})"
_BODY = f"""{{{{ {_VERDICT}.get('reason', '') }}}}

The report page `report.html` lies with the version's run in MLflow, under `promotion`.
"""


class VerdictApproval(ApprovalOperator):
    """Asks only where the verdict of this run awaits approval; skipped otherwise."""

    def execute(self, context: Any) -> Any:
        verdict = context["ti"].xcom_pull(task_ids=PROMOTE) or {}
        if verdict.get("decision") != "awaiting_approval":
            raise AirflowSkipException(f"Nothing to approve: the verdict is {verdict.get('decision')}.")
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Keep the answer first: a rejection ends by skipping, which leaves no result."""
        if "error" not in event:
            kept = {key: event.get(key) for key in ("chosen_options", "params_input", "responded_by_user")}
            context["ti"].xcom_push(ANSWER, json.loads(json.dumps(kept, default=dict)))
        return super().execute_complete(context, event)


def approve(verdict: Any, hours: float) -> Any:
    """Make the task that asks for approval and waits for `hours`; then the promotion is rejected."""
    asked = VerdictApproval(
        task_id=APPROVE,
        subject=f"Promote version {{{{ {_VERDICT}.get('version', '') }}}} of photoqual?",
        body=_BODY,
        defaults=ApprovalOperator.REJECT,
        params={"reason": Param("", type="string", title="Why", description="Kept with the verdict.")},
        response_timeout=timedelta(hours=hours),
        doc_md="Asks for approval where `promote.require_approval` is on and the evidence allows a promotion.",
    )
    verdict >> asked
    return asked


def conclude(revision: Any, asked: Any) -> Any:
    """Make the task that carries out the answer: `photoqual approve` or `photoqual reject`."""

    @task(task_id="conclude", trigger_rule=TriggerRule.NONE_FAILED, doc_md="Carry out what the person answered.")
    def concludes(revision: str) -> dict[str, Any]:
        from photoqual.pipeline import workspace

        context = get_current_context()
        answer = context["ti"].xcom_pull(task_ids=APPROVE, key=ANSWER)
        verdict = context["ti"].xcom_pull(task_ids=PROMOTE)
        if not answer:
            raise AirflowSkipException("No approval was asked for.")
        verb = answered(answer, str(verdict["version"]))
        with tasks.reasons():
            concluded = workspace.run_verb(revision, verb, needs=tasks.JUDGED_BY[2:], run_id=tasks.run_id())
        log.info("Version %s: %s. %s", verdict["version"], concluded["decision"], concluded["reason"])
        if concluded["decision"] == "awaiting_approval":
            raise AirflowFailException(
                f"The champion changed while version {verdict['version']} awaited approval, so it was judged anew and "
                f"awaits approval again: `photoqual approve {verdict['version']} --reason …`, then clear this task."
            )
        return concluded

    concluded = concludes(revision)
    approved = EmptyOperator(task_id="approved")  # a rejection skips what follows directly; the answer is wanted too
    asked >> approved >> concluded
    return concluded


def answered(answer: dict[str, Any], version: str) -> list[str]:
    """Return the verb of photoqual that carries out the answer of an ApprovalOperator."""
    user = answer.get("responded_by_user") or {}
    by = str(user.get("name") or user.get("id") or "nobody") if isinstance(user, dict) else str(user)
    yes = ApprovalOperator.APPROVE in answer["chosen_options"]
    given = str((answer.get("params_input") or {}).get("reason") or "").strip()
    default = "approved in Airflow" if yes else "rejected in Airflow, or not answered in time"
    return ["approve" if yes else "reject", version, "--reason", given or default, "--by", by]

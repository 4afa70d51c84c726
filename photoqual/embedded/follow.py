"""Follow a DAG run to its end and tell what its tasks do, as they do it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from photoqual.embedded.airflow import FINISHED, Airflow, AirflowError

RUN_SECONDS = 900.0
"""Longest time that one run may take."""
TRIGGER_SECONDS = 90.0
"""Longest time between the end of one run and the start of the one that its asset triggers."""
_POLL_SECONDS = 1.0
_SIGNS = {"success": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]–[/]", "up_for_retry": "[yellow]↻[/]"}


@dataclass(frozen=True)
class Run:
    """How a DAG run ended. `said` is the last log line of the task that failed, "" when none did."""

    dag_id: str
    run_id: str
    state: str
    states: Mapping[str, str]
    said: str = ""

    @property
    def name(self) -> str:
        """What the pipeline calls the run: the part of its git branch's name that tells it from others."""
        return f"{self.dag_id}.{self.run_id}"


def follow(airflow: Airflow, dag_id: str, run_id: str, console: Console) -> Run:
    """Wait for the end of a run, with a line for each task that ends. Raise AirflowError when it takes too long."""
    told: dict[str, tuple[str, int]] = {}
    deadline = time.monotonic() + RUN_SECONDS
    with console.status(f"{dag_id} …") as status:
        while True:
            state = str(airflow.run(dag_id, run_id)["state"])
            tasks = sorted(airflow.tasks(dag_id, run_id), key=lambda task: str(task.get("start_date") or "9"))
            for task in tasks:
                now = (str(task["state"]), int(task["try_number"] or 0))
                if task["state"] in _SIGNS and told.get(task["task_id"]) != now:
                    told[task["task_id"]] = now
                    console.print(_line(task))
                elif task["state"] == "running":
                    status.update(f"{dag_id}: {task['task_id']} is running")
            if state in FINISHED:
                break
            if time.monotonic() > deadline:
                raise AirflowError(
                    f"Run {run_id} of {dag_id} is still {state} after {RUN_SECONDS:.0f} s.", next_step="See its log."
                )
            time.sleep(_POLL_SECONDS)
    said = next((_last_line(airflow, dag_id, run_id, task) for task in tasks if task["state"] == "failed"), "")
    return Run(dag_id, run_id, state, {task["task_id"]: str(task["state"]) for task in tasks}, said)


def triggered(airflow: Airflow, dag_id: str, before: set[str]) -> str:
    """Wait for a run of `dag_id` that is not among `before` and was triggered by an asset; return its id."""
    deadline = time.monotonic() + TRIGGER_SECONDS
    while time.monotonic() < deadline:
        for run in airflow.runs(dag_id):
            if run["dag_run_id"] not in before and run["run_type"] == "asset_triggered":
                return str(run["dag_run_id"])
        time.sleep(_POLL_SECONDS)
    raise AirflowError(
        f"The asset has not triggered {dag_id} within {TRIGGER_SECONDS:.0f} s.", next_step="See the scheduler's log."
    )


def _line(task: Mapping[str, Any]) -> str:
    seconds = ""
    if task.get("start_date") and task.get("end_date"):
        took = datetime.fromisoformat(task["end_date"]) - datetime.fromisoformat(task["start_date"])
        seconds = f"{took.total_seconds():4.0f} s"
    return f"  {_SIGNS[task['state']]} {task['task_id']:<10}{seconds}"


def _last_line(airflow: Airflow, dag_id: str, run_id: str, task: Mapping[str, Any]) -> str:
    return next((line for line in reversed(airflow.log(dag_id, run_id, task)) if line.strip()), "")

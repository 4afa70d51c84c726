"""Stages of dvc.yaml as Airflow tasks. A DAG file wires what this module makes, and holds no logic of its own.

Every task takes a revision and returns one (see `workspace.py`), so XCom carries ids alone and any worker can run any
task. Nothing here uses a run's logical date: runs that an asset triggered have none. Loaded when a DAG file is parsed,
so what is heavy is imported inside the tasks.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from photoqual.errors import ConfigError, EnvironmentDiffers, PhotoqualError
from photoqual.pipeline.stages import Stage, read_stages

log = logging.getLogger(__name__)

PHOTOS = Asset(name="photos")
"""New photos or labels are on branch `data`; its event's extra holds their revision."""
JUDGED_BY = ("models/challenger", "reports/evaluation", "data/frozen_test.parquet", "data/photos")
_FINAL = (ConfigError.__name__, EnvironmentDiffers.__name__, "ValidationFailed", "FrozenTestLeak", "TooFewPhotos")
"""Errors that trying again cannot mend."""


def say_why(context: Mapping[str, Any]) -> None:
    """Write the reason of a failure as the task's last log line."""
    log.error("%s", " ".join(str(context.get("exception")).split()))


DAG_ARGS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "tags": ["photoqual"],
    "default_args": {
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": 2.0,
        "execution_timeout": timedelta(minutes=30),
        "on_failure_callback": say_why,
        "on_retry_callback": say_why,
    },
}
"""What all our DAGs share."""


def stages(dvc_yaml: Path) -> dict[str, Stage]:
    """Return the pipeline's stages by name, in an order in which they can run."""
    return {stage.name: stage for stage in read_stages(dvc_yaml)}


def open_run(overrides: Mapping[str, str] | None = None) -> Any:
    """Make the task that opens a run. `overrides` maps keys of params.yaml to DAG params; an empty param changes nothing."""

    @task(task_id="open", doc_md="Start the run's branch: code and params of `main`, data of branch `data`.")
    def opens() -> str:
        from photoqual.pipeline import workspace

        params = get_current_context()["params"]
        chosen = {key: params[name] for key, name in (overrides or {}).items() if params[name] is not None}
        with _reasons():
            return workspace.open_run(_run_id(), chosen)

    return opens()


def run_stage(
    stage: Stage, revision: Any, *, force: bool | str = False, environment: Mapping[str, str] | None = None
) -> Any:
    """Make the task of one stage; it takes a revision and returns the one that holds its result.

    `force`: run it even if nothing changed; a text names the DAG param that says so. `environment` maps variables of
    the stage's command to DAG params; an empty param sets none.
    """

    @task(task_id=stage.name, doc_md=f"{stage.desc}. Stage `{stage.name}` of dvc.yaml.", **operator_arguments(stage))
    def runs(revision: str) -> str:
        from photoqual.pipeline import workspace

        params = get_current_context()["params"]
        forced = bool(params[force]) if isinstance(force, str) else force
        given = {key: str(params[name]) for key, name in (environment or {}).items() if params[name] is not None}
        with _reasons():
            return workspace.run_stage(revision, stage.name, run_id=_run_id(), force=forced, environment=given)

    return runs(revision)


def operator_arguments(stage: Stage) -> dict[str, Any]:
    """Return what `meta.airflow` of a stage says, as arguments of its operator."""
    minutes = stage.execution_timeout_minutes
    limit = {} if minutes is None else {"execution_timeout": timedelta(minutes=minutes)}
    return {"queue": stage.queue, "pool": stage.pool, "retries": stage.retries, **limit}


def register(opened: Any, revision: Any) -> Any:
    """Make the task that registers the challenger; skipped when this run made none and `force` is off."""

    @task(task_id="register", doc_md="Register the challenger in MLflow with its lineage.")
    def registers(opened: str, revision: str) -> dict[str, Any]:
        from photoqual.pipeline import workspace

        with _reasons():
            if not get_current_context()["params"]["force"] and not workspace.changed_outs(
                opened, revision, JUDGED_BY[:2]
            ):
                raise AirflowSkipException("Nothing changed since the last run, whose challenger has been judged.")
            verb = ["register", "--revision", revision]
            return workspace.run_verb(revision, verb, needs=JUDGED_BY, run_id=_run_id())

    return registers(opened, revision)


def promote(revision: Any, registered: Any) -> Any:
    """Make the task that judges the challenger against the champion; with `dry_run` no alias moves."""

    @task(
        task_id="promote", doc_md="Judge challenger and champion on the same frozen photos; promote on evidence only."
    )
    def promotes(revision: str, registered: dict[str, Any]) -> dict[str, Any]:
        from photoqual.pipeline import workspace

        dry = ["--dry-run"] if get_current_context()["params"]["dry_run"] else []
        verb = ["promote", "--version", str(registered["version"]), *dry]
        with _reasons():
            verdict = workspace.run_verb(revision, verb, needs=JUDGED_BY[2:], run_id=_run_id())
        log.info("Version %s: %s. %s", registered["version"], verdict["decision"], verdict["reason"])
        return verdict

    return promotes(revision, registered)


def close_run(revision: Any, *, after: Sequence[Any] = ()) -> Any:
    """Make the task that advances branch `data`; it also waits for `after`. A dry run leaves `data` as it is."""

    @task(task_id="close", trigger_rule=TriggerRule.NONE_FAILED, doc_md="Advance branch `data` to what this run made.")
    def closes(revision: str) -> str:
        from photoqual.pipeline import workspace

        if get_current_context()["params"].get("dry_run"):
            raise AirflowSkipException("Dry run: branch `data` stays as it is; the run's own branch is kept.")
        with _reasons():
            return workspace.close_run(_run_id(), revision)

    closed = closes(revision)
    for earlier in after:
        earlier >> closed
    return closed


def announce(opened: Any, closed: Any) -> Any:
    """Make the task that emits the asset `photos`, if photos or labels differ from before or `force` is on."""

    @task(task_id="announce", outlets=[PHOTOS], doc_md="Tell other DAGs that branch `data` holds new photos or labels.")
    def announces(opened: str, closed: str) -> None:
        from photoqual.pipeline import workspace

        context = get_current_context()
        with _reasons():
            news = workspace.changed_outs(opened, closed, ("data/photos", "data/labels.parquet"))
            if not news and not context["params"]["force"]:
                raise AirflowSkipException("No new photos and no new labels: nothing to learn from.")
        context["outlet_events"][PHOTOS].extra = {"revision": closed, "changed": news}

    return announces(opened, closed)


def pools(path: Path) -> set[str]:
    """Return the pools that a deployment declares, Airflow's own included."""
    return {"default_pool", *json.loads(path.read_text(encoding="utf-8"))}


def _run_id() -> str:
    """Return a name of this DAG run that no run of another DAG has."""
    run = get_current_context()["dag_run"]
    return f"{run.dag_id}.{run.run_id}"


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn our errors into Airflow's: message and next step without our stack, and no retry where none can help."""
    try:
        yield
    except PhotoqualError as error:
        kind = str(error.details.get("error") or type(error).__name__)
        wrapped: Callable[[str], Exception] = AirflowFailException if kind in _FINAL else AirflowException
        raise wrapped(str(error)) from None

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

from photoqual.errors import ConfigError, EnvironmentDiffers, NoChampion, PhotoqualError
from photoqual.pipeline.stages import Stage, read_stages

log = logging.getLogger(__name__)

PHOTOS = Asset(name="photos")
"""New photos or labels are on branch `data`; its event's extra holds their revision."""
DRIFT = Asset(name="drift")
"""A watch raised an alarm about the champion; its event's extra holds the version and what crossed its threshold."""
WATCHED_BY = ("data/photos", "data/catalog", "data/labels.parquet", "data/frozen_test.parquet")
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
        with reasons():
            return workspace.open_run(run_id(), chosen)

    return opens()


def due(opened: Any) -> Any:
    """Make the task that decides whether a retrain is worth it, and returns the revision; otherwise it deletes the
    run's branch and everything after it is skipped. DAG params `force` and `freeze_next`: it is.
    """

    @task(task_id="due", doc_md="What changed since the champion's data: worth a training? `photoqual due` decides.")
    def decides(opened: str) -> str:
        from photoqual.pipeline import workspace

        params = get_current_context()["params"]
        if params["force"] or params["freeze_next"]:
            return opened
        with reasons():
            found = workspace.run_verb(opened, ["due"], needs=WATCHED_BY[2:3], run_id=run_id())
            why = " ".join(found["reasons"])
            if not found["retrain"]:
                log.info("Training again is not worth it. %s", why)
                workspace.drop_run(run_id())
                raise AirflowSkipException(why)
        log.info("Training again: %s", why)
        return opened

    return decides(opened)


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
        with reasons():
            return workspace.run_stage(revision, stage.name, run_id=run_id(), force=forced, environment=given)

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

        with reasons():
            if not get_current_context()["params"]["force"] and not workspace.changed_outs(
                opened, revision, JUDGED_BY[:2]
            ):
                raise AirflowSkipException("Nothing changed since the last run, whose challenger has been judged.")
            verb = ["register", "--revision", revision]
            return workspace.run_verb(revision, verb, needs=JUDGED_BY, run_id=run_id())

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
        with reasons():
            verdict = workspace.run_verb(revision, verb, needs=JUDGED_BY[2:], run_id=run_id())
        log.info("Version %s: %s. %s", registered["version"], verdict["decision"], verdict["reason"])
        return verdict

    return promotes(revision, registered)


def close_run(revision: Any, *, after: Sequence[Any] = ()) -> Any:
    """Make the task that advances branch `data`; it also waits for `after`. A dry run leaves `data` as it is."""

    @task(
        task_id="close",
        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        doc_md="Advance branch `data` to what this run made.",
    )
    def closes(revision: str) -> str:
        from photoqual.pipeline import workspace

        if get_current_context()["params"].get("dry_run"):
            raise AirflowSkipException("Dry run: branch `data` stays as it is; the run's own branch is kept.")
        with reasons():
            return workspace.close_run(run_id(), revision)

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
        with reasons():
            news = workspace.changed_outs(opened, closed, ("data/photos", "data/labels.parquet"))
            if not news and not context["params"]["force"]:
                raise AirflowSkipException("No new photos and no new labels: nothing to learn from.")
        context["outlet_events"][PHOTOS].extra = {"revision": closed, "changed": news}

    return announces(opened, closed)


def watch() -> Any:
    """Make the task that watches the champion where branch `data` stands; skipped while there is no champion."""

    @task(
        task_id="watch", doc_md="Score the newest labelled photos with the champion and compare them with its training."
    )
    def watches() -> dict[str, Any]:
        from photoqual.pipeline import workspace

        with reasons():
            try:
                found = workspace.run_verb(None, ["watch"], needs=WATCHED_BY, run_id=run_id())
            except PhotoqualError as error:
                if error.details.get("error") == NoChampion.__name__:
                    raise AirflowSkipException(error.message) from None
                raise
        log.info("%s", found["text"])
        return {key: found[key] for key in ("outcome", "text", "version", "revision", "photos", "mlflow_run")} | {
            "crossed": [finding["name"] for finding in found["findings"] if finding["crossed"]]
        }

    return watches()


def alarm(watched: Any) -> Any:
    """Make the task that emits the asset `drift`, if the watch raised an alarm."""

    @task(task_id="alarm", outlets=[DRIFT], doc_md="Ask for a training where a threshold was crossed beyond chance.")
    def alarms(watched: dict[str, Any]) -> None:
        if watched["outcome"] != "alarm":
            raise AirflowSkipException(watched["text"])
        get_current_context()["outlet_events"][DRIFT].extra = {
            key: watched[key] for key in ("version", "revision", "crossed", "mlflow_run")
        }

    return alarms(watched)


def pools(path: Path) -> set[str]:
    """Return the pools that a deployment declares, Airflow's own included."""
    return {"default_pool", *json.loads(path.read_text(encoding="utf-8"))}


def run_id() -> str:
    """Return a name of this DAG run that no run of another DAG has."""
    run = get_current_context()["dag_run"]
    return f"{run.dag_id}.{run.run_id}"


@contextmanager
def reasons() -> Iterator[None]:
    """Turn our errors into Airflow's: message and next step without our stack, and no retry where none can help."""
    try:
        yield
    except PhotoqualError as error:
        kind = str(error.details.get("error") or type(error).__name__)
        wrapped: Callable[[str], Exception] = AirflowFailException if kind in _FINAL else AirflowException
        raise wrapped(str(error)) from None

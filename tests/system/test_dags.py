"""The DAG files as Airflow reads them, in a process of its own: nothing is executed here, see test_platform.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from photoqual.pipeline.stages import read_stages
from photoqual.rating.parts import MERGED

EXPECTED = {"rate_gallery", "refresh_photos", "retrain", "watch_champion"}
HEAVY = {"dvc", "great_expectations", "keras", "matplotlib", "mlflow", "onnxruntime", "scrapy", "tensorflow"}
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from photoqual.pipeline.tasks import pools
from pathlib import Path

before = set(sys.modules)
bag = DagBag(sys.argv[1])
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
dags = {
    name: {
        "schedule": dag.schedule if isinstance(dag.schedule, str | None) else sorted(asset.name for asset in dag.schedule.objects),
        "either": type(dag.schedule).__name__ == "AssetAny",
        "assets": [asset.name for task in dag.tasks for asset in task.outlets],
        "max_active_runs": dag.max_active_runs,
        "catchup": dag.catchup,
        "params": {key: dag.params.get_param(key).schema for key in dag.params},
        "tasks": {
            task.task_id: {
                "queue": task.queue,
                "pool": task.pool,
                "retries": task.retries,
                "minutes": task.execution_timeout.total_seconds() / 60,
                "after": sorted(task.upstream_task_ids),
                "rule": task.trigger_rule.value,
                "tells": bool(task.on_failure_callback),
            }
            for task in dag.tasks
        },
    }
    for name, dag in bag.dags.items()
}
print(json.dumps({"errors": bag.import_errors, "loaded": sorted(loaded), "dags": dags, "pools": sorted(pools(Path(sys.argv[1], "pools.json")))}))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what Airflow reads from dags/."""
    home = tmp_path_factory.mktemp("airflow")
    root = request.config.rootpath
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PHOTOQUAL_REFRESH_CRON": "30 4 * * *",
        "PHOTOQUAL_WATCH_CRON": "30 6 * * *",
    }
    subprocess.run(
        [Path(sys.executable).with_name("airflow"), "db", "migrate"],
        env=environment,
        check=True,
        capture_output=True,
        timeout=180,
    )
    done = subprocess.run(
        [sys.executable, "-c", READ, str(root / "dags")],
        cwd=root,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_every_dag_file_is_read_without_errors_and_none_is_missing(read: dict[str, Any]) -> None:
    assert read["errors"] == {}
    assert set(read["dags"]) == EXPECTED


def test_reading_the_dags_loads_nothing_heavy(read: dict[str, Any]) -> None:
    assert not HEAVY & set(read["loaded"])


def test_every_pool_is_declared_and_every_task_is_bounded(read: dict[str, Any]) -> None:
    for name, dag in read["dags"].items():
        assert dag["max_active_runs"] == (4 if name == "rate_gallery" else 1)
        assert dag["catchup"] is False
        for task_id, task in dag["tasks"].items():
            assert task["pool"] in read["pools"], task_id
            assert task["minutes"] > 0, task_id
            assert task["tells"], task_id


def test_stages_carry_what_dvc_yaml_says_of_them(read: dict[str, Any], project_root: Path) -> None:
    stages = {stage.name: stage for stage in read_stages(project_root / "dvc.yaml")}
    tasks = {name: task for dag in read["dags"].values() for name, task in dag["tasks"].items() if name in stages}
    assert set(tasks) == set(stages)
    for name, task in tasks.items():
        said = (stages[name].queue, stages[name].pool, stages[name].retries, stages[name].execution_timeout_minutes)
        assert (task["queue"], task["pool"], task["retries"], task["minutes"]) == said
    assert tasks["train"]["queue"] == "gpu"


def test_tasks_stand_in_the_order_of_the_data(read: dict[str, Any]) -> None:
    after = {dag: {name: task["after"] for name, task in read["dags"][dag]["tasks"].items()} for dag in EXPECTED}
    assert after["refresh_photos"] == {
        "open": [],
        "refresh": ["open"],
        "label": ["refresh"],
        "validate": ["label"],
        "close": ["validate"],
        "announce": ["close", "open"],
    }
    assert after["rate_gallery"] == {"plan": [], "rate": ["plan"], "merge": ["rate"], "clear": ["merge"]}
    assert after["watch_champion"] == {"watch": [], "alarm": ["watch"]}
    retrain = after["retrain"]
    assert retrain["due"] == ["open"]
    assert retrain["label"] == ["due"]
    assert retrain["validate"] == ["label"]
    assert retrain["split"] == ["validate"]
    assert retrain["train"] == ["split"]
    assert retrain["evaluate"] == ["train"]
    assert retrain["promote"] == ["evaluate", "register"]
    assert retrain["approve"] == ["promote"]
    assert retrain["approved"] == ["approve"]
    assert set(retrain["conclude"]) == {"approved", "evaluate"}
    assert set(retrain["close"]) == {"conclude", "evaluate", "promote"}


def test_refresh_and_watch_run_by_cron_and_retrain_by_either_asset(read: dict[str, Any]) -> None:
    assert read["dags"]["refresh_photos"]["schedule"] == "30 4 * * *"
    assert read["dags"]["refresh_photos"]["assets"] == ["photos"]
    assert read["dags"]["watch_champion"]["schedule"] == "30 6 * * *"
    assert read["dags"]["watch_champion"]["assets"] == ["drift"]
    assert read["dags"]["retrain"]["schedule"] == ["drift", "photos"]
    assert read["dags"]["retrain"]["either"]


def test_a_run_of_which_everything_was_skipped_is_not_closed(read: dict[str, Any]) -> None:
    for dag in ("refresh_photos", "retrain"):
        assert read["dags"][dag]["tasks"]["close"]["rule"] == "none_failed_min_one_success"


def test_the_form_of_retrain_is_typed(read: dict[str, Any]) -> None:
    form = read["dags"]["retrain"]["params"]
    assert set(form) == {"model_kind", "epochs", "force", "require_approval", "freeze_next", "dry_run"}
    kinds = ["logistic", "hidden", "cnn_grey", "cnn_colour", "gap_cnn", "transfer"]
    assert form["model_kind"]["enum"] == [None, *kinds]
    assert form["epochs"]["minimum"] == 1
    assert form["force"]["type"] == form["dry_run"]["type"] == "boolean"


def test_the_form_of_rate_gallery_is_typed_and_its_parts_share_a_pool(read: dict[str, Any]) -> None:
    dag = read["dags"]["rate_gallery"]
    assert dag["schedule"] is None
    assert set(dag["params"]) == {"uri", "output", "format", "model", "photos_per_task"}
    assert dag["params"]["format"]["enum"] == list(MERGED)
    assert dag["params"]["photos_per_task"]["minimum"] == 1
    assert dag["tasks"]["rate"]["pool"] == "rating"

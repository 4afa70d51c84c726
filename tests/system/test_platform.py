"""The platform whole, small: the demo site, Airflow's own scheduler, DVC, MLflow; one run of each DAG, and a refusal.

The tests of this file tell one story in their order, on one home: refresh → asset → retrain → an alarm without
cause → poisoned votes → the champion watched → a gallery rated.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from photoqual.embedded.airflow import Airflow, free_ports, running
from photoqual.embedded.demo import RATE, REFRESH, RETRAIN, WATCH, press, rate_unseen
from photoqual.embedded.follow import Run, follow, triggered
from photoqual.embedded.home import Home, create, held
from photoqual.pipeline.workspace import DATA, MAIN, branch, summaries
from photoqual.registry.history import history
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected, version_of
from photoqual.registry.watch_series import EXPERIMENT
from photoqual.sources.demo import DemoSite
from tests.conftest import encoded, scene

PHOTOS = 240
pytestmark = pytest.mark.timeout(900)


@dataclass
class Platform:
    """A running platform and what its runs were."""

    home: Home
    airflow: Airflow
    site: DemoSite
    runs: dict[str, Run] = field(default_factory=dict)

    def follow(self, dag_id: str, run_id: str) -> Run:
        return follow(self.airflow, dag_id, run_id, Console(file=StringIO()))

    def log(self, run: Run, task_id: str) -> str:
        (task,) = [task for task in self.airflow.tasks(run.dag_id, run.run_id) if task["task_id"] == task_id]
        return "\n".join(self.airflow.log(run.dag_id, run.run_id, task))

    def pause(self, dag_id: str, paused: bool) -> None:
        self.airflow.send("PATCH", f"/dags/{dag_id}", {"is_paused": paused})

    def retrains(self) -> set[str]:
        return {run["dag_run_id"] for run in self.airflow.runs(RETRAIN)}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Platform]:
    home = Home(tmp_path_factory.mktemp("home"))
    project = request.config.rootpath
    (port,) = free_ports(1)
    overrides = {
        "sources": {"demo": {"kind": "demo", "url": f"http://127.0.0.1:{port}"}},
        "train.epochs": 2,
        "model.image_width": 128,
    }
    with held(home), DemoSite(port=port) as site:
        create(home, project, overrides, site_port=port)
        with running(home, project / "dags") as airflow:
            airflow.start_dags([REFRESH, RETRAIN, WATCH, RATE])
            yield Platform(home, airflow, site)


def test_a_refresh_advances_branch_data_and_triggers_a_training(platform: Platform) -> None:
    before = platform.retrains()
    run = platform.follow(REFRESH, platform.airflow.trigger(REFRESH, {"limit": PHOTOS}))
    assert run.state == "success", run.said
    did = dict(reversed(list(summaries(platform.home.origin, DATA))))
    assert did["refresh"]["photos"] == PHOTOS
    assert did["label"]["good"] > 0
    assert platform.home.git("show", f"{DATA}:dvc.lock").count("md5:") > 0
    assert platform.home.git("branch", "--list", branch(run.name)) == ""
    platform.runs["triggered"] = platform.follow(RETRAIN, triggered(platform.airflow, RETRAIN, before))


def test_the_training_registers_a_version_with_its_lineage_and_a_verdict(platform: Platform) -> None:
    run = platform.runs["triggered"]
    assert run.state == "success", run.said
    (version,) = history(platform.home.registry.parent)
    verdict = platform.airflow.result(RETRAIN, run.run_id, "promote")
    assert version["decision"] == verdict["decision"]
    shown = verdict["numbers"]["challenger_auc_low"] > 0.5
    assert verdict["decision"] == ("promoted" if shown else "refused")
    assert ("champion" in version["aliases"]) is shown
    assert platform.home.git("merge-base", "--is-ancestor", version["git_rev"], DATA) == ""
    assert version["run_id"] == run.name
    assert (
        version["frozen_test_digest"] == platform.airflow.result(RETRAIN, run.run_id, "register")["frozen_test_digest"]
    )


def test_an_alarm_starts_a_training_that_is_skipped_where_nothing_changed(platform: Platform) -> None:
    registry = platform.home.registry.parent
    with connected(registry) as client:
        if version_of(client, CHAMPION) is None:  # two epochs may be too few to beat chance; a person may decide so
            client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    data, versions, before = platform.home.git("rev-parse", DATA), history(registry), platform.retrains()
    assets = platform.airflow.send("GET", "/assets?name_pattern=drift")["assets"]
    platform.airflow.send("POST", "/assets/events", {"asset_id": assets[0]["id"], "extra": {}})
    run = platform.follow(RETRAIN, triggered(platform.airflow, RETRAIN, before))
    assert run.state == "success"
    assert {name for name, state in run.states.items() if state != "skipped"} == {"open"}
    said = platform.log(run, "due")
    assert "Training again is not worth it. No new or changed labels since version 1" in said
    assert "Code and params are those it was made with." in said
    assert platform.home.git("branch", "--list", branch(run.name)) == ""
    assert platform.home.git("rev-parse", DATA) == data
    assert history(registry) == versions


def test_a_training_by_hand_takes_the_form_and_a_dry_run_moves_nothing(platform: Platform) -> None:
    data, before = platform.home.git("rev-parse", DATA), history(platform.home.registry.parent)
    form = {"model_kind": "logistic", "epochs": 1, "dry_run": True}
    run = platform.follow(RETRAIN, platform.airflow.trigger(RETRAIN, form))
    assert run.state == "success", run.said
    assert run.states["close"] == "skipped"
    assert platform.home.git("rev-parse", DATA) == data
    newest, *earlier = history(platform.home.registry.parent)
    assert [version["aliases"] for version in earlier] == [
        [alias for alias in version["aliases"] if alias != "challenger"] for version in before
    ]
    assert newest["aliases"] == ["challenger"]
    assert newest["decision"] is None
    assert "kind: logistic" in platform.home.git("show", f"{newest['git_rev']}:params.yaml")
    assert "kind: gap_cnn" in platform.home.git("show", f"{MAIN}:params.yaml")


def test_pools_can_be_declared_again(platform: Platform, project_root: Path) -> None:
    platform.airflow.declare_pools(project_root / "dags/pools.json")
    pool = platform.airflow.send("GET", "/pools/gpu")
    assert (pool["slots"], pool["include_deferred"]) == (1, False)


def test_the_form_refuses_what_it_does_not_know(platform: Platform) -> None:
    from photoqual.embedded.airflow import AirflowError

    with pytest.raises(AirflowError, match="epochs"):
        platform.airflow.trigger(RETRAIN, {"epochs": 0})


def test_poisoned_votes_stop_at_validation_and_change_nothing(platform: Platform) -> None:
    data, before = platform.home.git("rev-parse", DATA), history(platform.home.registry.parent)
    retrains = platform.retrains()
    press(platform.site.url, "poison")
    run = platform.follow(REFRESH, platform.airflow.trigger(REFRESH, {"limit": PHOTOS}))
    assert run.state == "failed"
    assert run.states["validate"] == "failed"
    assert run.states["close"] == run.states["announce"] == "upstream_failed"
    assert "[good_share]: observed 1, expected 0.15 to 0.85" in run.said
    assert platform.home.git("rev-parse", DATA) == data
    assert history(platform.home.registry.parent) == before
    assert platform.retrains() == retrains


def test_the_champion_rates_photos_that_no_run_has_seen(platform: Platform, capfd: pytest.CaptureFixture[str]) -> None:
    versions = history(platform.home.registry.parent)
    if not any("champion" in version["aliases"] for version in versions):
        promoted = subprocess.run(
            [sys.executable, "-m", "photoqual", "rate", str(platform.home.root)],
            env=platform.home.command_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert promoted.returncode == 1
        assert "no champion yet" in promoted.stderr
        return
    rate_unseen(platform.home, platform.site)
    table = capfd.readouterr().out
    assert table.count("★") >= 3
    assert "undamaged" in table


def test_the_champion_is_watched_on_photos_that_came_after_its_training(platform: Platform) -> None:
    platform.pause(RETRAIN, True)
    press(platform.site.url, "heal")
    refreshed = platform.follow(REFRESH, platform.airflow.trigger(REFRESH, {"limit": PHOTOS}))
    assert refreshed.state == "success", refreshed.said
    branches, data = platform.home.git("branch", "--list"), platform.home.git("rev-parse", DATA)
    run = platform.follow(WATCH, platform.airflow.trigger(WATCH))
    assert run.state == "success", run.said
    found = platform.airflow.result(WATCH, run.run_id, "watch")
    assert found["outcome"] in {"alarm", "quiet"}, found["text"]
    assert found["photos"]["new"] >= 50
    assert found["revision"] == data
    assert run.states["alarm"] == ("success" if found["outcome"] == "alarm" else "skipped")
    assert platform.home.git("branch", "--list") == branches
    with connected(platform.home.registry.parent) as client:
        kept = client.get_run(found["mlflow_run"])
        files = {item.path for item in client.list_artifacts(found["mlflow_run"], "watch")}
        experiment = client.get_experiment(kept.info.experiment_id)
    assert experiment.name == EXPERIMENT
    assert (kept.data.tags["version"], kept.data.tags["revision"]) == (found["version"], data)
    assert {"auc_all", "frozen_auc", "psi.score", "psi.brightness", "two_sample_auc"} <= set(kept.data.metrics)
    assert files == {"watch/index.html", "watch/summary.json"}


def test_a_gallery_is_rated_in_parts_from_the_form(platform: Platform, tmp_path: Path) -> None:
    gallery, output = tmp_path / "gallery", tmp_path / "ratings.jsonl"
    gallery.mkdir()
    for number in range(5):
        (gallery / f"{number}.jpg").write_bytes(encoded(scene(number)))
    (gallery / "broken.jpg").write_bytes(b"no photo")
    form = {"uri": str(gallery), "output": str(output), "format": "json", "photos_per_task": 4}
    run = platform.follow(RATE, platform.airflow.trigger(RATE, form))
    assert run.state == "success", run.said
    told = platform.airflow.result(RATE, run.run_id, "merge")
    assert (told["rated"], told["skipped"]) == (5, {"not_an_image": 1})
    assert len(output.read_text(encoding="utf-8").splitlines()) == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "gallery",
        "ratings.jsonl",
        "ratings.jsonl.skipped.jsonl",
    ]

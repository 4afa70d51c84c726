"""`dvc repro` in a fresh clone, on the shipped dvc.yaml: all of the work, then nothing, then only what a change asks for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from photoqual.embedded.home import copy_project
from photoqual.pipeline import git

pytestmark = pytest.mark.timeout(600)
STAGES = ["refresh", "label", "validate", "split", "train", "evaluate"]


class Clone:
    """A clone of the project, small enough to be reproduced in a test."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        folder = str(Path(sys.executable).parent)
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
            "PYTHONPATH": "",
            "PHOTOQUAL_REFRESH_LIMIT": "200",
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root}/mlflow.db",
        }
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def did(self, *command: str) -> str:
        done = self.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stages_run(self) -> list[str]:
        """Reproduce; return the stages that ran."""
        return [
            line.split("'")[1] for line in self.did("dvc", "repro").splitlines() if line.startswith("Running stage")
        ]

    def set_params(self, **changes: object) -> None:
        path = self.root / "params.yaml"
        values = yaml.safe_load(path.read_text())
        for section, keys in changes.items():
            values[section] |= keys
        path.write_text(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Clone:
    root = tmp_path_factory.mktemp("clone")
    copy_project(request.config.rootpath, root)
    made = Clone(root)
    made.set_params(model={"image_width": 96}, train={"epochs": 2})
    git.git("init", "--quiet", cwd=root)
    git.git("add", "--all", cwd=root)
    git.git("commit", "--quiet", "--message", "Start", cwd=root)
    return made


def test_a_fresh_clone_runs_every_stage_once(clone: Clone) -> None:
    assert clone.stages_run() == STAGES
    assert git.git("status", "--porcelain", cwd=clone.root).split() == ["??", "dvc.lock"]
    git.git("add", "dvc.lock", cwd=clone.root)
    git.git("commit", "--quiet", "--message", "First data", cwd=clone.root)
    assert clone.stages_run() == []


def test_dvc_shows_metrics_and_plots(clone: Clone) -> None:
    shown = json.loads(clone.did("dvc", "metrics", "show", "--json"))
    metrics = shown[""]["data"]["reports/evaluation/metrics.json"]["data"]
    assert 0 <= metrics["auc_low"] <= metrics["auc"] <= metrics["auc_high"] <= 1
    page = clone.did("dvc", "plots", "show").split("file://")[1].strip()
    text = Path(page).read_text(encoding="utf-8")
    for name in ("ROC on the frozen test set", "Precision and recall on the frozen test set", "Training curve"):
        assert name in text


def test_a_registered_model_becomes_champion_or_says_why_not_and_rolls_back_with_a_clear_error(clone: Clone) -> None:
    photoqual = (sys.executable, "-m", "photoqual")
    version = json.loads(clone.did(*photoqual, "register"))
    assert version["version"] == "1"
    verdict = json.loads(clone.did(*photoqual, "promote"))
    assert verdict["decision"] in {"promoted", "refused"}
    again = clone.run(*photoqual, "rollback", "--reason", "a test")
    assert again.returncode == 1
    assert "champion" in again.stderr
    assert "Traceback" not in again.stderr


def test_the_challenger_rates_files_without_tensorflow(clone: Clone, tmp_path: Path) -> None:
    from photoqual.sources.demo import unseen

    for name, jpeg in unseen(1):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg)
    code = (
        "import sys; from photoqual.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "finally: assert not {'tensorflow', 'keras', 'mlflow'} & set(sys.modules), 'heavy'"
    )
    done = clone.run(
        sys.executable, "-c", code, "rate", str(tmp_path), "--model", "models/challenger", "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    assert len([json.loads(line) for line in done.stdout.splitlines()]) == 3


def test_a_change_of_a_parameter_runs_only_what_it_feeds_and_metrics_can_be_compared(clone: Clone) -> None:
    frozen = (clone.root / "data/frozen_test.parquet").read_bytes()
    clone.set_params(model={"kind": "logistic"})
    assert clone.stages_run() == ["train", "evaluate"]
    changed = json.loads(clone.did("dvc", "metrics", "diff", "--json"))
    assert "auc" in changed["reports/evaluation/metrics.json"]
    clone.set_params(labels={"good_at_least": 4})
    assert clone.stages_run() == ["label", "validate", "split", "train", "evaluate"]
    assert (clone.root / "data/frozen_test.parquet").read_bytes() == frozen


def test_the_source_is_asked_again_only_when_forced_and_keeps_its_shards(clone: Clone) -> None:
    shards = {path: path.read_bytes() for path in (clone.root / "data/photos").rglob("*.parquet")}
    said = clone.did("dvc", "repro", "--force", "--single-item", "refresh")
    assert '"new": 200' in said
    after = sorted((clone.root / "data/photos").rglob("*.parquet"))
    assert len(after) == len(shards) + 1
    assert all(path.read_bytes() == content for path, content in shards.items())

"""The project as a whole: names that packages share, versions that agree, files that belong together."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from photoqual import __version__
from photoqual.layout import Layout


def test_top_level_folders_do_not_hide_packages(project_root: Path) -> None:
    for name in ("mlflow", "docker"):
        assert not (project_root / name / "__init__.py").exists()
    run = subprocess.run(
        [sys.executable, "-c", "import mlflow; print(mlflow.__file__)"],
        cwd=project_root,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "site-packages" in run.stdout


def test_version_is_one(project_root: Path) -> None:
    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"## [{__version__}]" in (project_root / "CHANGELOG.md").read_text()


def test_layout_and_dvc_yaml_name_the_same_files(project_root: Path) -> None:
    pipeline = yaml.safe_load((project_root / "dvc.yaml").read_text())
    made = set()
    for stage in pipeline["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            made |= {next(iter(out)) if isinstance(out, dict) else out for out in stage.get(kind, [])}
    layout = Layout()
    named = [
        layout.photos,
        layout.catalog,
        layout.labels,
        layout.accepted,
        layout.splits,
        layout.frozen_test,
        layout.challenger,
        layout.validation,
        layout.metrics,
        layout.predictions,
    ]
    assert {path.as_posix() for path in named} <= made


def test_every_stage_is_a_verb_of_the_command_line(project_root: Path) -> None:
    from photoqual.cli import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    stages = yaml.safe_load((project_root / "dvc.yaml").read_text())["stages"]
    assert list(stages) == ["refresh", "label", "validate", "split", "train", "evaluate"]
    assert all(stages[name]["cmd"] == f"python -m photoqual {name}" for name in stages)
    assert set(stages) <= verbs


def test_importing_everything_light_has_no_effect(tmp_path: Path) -> None:
    code = "import photoqual, photoqual.cli, photoqual.config, photoqual.settings, photoqual.rating.rater, photoqual.pipeline.stages, logging; print(logging.getLogger().handlers)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []

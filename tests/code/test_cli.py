"""The command line: quick to start, clear about mistakes, and an outcome file for the pipeline."""

import json
import os
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photoqual.layout import Layout
from photoqual.photos.catalog import write_catalog

HEAVY = {
    "airflow",
    "dvc",
    "great_expectations",
    "keras",
    "matplotlib",
    "mlflow",
    "pandas",
    "scrapy",
    "sklearn",
    "tensorflow",
}


def photoqual(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "photoqual", *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False, timeout=60
    )


def test_help_loads_nothing_heavy(project_root: Path) -> None:
    code = "import sys; sys.argv = ['photoqual', '--help']\nfrom photoqual.cli import main\ntry: main()\nexcept SystemExit: pass\nprint(sorted(set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True, check=True, timeout=60
    )
    assert "evaluate" in run.stdout
    loaded = {name.strip("' []").split(".")[0] for name in run.stdout.splitlines()[-1].split(",")}
    assert not loaded & HEAVY


def test_help_is_quick(project_root: Path) -> None:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        photoqual("--help", cwd=project_root)
        times.append(time.perf_counter() - started)
    bare = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - started)
    assert min(times) < 40 * min(bare), f"--help took {min(times):.2f} s"


@pytest.mark.parametrize("verb", ["label", "validate", "split", "train", "evaluate"])
def test_a_stage_without_its_input_says_what_to_run(tmp_path: Path, project_root: Path, verb: str) -> None:
    (tmp_path / "params.yaml").write_text((project_root / "params.yaml").read_text())
    outcome = tmp_path / "outcome.json"
    run = photoqual(verb, cwd=tmp_path, PHOTOQUAL_OUTCOME_FILE=str(outcome))
    assert run.returncode == 1
    assert "Error: " in run.stderr
    assert "Traceback" not in run.stderr
    left = json.loads(outcome.read_text())
    assert left["ok"] is False
    assert left["error"] in {"MissingData", "ModelError"}
    assert "Run `" in left["next_step"] or "Train" in left["next_step"]
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"params.yaml", "outcome.json"}] in (
        [],
        ["reports"],
    )


def test_a_mistake_in_params_exits_2(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("sources: {x: {kind: ftp}}")
    run = photoqual("refresh", cwd=tmp_path)
    assert run.returncode == 2
    assert "sources.x" in run.stderr


def test_version_and_schema(project_root: Path) -> None:
    from photoqual import __version__

    assert photoqual("--version", cwd=project_root).stdout.strip() == f"photoqual {__version__}"
    assert "SplitParams" in json.loads(photoqual("schema", cwd=project_root).stdout)["$defs"]


@pytest.mark.parametrize(("package", "extra"), [("mlflow", "registry"), ("great_expectations", "pipeline")])
def test_a_light_installation_names_the_extra_it_lacks(tmp_path: Path, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from photoqual import cli\n"
        "@cli.app.command()\n"
        f"def needs() -> None: import {package}\n"
        "sys.argv = ['photoqual', 'needs']\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"extra `{extra}`" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_extras_it_names_exist(project_root: Path) -> None:
    from photoqual.cli import EXTRAS

    project = tomllib.loads((project_root / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])


@pytest.mark.parametrize(
    ("verb", "damaged"),
    [
        ("validate", "labels.parquet"),
        ("split", "labels.parquet"),
        ("train", "splits.parquet"),
        ("label", "catalog/_parts.json"),
    ],
)
def test_a_damaged_file_is_named_with_how_to_get_it_back(
    tmp_path: Path, project_root: Path, make_catalog: Callable[..., Any], verb: str, damaged: str
) -> None:
    layout = Layout(tmp_path)
    layout.params.write_text((project_root / "params.yaml").read_text())
    write_catalog(layout.catalog, make_catalog({}, {}))
    (tmp_path / "data" / damaged).write_bytes(b"damaged")
    run = photoqual(verb, cwd=tmp_path)
    assert run.returncode == 1
    assert f"data/{damaged.partition('/')[0]} cannot be read" in run.stderr
    assert "dvc checkout" in run.stderr
    assert "Traceback" not in run.stderr

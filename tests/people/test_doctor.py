"""`photoqual doctor`: what is broken is named with what to do; what is merely not set up is no fault."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.doctor import installation
from photoqual.doctor.findings import Finding, State, examine
from photoqual.errors import ConfigError
from photoqual.registry.store import connected

Doctor = Callable[..., dict[str, Finding]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of this module share: making the starter takes seconds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def doctor(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Return a function that runs the doctor in a new folder and returns its findings by name; it checks that the exit
    code is 1 exactly where there is a problem.
    """
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    for name in ("MLFLOW_TRACKING_URI", "PHOTOQUAL_PROJECT_URL", "PHOTOQUAL_DVC_REMOTE_URL", "PHOTOQUAL_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)

    def run(**environment: str) -> dict[str, Finding]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        done = CliRunner().invoke(app, ["doctor", "--format", "json"])
        told = [json.loads(line) for line in done.stdout.splitlines()]
        found = {line["name"]: Finding(**{**line, "state": State(line["state"])}) for line in told}
        assert len(found) == len(told)
        assert done.exit_code == any(finding.state is State.problem for finding in found.values())
        return found

    return run


def test_a_folder_without_a_project_is_no_fault(doctor: Doctor, cache: Path) -> None:
    found = doctor()
    assert {name for name, finding in found.items() if finding.state is State.problem} == set()
    assert found["rating"].state is State.ok
    assert "starter rates" in found["rating"].seen
    assert found["params.yaml"].state is State.absent
    assert all(finding.next_step for finding in found.values() if finding.state is not State.ok)
    assert list((cache / "photoqual/checkpoints").iterdir()) == []


def test_a_project_is_looked_at_part_by_part(doctor: Doctor, project_root: Path) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        Path(name).write_bytes((project_root / name).read_bytes())
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    found = doctor()
    assert "demo (demo)" in found["params.yaml"].seen
    assert found["dvc.yaml"].seen.startswith("refresh, label, validate")
    assert found["data"].state is State.absent


@pytest.mark.parametrize(
    ("sources", "name", "seen"),
    [
        ("{trips: {kind: folders, path: /nowhere/trips}}", "source trips", "/nowhere/trips does not exist"),
        ("{trips: {kind: xmp, path: /nowhere}}", "source trips", "/nowhere does not exist"),
        ("{trips: {kind: telepathy}}", "params.yaml", "telepathy"),
        ("[", "params.yaml", "not valid YAML"),
    ],
)
def test_broken_params_are_named(doctor: Doctor, project_root: Path, sources: str, name: str, seen: str) -> None:
    shipped = (project_root / "params.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"(?ms)^sources:.*?(?=^\w)", f"sources: {sources}\n", shipped)
    assert changed != shipped
    Path("params.yaml").write_text(changed, encoding="utf-8")
    finding = doctor()[name]
    assert finding.state is State.problem
    assert seen in finding.seen
    assert finding.next_step


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("MLFLOW_TRACKING_URI", "http://anna:secret@127.0.0.1:9", "registry"),
        ("PHOTOQUAL_DVC_REMOTE_URL", "/proc/nowhere", "DVC store"),
        ("PHOTOQUAL_DVC_REMOTE_URL", "gopher://anna:secret@nowhere", "DVC store"),
        ("PHOTOQUAL_CHECKPOINTS", "/proc/nowhere", "checkpoints"),
        ("PHOTOQUAL_PROJECT_URL", "https://anna:secret@127.0.0.1:9/x.git", "repository"),
    ],
)
def test_a_service_that_cannot_be_used_is_named_without_its_password(
    doctor: Doctor, variable: str, value: str, name: str
) -> None:
    finding = doctor(**{variable: value})[name]
    assert finding.state is State.problem
    assert finding.next_step
    assert "secret" not in finding.seen + finding.next_step


def test_a_store_and_a_repository_that_work_are_told_so(doctor: Doctor, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "-b", "main", str(tmp_path / "git")], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "one"], cwd=tmp_path / "git", check=True)
    with connected(create=True) as client:
        client.search_registered_models()
    (tmp_path / "store").mkdir()
    found = doctor(PHOTOQUAL_DVC_REMOTE_URL=str(tmp_path / "store"), PHOTOQUAL_PROJECT_URL=str(tmp_path / "git"))
    assert found["DVC store"].state is State.ok
    assert list((tmp_path / "store").iterdir()) == []
    assert found["repository"].state is State.ok
    assert "no champion" in found["registry"].seen
    assert found["registry"].state is State.warning


def test_a_cache_that_cannot_be_written_is_a_problem(doctor: Doctor) -> None:
    finding = doctor(XDG_CACHE_HOME="/proc/nowhere")["cache"]
    assert finding.state is State.problem
    assert "XDG_CACHE_HOME" in finding.next_step


def test_a_check_that_fails_is_a_finding_and_the_next_one_runs() -> None:
    def refuses() -> list[Finding]:
        raise ConfigError("It is wrong.", next_step="Mend it.")

    def breaks() -> list[Finding]:
        raise ZeroDivisionError("by zero")

    def works() -> list[Finding]:
        return [Finding("a", "works", State.ok, "fine")]

    found = list(examine([("a", "refuses", refuses), ("a", "breaks", breaks), ("a", "works", works)]))
    assert [finding.state for finding in found] == [State.problem, State.problem, State.ok]
    assert found[0].next_step == "Mend it."
    assert "by zero" in found[1].seen


def test_the_doctor_knows_every_extra(project_root: Path) -> None:
    import tomllib

    project = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {name for told in installation.EXTRAS for name in told.replace("(or ", "").replace(")", "").split()}
    assert known == set(project["optional-dependencies"])

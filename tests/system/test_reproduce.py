"""Lineage and reproduction of a version on the shipped pipeline: made on a laptop, then asked for from elsewhere.

The tests share one project with one registered version; each puts back what it damages.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from photoqual.embedded.home import copy_project
from photoqual.errors import EnvironmentDiffers, PipelineError
from photoqual.pipeline import git
from photoqual.pipeline.locks import hashes, parse_lock
from photoqual.pipeline.provenance import lineage
from photoqual.pipeline.reproduce import reproduce
from photoqual.registry.store import MODEL_NAME, connected
from photoqual.settings import Settings

pytestmark = pytest.mark.timeout(900)
FREE_OF_TREE = ("data", "models", "reports", "params.yaml", "dvc.lock", "dvc.yaml")


class Laptop:
    """A clone of the project with a DVC cache of its own, no remote, and one registered version."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspaces = root.parent / "workspaces"

    @property
    def settings(self) -> Settings:
        return Settings(workspaces=self.workspaces)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": "",
            "PHOTOQUAL_REFRESH_LIMIT": "200",
            "PHOTOQUAL_WORKSPACES": str(self.workspaces),
            "DVC_NO_ANALYTICS": "1",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root}/mlflow.db",
        }
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def photoqual(self, *verb: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "photoqual", *verb)

    def lineage(self) -> dict[str, Any]:
        return lineage("1", root=self.root, settings=self.settings)

    def cached(self, path: str) -> Path:
        """Return where the cache keeps an out, or a folder's list."""
        md5 = hashes(parse_lock(git.read(self.root, "HEAD", "dvc.lock") or ""))[path]
        return self._object(md5)

    def cached_part(self, path: str) -> Path:
        """Return where the cache keeps the first table of a folder."""
        listed = json.loads(self.cached(path).read_text(encoding="utf-8"))
        return self._object(next(item["md5"] for item in listed if item["relpath"].endswith(".parquet")))

    def _object(self, md5: str) -> Path:
        return self.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]

    @contextmanager
    def without(self, path: str) -> Iterator[None]:
        kept = self.cached(path).rename(self.root.parent / "taken")
        try:
            yield
        finally:
            kept.rename(self.cached(path))

    @contextmanager
    def at(self, revision: str) -> Iterator[None]:
        """Let the version name another revision for a while."""
        self._name(revision)
        try:
            yield
        finally:
            self._name(git.find(self.root, "HEAD"))

    def _name(self, revision: str | None) -> None:
        with connected(self.root) as client:
            client.set_model_version_tag(MODEL_NAME, "1", "git_rev", revision)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Laptop:
    """The working tree is emptied once the version is registered: lineage and reproduce may not look at it."""
    root = tmp_path_factory.mktemp("home") / "project"
    root.mkdir()
    copy_project(request.config.rootpath, root)
    made = Laptop(root)
    params = root / "params.yaml"
    values = yaml.safe_load(params.read_text())
    values["model"]["image_width"] = 96
    values["train"]["epochs"] = 2
    params.write_text(yaml.safe_dump(values, sort_keys=False))
    git.git("init", "--quiet", "--initial-branch=main", cwd=root)
    git.git("add", "--all", cwd=root)
    git.git("commit", "--quiet", "--message", "Start", cwd=root)
    for command in (("dvc", "repro"), ("git", "add", "dvc.lock")):
        done = made.run(*command)
        assert done.returncode == 0, done.stdout + done.stderr
    git.git("commit", "--quiet", "--message", "First data", cwd=root)
    for verb in ("register", "promote"):
        done = made.photoqual(verb)
        assert done.returncode == 0, done.stdout + done.stderr
    for name in FREE_OF_TREE:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return made


def test_lineage_tells_everything_without_the_working_tree(laptop: Laptop) -> None:
    told = laptop.lineage()
    assert told["missing"] == []
    assert told["data"]["by_source"] == {"demo": 200}
    assert told["data"]["votes"] > 0
    assert told["labels"]["good"] + told["labels"]["bad"] <= 200
    assert told["labels"]["rule"].startswith("extremes")
    assert told["validation"]["accepted"]
    assert told["validation"]["held"] == told["validation"]["expectations"] > 20
    assert sum(told["splits"].values()) == told["labels"]["good"] + told["labels"]["bad"]
    assert told["frozen"]["photos"] == told["splits"]["test"]
    assert told["training"]["settings"]["train.epochs"] == "2"
    assert told["evaluation"]["auc_low"] <= told["evaluation"]["auc"] <= told["evaluation"]["auc_high"]
    assert told["verdict"]["decision"]
    assert told["code"]["revision"] == git.find(laptop.root, "HEAD")
    assert told["code"]["subject"] == "First data"
    assert told["environment"]["at_revision"]
    assert told["run"]["dag"] is None
    assert list(laptop.workspaces.iterdir()) == []


def test_lineage_is_a_page_that_people_can_read(laptop: Laptop) -> None:
    done = laptop.photoqual("lineage", "models:/photoqual/1", "--params")
    assert done.returncode == 0, done.stderr
    for words in ("200 demo", "frozen test set", "expectations hold", "none, registered by hand", "split.seed"):
        assert words in done.stdout
    assert "Not found" not in done.stdout


def test_lineage_of_a_run_of_the_pipeline_is_found_at_the_projects_address(
    laptop: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = tmp_path / "origin.git"
    git.git("clone", "--quiet", "--bare", str(laptop.root), str(origin))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{laptop.root}/mlflow.db")
    store = str(laptop.root / ".dvc/cache")
    settings = laptop.settings.model_copy(update={"project_url": str(origin), "dvc_remote_url": store})
    (tmp_path / "elsewhere").mkdir()
    assert lineage("1", root=tmp_path / "elsewhere", settings=settings) == laptop.lineage()


def test_what_is_not_found_is_said_and_the_rest_is_told(laptop: Laptop) -> None:
    whole = laptop.lineage()
    with laptop.without("data/catalog"):
        told = laptop.lineage()
    (line,) = told["missing"]
    assert line.startswith("catalog: not in the DVC store")
    assert "photos" not in told["data"]
    assert told["labels"] == whole["labels"]
    with laptop.at("0" * 40):
        told = laptop.lineage()
    (line,) = told["missing"]
    assert line.startswith("code and data: Revision 000000000000 is in no repository")
    assert told["training"]["settings"] == whole["training"]["settings"]
    assert told["evaluation"] == whole["evaluation"]


def test_the_words_of_a_stage_stand_in_for_what_it_made(laptop: Laptop) -> None:
    head = git.find(laptop.root, "HEAD") or ""
    did = {"photos": 123, "votes": 4567}
    run = git.commit_with(
        laptop.root,
        head,
        {},
        parents=[head],
        message=f"Run refresh (refresh_photos.by_hand)\n\n{json.dumps(did, indent=2)}",
        date="1800000000 +0000",
    )
    with laptop.at(run), laptop.without("data/catalog"):
        told = laptop.lineage()
    assert {name: told["data"][name] for name in did} == did
    assert told["missing"][0].endswith("told by the commit of stage refresh instead")
    assert (told["code"]["revision"], told["code"]["source"]) == (run, head)


def test_a_version_is_rebuilt_to_the_same_data_and_auc(laptop: Laptop) -> None:
    cache = {path for path in (laptop.root / ".dvc/cache").rglob("*") if path.is_file()}
    done = laptop.photoqual("reproduce", "1", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["same"]
    assert told["stages"] == ["label", "validate", "split", "train", "evaluate"]
    assert told["not_run"] == ["refresh"]
    rows = {row["what"]: row for row in told["rows"]}
    for what in ("photos", "catalog", "labels.parquet", "splits.parquet", "frozen_test.parquet"):
        assert rows[f"data/{what}"]["outcome"] == "equal"
    auc = rows["AUC on the frozen test set"]
    assert abs(float(auc["registered"]) - float(auc["here"])) <= 1e-3
    assert rows["environment lock"]["outcome"] == rows["installed packages"]["outcome"] == "equal"
    assert told["workspace"] is None
    assert list(laptop.workspaces.iterdir()) == []
    assert {path for path in (laptop.root / ".dvc/cache").rglob("*") if path.is_file()} == cache


def test_data_that_was_changed_in_the_store_is_found(laptop: Laptop) -> None:
    path = laptop.cached_part("data/catalog")
    honest = path.read_bytes()
    catalog = pd.read_parquet(path)
    catalog["votes_mean"] = catalog["votes_mean"].max()
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    catalog.to_parquet(path)
    path.chmod(stat.S_IRUSR)
    try:
        done = laptop.photoqual("reproduce", "1")
    finally:
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        path.write_bytes(honest)
        path.chmod(stat.S_IRUSR)
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert outcomes["data/catalog"].endswith("differs")
    assert outcomes["data/photos"].endswith("equal")
    assert outcomes["data/labels.parquet"].endswith("not made")
    assert "Version 1 is NOT reproduced" in done.stdout
    kept = Path(next(line for line in done.stdout.splitlines() if line.startswith("Workspace: ")).split(": ")[1])
    assert (kept / "data/catalog").is_dir()


@pytest.mark.parametrize("path", ["data/catalog", "data/photos"])
def test_data_that_is_gone_is_named(laptop: Laptop, path: str) -> None:
    with laptop.without(path), pytest.raises(PipelineError, match=f"does not have 1 of the .*{path}") as caught:
        reproduce("1", root=laptop.root, settings=laptop.settings)
    assert "dvc push" in caught.value.next_step


def test_a_revision_that_git_no_longer_has_is_named(laptop: Laptop) -> None:
    with laptop.at("0" * 40), pytest.raises(PipelineError, match="000000000000 is in no repository") as caught:
        reproduce("1", root=laptop.root, settings=laptop.settings)
    assert "PHOTOQUAL_PROJECT_URL" in caught.value.next_step


def test_another_environment_is_refused_by_name(laptop: Laptop) -> None:
    lock = (laptop.root / "uv.lock").read_text()
    head = git.find(laptop.root, "HEAD") or ""
    name = 'name = "pillow"\nversion = "'
    before, after = lock.split(name)
    other = git.commit_with(
        laptop.root,
        head,
        {"uv.lock": before + name + "0.0.1" + after[after.index('"') :]},
        parents=[head],
        message="Other packages",
        date="1800000000 +0000",
    )
    with laptop.at(other):
        told = laptop.lineage()
        with pytest.raises(EnvironmentDiffers, match="pillow") as caught:
            reproduce("1", root=laptop.root, settings=laptop.settings)
    assert "--any-environment" in caught.value.next_step
    assert told["environment"] == {**told["environment"], "at_revision": False, "differs_here": ["pillow"]}


def test_a_version_that_does_not_exist_is_an_error(laptop: Laptop) -> None:
    done = laptop.photoqual("reproduce", "9")
    assert done.returncode == 1
    assert "There is no version 9" in done.stderr
    assert "Traceback" not in done.stderr

"""What changed since the champion's data, in a real git repository with a real DVC store."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from photoqual.config import load_params
from photoqual.errors import PipelineError
from photoqual.layout import Layout
from photoqual.pipeline.changes import Champion, gather
from photoqual.registry.due import Changes
from tests.conftest import PROJECT
from tests.system.toy import commit, run

DVC_YAML = """
stages:
  label:
    cmd: python label.py
    deps: [votes.txt]
    outs: [data/labels.parquet]
  train:
    cmd: python train.py
    deps: [data/labels.parquet, code]
    outs: [models/challenger]
"""
LABEL = """
import pathlib
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
from photoqual.labels.rules import SCHEMA

rows = [line.split() for line in open("votes.txt")]
frame = pd.DataFrame({name: None for name in SCHEMA.names}, index=range(len(rows)))
frame["photo_id"] = [row[0] for row in rows]
frame["good"] = [None if row[1] == "?" else int(row[1]) for row in rows]
pathlib.Path("data").mkdir(exist_ok=True)
pq.write_table(pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False), "data/labels.parquet")
"""


class Repository:
    """A project of one real stage, with a store; tag `champion` is what its champion was made of."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root / "project")
        self.root = self.layout.root

    def make(self) -> None:
        (self.root / "code").mkdir(parents=True)
        for name, text in (
            ("dvc.yaml", DVC_YAML),
            ("label.py", LABEL),
            ("code/train.py", "print('first')\n"),
            ("params.yaml", (PROJECT / "params.yaml").read_text()),
            ("votes.txt", "a 1\nb 0\nc ?\nd 1\n"),
        ):
            (self.root / name).write_text(text)
        run("git", "init", "--quiet", "--initial-branch=main", cwd=self.root)
        run("dvc", "init", "--quiet", cwd=self.root)
        run("dvc", "remote", "add", "--default", "store", "../store", cwd=self.root)
        self.made("First")
        run("git", "tag", "champion", cwd=self.root)

    def made(self, message: str) -> None:
        run("dvc", "repro", "--quiet", "label", cwd=self.root)
        run("dvc", "push", "--quiet", "label", cwd=self.root)
        commit(self.root, message)

    def changes(self, **champion: Any) -> Changes:
        git_rev = run("git", "rev-parse", "champion", cwd=self.root)
        known = {"version": "4", "git_rev": git_rev, "registered_at": datetime.now(UTC), "alarm": None}
        return gather(self.layout, load_params(self.layout.params), Champion(**{**known, **champion}))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a project and its store; each test gets a copy."""
    root = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("DVC_GLOBAL_CONFIG_DIR", str(root / "dvc"))
        Repository(root).make()
        yield root


@pytest.fixture
def repository(tmp_path: Path, first: Path) -> Repository:
    shutil.copytree(first, tmp_path / "copy", symlinks=True)
    return Repository(tmp_path / "copy")


def test_nothing_changed(repository: Repository) -> None:
    found = repository.changes(registered_at=datetime.now(UTC) - timedelta(days=2), alarm="An alarm.")
    assert (found.labels, found.code, found.params, found.unknown) == (0, [], [], None)
    assert found.age_days == pytest.approx(2, abs=0.01)
    assert (found.champion, found.alarm) == ("4", "An alarm.")


def test_labels_code_and_params_are_compared_with_the_champions_revision(repository: Repository) -> None:
    (repository.root / "votes.txt").write_text("a 0\nb 0\nc 1\ne 1\nf ?\n")
    (repository.root / "code/train.py").write_text("print('second')\n")
    values = yaml.safe_load(repository.layout.params.read_text())
    values["train"]["epochs"] += 1
    repository.layout.params.write_text(yaml.safe_dump(values))
    repository.made("Second")
    shutil.rmtree(repository.root / ".dvc/cache")  # the labels of then have to come from the store
    found = repository.changes()
    assert (found.new_labels, found.changed_labels, found.removed_labels) == (2, 1, 1)
    assert (found.code, found.params, found.unknown) == (["code"], ["train.epochs"], None)


@pytest.mark.parametrize("name", ["code/train.py", "code/another.py"])
def test_code_that_is_not_committed_counts(repository: Repository, name: str) -> None:
    (repository.root / name).write_text("print('third')\n")
    assert repository.changes().code == ["code"]


def test_what_cannot_be_told_is_said(repository: Repository) -> None:
    assert "not in this repository" in str(repository.changes(git_rev="e" * 40).unknown)
    assert "no git revision" in str(repository.changes(git_rev=None).unknown)
    (repository.root / "votes.txt").write_text("a 0\n")
    repository.made("Second")
    shutil.rmtree(repository.root / ".dvc/cache")
    shutil.rmtree(repository.root.parent / "store")
    assert "labels of revision" in str(repository.changes().unknown)
    shutil.rmtree(repository.root / ".git")
    with pytest.raises(PipelineError, match="not a git repository"):
        gather(
            repository.layout, load_params(repository.layout.params), Champion("4", "e" * 40, datetime.now(UTC), None)
        )

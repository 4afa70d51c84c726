"""Pruning on a real MLflow store in SQLite: what goes, what stays, and what a kill in the middle leaves."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from photoqual.errors import ConfigError, RegistryError
from photoqual.models.info import INFO
from photoqual.registry import journal
from photoqual.registry import prune as pruning
from photoqual.registry.facts import version_facts
from photoqual.registry.promote import AWAITING, PREFIX
from photoqual.registry.prune import prune
from photoqual.registry.store import CHALLENGER, CHAMPION, MODEL_NAME, connected, ensure_model, experiment_id
from tests.model.registered import RED, tiny_folder


@pytest.fixture
def root(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return tmp_path


@pytest.fixture
def client(root: Path) -> Iterator[Any]:
    with connected(root) as opened:
        yield opened


@pytest.fixture
def add(root: Path, client: Any) -> Callable[..., Any]:
    """Return a function that registers a version with a logged model of its own."""
    folder = tiny_folder(root / "model", RED)

    def make(**tags: str) -> Any:
        ensure_model(client, MODEL_NAME, "made by a test")
        experiment = experiment_id(client, root)
        run = client.create_run(experiment)
        logged = client.create_logged_model(experiment, name=MODEL_NAME, source_run_id=run.info.run_id)
        client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, "READY")
        client.set_terminated(run.info.run_id)
        return client.create_model_version(
            MODEL_NAME, f"models:/{logged.model_id}", run.info.run_id, tags={"git_rev": "a" * 40, **tags}
        )

    return make


def numbers(client: Any) -> set[int]:
    return {int(version.version) for version in client.search_model_versions(f"name = '{MODEL_NAME}'")}


def pruned(client: Any) -> list[journal.Entry]:
    return [entry for entry in journal.entries(client) if entry.event == journal.PRUNED]


def judged(decision: str, reason: str = "because") -> dict[str, str]:
    return {PREFIX + "decision": decision, PREFIX + "reason": reason, PREFIX + "numbers": '{"delta_auc": -0.01}'}


def test_a_dry_run_is_the_default_and_deletes_nothing(root: Path, add: Callable[..., Any], client: Any) -> None:
    for _ in range(4):
        add(**judged("refused"))
    told = prune(root, keep=1)
    assert told["dry_run"]
    assert [version["version"] for version in told["would_prune"]] == ["3", "2", "1"]
    assert told["kept"] == [{"version": "4", "why": "one of the newest 1"}]
    assert "--yes" in told["next_step"]
    assert numbers(client) == {1, 2, 3, 4}
    assert pruned(client) == []


def test_what_goes_takes_its_model_along_and_leaves_its_verdict(
    root: Path, add: Callable[..., Any], client: Any
) -> None:
    old = add(**judged("refused", "a tie"), data_rev="d" * 64)
    add(**judged("refused"))
    told = prune(root, keep=1, dry_run=False)
    assert [version["version"] for version in told["pruned"]] == ["1"]
    assert numbers(client) == {2}
    (entry,) = pruned(client)
    assert (entry.version, entry.champion, entry.valid) == ("1", None, True)
    assert (entry.facts["decision"], entry.facts["reason"]) == ("refused", "a tie")
    assert entry.facts["numbers"] == {"delta_auc": -0.01}
    assert (entry.facts["git_rev"], entry.facts["data_rev"]) == ("a" * 40, "d" * 64)
    assert client.get_run(old.run_id).info.lifecycle_stage == "active"
    with pytest.raises(RegistryError, match="Version 1 was pruned"):
        version_facts("1", root=root)
    assert prune(root, keep=1, dry_run=False)["pruned"] == []
    assert len(pruned(client)) == 1


def test_the_space_is_free_after_mlflow_gc(root: Path, add: Callable[..., Any], client: Any) -> None:
    add()
    add()
    assert len(list(root.glob(f"mlartifacts/**/{INFO}"))) == 2
    told = prune(root, keep=1, dry_run=False)["next_step"].split("`")[1]
    assert told.startswith("mlflow gc ")
    command = [sys.executable, "-m", *shlex.split(told)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list(root.glob(f"mlartifacts/**/{INFO}"))) == 1
    assert numbers(client) == {2}


def test_every_version_that_was_ever_champion_stays(root: Path, add: Callable[..., Any], client: Any) -> None:
    versions = [add() for _ in range(8)]
    head = None
    for new, replaced, event in (
        (1, None, journal.PROMOTED),
        (3, "1", journal.PROMOTED),
        (1, "3", journal.ROLLED_BACK),
        (4, "1", journal.PROMOTED),
    ):
        head = journal.change(client, event, version=versions[new - 1], replaced=replaced, head=head, reason="a test")
    client.set_model_version_tag(MODEL_NAME, "6", "rollback", "rolled back to version 2")
    told = prune(root, keep=0, dry_run=False)
    assert {version["version"]: version["why"] for version in told["kept"]} == {
        "6": "has a part in a rollback",
        "4": "has the alias champion",
        "3": "was champion",
        "1": "has the alias previous_champion",
    }
    assert numbers(client) == {1, 3, 4, 6}


def test_what_awaits_approval_or_is_being_judged_stays(root: Path, add: Callable[..., Any], client: Any) -> None:
    by_tag, by_journal, running, over = (add(), add(), add(), add())
    client.set_model_version_tag(MODEL_NAME, by_tag.version, PREFIX + "decision", AWAITING)
    journal.append(client, journal.JUDGED, version=by_journal, facts={"decision": AWAITING})
    journal.append(client, journal.JUDGED, version=running)
    number = journal.append(client, journal.JUDGED, version=over)
    journal.note(client, number, facts={"decision": "refused"})
    told = prune(root, keep=0, dry_run=False)
    assert [version["version"] for version in told["pruned"]] == [str(over.version)]
    assert {version["why"] for version in told["kept"]} == {"awaits approval", "is being judged"}


@pytest.mark.parametrize("call", ["delete_logged_model", "delete_model_version"])
@pytest.mark.parametrize("after", [False, True])
def test_a_prune_that_is_killed_can_be_run_again(
    root: Path, add: Callable[..., Any], client: Any, monkeypatch: pytest.MonkeyPatch, call: str, after: bool
) -> None:
    from mlflow import MlflowClient

    for _ in range(3):
        add(**judged("refused"))
    original, calls = getattr(MlflowClient, call), []

    def killed(self: Any, *arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2 and after:
            original(self, *arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, call, killed)
        with pytest.raises(KeyboardInterrupt):
            prune(root, keep=1, dry_run=False)
    prune(root, keep=1, dry_run=False)
    assert numbers(client) == {3}
    assert [entry.version for entry in pruned(client)] == ["1", "2"]


def test_a_version_that_becomes_champion_meanwhile_stays(
    root: Path, add: Callable[..., Any], client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        add()
    original = pruning._delete

    def slow(client: Any, version: Any, keep: int) -> bool:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "2")
        return original(client, version, keep)

    monkeypatch.setattr(pruning, "_delete", slow)
    told = prune(root, keep=1, dry_run=False)
    assert [version["version"] for version in told["pruned"]] == ["1"]
    assert numbers(client) == {2, 3}
    assert {"version": "2", "why": "is needed since this began"} in told["kept"]


def test_a_model_that_another_version_shares_is_left(root: Path, add: Callable[..., Any], client: Any) -> None:
    first = add()
    client.create_model_version(MODEL_NAME, first.source, first.run_id)
    client.set_registered_model_alias(MODEL_NAME, CHALLENGER, "2")
    prune(root, keep=0, dry_run=False)
    assert numbers(client) == {2}
    assert client.get_logged_model(first.source.removeprefix("models:/")).status == "READY"


def test_bad_input_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="negative"):
        prune(root, keep=-1)
    with pytest.raises(RegistryError, match="no model registry"):
        prune(tmp_path / "elsewhere")
    assert prune(root)["kept"] == []

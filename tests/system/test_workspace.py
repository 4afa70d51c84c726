"""The workspace on a toy project: real git, real DVC, real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from photoqual.errors import ConfigError, DataBranchMoved, EnvironmentDiffers, PipelineError, StageFailed
from photoqual.pipeline import clones, workspace
from tests.system.toy import STAGES, Toy, make_toy

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = make_toy(tmp_path)
    monkeypatch.setenv("TOY_SITE", str(made.site))
    return made


def whole_run(
    toy: Toy, run_id: str, stages: tuple[str, ...] = ("refresh", "label", "train"), **overrides: object
) -> str:
    revision = workspace.open_run(run_id, overrides, settings=toy.settings)
    for stage in stages:
        revision = workspace.run_stage(revision, stage, run_id=run_id, force=stage == "refresh", settings=toy.settings)
    return workspace.close_run(run_id, revision, settings=toy.settings)


def test_a_run_advances_data_and_leaves_nothing_behind(toy: Toy) -> None:
    revision = whole_run(toy, "manual__2026-01-01T00:00:00+00:00")
    assert toy.git("rev-parse", "data") == revision
    assert toy.branches() == ["data", "main"]
    assert set(toy.hashes("data")) == {"data/photos", "data/catalog.txt", "data/labels.txt", "models/challenger"}
    assert toy.clones == []


def test_stages_that_are_up_to_date_return_the_revision_they_were_given(toy: Toy) -> None:
    whole_run(toy, "first")
    opened = workspace.open_run("second", settings=toy.settings)
    shutil.rmtree(toy.settings.dvc_cache)
    shutil.rmtree(toy.store)
    for stage in ("label", "train"):
        assert workspace.run_stage(opened, stage, run_id="second", settings=toy.settings) == opened


def test_growth_of_the_source_reaches_every_stage_after_it(toy: Toy) -> None:
    whole_run(toy, "first")
    before = toy.hashes("data")
    toy.photo("two", "5 votes")
    whole_run(toy, "second")
    assert all(toy.hashes("data")[path] != content for path, content in before.items())


def test_the_same_work_gives_the_same_revision(toy: Toy) -> None:
    opened = workspace.open_run("again", settings=toy.settings)
    time.sleep(1.1)
    assert workspace.open_run("again", settings=toy.settings) == opened
    first = workspace.run_stage(opened, "refresh", run_id="again", settings=toy.settings)
    time.sleep(1.1)
    assert workspace.run_stage(opened, "refresh", run_id="again", settings=toy.settings) == first != opened
    closed = workspace.close_run("again", first, settings=toy.settings)
    assert workspace.close_run("again", first, settings=toy.settings) == closed == first


def test_a_task_killed_in_the_middle_leaves_no_process_and_runs_again(toy: Toy) -> None:
    opened = workspace.open_run("killed", settings=toy.settings)
    revision = workspace.run_stage(opened, "refresh", run_id="killed", settings=toy.settings)
    (toy.site / "slow").write_text("60")
    code = "import sys; from photoqual.pipeline import workspace; workspace.run_stage(sys.argv[1], 'label', run_id='killed')"
    environment = os.environ | {
        "PHOTOQUAL_PROJECT_URL": str(toy.settings.project_url),
        "PHOTOQUAL_DVC_REMOTE_URL": str(toy.settings.dvc_remote_url),
        "PHOTOQUAL_DVC_CACHE": str(toy.settings.dvc_cache),
        "PHOTOQUAL_WORKSPACES": str(toy.settings.workspaces),
    }
    task = subprocess.Popen([sys.executable, "-c", code, revision], env=environment)
    deadline = time.monotonic() + 30
    while not _running("stages.py label", toy) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _running("stages.py label", toy)
    task.send_signal(signal.SIGKILL)
    task.wait()
    while _running("stages.py label", toy) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _running("stages.py label", toy)
    assert toy.git("rev-parse", workspace.branch("killed")) == revision
    (toy.site / "slow").unlink()
    after = workspace.run_stage(revision, "label", run_id="killed", settings=toy.settings)
    assert workspace.run_stage(revision, "label", run_id="killed", settings=toy.settings) == after
    assert "data/labels.txt" in toy.hashes(after)


def test_overrides_stay_in_their_run(toy: Toy) -> None:
    revision = whole_run(toy, "tuned", **{"model.kind": "logistic", "train.epochs": 3})
    params = toy.git("show", f"{revision}:params.yaml")
    assert yaml.safe_load(params)["model"]["kind"] == "logistic"
    assert yaml.safe_load(params)["train"]["epochs"] == 3
    assert "# trips:" in params
    later = workspace.open_run("later", settings=toy.settings)
    assert toy.git("show", f"{later}:params.yaml") == toy.git("show", "main:params.yaml")
    trained = workspace.run_stage(later, "train", run_id="later", settings=toy.settings)
    assert toy.hashes(trained)["models/challenger"] != toy.hashes(revision)["models/challenger"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [({"train.epoch": 3}, "train.epoch"), ({"train.epochs": 0}, "train.epochs"), ({"model.kind": "big"}, "model.kind")],
)
def test_overrides_that_do_not_fit_are_refused(toy: Toy, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        workspace.open_run("wrong", overrides, settings=toy.settings)
    assert toy.branches() == ["main"]


def test_code_comes_from_main_and_data_from_data(toy: Toy) -> None:
    whole_run(toy, "first")
    toy.push_main({"stages.py": STAGES + "# newer\n"}, "Newer code")
    opened = workspace.open_run("second", settings=toy.settings)
    assert toy.git("show", f"{opened}:stages.py").endswith("# newer")
    assert toy.git("show", f"{opened}:dvc.lock") == toy.git("show", "data:dvc.lock")


def test_a_failing_stage_says_why_and_leaves_data_as_it_was(toy: Toy) -> None:
    accepted = whole_run(toy, "first")
    toy.photo("two", "poison")
    with pytest.raises(StageFailed) as caught:
        whole_run(toy, "second")
    assert str(caught.value).startswith("A vote is poison. Mend the site.")
    assert toy.git("rev-parse", "data") == accepted
    (kept,) = toy.clones
    assert str(kept) in str(caught.value)
    assert "poison" in (kept / "reports/seen.txt").read_text()


def test_only_the_newest_failed_clones_are_kept(toy: Toy) -> None:
    toy.photo("two", "poison")
    opened = workspace.open_run("bad", settings=toy.settings)
    revision = workspace.run_stage(opened, "refresh", run_id="bad", settings=toy.settings)
    for _ in range(clones.KEPT_CLONES + 2):
        with pytest.raises(StageFailed):
            workspace.run_stage(revision, "label", run_id="bad", settings=toy.settings)
    assert len(toy.clones) <= clones.KEPT_CLONES + 1


def test_runs_that_made_different_stages_are_both_kept(toy: Toy) -> None:
    whole_run(toy, "first")
    retrain = workspace.open_run("retrain", {"model.kind": "logistic"}, settings=toy.settings)
    trained = workspace.run_stage(retrain, "train", run_id="retrain", settings=toy.settings)
    toy.photo("two", "5 votes")
    refreshed = whole_run(toy, "refresh", ("refresh", "label"))
    merged = workspace.close_run("retrain", trained, settings=toy.settings)
    assert toy.git("rev-parse", "data") == merged
    assert toy.hashes(merged)["models/challenger"] == toy.hashes(trained)["models/challenger"]
    assert toy.hashes(merged)["data/photos"] == toy.hashes(refreshed)["data/photos"]
    assert workspace.close_run("retrain", trained, settings=toy.settings) == merged


def test_runs_that_made_the_same_stage_differently_are_not_merged(toy: Toy) -> None:
    whole_run(toy, "first")
    slow = workspace.open_run("slow", {"model.kind": "logistic"}, settings=toy.settings)
    slow = workspace.run_stage(slow, "train", run_id="slow", settings=toy.settings)
    winner = whole_run(toy, "quick", ("train",), **{"train.epochs": 2})
    with pytest.raises(DataBranchMoved, match="train"):
        workspace.close_run("slow", slow, settings=toy.settings)
    assert toy.git("rev-parse", "data") == winner


def test_the_limit_reaches_the_stage(toy: Toy) -> None:
    toy.photo("two", "5 votes")
    opened = workspace.open_run("small", settings=toy.settings)
    revision = workspace.run_stage(
        opened,
        "refresh",
        run_id="small",
        force=True,
        environment={"PHOTOQUAL_REFRESH_LIMIT": "1"},
        settings=toy.settings,
    )
    refresh = toy.lock(revision)["stages"]["refresh"]["outs"]
    assert next(out["nfiles"] for out in refresh if out["path"] == "data/photos") == 1


def test_changed_outs_names_what_differs(toy: Toy) -> None:
    first = whole_run(toy, "first")
    toy.photo("two", "5 votes")
    second = whole_run(toy, "second")
    assert workspace.changed_outs(first, second, ["data"], settings=toy.settings) == [
        "data/catalog.txt",
        "data/labels.txt",
        "data/photos",
    ]
    assert workspace.changed_outs(second, second, ["data"], settings=toy.settings) == []


def test_two_tasks_at_once_share_one_cache(toy: Toy) -> None:
    opened = {name: workspace.open_run(name, settings=toy.settings) for name in ("left", "right")}
    code = "import sys; from photoqual.pipeline import workspace; print(workspace.run_stage(sys.argv[1], 'refresh', run_id=sys.argv[2]))"
    environment = os.environ | {
        "PHOTOQUAL_PROJECT_URL": str(toy.settings.project_url),
        "PHOTOQUAL_DVC_REMOTE_URL": str(toy.settings.dvc_remote_url),
        "PHOTOQUAL_DVC_CACHE": str(toy.settings.dvc_cache),
        "PHOTOQUAL_WORKSPACES": str(toy.settings.workspaces),
    }
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", code, opened[name], name], env=environment, stdout=subprocess.PIPE, text=True
        )
        for name in opened
    ]
    made = [task.communicate()[0].strip() for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0]
    assert toy.hashes(made[0]) == toy.hashes(made[1])


def test_data_missing_from_the_store_is_named(toy: Toy) -> None:
    whole_run(toy, "first", ("refresh",))
    shutil.rmtree(toy.settings.dvc_cache)
    shutil.rmtree(toy.store)
    toy.store.mkdir()
    opened = workspace.open_run("second", settings=toy.settings)
    with pytest.raises(PipelineError, match=r"store does not have(.|\n)*catalog\.txt"):
        workspace.run_stage(opened, "label", run_id="second", settings=toy.settings)


def test_data_comes_from_the_store_where_the_cache_is_empty(toy: Toy) -> None:
    first = whole_run(toy, "first")
    elsewhere = toy.settings_with(dvc_cache=toy.folder / "another-cache", workspaces=toy.folder / "another")
    opened = workspace.open_run("second", settings=elsewhere)
    assert workspace.run_stage(opened, "refresh", run_id="second", force=True, settings=elsewhere) == opened
    assert toy.hashes(opened) == toy.hashes(first)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"project_url": None}, "PHOTOQUAL_PROJECT_URL is not set"),
        ({"project_url": "/nowhere/at/all.git"}, "cannot be cloned"),
        ({"dvc_remote_url": None}, "names no DVC remote"),
    ],
)
def test_a_workspace_that_cannot_work_says_what_to_set(toy: Toy, changes: dict[str, object], said: str) -> None:
    opened = workspace.open_run("bad", settings=toy.settings)
    with pytest.raises((PipelineError, ConfigError), match=said):
        workspace.run_stage(opened, "refresh", run_id="bad", settings=toy.settings_with(**changes))


@pytest.mark.parametrize(
    ("revision", "stage", "said"), [("0" * 40, "refresh", "does not exist"), ("main", "polish", "no stage polish")]
)
def test_unknown_revisions_and_stages_are_named(toy: Toy, revision: str, stage: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        workspace.run_stage(revision, stage, run_id="unknown", settings=toy.settings)


def test_a_worker_with_other_packages_stops(toy: Toy) -> None:
    package = '[[package]]\nname = "pyyaml"\nversion = "0.0.1"\nsource = { registry = "https://example.org" }\n'
    toy.push_main({"uv.lock": package}, "Another lock file")
    opened = workspace.open_run("foreign", settings=toy.settings)
    with pytest.raises(EnvironmentDiffers, match=r"pyyaml .*0\.0\.1"):
        workspace.run_stage(opened, "refresh", run_id="foreign", settings=toy.settings)


def test_a_verb_returns_its_result_and_its_error(toy: Toy) -> None:
    program = (
        "import json, os, pathlib, sys\n"
        "told = {'ok': sys.argv[1] == 'count', 'result': {'lines': len(open('data/catalog.txt').readlines())}}\n"
        "told |= {} if told['ok'] else {'error': 'RegistryError', 'message': 'No registry.', 'next_step': 'Start it.'}\n"
        "pathlib.Path(os.environ['PHOTOQUAL_OUTCOME_FILE']).write_text(json.dumps(told))\n"
        "sys.exit(not told['ok'])\n"
    )
    toy.push_main({"photoqual.py": program}, "A command line of its own")
    revision = whole_run(toy, "first", ("refresh",))
    result = workspace.run_verb(revision, ["count"], needs=["data/catalog.txt"], run_id="first", settings=toy.settings)
    assert json.loads(json.dumps(result)) == {"lines": 1}
    with pytest.raises(StageFailed, match=r"No registry\. Start it\.") as caught:
        workspace.run_verb(revision, ["fail"], needs=["data/catalog.txt"], run_id="first", settings=toy.settings)
    assert caught.value.details["error"] == "RegistryError"


def test_a_verb_without_a_revision_meets_code_of_main_and_data_of_data_and_leaves_no_branch(toy: Toy) -> None:
    data = whole_run(toy, "first", ("refresh",))
    program = (
        "import json, os, pathlib\n"
        "told = {'lines': len(open('data/catalog.txt').readlines()), 'revision': os.environ['PHOTOQUAL_REVISION']}\n"
        "pathlib.Path(os.environ['PHOTOQUAL_OUTCOME_FILE']).write_text(json.dumps({'ok': True, 'result': told}))\n"
    )
    toy.push_main({"photoqual.py": program}, "A command line that came after the data")
    branches = toy.branches()
    found = workspace.run_verb(None, ["count"], needs=["data/catalog.txt"], run_id="look", settings=toy.settings)
    assert found == {"lines": 1, "revision": data}
    assert toy.branches() == branches
    assert toy.clones == []


def test_a_run_that_comes_to_nothing_is_dropped(toy: Toy) -> None:
    data = whole_run(toy, "first", ("refresh",))
    workspace.open_run("second", settings=toy.settings)
    for _ in range(2):
        workspace.drop_run("second", settings=toy.settings)
        assert workspace.branch("second") not in toy.branches()
    assert toy.git("rev-parse", "data") == data


def _running(words: str, toy: Toy) -> bool:
    """Tell whether a process with `words` on its command line works inside the toy's workspaces."""
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if words in line and str(toy.settings.workspaces) in str((entry / "cwd").readlink()):
                return True
        except (OSError, ValueError):
            continue
    return False

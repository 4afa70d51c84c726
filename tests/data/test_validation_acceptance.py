"""A deliberate change of the data: accepted once, by name and with a reason, and the next data is compared with it."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from photoqual.config import Params
from photoqual.errors import ConfigError, DataError, MissingData, ValidationFailed
from photoqual.layout import Layout
from photoqual.validation.acceptances import accept, read_acceptances
from photoqual.validation.validate import validate
from tests.data.test_validation import PHOTOS, catalog_rows, params, project
from tests.long import times

WHY = {"reason": "Since November the club judges more kindly.", "by": "Ada <ada@example.org>"}


@dataclass(frozen=True)
class Projects:
    """`accepted`: a project whose data was accepted twice. `kinder`: the votes of one star have become five since, and
    validation has refused that.
    """

    accepted: Path
    kinder: Path


def kinder_rows(photos: int = PHOTOS) -> pd.DataFrame:
    rows = catalog_rows(photos)
    rows.loc[rows["votes_mean"] == 1.0, "votes_mean"] = 5.0
    return rows


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Projects:
    made = Projects(tmp_path_factory.mktemp("accepted"), tmp_path_factory.mktemp("kinder") / "project")
    layout = project(made.accepted, catalog_rows())
    validate(layout, params())
    validate(layout, params())
    shutil.copytree(made.accepted, made.kinder)
    assert refused(project(made.kinder, kinder_rows())) == ["class_distribution", "star_distribution"]
    return made


@pytest.fixture
def kinder(projects: Projects, tmp_path: Path) -> Layout:
    return Layout(shutil.copytree(projects.kinder, tmp_path / "project"))


def refused(layout: Layout, with_params: Params | None = None) -> list[str]:
    with pytest.raises(ValidationFailed) as failed:
        validate(layout, with_params or params())
    return [item["name"] for item in failed.value.details["failed"]]


def test_an_accepted_change_is_the_next_reference_and_is_told(kinder: Layout) -> None:
    layout = kinder
    before = layout.accepted.read_bytes()
    told = accept(layout, params(), **WHY)
    assert [change["kind"] for change in told["accepted"]] == ["classes", "stars"]
    assert told["still_refused"] == []
    assert layout.accepted.read_bytes() == before, "only a run that passes changes what is accepted"

    result = validate(layout, params())
    assert result["accepted_change"] == {"at": told["at"], **WHY}
    after = layout.accepted.read_bytes()
    assert after != before
    page = (layout.validation / "index.html").read_text()
    for text in ("more kindly.", "Ada &lt;ada@example.org&gt;", '<td data-name="Photos before" class="number">24</td>'):
        assert text in page

    assert validate(layout, params())["accepted_change"] is None
    assert layout.accepted.read_bytes() == after, "equal labels give equal bytes"
    [line] = read_acceptances(layout.acceptances)
    assert (line.by, line.reason, line.at) == (WHY["by"], WHY["reason"], told["at"])
    assert (line.before.stars or {})["1"] == 23
    assert (line.now.stars or {})["1"] == 0


def test_the_next_refresh_may_bring_a_little_more_but_not_another_change(kinder: Layout) -> None:
    layout = kinder
    accept(layout, params(), **WHY)
    rows = kinder_rows()
    rows.loc[rows.index[60:], "votes_mean"] = 3.0
    project(layout.root, rows)
    assert "star_distribution" in refused(layout)
    project(layout.root, kinder_rows(124))
    assert validate(layout, params())["accepted_change"]["by"] == WHY["by"]


def test_data_as_it_always_was_needs_no_acceptance(kinder: Layout) -> None:
    layout = kinder
    accept(layout, params(), **WHY)
    project(layout.root, catalog_rows())
    assert validate(layout, params())["accepted_change"] is None


def test_an_acceptance_lifts_no_other_rule(kinder: Layout) -> None:
    layout = kinder
    strict = params(good_share=(0.2, 0.45))
    assert refused(layout, strict) == ["good_share", "class_distribution", "star_distribution"]
    told = accept(layout, strict, **WHY)
    assert told["still_refused"] == ["good_share"]
    assert refused(layout, strict) == ["good_share"]


def test_only_a_refused_change_can_be_accepted(projects: Projects, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="no validation was refused here"):
        accept(Layout(tmp_path), params(), **WHY)
    layout = Layout(shutil.copytree(projects.accepted, tmp_path / "project"))
    with pytest.raises(DataError, match="nothing to accept"):
        accept(layout, params(), **WHY)
    assert refused(layout, params(min_photos=500)) == ["labelled_photos"]
    with pytest.raises(DataError, match="it refused labelled_photos"):
        accept(layout, params(), **WHY)
    summary = json.loads((layout.validation / "summary.json").read_text())
    (layout.validation / "summary.json").write_text(json.dumps(summary | {"accepted": None}))
    with pytest.raises(DataError, match="Nothing was accepted before"):
        accept(layout, params(), **WHY)
    (layout.validation / "summary.json").write_text("{}")
    with pytest.raises(DataError, match="not a report of this version"):
        accept(layout, params(), **WHY)
    assert not layout.acceptances.exists()
    for wrong in ({"reason": " \n", "by": "Ada"}, {"reason": "because", "by": ""}, {"reason": "x" * 2001, "by": "Ada"}):
        with pytest.raises(ConfigError, match="a name and a reason"):
            accept(layout, params(), **wrong)


def test_a_report_of_another_place_is_accepted_here(kinder: Layout, tmp_path: Path) -> None:
    """A task's clone holds the report; the line belongs into the project that is pushed."""
    clone, here = kinder, Layout(tmp_path / "here")
    accept(here, params(), **WHY, folder=clone.validation)
    accept(here, params(), **WHY, folder=clone.validation)
    text = here.acceptances.read_text()
    assert text.count("\n") == 1, "the same change is accepted once"
    clone.acceptances.write_text(text)
    assert validate(clone, params())["accepted_change"]["by"] == WHY["by"]


def test_damaged_lines_are_named(kinder: Layout) -> None:
    layout = kinder
    accept(layout, params(), **WHY)
    good = layout.acceptances.read_text()
    merged = f"<<<<<<< HEAD\n{good}=======\n"
    for text, number in ((merged, 1), (good + "{}\n", 2), (good + good.replace('"by"', '"who"'), 2)):
        layout.acceptances.write_text(text)
        with pytest.raises(DataError, match=rf"line {number} is not an acceptance.*keep the lines of both sides"):
            validate(layout, params())
    layout.acceptances.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="the file is not an acceptance"):
        validate(layout, params())


def test_the_verb_records_who_git_says(kinder: Layout, project_root: Path) -> None:
    layout, root = kinder, kinder.root
    (root / "params.yaml").write_text(yaml.safe_dump(params().model_dump(mode="json")))
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    for key, value in (("user.name", "Grace"), ("user.email", "grace@example.org")):
        subprocess.run(["git", "config", key, value], cwd=root, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "photoqual", "accept", "--reason", "More light\nin\x1b autumn."],
        cwd=root,
        env={"PYTHONPATH": str(project_root), "PATH": "/usr/bin:/bin", "HOME": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["by"] == "Grace <grace@example.org>"
    [line] = read_acceptances(layout.acceptances)
    assert (line.by, line.reason) == ("Grace <grace@example.org>", "More light in autumn.")
    assert "dvc repro" in json.loads(done.stdout)["next"]


def test_the_shipped_file_is_there_for_dvc(project_root: Path) -> None:
    stage = yaml.safe_load((project_root / "dvc.yaml").read_text())["stages"]["validate"]
    assert Layout().acceptances.as_posix() in stage["deps"]
    assert read_acceptances(project_root / "data/acceptances.jsonl") is not None
    assert (project_root / "data/acceptances.jsonl").is_file()


@pytest.mark.skipif(not times(0, 1), reason="DVC starts five times: part of the long tests")
def test_dvc_runs_validation_again_when_a_change_was_accepted(
    kinder: Layout, project_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = kinder.root
    monkeypatch.setenv("PYTHONPATH", str(project_root))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    stage = yaml.safe_load((project_root / "dvc.yaml").read_text())["stages"]["validate"]
    stage["deps"].remove("photoqual/validation")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"validate": stage}}))
    (root / "params.yaml").write_text(yaml.safe_dump(params().model_dump(mode="json")))
    kinder.acceptances.write_text("")
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, check=True, capture_output=True)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    failed = run("dvc", "repro")
    assert failed.returncode != 0
    assert "photoqual accept" in failed.stderr
    accepted = run(sys.executable, "-m", "photoqual", "accept", "--reason", "Kinder judges", "--by", "Ada")
    assert accepted.returncode == 0, accepted.stderr
    passed = run("dvc", "repro")
    assert passed.returncode == 0, passed.stderr
    assert "Kinder judges" in passed.stdout
    assert "didn't change" in run("dvc", "repro").stdout

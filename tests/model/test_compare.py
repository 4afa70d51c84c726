"""`photoqual compare`: each cell is what evaluate says of that model on that set; what cannot be judged stays apart."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from photoqual import files
from photoqual.config import EvaluateParams, Params
from photoqual.errors import ConfigError
from photoqual.evaluation.compare import compare, parse_names
from photoqual.evaluation.evaluate import evaluate
from photoqual.labels.splits import read_frozen, write_frozen
from photoqual.layout import Layout
from photoqual.models.info import ONNX, TRAINED_ON
from tests.model.registered import BLUE, RED, coloured_project, tiny_folder

PARAMS = EvaluateParams()


@pytest.fixture
def own(tmp_path: Path) -> Layout:
    layout = coloured_project(tmp_path / "own", photos=60, per_group=2)
    tiny_folder(layout.challenger, RED)
    return layout


@pytest.fixture
def club(tmp_path: Path) -> Layout:
    layout = coloured_project(tmp_path / "club", photos=50, seed=4)
    tiny_folder(layout.challenger, BLUE)
    return layout


def cells(*named: str, out: Path) -> dict[tuple[str, str], dict[str, object]]:
    compare(named, PARAMS, output="json", out=out)
    return {(cell["model"], cell["judged_on"]): cell for cell in json.loads(out.read_text())["cells"]}


def test_each_cell_is_what_evaluate_says_of_that_model_on_that_set(
    own: Layout, club: Layout, tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    found = cells(f"own={own.root}", f"club={club.root}", out=tmp_path / "cells.json")
    assert list(found) == [("own", "own"), ("own", "club"), ("club", "own"), ("club", "club")]
    weights = {"own": RED, "club": BLUE}
    for (model, judged_on), cell in found.items():
        project = {"own": own, "club": club}[judged_on]
        tiny_folder(project.challenger, weights[model])
        evaluate(project, make_params())
        assert cell["outcome"] == "judged"
        assert cell["reason"] is None
        assert cell["figures"] == json.loads(project.metrics.read_text())
    aucs = {place: cell["figures"]["auc"] for place, cell in found.items()}  # type: ignore[index]
    assert aucs["own", "club"] > aucs["club", "club"]
    assert {cell["figures"]["photos"] for cell in found.values()} == {60, 50}  # type: ignore[index]


def test_photos_that_a_model_was_trained_on_are_counted(own: Layout, club: Layout, tmp_path: Path) -> None:
    seen = read_frozen(club.frozen_test)["photo_id"].tolist()[:3]
    tiny_folder(own.challenger, RED, trained_on=[*seen, "f" * 64])
    found = cells(f"own={own.root}", f"club={club.root}", out=tmp_path / "cells.json")
    refused = found.pop(("own", "club"))
    assert refused["reason"] == "model own was trained on 3 of the 50 frozen photos of set club."
    assert (refused["outcome"], refused["figures"]) == ("not_evaluable", {})
    assert {cell["outcome"] for cell in found.values()} == {"judged"}


def one_class(layout: Layout) -> None:
    frozen = read_frozen(layout.frozen_test)
    write_frozen(layout.frozen_test, frozen[frozen["good"] == 1])


def changed_after_freezing(layout: Layout) -> None:
    table = files.read_table(layout.frozen_test)
    pq.write_table(table.replace_schema_metadata({"digest": "0" * 64}), layout.frozen_test)


def foreign_table(layout: Layout) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(layout.frozen_test)


def trained_on_nothing_known(layout: Layout) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(layout.challenger / TRAINED_ON)


SET, MODEL = {("own", "club"), ("club", "club")}, {("club", "own"), ("club", "club")}


@pytest.mark.parametrize(
    ("damage", "lost", "says"),
    [
        (lambda club: club.frozen_test.unlink(), SET, r"set club: .*frozen_test\.parquet does not exist"),
        (one_class, SET, "set club: 25 photos, 25 of them good: one class only"),
        (changed_after_freezing, SET, "set club: .*changed after it was frozen"),
        (foreign_table, SET, "set club: .* has no column .*photo_id"),
        (lambda club: club.frozen_test.write_bytes(b"x"), SET, "set club: .*cannot be read"),
        (lambda club: club.labels.write_bytes(b"x"), SET, r"set club: .*labels\.parquet cannot be read"),
        (lambda club: shutil.rmtree(club.photos), SET, "on set club: Shard .* is missing"),
        (lambda club: shutil.rmtree(club.challenger), MODEL, "model club: .* is not a model folder"),
        (lambda club: (club.challenger / ONNX).unlink(), MODEL, r"model club: .*model\.onnx does not exist"),
        (lambda club: (club.challenger / TRAINED_ON).unlink(), MODEL, "model club: .*does not say what"),
        (trained_on_nothing_known, MODEL, "model club: .*does not say what"),
        (lambda club: tiny_folder(club.challenger, (float("nan"), 0, 0)), MODEL, "model club on set .*gives no number"),
        (lambda club: shutil.rmtree(club.root), SET | MODEL, "club: .*(is not a model folder|does not exist)"),
    ],
)
def test_what_is_wrong_with_one_collection_leaves_the_other_cells(
    own: Layout,
    club: Layout,
    tmp_path: Path,
    damage: Callable[[Layout], object],
    lost: set[tuple[str, str]],
    says: str,
) -> None:
    damage(club)
    found = cells(f"own={own.root}", f"club={club.root}", out=tmp_path / "cells.json")
    assert {place for place, cell in found.items() if cell["outcome"] == "not_evaluable"} == lost
    for place, cell in found.items():
        if place in lost:
            assert re.search(says, str(cell["reason"])), cell["reason"]
        else:
            assert cell["figures"]["auc"] > 0.5  # type: ignore[index]


@pytest.mark.parametrize(
    ("named", "says"),
    [
        (["own"], "'own' is not NAME=FOLDER"),
        (["own="], "is not NAME=FOLDER"),
        (["=folder"], "is not NAME=FOLDER"),
        (["a b=folder"], "is not NAME=FOLDER"),
        (["own=x", "own=y"], "The name own is there twice"),
    ],
)
def test_names_that_are_none_are_refused(named: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        parse_names(named)
    assert caught.value.next_step


def test_a_folder_may_have_any_name() -> None:
    assert parse_names(["a=x=y", "b=../ü b"]) == {"a": Path("x=y"), "b": Path("../ü b")}


def photoqual(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "photoqual", "compare", *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True, check=False, timeout=120)


def test_the_verb_prints_a_table_with_its_reasons_below(own: Layout, club: Layout, tmp_path: Path) -> None:
    shutil.rmtree(club.challenger)
    run = photoqual("own=own", "club=club", "--format", "table", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "60 photos" in run.stdout
    assert run.stdout.count("AUC 0.") == 2
    assert run.stdout.count("95% kept") == 2
    assert run.stdout.count("not evaluable [1]") == 2
    assert "[1] model club: club/models/challenger is not a model folder" in run.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["own=own", "own=own"], 2, "there twice"),
        (["gone=gone"], 1, ""),
        (["own=own", "--out", "gone/cells.json"], 2, "cannot be written"),
        (["own=own", "--format", "csv"], 2, "csv"),
    ],
)
def test_the_verb_ends_with_a_code(own: Layout, tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    run = photoqual(*arguments, cwd=tmp_path)
    assert (run.returncode, "Traceback" in run.stderr) == (code, False)
    assert says in run.stderr
    if code == 1:
        assert json.loads(run.stdout)["cells"][0]["outcome"] == "not_evaluable"

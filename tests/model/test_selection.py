"""The ladder and the search: what they print is what the models did, and an interrupted one goes on."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.config import Params, load_params, parse_params
from photoqual.errors import ConfigError, MissingData, TrainingError
from photoqual.labels.splits import read_frozen, write_splits
from photoqual.layout import Layout
from photoqual.registry.store import connected
from photoqual.selection import study as studies
from photoqual.selection.ladder import Rung, ladder, list_rungs, read_judges
from photoqual.selection.ladder_table import Row, as_markdown, as_text
from photoqual.selection.params_diff import rewritten, unified_diff
from photoqual.selection.scratch import changed
from photoqual.selection.search import SHIPPED, read_search, spaces
from photoqual.selection.tracking import EXPERIMENT
from photoqual.selection.tune import Tuned, tune
from photoqual.training.checkpoints import Checkpoints, Saved, address
from photoqual.training.identity import digest, training_digest, training_inputs
from tests.model.project import make_project

MakeParams = Callable[..., Params]
QUICK = {"image_width: 288": "image_width: 64", "epochs: 15": "epochs: 1", "kind: gap_cnn ": "kind: hidden "}
GOOD_RATE, NO_RATE = 0.003, 1e-12


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, project_text: str) -> Iterator[Layout]:
    """A project whose validation labels cannot all be right, so that no model has an AUC of 1."""
    layout = make_project(tmp_path_factory.mktemp("toy"), 60)
    rows = pq.read_table(layout.splits).to_pandas()
    swapped = rows.index[rows["split"] == "validation"][:2]  # one good and one bad photo
    rows.loc[swapped, "good"] = 1 - rows.loc[swapped, "good"]
    write_splits(layout.splits, rows)
    layout.params.write_text(project_text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(layout.root / "cache"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield layout


@pytest.fixture(scope="module")
def project_text() -> str:
    text = (Path(__file__).parents[2] / "params.yaml").read_text()
    for old, new in QUICK.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def climbed(toy: Layout) -> tuple[list[Row], dict[str, int]]:
    """The ladder, interrupted after its first rung: the rows, and when each file of a row was written by then."""
    params = changed(
        load_params(toy.params), {"model.backbone.weights": str(toy.root / "nowhere.h5")}, origin="the test"
    )
    toy.params.write_text(rewritten(toy.params.read_text(), {"model.backbone.weights": str(toy.root / "nowhere.h5")}))
    assert load_params(toy.params) == params
    ladder(toy, params, kinds=["logistic"])
    written = {path.name: path.stat().st_mtime_ns for path in (toy.root / "reports/ladder/rows").iterdir()}
    return ladder(toy, params, kinds=["logistic", "hidden", "transfer"]), written


def test_a_rung_that_fails_is_a_row_and_the_others_go_on(toy: Layout, climbed: tuple[list[Row], Any]) -> None:
    rows, _ = climbed
    assert [row.kind for row in rows] == ["logistic", "hidden", "transfer"]
    assert [bool(row.failures) for row in rows] == [False, False, True]
    assert "nowhere.h5" in rows[2].failures[0]
    assert rows[2].auc is None
    assert rows[0].parameters == 4609
    assert not toy.challenger.exists()
    assert not toy.evaluation.exists()
    for told in (as_text(rows, 0.95, frozen=False), as_markdown(rows, 0.95, frozen=False)):
        assert "failed [1]" in told
        assert "[1] " + rows[2].failures[0][:40] in told
    assert (toy.root / "reports/ladder/table.png").stat().st_size > 5000


def test_the_table_is_what_the_predictions_say(toy: Layout, climbed: tuple[list[Row], Any]) -> None:
    table = pd.read_csv(toy.root / "reports/ladder/table.csv").set_index("kind")
    splits = pq.read_table(toy.splits).to_pandas().set_index("photo_id")
    validation = splits[splits["split"] == "validation"]
    folder = toy.root / "reports/ladder/rows"
    found = {yaml.safe_load(path.read_text())["inputs"]["model"]["kind"]: path for path in folder.glob("*.json")}
    assert set(found) == {"logistic", "hidden"}
    for kind, path in found.items():
        predictions = pd.read_parquet(path.with_suffix(".parquet")).set_index("photo_id")
        assert set(predictions.index) == set(validation.index)
        assert (predictions["good"] == validation["good"].reindex(predictions.index)).all()
        good = predictions.loc[predictions["good"] == 1, "score"].to_numpy()
        bad = predictions.loc[predictions["good"] == 0, "score"].to_numpy()
        wins = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
        row = table.loc[kind]
        assert 0 < wins < 1
        assert row["auc"] == pytest.approx(wins)
        assert row["auc_low"] <= wins <= row["auc_high"]
        assert row["accuracy"] == pytest.approx(((good >= 0.5).sum() + (bad < 0.5).sum()) / len(predictions))
        said_good, said_bad = (good >= 0.5).sum() + (bad >= 0.5).sum(), (good < 0.5).sum() + (bad < 0.5).sum()
        assert row["precision_good"] == pytest.approx((good >= 0.5).sum() / said_good if said_good else 0)
        assert row["precision_bad"] == pytest.approx((bad < 0.5).sum() / said_bad if said_bad else 0)
        assert row["photos_per_second"] > 1
        assert row["train_seconds"] > 0


def test_a_finished_rung_is_not_trained_again(
    toy: Layout, climbed: tuple[list[Row], dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, written = climbed
    assert len(written) == 2
    folder = toy.root / "reports/ladder"
    assert {name: (folder / "rows" / name).stat().st_mtime_ns for name in written} == written
    before = (folder / "table.csv").read_bytes()
    monkeypatch.chdir(toy.root)
    told = CliRunner().invoke(app, ["ladder", "--kinds", "logistic,hidden,transfer"])
    assert told.exit_code == 1
    assert "failed [1]" in told.output
    assert (folder / "table.csv").read_bytes() == before
    assert not (folder / "scratch").exists()


def test_other_data_or_params_are_other_inputs(tmp_path: Path, make_params: MakeParams) -> None:
    layout = make_project(tmp_path, 20)
    inputs = {digest(training_inputs(layout, make_params()))}
    inputs.add(digest(training_inputs(layout, make_params(**{"train.seed": 8}))))
    rows = pq.read_table(layout.splits).to_pandas()
    rows.loc[0, "good"] = 1 - rows.loc[0, "good"]
    write_splits(layout.splits, rows)
    inputs.add(digest(training_inputs(layout, make_params())))
    assert len(inputs) == 3
    inputs.add(digest(training_inputs(layout, make_params(), ("evaluation", "selection"))))
    inputs.add(digest(training_inputs(layout, make_params(**{"train.cache_megabytes": 7}))))
    assert len(inputs) == 4


def test_the_checkpoint_of_the_users_own_training_stays(
    search: Callable[..., Tuned], tmp_path: Path, project_text: str
) -> None:
    """A trial and a rung of the very params that are being trained by the user neither go on from it nor remove it."""
    space = {"hidden": {"train.optimizer.learning_rate": [GOOD_RATE, 0.004]}}
    layout = Layout(tmp_path)
    layout.params.write_text(rewritten(project_text, {"train.optimizer.learning_rate": GOOD_RATE}))
    params = load_params(layout.params)
    mine = Checkpoints(address(), training_digest(layout, params))
    mine.write(Saved({"mine": np.ones(3)}, {"epoch": 4}))
    assert search(space, trials=1).counts["complete"] == 1
    assert not ladder(layout, params, kinds=["hidden"])[0].failures
    kept = mine.read()
    assert kept is not None
    assert kept.state == {"epoch": 4}
    assert [path.name for path in Path(address()).iterdir()] == [Path(mine.path).name]
    mine.remove()


@pytest.mark.parametrize(
    ("kinds", "backbones", "poolings", "expected"),
    [
        (["hidden", "logistic", "hidden"], [], [], [Rung("logistic"), Rung("hidden")]),
        (["transfer"], [], [], [Rung("transfer", "efficientnet_lite0", "levels")]),
        (
            ["transfer"],
            ["vgg16", "efficientnet_lite0"],
            ["all"],
            [
                Rung("transfer", name, pooling)
                for name in ("efficientnet_lite0", "vgg16")
                for pooling in ("last", "levels")
            ],
        ),
        (["oracle"], [], [], "no kind oracle"),
        (["transfer"], ["vgg99"], [], "no backbone vgg99"),
        (["transfer"], [], ["best"], "no pooling best"),
        (["hidden"], ["vgg16"], [], "kind transfer was not"),
    ],
)
def test_rungs_are_what_was_asked_for(
    make_params: MakeParams, kinds: list[str], backbones: list[str], poolings: list[str], expected: Any
) -> None:
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=expected):
            list_rungs(make_params(), kinds, backbones, poolings)
    else:
        assert list_rungs(make_params(), kinds, backbones, poolings) == expected


def test_the_frozen_test_set_judges_only_when_asked(tmp_path: Path) -> None:
    layout = make_project(tmp_path, 20)
    frozen = set(read_frozen(layout.frozen_test)["photo_id"])
    assert set(read_judges(layout, frozen=True).rows["photo_id"]) == frozen
    assert not set(read_judges(layout, frozen=False).rows["photo_id"]) & frozen
    layout.splits.unlink()
    with pytest.raises(MissingData, match="splits"):
        read_judges(layout, frozen=False)


@pytest.fixture
def search(toy: Layout, empty_store: Path, tmp_path: Path, project_text: str) -> Callable[..., Tuned]:
    """Return a function that searches in a copy of the toy project, with changed params and a search file."""
    layout = Layout(tmp_path)
    (tmp_path / "data").symlink_to(toy.root / "data")
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())

    def run(space: dict[str, Any], *, params: dict[str, Any] | None = None, **options: Any) -> Tuned:
        if not layout.params.exists():
            layout.params.write_text(rewritten(project_text, params or {}))
        path = tmp_path / "search.yaml"
        path.write_text(yaml.safe_dump({"startup_trials": 1, "warmup_epochs": 1, "kinds": space}))
        return tune(layout, search=path, **{"minutes": 5, **options})

    return run


def _children(root: Path) -> pd.DataFrame:
    with connected(root) as client:
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        runs = client.search_runs([experiment])
        parents = [run.info.run_id for run in runs if "mlflow.parentRunId" not in run.data.tags]
        children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[0]]
    assert len(parents) == 1
    assert len(children) == len(runs) - 1
    told = [{**run.data.tags, **run.data.params, **run.data.metrics, "status": run.info.status} for run in children]
    return (
        pd.DataFrame(told).assign(trial=lambda rows: rows["trial"].astype(int)).sort_values("trial", ignore_index=True)
    )


def test_a_search_finds_goes_on_and_prunes(search: Callable[..., Tuned], tmp_path: Path) -> None:
    space = {"hidden": {"train.optimizer.learning_rate": [GOOD_RATE, NO_RATE]}}
    first = search(space, params={"train.optimizer.learning_rate": GOOD_RATE}, trials=1)
    assert first.counts == {"complete": 1, "pruned": 0, "stopped": 0, "failed": 0}
    assert first.best == first.present
    assert first.diff == ""
    second = search(space)
    assert second.counts == {"complete": 1, "pruned": 1, "stopped": 0, "failed": 0}
    assert (second.best, second.changes) == (first.best, {})
    children = _children(tmp_path)
    assert children["status"].tolist() == ["FINISHED", "KILLED"]
    assert children["train.optimizer.learning_rate"].astype(float).tolist() == [GOOD_RATE, NO_RATE]
    assert children.loc[0, "objective"] == pytest.approx(first.best)
    assert children.loc[1, "validation_auc"] < children.loc[0, "validation_auc"]
    assert not (tmp_path / "models").exists()
    assert not list(tmp_path.glob("**/*.checkpoint.npz"))


def test_the_winner_is_a_diff_that_applies(search: Callable[..., Tuned], tmp_path: Path, project_text: str) -> None:
    space = {"hidden": {"train.optimizer.learning_rate": [GOOD_RATE]}}
    told = search(space, params={"train.optimizer.learning_rate": NO_RATE}, trials=2)
    assert told.best > told.present
    assert told.changes == {"train.optimizer.learning_rate": GOOD_RATE}
    before = (tmp_path / "params.yaml").read_text()
    check = ["git", "apply", "--check", "reports/tune/params.diff"]
    subprocess.run(check, cwd=tmp_path, check=True, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)})
    again = search(space, minutes=0, apply=True)
    assert again.diff == told.diff == (tmp_path / "reports/tune/params.diff").read_text()
    after = (tmp_path / "params.yaml").read_text()
    assert parse_params(yaml.safe_load(after)).train.optimizer.learning_rate == GOOD_RATE
    (line,) = (line for line in after.splitlines() if line not in before.splitlines())
    assert f"learning_rate: {GOOD_RATE}" in line
    assert search(space, minutes=0).changes == {}, "the study goes on with what it knows after its winner was taken"


def test_the_budget_ends_a_trial_at_its_epoch_and_the_next_call_goes_on(
    search: Callable[..., Tuned], tmp_path: Path
) -> None:
    space = {"hidden": {"train.optimizer.learning_rate": [GOOD_RATE, 0.004]}}
    told = search(space, params={"train.epochs": 2}, minutes=0.0001)
    assert told.counts == {"complete": 0, "pruned": 0, "stopped": 1, "failed": 0}
    assert told.best is None
    trials = pd.read_csv(tmp_path / "reports/tune/trials.csv")
    assert trials["epochs"].tolist() == [1]
    assert trials["reason"].tolist() == [studies.OUT_OF_TIME]
    told = search(space, trials=1)
    assert told.counts["complete"] == 1
    trials = pd.read_csv(tmp_path / "reports/tune/trials.csv")
    assert trials["train.optimizer.learning_rate"].nunique() == 1, "the trial that was stopped came first"
    assert trials["epochs"].tolist() == [1, 1], "the second call went on from the checkpoint after epoch 1"


def test_trials_that_keep_failing_end_the_search(search: Callable[..., Tuned], tmp_path: Path) -> None:
    space = {"transfer": {"model.backbone.weights": ["nowhere.h5"]}}
    missing = str(tmp_path / "gone.h5")
    with pytest.raises(TrainingError, match=r"last 5 trials failed.*nowhere\.h5"):
        search(space, params={"model.kind": "transfer", "model.backbone.weights": missing})
    children = _children(tmp_path)
    assert children["status"].tolist() == ["FAILED"] * 5
    assert "gone.h5" in children.loc[0, "reason"]


def test_what_a_killed_search_left_behind_waits_to_go_on(tmp_path: Path) -> None:
    from optuna.trial import TrialState

    def opened() -> Any:
        return studies.open_study(tmp_path / "study.db", "a", read_search(SHIPPED), 1)

    killed = opened()
    values = {"x": killed.ask().suggest_float("hidden:x", 0.0, 1.0)}
    killed.ask()  # killed before it had drawn anything
    killed._storage.set_trial_user_attr(killed.trials[0]._trial_id, studies.VALUES, values)
    for _ in range(2):
        study = opened()
        assert [studies.state(trial) for trial in studies.trained(study)] == ["stopped", "stopped"]
        waiting = study.get_trials(states=[TrialState.WAITING])
        assert [trial.user_attrs[studies.VALUES] for trial in waiting] == [values]
    assert study.ask().suggest_float("hidden:x", 0.0, 1.0) == values["x"]


def test_one_search_at_a_time(tmp_path: Path) -> None:
    with studies.alone(tmp_path), pytest.raises(TrainingError, match="Another search"), studies.alone(tmp_path):
        pass


def test_a_file_that_is_no_study_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"holiday photos" * 100)
    with pytest.raises(TrainingError, match="not a study"):
        studies.open_study(tmp_path / "study.db", "a", read_search(SHIPPED), 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kinds: {hidden: {train.epochs: [1, 2]", "not valid YAML"),
        ("- hidden", r"\(top\)"),
        ("kinds: {hidden: {}}", "kinds.hidden"),
        ("kinds: {hidden: {train.epochs: {low: 4, high: 2}}}", "low has to be smaller than high"),
        ("kinds: {hidden: {train.epochs: {low: 1, high: 2, logg: true}}}", "logg"),
        ("kinds: {hidden: {train.damage: {low: 0.0, high: 1.0, log: true}}}", "starts above 0"),
        ("kinds: {hidden: {train.epochs: [1]}}\npruner: sharp", "pruner"),
        ("kinds: {hidden: {train.epocs: [1, 2]}}", "train.epocs"),
        ("kinds: {hidden: {train.epochs: [1, 0]}}", "0 does not fit"),
        ("kinds: {hidden: {train.damage: {low: 0.5, high: 1.5}}}", "1.5 does not fit"),
        ("kinds: {hidden: {train.epochs: [2, 2]}}", "there twice"),
        ("kinds: {hidden: {train.seed: [1, 2]}}", "cannot be searched"),
        ("kinds: {hidden: {split.seed: [1, 2]}}", "only keys under model and train"),
        ("kinds: {oracle: {train.epochs: [1, 2]}}", "no such kind"),
        ("kinds: {logistic: {train.epochs: [1, 2]}}", "kinds.hidden: missing"),
    ],
)
def test_a_bad_search_file_is_named(tmp_path: Path, make_params: MakeParams, text: str, said: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        spaces(read_search(path), ["hidden"], make_params(), str(path))
    assert "mine.yaml" in str(caught.value)


def test_the_shipped_search_fits_every_kind(make_params: MakeParams) -> None:
    search = read_search(SHIPPED)
    assert list(spaces(search, list(search.kinds), make_params(), "it")) == [
        "logistic",
        "hidden",
        "cnn_grey",
        "cnn_colour",
        "gap_cnn",
        "transfer",
    ]


@pytest.mark.parametrize("ending", ["\n", ""])
@pytest.mark.parametrize(
    "values",
    [
        {"train.batch_size": 16},
        {"model.backbone.pooling": "last", "model.backbone.dropout": 0.35, "model.kind": "transfer"},
        {"train.optimizer.weight_decay": 0.00012, "train.optimizer.name": "adamw", "train.augment.crop": 0.05},
        {"train.optimizer.learning_rate": 3e-05, "train.optimizer.clip_norm": 1e-12},
        {"train.class_weights": True, "model.backbone.trainable_blocks": "all"},
    ],
)
def test_a_diff_changes_what_was_chosen_and_keeps_comments(
    tmp_path: Path, project_root: Path, values: dict[str, Any], ending: str
) -> None:
    old = (project_root / "params.yaml").read_text().rstrip("\n") + ending
    new = rewritten(old, values)
    (tmp_path / "params.yaml").write_text(old)
    (tmp_path / "it.diff").write_text(unified_diff(old, new))
    subprocess.run(
        ["git", "apply", "it.diff"], cwd=tmp_path, check=True, env={"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    )
    assert (tmp_path / "params.yaml").read_text() == new
    assert parse_params(yaml.safe_load(new)) == changed(parse_params(yaml.safe_load(old)), values, origin="it")
    comments = [line.partition("#")[2] for line in old.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in new.splitlines() if "#" in line] == comments
    moved = set(new.splitlines()) ^ set(old.splitlines())
    assert len(moved) <= 2 * len(values) + 1


def test_a_table_over_seeds_gives_means_and_spread(make_params: MakeParams) -> None:
    figures = {
        "auc_low": 0.6,
        "auc_high": 0.9,
        "accuracy": 0.7,
        "precision_good": 0.7,
        "precision_bad": 0.7,
        "photos_per_second": 10.0,
        "train_seconds": 2.0,
        "parameters": 5,
    }
    results = [{**figures, "auc": auc} for auc in (0.7, 0.8, 0.9)]
    row = Row.of(make_params().model, "here", results, ["seed 9: no"])
    assert row.auc == pytest.approx(0.8)
    assert row.auc_seeds == pytest.approx(np.std([0.7, 0.8, 0.9], ddof=1))
    assert (row.seeds, row.failures) == (3, ("seed 9: no",))
    assert "0.800 ± 0.100 (0.600 to 0.900) [1]" in as_text([row], 0.95, frozen=True)
    assert "wears it out" in as_text([row], 0.95, frozen=True)

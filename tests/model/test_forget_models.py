"""Which registered versions a photo that is forgotten went into."""

import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd

from photoqual.labels.splits import forget_frozen, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.photos.forgotten import Forgotten
from photoqual.pipeline.trained import versions_with
from photoqual.registry.history import wear
from photoqual.registry.promote import promote
from photoqual.registry.store import connected, ensure_model, experiment_id
from tests.model.conftest import MakeParams
from tests.model.registered import BLUE, GREEN, RED, write_lock

KNOWN, TESTED, OTHER = ("a" * 64, "b" * 64, "c" * 64)


def test_the_models_that_knew_a_photo_are_named(project: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "challenger"
    folder.mkdir()
    with connected(project.root) as client:

        def add(name: str, photos: list[str] | None, **tags: str) -> None:
            """Register a version whose artifacts lie where a model's would, without a model in them."""
            with mlflow.start_run(experiment_id=experiment_id(client, project.root)) as made:
                if photos is not None:
                    pd.DataFrame({"photo_id": photos}).to_parquet(folder / TRAINED_ON)
                    mlflow.log_artifacts(str(folder), "model/artifacts/challenger")
            ensure_model(client, name, "")
            client.create_model_version(name, f"{made.info.artifact_uri}/model", made.info.run_id, tags=tags)

        add("photoqual", [KNOWN, OTHER], frozen_test_digest="here")
        add("photoqual", [OTHER], git_rev="d" * 40, frozen_test_digest="here")
        add("photoqual", None, git_rev="d" * 40)
        add("photoqual", [OTHER], frozen_test_digest="another")
        add("photoqual-anna", [KNOWN])
        add("photoqual-journal", [KNOWN])
        add("photoqualities", [KNOWN])
        client.set_registered_model_alias("photoqual", "champion", "1")
    told = versions_with({KNOWN, TESTED}, frozen={"here": {TESTED, OTHER}}, root=project.root)
    assert [(found["model"], found["version"], found["aliases"], found["parts"]) for found in told["versions"]] == [
        ("photoqual", "1", ["champion"], {"test": 1, "trained on": 1}),
        ("photoqual", "2", [], {"test": 1}),
        ("photoqual-anna", "1", [], {"trained on": 1}),
    ]
    assert told["versions"][0]["photos"] == [KNOWN, TESTED]
    [unknown] = told["unknown"]
    assert unknown["version"] == "3"
    assert unknown["why"] == "it carries no list of its photos; commit dddddddddddd is not in this clone"


def test_a_verdict_on_a_reduced_frozen_set_counts_the_looks_at_the_whole_one(
    project: Layout, add: Callable[..., str], make_params: MakeParams, tmp_path: Path
) -> None:
    shutil.copytree(project.photos.parent, tmp_path / "own")
    (project.root / "data").unlink()
    (tmp_path / "own").rename(project.root / "data")
    add(BLUE)
    first = promote(project, make_params())
    add(RED)
    before = promote(project, make_params(), dry_run=True)
    assert (first["numbers"]["look"], before["numbers"]["look"]) == (1, 2)
    gone = read_frozen(project.frozen_test)["photo_id"].head(3)
    forget_frozen(project.frozen_test, Forgotten(frozenset(gone)))
    after = promote(project, make_params(), dry_run=True)
    assert after["frozen_test_digest"] != before["frozen_test_digest"]
    assert after["reduced_from"] == [before["frozen_test_digest"]]
    assert after["numbers"]["look"] == 2
    write_lock(project)
    add(GREEN)
    assert promote(project, make_params())["numbers"]["look"] == 3
    assert [row["looks"] for row in wear(project.root)] == [3, 2]


def test_without_a_registry_it_says_so(tmp_path: Path) -> None:
    told = versions_with({KNOWN}, frozen={}, root=tmp_path)
    assert (told["registry"], told["versions"]) == (None, [])
    assert "no model registry" in told["why"]

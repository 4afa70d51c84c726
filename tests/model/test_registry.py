"""The registry on a real MLflow store in SQLite: register, promote, refuse, roll back, fetch, serve."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from photoqual import files
from photoqual.errors import ConfigError, DataError, MissingData, ModelError, NoChampion, RegistryError
from photoqual.evaluation.evaluate import evaluate
from photoqual.labels.splits import read_frozen
from photoqual.layout import Layout
from photoqual.models.info import KERAS, ONNX, TRAINED_ON
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import stored_input
from photoqual.photos.shards import read_photos
from photoqual.registry.fetch import fetch_model
from photoqual.registry.history import events, history
from photoqual.registry.lineage import committed_revision, data_revision, flat_params, git_revision, locked_outputs
from photoqual.registry.promote import promote
from photoqual.registry.register import register
from photoqual.registry.rollback import rollback
from photoqual.registry.store import (
    CHAMPION,
    MODEL_NAME,
    connected,
    masked,
    tracking_uri,
    version_of,
)
from tests.model.conftest import REVISION, MakeParams
from tests.model.registered import BLUE, GREEN, RED, aliases, tiny_model


def test_register_keeps_all_that_is_known(project: Layout, make_params: MakeParams) -> None:
    tiny_model(project.challenger, BLUE)
    evaluate(project, make_params())
    (project.root / "uv.lock").write_text("version = 1\n")
    summary = register(project, make_params(), revision=REVISION, run_id="run-7")
    assert summary["created"]
    assert summary["version"] == "1"
    with connected(project.root) as client:
        version = client.get_model_version(MODEL_NAME, "1")
        run = client.get_run(version.run_id)
        history = client.get_metric_history(version.run_id, "train.validation_auc")
        logged = client.get_logged_model(version.source.removeprefix("models:/"))
        names = {item.path for item in client.list_artifacts(version.run_id, "evaluation/plots")}
    for tags in (version.tags, run.data.tags):
        assert tags["git_rev"] == REVISION
        assert tags["data_rev"] == data_revision(locked_outputs(project.lock))
        assert tags["frozen_test_digest"] == summary["frozen_test_digest"]
        assert tags["run_id"] == "run-7"
        assert len(tags["environment_lock"]) == 64
    assert run.info.status == "FINISHED"
    assert run.data.params["labels.rule"] == "extremes"
    assert run.data.metrics["auc"] == summary["auc"]
    assert {metric.key: metric.dataset_name for metric in logged.metrics}["auc"] == "frozen_test"
    assert [(point.step, point.value) for point in history] == [(1, 0.7), (2, 0.75)]
    used = {item.dataset.name: (item.tags[0].value, item.dataset.digest) for item in run.inputs.dataset_inputs}
    assert used["frozen_test"] == ("test", summary["frozen_test_digest"][:32])
    assert used["trained_on"] == ("training", summary["data_rev"][:32])
    assert "evaluation/plots/roc.png" in names
    assert "AUC **0.6" in version.description
    assert "$" not in version.description
    assert (project.root / "mlartifacts").is_dir()


def test_registering_again_changes_nothing(add: Callable[..., str], project: Layout, make_params: MakeParams) -> None:
    assert add(BLUE) == "1"
    again = register(project, make_params(), revision=REVISION)
    assert (again["version"], again["created"]) == ("1", False)
    assert register(project, make_params(), revision="b" * 40)["version"] == "2"
    assert aliases(project)["challenger"] == "2"


def test_the_whole_story(add: Callable[..., str], project: Layout, make_params: MakeParams) -> None:
    params = make_params()
    add(BLUE)
    with pytest.raises(NoChampion, match="no champion yet"):
        fetch_model("models:/photoqual@champion", root=project.root)
    first = promote(project, params)
    assert first["decision"] == "promoted"
    assert first["reason"].startswith("First champion")

    add(RED)
    rehearsed = promote(project, params, dry_run=True)
    assert rehearsed["decision"] == "promoted"
    assert aliases(project)["champion"] == "1"
    assert history(project.root)[0]["decision"] is None
    assert promote(project, params)["against"] == "1"
    assert aliases(project) == {"challenger": "2", "champion": "2", "previous_champion": "1"}

    add(GREEN)
    refused = promote(project, params)
    assert refused["decision"] == "refused"
    assert refused["numbers"]["delta_auc_low"] < 0
    assert aliases(project)["champion"] == "2"
    with connected(project.root) as client:
        kept = client.get_model_version(MODEL_NAME, "3")
        verdict = json.loads(
            Path(client.download_artifacts(kept.run_id, f"promotion/{refused['entry']}/verdict.json")).read_text()
        )
    assert kept.tags["promotion.decision"] == "refused"
    assert kept.tags["promotion.reason"] == refused["reason"] == verdict["reason"]
    assert json.loads(kept.tags["promotion.numbers"]) == refused["numbers"]

    assert promote(project, params, version="2")["decision"] == "already_champion"
    assert rollback(project, reason="colours look wrong")["champion"] == "1"
    assert aliases(project) == {"challenger": "3", "champion": "1", "previous_champion": "2"}
    listed = history(project.root)
    assert [(entry["version"], entry["decision"], entry["aliases"]) for entry in listed] == [
        ("3", "refused", ["challenger"]),
        ("2", "promoted", ["previous_champion"]),
        ("1", "promoted", ["champion"]),
    ]
    assert "colours look wrong" in listed[1]["rollback"]
    changes = [event for event in reversed(events(project.root)) if event["event"] != "judged"]
    assert [(event["event"], event["champion"], event["replaced"]) for event in changes] == [
        ("promoted", "1", None),
        ("promoted", "2", "1"),
        ("rolled back", "1", "2"),
    ]
    assert all(event["valid"] and event["by"] for event in changes)
    assert history(project.root, limit=1) == listed[:1]


def test_a_tie_is_refused(add: Callable[..., str], project: Layout, make_params: MakeParams) -> None:
    add(RED)
    promote(project, make_params())
    add(RED, bias=-6.4)  # other scores in the same order
    verdict = promote(project, make_params())
    assert verdict["decision"] == "refused"
    assert "tie" in verdict["reason"]
    assert aliases(project)["champion"] == "1"


def test_no_first_champion_without_evidence(add: Callable[..., str], project: Layout, make_params: MakeParams) -> None:
    add(GREEN)
    assert promote(project, make_params())["decision"] == "refused"
    assert aliases(project) == {"challenger": "1"}


@pytest.mark.parametrize("who", ["champion", "challenger"])
def test_a_model_trained_on_a_frozen_photo_is_not_evaluable(
    who: str, add: Callable[..., str], project: Layout, make_params: MakeParams
) -> None:
    frozen = read_frozen(project.frozen_test)["photo_id"].tolist()
    add(BLUE, trained_on=frozen[:2] if who == "champion" else ["0" * 64])
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    add(RED, trained_on=frozen[:2] if who == "challenger" else ["0" * 64])
    verdict = promote(project, make_params())
    assert verdict["decision"] == "not_evaluable"
    assert f"The {who} " in verdict["reason"]
    assert "2 frozen photo(s)" in verdict["reason"]
    assert aliases(project)["champion"] == "1"


def test_a_champion_whose_files_are_gone_is_not_evaluable(
    add: Callable[..., str], project: Layout, make_params: MakeParams
) -> None:
    add(BLUE)
    with connected(project.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
    for path in (project.root / "mlartifacts").rglob("model.json"):
        path.unlink()
    add(RED)
    verdict = promote(project, make_params())
    assert verdict["decision"] == "not_evaluable"
    assert "no model.json in the artifact store" in verdict["reason"]


def test_rollback_needs_something_to_go_back_to(
    add: Callable[..., str], project: Layout, make_params: MakeParams
) -> None:
    add(BLUE)
    with pytest.raises(NoChampion, match="no champion yet"):
        rollback(project, reason="why not")
    promote(project, make_params())
    with pytest.raises(NoChampion, match="no champion before version 1"):
        rollback(project, reason="why not")
    with pytest.raises(ConfigError, match="reason"):
        rollback(project, reason=" ")


def test_register_refuses_what_does_not_fit(project: Layout, make_params: MakeParams) -> None:
    params = make_params()
    with pytest.raises(ModelError, match="not a model folder"):
        register(project, params)
    tiny_model(project.challenger, BLUE)
    with pytest.raises(MissingData, match="photoqual evaluate"):
        register(project, params)
    evaluate(project, params)
    with pytest.raises(DataError, match="not a git repository"):
        register(project, params)
    tiny_model(project.challenger, RED)
    with pytest.raises(DataError, match="of another model"):
        register(project, params, revision=REVISION)
    evaluate(project, params)
    tiny_model(project.challenger, RED, keras_bias=-6.4)
    with pytest.raises(ModelError, match="differ by"):
        register(project, params, revision=REVISION)
    (project.challenger / KERAS).unlink()
    with pytest.raises(ModelError, match=r"model\.keras does not exist"):
        register(project, params, revision=REVISION)
    outputs = project.lock.read_text()
    frozen = locked_outputs(project.lock)["data/frozen_test.parquet"]
    project.lock.write_text(outputs.replace(frozen, "9" * 32))
    with pytest.raises(DataError, match="different revisions"):
        register(project, params, revision=REVISION)
    project.lock.write_text("schema: '2.0'\nstages: {}\n")
    with pytest.raises(DataError, match="does not name data/catalog"):
        register(project, params, revision=REVISION)
    project.lock.unlink()
    with pytest.raises(MissingData, match="dvc repro"):
        register(project, params, revision=REVISION)
    with connected(project.root) as client:
        assert version_of(client, "1") is None


def test_promote_needs_something_registered(project: Layout, make_params: MakeParams) -> None:
    with pytest.raises(RegistryError, match="no alias challenger"):
        promote(project, make_params())
    with pytest.raises(RegistryError, match="no version 7"):
        promote(project, make_params(), version="7")
    (project.root / "mlflow.db").unlink()
    for verb in (
        lambda: promote(project, make_params()),
        lambda: history(project.root),
        lambda: rollback(project, reason="x"),
    ):
        with pytest.raises(RegistryError, match="no model registry at"):
            verb()
    assert not (project.root / "mlflow.db").exists()


def test_fetch_finds_folders_versions_and_aliases(
    add: Callable[..., str], project: Layout, make_params: MakeParams
) -> None:
    add(BLUE)
    promote(project, make_params())
    champion = fetch_model("models:/photoqual@champion", root=project.root)
    assert (champion / ONNX).read_bytes() == (project.challenger / ONNX).read_bytes()
    assert (champion / TRAINED_ON).is_file()
    assert fetch_model("models:/photoqual/1", root=project.root) == champion
    assert fetch_model(str(project.challenger)) == project.challenger
    with pytest.raises(RegistryError, match="no version 9"):
        fetch_model("models:/photoqual/9", root=project.root)
    with pytest.raises(NoChampion, match="alias previous_champion"):
        fetch_model("models:/photoqual@previous_champion", root=project.root)
    for wrong in ("models:/other@champion", "models:/photoqual", "models:/photoqual@../../etc"):
        with pytest.raises(ConfigError, match="not the address of a model"):
            fetch_model(wrong, root=project.root)
    with pytest.raises(ModelError, match="not a model folder"):
        fetch_model(str(project.root))


def test_a_fetched_champion_is_found_again_without_mlflow(
    add: Callable[..., str], project: Layout, make_params: MakeParams
) -> None:
    add(BLUE)
    promote(project, make_params())
    place = fetch_model("models:/photoqual@champion", root=project.root)
    code = "import sys; from photoqual.registry.fetch import fetch_model; print(fetch_model('models:/photoqual@champion')); assert not {'mlflow', 'tensorflow', 'pandas'} & set(sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == str(place)


def test_the_version_is_a_pyfunc_that_rates_encoded_photos(
    add: Callable[..., str], project: Layout, tmp_path: Path
) -> None:
    """Loaded in a process that has nothing of this project but what the version carries, and no TensorFlow."""
    add(RED)
    frozen = read_frozen(project.frozen_test).head(5)
    jpegs = dict(read_photos(project.photos, frozen))
    expected = Scorer.load(project.challenger).score([stored_input(jpeg, 48) for jpeg in jpegs.values()])
    inputs = [base64.b64encode(jpeg).decode() for jpeg in [*jpegs.values(), b"no photo"]]
    files.write_json(tmp_path / "photos.json", inputs)
    code = """
import base64, json, sys
import mlflow, pandas as pd
photos = pd.DataFrame({"photo": [base64.b64decode(text) for text in json.load(open("photos.json"))]})
model = mlflow.pyfunc.load_model("models:/photoqual/1")
print(model.predict(photos).to_json(orient="records"))
import photoqual
assert "artifacts" in photoqual.__file__ or "code" in photoqual.__file__, photoqual.__file__
assert "tensorflow" not in sys.modules
"""
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking_uri(project.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    answers = pd.DataFrame(json.loads(found.stdout.strip().splitlines()[-1]))
    assert answers["score"][:5].tolist() == [round(float(score), 4) for score in expected]
    assert answers["stars"][:5].tolist() == [min(5, 1 + int(score * 5)) for score in expected]
    assert answers["label"][:5].tolist() == ["good" if score >= 0.5 else "bad" for score in expected]
    assert answers["sure"][:5].tolist() == [bool(abs(score - 0.5) >= 0.25) for score in expected]
    assert answers["skipped"].tolist() == [""] * 5 + ["not_an_image"]
    assert pd.isna(answers["score"][5])


def test_a_registry_that_does_not_answer_is_named(project: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:secret@127.0.0.1:{port}")
    started = time.monotonic()
    for verb in (lambda: history(project.root), lambda: fetch_model("models:/photoqual@champion", root=project.root)):
        with pytest.raises(RegistryError, match=f"127.0.0.1:{port}") as caught:
            verb()
        assert "secret" not in str(caught.value)
        assert "MLFLOW_TRACKING_URI" in caught.value.next_step
    assert time.monotonic() - started < 40
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


def test_where_the_registry_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    own = f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri(tmp_path) == own
    demo = tmp_path / ".demo/mlflow/mlflow.db"
    demo.parent.mkdir(parents=True)
    demo.touch()
    assert tracking_uri(tmp_path) == f"sqlite:///{demo}"
    (tmp_path / "mlflow.db").touch()
    assert tracking_uri(tmp_path) == own
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert tracking_uri(tmp_path) == "http://mlflow:5000"
    assert masked("postgresql://ada:secret@host/db") == "postgresql://***@host/db"


def test_lineage(tmp_path: Path, make_params: MakeParams) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(DataError, match="not a git repository with a commit"):
        git_revision(tmp_path)
    subprocess.run(
        [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "one",
        ],
        check=True,
    )
    assert len(git_revision(tmp_path)) == 40
    flat = flat_params(make_params(sources={"site": {"kind": "gallery", "start": ["https://ada:secret@example.org/"]}}))
    assert flat["train.optimizer.name"] == "adam"
    assert flat["sources.site.start"] == '["https://***@example.org/"]'
    one = {"data/photos": "1.dir", "data/catalog": "2", "data/labels.parquet": "3"}
    assert (
        data_revision(one)
        == data_revision(dict(reversed(one.items())))
        != data_revision({**one, "data/labels.parquet": "4"})
    )


def test_a_version_names_only_a_commit_that_holds_its_lock_and_params(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        named = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *named, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    layout = Layout(tmp_path)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    layout.lock.write_text("stages: {}")
    with pytest.raises(DataError, match=r"dvc\.lock is not the one that commit"):
        committed_revision(layout, None)
    git("add", "dvc.lock")
    git("commit", "-q", "-m", "two")
    assert committed_revision(layout, None) == committed_revision(layout, "HEAD") == git("rev-parse", "HEAD")
    layout.params.write_text("changed: 1")
    with pytest.raises(DataError, match=r"params\.yaml is not the one"):
        committed_revision(layout, "HEAD")
    with pytest.raises(DataError, match="no commit banana"):
        committed_revision(layout, "banana")

"""A project with a registry for tests of the app: versions of models of five weights, promoted as the project does it."""

from pathlib import Path

import yaml

from photoqual.config import Params, parse_params
from photoqual.layout import Layout
from photoqual.registry.logged import log_model
from photoqual.registry.promote import promote
from photoqual.registry.store import CHALLENGER, MODEL_NAME, connected, ensure_model, experiment_id
from tests.conftest import PROJECT
from tests.model.registered import UNGUARDED, coloured_project, tiny_folder


def made_project(root: Path) -> Layout:
    """Write a project of coloured photos with an empty registry."""
    layout = coloured_project(root, photos=120)
    (root / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    with connected(root, create=True) as client:
        ensure_model(client, MODEL_NAME, "for tests")
    return layout


def promoted(layout: Layout, weights: tuple[float, float, float]) -> str:
    """Register a model of these `weights`, without its Keras twin, let it be judged, and return its version."""
    import mlflow

    folder = tiny_folder(layout.challenger, weights)
    with connected(layout.root) as client:
        with mlflow.start_run(experiment_id=experiment_id(client, layout.root)) as run:
            mlflow.log_text("# photoqual logistic\n\nThe card of a *tiny* model.", "model_card.md")
            address, model_id = log_model(folder)
        made = client.create_model_version(MODEL_NAME, address, run.info.run_id, model_id=model_id)
        client.set_registered_model_alias(MODEL_NAME, CHALLENGER, str(made.version))
    verdict = promote(layout, params())
    assert verdict["decision"] == "promoted", verdict["reason"]
    return str(made.version)


def params() -> Params:
    """Return the shipped params with limits that models of five weights can keep."""
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    for name, value in UNGUARDED.items():
        *path, last = name.split(".")
        place = values
        for part in path:
            place = place[part]
        place[last] = value
    return parse_params(values)

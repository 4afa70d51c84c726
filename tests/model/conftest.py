"""What tests of the registry share: a project of coloured photos with an empty MLflow registry in SQLite."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoqual.config import Params
from photoqual.evaluation.evaluate import evaluate
from photoqual.layout import Layout
from photoqual.registry.register import register
from photoqual.registry.store import connected
from tests.model.registered import UNGUARDED, coloured_project, tiny_model, write_lock

MakeParams = Callable[..., Params]
REVISION = "a" * 40


@pytest.fixture
def make_params(make_params: MakeParams) -> MakeParams:
    """Return a function: the shipped params with limits that models of five weights can keep, and changes."""
    return lambda **changes: make_params(**(UNGUARDED | changes))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow store in SQLite; making one takes seconds, so each test gets a copy."""
    root = tmp_path_factory.mktemp("store")
    with connected(root, create=True) as client:
        client.search_registered_models()
    return root / "mlflow.db"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured_project(tmp_path_factory.mktemp("photos")).root


@pytest.fixture
def project(tmp_path: Path, photos: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Layout]:
    """A project with photos, an empty registry and a cache of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    layout = Layout(tmp_path / "project")
    layout.root.mkdir()
    (layout.root / "data").symlink_to(photos / "data")
    (layout.root / "mlflow.db").write_bytes(empty_store.read_bytes())
    write_lock(layout)
    yield layout
    assert "MLFLOW_TRACKING_URI" not in os.environ


@pytest.fixture
def add(project: Layout, make_params: MakeParams) -> Callable[..., str]:
    """Return a function that trains (so to speak), evaluates and registers a model; it returns the version."""

    def make(weights: tuple[float, float, float], **options: object) -> str:
        tiny_model(project.challenger, weights, **options)  # type: ignore[arg-type]
        evaluate(project, make_params(**{"evaluate.grid_photos": 1}))  # small pictures are quick
        return str(register(project, make_params(), revision=REVISION)["version"])

    return make

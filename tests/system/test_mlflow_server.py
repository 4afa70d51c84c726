"""A real MLflow server on loopback: the same registry over HTTP, and the champion served to anyone who can post JSON."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from photoqual.config import Params
from photoqual.errors import RegistryError
from photoqual.evaluation.evaluate import evaluate
from photoqual.labels.splits import read_frozen
from photoqual.photos.shards import read_photos
from photoqual.registry import fetch
from photoqual.registry.fetch import fetch_model
from photoqual.registry.history import history
from photoqual.registry.promote import promote
from photoqual.registry.register import register
from photoqual.registry.rollback import rollback
from photoqual.registry.store import MODEL_NAME, connected
from tests.model.registered import BLUE, RED, UNGUARDED, coloured_project, tiny_model
from tests.servers import free_port, mlflow, mlflow_server


def test_register_promote_serve_over_http(
    tmp_path: Path, make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params(**UNGUARDED)
    layout = coloured_project(tmp_path / "project", photos=80)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = tmp_path / "server"
    store.mkdir()

    with mlflow_server(store, f"sqlite:///{store}/mlflow.db") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        for weights in (BLUE, RED):
            tiny_model(layout.challenger, weights)
            evaluate(layout, params)
            started = time.monotonic()
            register(layout, params, revision="a" * 40)
            assert time.monotonic() - started < 60
            assert promote(layout, params)["decision"] == "promoted"
        assert rollback(layout, reason="to see")["champion"] == "1"
        assert rollback(layout, reason="to see back")["champion"] == "2"
        place = fetch_model("models:/photoqual@champion")
        assert fetch._ask_quickly(address, MODEL_NAME, "champion") == fetch._ask_quickly(address, MODEL_NAME, "2")
        assert fetch_model("models:/photoqual/2") == place
        with connected() as client:
            assert client.get_experiment_by_name("photoqual").artifact_location.startswith("mlflow-artifacts:")

        frozen = read_frozen(layout.frozen_test).head(4)
        jpegs = list(dict(read_photos(layout.photos, frozen)).values())
        with connected():
            from mlflow import pyfunc

            model = pyfunc.load_model("models:/photoqual@champion")
            expected = model.predict(pd.DataFrame({"photo": jpegs}))
        body = json.dumps(
            {"dataframe_records": [{"photo": base64.b64encode(jpeg).decode()} for jpeg in [*jpegs, b"no photo"]]}
        )
        serving = free_port()
        arguments = [
            "models",
            "serve",
            "-m",
            "models:/photoqual@champion",
            "--env-manager",
            "local",
            "--host",
            "127.0.0.1",
            "--port",
            str(serving),
        ]
        with mlflow(arguments, f"http://127.0.0.1:{serving}/ping", store / "serving.log"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{serving}/invocations", body.encode(), {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as response:
                answers = pd.DataFrame(json.load(response)["predictions"])
    assert answers["score"][:4].tolist() == pytest.approx(expected["score"].tolist(), abs=1e-9)
    for column in ("stars", "sure", "label", "skipped"):
        assert answers[column][:4].tolist() == expected[column].tolist()
    assert answers["skipped"][4] == "not_an_image"
    assert pd.isna(answers["score"][4])

    with pytest.raises(RegistryError, match=address.rpartition(":")[2]):
        promote(layout, params)
    with pytest.raises(RegistryError, match=address.rpartition(":")[2]):
        history()
    assert place.is_dir()

"""A real MLflow server on loopback: the same registry over HTTP, and the champion served to anyone who can post JSON."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from photoqual.registry.store import connected
from tests.model.registered import BLUE, RED, coloured_project, tiny_model

_START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(arguments: list[str], health: str, log: Path) -> Iterator[None]:
    """Run `python -m mlflow arguments` in a process group of its own, from when `health` answers to the block's end."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments],
            cwd=log.parent,
            env={**os.environ, "PATH": beside},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                urllib.request.urlopen(health, timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.3)
        yield
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def test_register_promote_serve_over_http(
    tmp_path: Path, make_params: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = make_params()
    layout = coloured_project(tmp_path / "project", photos=80)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = tmp_path / "server"
    store.mkdir()
    server = [
        "server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{store}/mlflow.db",
        "--artifacts-destination",
        str(store / "artifacts"),
    ]

    with running(server, f"{address}/health", store / "server.log"):
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
        assert fetch._ask_quickly(address, "champion") == fetch._ask_quickly(address, "2")
        assert fetch_model("models:/photoqual/2") == place
        with connected() as client:
            assert client.get_experiment_by_name("photoqual").artifact_location.startswith("mlflow-artifacts:")

        frozen = read_frozen(layout.frozen_test).head(4)
        jpegs = list(dict(read_photos(layout.photos, frozen)).values())
        with connected():
            import mlflow

            model = mlflow.pyfunc.load_model("models:/photoqual@champion")
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
        with running(arguments, f"http://127.0.0.1:{serving}/ping", store / "serving.log"):
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

    with pytest.raises(RegistryError, match=str(port)):
        promote(layout, params)
    with pytest.raises(RegistryError, match=str(port)):
        history()
    assert place.is_dir()

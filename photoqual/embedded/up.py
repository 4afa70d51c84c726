"""The user interfaces over the demo's workspace, until they are interrupted."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

from rich.console import Console

from photoqual.embedded.airflow import USER, free_ports, running
from photoqual.embedded.home import Home, guarded, held
from photoqual.errors import PhotoqualError
from photoqual.sources.demo import DemoSite

EDITION = 2
"""How far the site had grown when the demo ended."""
_STARTUP_SECONDS = 120.0


def up(project: Path, home: Home, console: Console) -> None:
    """Serve Airflow, MLflow and the demo site on loopback until SIGINT or SIGTERM. Raise PhotoqualError without a demo."""
    if not home.exists:
        raise PhotoqualError(f"There is no demo in {home.root} yet.", next_step="Run `make demo` first.")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with held(home), DemoSite(EDITION, port=home.site_port) as site:
        console.print("Airflow and MLflow are starting …")
        with mlflow_server(home) as registry, running(home, project / "dags") as airflow:
            console.print(f"Airflow    {airflow.url}   user {USER}, password {airflow.password}")
            console.print(f"MLflow     {registry}/#/models/photoqual")
            console.print(f"Demo site  {site.url}")
            console.print("Ctrl-C ends them.")
            ended.wait()
            console.print("Ending …")


@contextmanager
def mlflow_server(home: Home) -> Iterator[str]:
    """Run MLflow's server over the home's registry for the time of the block; yield its address once it answers."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [
        *(str(Path(sys.executable).with_name("mlflow")), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{home.registry}", "--workers", "1"),
    ]
    environment = {**home.command_environment(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = home.logs / "mlflow.log"
    with guarded(command, log=log, environment=environment, cwd=home.registry.parent) as process:
        deadline = monotonic() + _STARTUP_SECONDS
        while not _answers(f"{url}/health"):
            if process.poll() is not None or monotonic() > deadline:
                raise PhotoqualError("MLflow did not start.", next_step=f"See {log}.")
            sleep(0.5)
        yield url


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback server
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False

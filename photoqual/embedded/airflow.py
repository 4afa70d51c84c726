"""Airflow on this machine: started on free loopback ports, asked and told things through its REST API."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from photoqual.embedded.home import Home, guarded
from photoqual.errors import PhotoqualError

USER = "admin"
STARTUP_SECONDS = 180.0
FINISHED = frozenset({"success", "failed"})


class AirflowError(PhotoqualError):
    """Airflow did not start, or refused a request."""


def free_ports(count: int) -> list[int]:
    """Return loopback ports that nothing listens on now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def configuration(home: Home, dags: Path, port: int, log_ports: tuple[int, int]) -> dict[str, str]:
    """Return the variables that make Airflow small, quick, quiet and reachable from this machine alone."""
    return {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home.airflow / "passwords.json"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.airflow / 'airflow.db'}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.airflow / "logs"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "NO_PROXY": "127.0.0.1,localhost",
    }


@contextmanager
def running(home: Home, dags: Path) -> "Iterator[Airflow]":
    """Run Airflow in `home` for the time of the block; yield it once all parts are healthy. Raise AirflowError."""
    port, *log_ports = free_ports(3)
    environment = {**home.command_environment(), **configuration(home, dags, port, (log_ports[0], log_ports[1]))}
    command = [str(Path(environment["PATH"].split(":")[0]) / "airflow"), "standalone"]
    log = home.logs / "airflow.log"
    with guarded(command, log=log, environment=environment, cwd=home.airflow) as process:
        api = Airflow(f"http://127.0.0.1:{port}", home.airflow / "passwords.json")
        deadline = time.monotonic() + STARTUP_SECONDS
        while not api.healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
                raise AirflowError(f"Airflow did not start:\n{tail}\n", next_step=f"See {log}.")
            time.sleep(0.5)
        api.declare_pools(dags / "pools.json")
        yield api


@dataclass
class Airflow:
    """A running Airflow, seen through its REST API as its one user."""

    url: str
    passwords: Path
    _token: str = field(default="", repr=False)

    @property
    def password(self) -> str:
        return str(json.loads(self.passwords.read_text(encoding="utf-8"))[USER])

    def healthy(self) -> bool:
        """Tell whether scheduler and DAG processor are at work and the API answers."""
        try:
            state = self._send("GET", "/api/v2/monitor/health", token="")
        except (AirflowError, OSError, ValueError):
            return False
        return all(
            (state.get(part) or {}).get("status") == "healthy"
            for part in ("metadatabase", "scheduler", "dag_processor")
        )

    def declare_pools(self, path: Path) -> None:
        """Make or update the pools named in a file as `airflow pools import` reads it."""
        for name, pool in json.loads(path.read_text(encoding="utf-8")).items():
            try:
                self.send("POST", "/pools", {"name": name, **pool})
            except AirflowError as error:
                if error.details.get("status") != 409:
                    raise
                self.send("PATCH", f"/pools/{quote(name)}", {"pool": name, **pool})

    def start_dags(self, expected: list[str], *, seconds: float = 120.0) -> None:
        """Wait until the DAGs have been read, then switch them on. Raise AirflowError with import errors."""
        deadline = time.monotonic() + seconds
        while missing := set(expected) - {dag["dag_id"] for dag in self.send("GET", "/dags?limit=100")["dags"]}:
            broken = self.send("GET", "/importErrors")["import_errors"]
            if broken or time.monotonic() > deadline:
                told = "\n".join(f"{each['filename']}:\n{each['stack_trace']}" for each in broken)
                raise AirflowError(
                    f"Airflow did not read {', '.join(sorted(missing))}.\n{told}", next_step="Mend the DAG file."
                )
            time.sleep(0.5)
        for name in expected:
            self.send("PATCH", f"/dags/{quote(name)}", {"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; return its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.send("POST", f"/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG, oldest first."""
        return list(self.send("GET", f"/dags/{quote(dag_id)}/dagRuns?limit=100&order_by=run_after")["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.send("GET", f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}")

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(
            self.send("GET", f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}/taskInstances?limit=100")[
                "task_instances"
            ]
        )

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned, None if it returned nothing."""
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}/taskInstances/{quote(task_id)}/xcomEntries/return_value?deserialize=true"
        try:
            return self.send("GET", path)["value"]
        except AirflowError as error:
            if error.details.get("status") == 404:
                return None
            raise

    def log(self, dag_id: str, run_id: str, task: Mapping[str, Any]) -> list[str]:
        """Return the lines of a task's last try."""
        number = max(int(task.get("try_number") or 1), 1)
        path = f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}/taskInstances/{quote(task['task_id'])}/logs/{number}?full_content=true"
        content = self.send("GET", path)["content"]
        return [line for entry in content for line in _lines(entry)]

    def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request to the API as the user. Raise AirflowError when it is refused; `details["status"]` says how."""
        if not self._token:
            self._token = str(
                self._send("POST", "/auth/token", {"username": USER, "password": self.password}, token="")[
                    "access_token"
                ]
            )
        return self._send(method, f"/api/v2{path}", body, token=self._token)

    def _send(self, method: str, path: str, body: Any = None, *, token: str) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self.url + path, data=data, headers=headers, method=method), timeout=30) as answer:  # noqa: S310
                return dict(json.loads(answer.read() or b"{}"))
        except HTTPError as error:
            told = error.read().decode(errors="replace")[:500]
            raise AirflowError(f"Airflow answered {error.code} to {method} {path}: {told}", status=error.code) from None
        except URLError as error:
            raise AirflowError(f"Airflow does not answer at {self.url}: {error.reason}.", status=0) from None


def _lines(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    text = str(entry.get("event", ""))
    causes = [f"{cause.get('exc_type')}: {cause.get('exc_value')}" for cause in entry.get("error_detail") or []]
    return [line for part in (text, *causes) for line in part.splitlines() if not line.startswith("::")]

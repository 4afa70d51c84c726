"""A workspace of its own for the demo: git origin, DVC store, registry and Airflow's files, all under one folder."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from photoqual.errors import PhotoqualError
from photoqual.pipeline import git
from photoqual.pipeline.workspace import MAIN, overridden

MARKER = "photoqual-demo.json"


class HomeInUse(PhotoqualError):
    """Another process works in this folder."""


@dataclass(frozen=True)
class Home:
    """The folder and what lies where in it."""

    root: Path

    @property
    def origin(self) -> Path:
        return self.root / "origin.git"

    @property
    def airflow(self) -> Path:
        return self.root / "airflow"

    @property
    def registry(self) -> Path:
        return self.root / "mlflow/mlflow.db"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def exists(self) -> bool:
        return (self.root / MARKER).is_file()

    @property
    def site_port(self) -> int:
        """The port that the workspace's params.yaml expects the demo site on."""
        return int(json.loads((self.root / MARKER).read_text(encoding="utf-8"))["site_port"])

    def environment(self) -> dict[str, str]:
        """Return the variables that keep every part of the platform inside this folder."""
        return {
            "PHOTOQUAL_PROJECT_URL": str(self.origin),
            "PHOTOQUAL_DVC_REMOTE_URL": str(self.root / "dvc-store"),
            "PHOTOQUAL_DVC_CACHE": str(self.root / "dvc-cache"),
            "PHOTOQUAL_WORKSPACES": str(self.root / "workspaces"),
            "PHOTOQUAL_REFRESH_CRON": "",
            "PHOTOQUAL_WATCH_CRON": "",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.registry}",
            "AIRFLOW_HOME": str(self.airflow),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "DVC_GLOBAL_CONFIG_DIR": str(self.root / "dvc-config"),
            "MPLCONFIGDIR": str(self.root / "cache/matplotlib"),
            "GX_ANALYTICS_ENABLED": "false",
            "DVC_NO_ANALYTICS": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }

    def command_environment(self) -> dict[str, str]:
        """Return the whole environment for a command that works with this home."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        return {**os.environ, **self.environment(), "PATH": path}

    def git(self, *arguments: str) -> str:
        """Ask the origin."""
        return git.git(*arguments, cwd=self.origin)


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Hold the home for this process; raise HomeInUse if another one does."""
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / "running.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeInUse(
                f"Another `make demo` or `make up` works in {home.root}.", next_step="End it first (Ctrl-C there)."
            ) from None
        yield


def create(home: Home, source: Path, overrides: Mapping[str, Any], *, site_port: int) -> None:
    """Make the home anew from the files of `source` as they are, uncommitted ones too. Call it within `held`.

    `overrides` (dotted keys) go into its params.yaml. Raise PhotoqualError when the folder holds anything foreign.
    """
    empty(home)
    for folder in (home.airflow, home.registry.parent, home.logs, home.root / "workspaces", home.root / "dvc-config"):
        folder.mkdir(parents=True, exist_ok=True)
    (home.root / MARKER).write_text(json.dumps({"site_port": site_port}), encoding="utf-8")
    tree = home.root / "first-commit"
    copy_project(source, tree)
    params = tree / "params.yaml"
    params.write_text(overridden(params.read_text(encoding="utf-8"), overrides), encoding="utf-8")
    git.git("init", "--quiet", f"--initial-branch={MAIN}", cwd=tree)
    git.git("add", "--all", cwd=tree)
    git.git("commit", "--quiet", "--message", "The project as it was when the demo started", cwd=tree)
    git.git("clone", "--quiet", "--bare", str(tree), str(home.origin))
    shutil.rmtree(tree)


def empty(home: Home) -> None:
    """Remove what an earlier demo left; raise PhotoqualError if the folder is not a demo's."""
    inside = {path.name for path in home.root.iterdir()} - {"running.lock"}
    if inside and MARKER not in inside:
        raise PhotoqualError(
            f"{home.root} exists and was not made by the demo.", next_step="Move it away, or name another folder."
        )
    for path in home.root.iterdir():
        if path.name in {"running.lock", MARKER}:
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    (home.root / MARKER).unlink(missing_ok=True)


def copy_project(source: Path, target: Path) -> None:
    """Copy the files that git tracks or would track, without dvc.lock: the demo's data begins empty."""
    listed = git.git("ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=source)
    for name in sorted(set(listed.split("\0")) - {"", "dvc.lock"}):
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target / name)


@contextmanager
def guarded(
    command: list[str], *, log: Path, environment: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the time of the block; end it and all it started afterwards, even if this process is killed."""
    guard = [sys.executable, "-P", str(Path(__file__).with_name("guard.py"))]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as written:
        process = subprocess.Popen(
            [*guard, *command],
            cwd=cwd,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()

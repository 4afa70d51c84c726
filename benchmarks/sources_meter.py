"""Runs a command and tells how long it took, and how much memory it and all its children held."""

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Spent:
    """What a command took. `tree_megabytes`: the most that it and its children held together at one moment, memory that
    several share counted for each; `largest_megabytes`: the most that one of them held.
    """

    seconds: float
    tree_megabytes: float
    largest_megabytes: float
    output: str


def spent(command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None) -> Spent:
    """Run `command` in `cwd` to its end. Raise RuntimeError with what it said when it fails."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=cwd, env={**os.environ, **(environment or {})}, stdout=said, stderr=subprocess.STDOUT
        )
        watch = _Watch(child.pid)
        watch.start()
        code = child.wait()
        seconds = time.perf_counter() - started
        watch.ended.set()
        watch.join()
        said.seek(0)
        output = said.read().decode(errors="replace")
    if code:
        raise RuntimeError(f"{' '.join(command)[:300]} ended with code {code}: {output[-3000:]}")
    return Spent(seconds, watch.tree / 1e6, watch.largest / 1e6, output)


class _Watch(threading.Thread):
    """Looks at a process and its children again and again."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.ended = process, threading.Event()
        self.tree = self.largest = 0

    def run(self) -> None:
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.process)
            while not self.ended.wait(_LOOK_SECONDS):
                held = [_resident(process) for process in (parent, *parent.children(recursive=True))]
                self.tree, self.largest = max(self.tree, sum(held)), max(self.largest, *held)


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return int(process.memory_info().rss)
    return 0

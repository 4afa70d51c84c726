"""Run a command, and end it with all that it started as soon as whoever started this is gone.

    python guard.py COMMAND…     standard input: a pipe whose other end the parent holds

Airflow's components outlive the process that started them, and so would they a killed demo. This process adopts what
its command leaves behind (Linux: it is the subreaper), and returns only when nothing of it runs any more. It imports
nothing of ours, so that it starts at once and works while an installation is broken.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE_SECONDS = 8.0
_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command; return its exit code once all that it started has ended."""
    line = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(sys.argv[1:])
    threading.Thread(target=_wait_for_parent, args=(line,), daemon=True).start()
    try:
        return process.wait()
    finally:
        _end_all(process)


def _wait_for_parent(line: int) -> None:
    while os.read(line, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end_all(process: subprocess.Popen[bytes]) -> None:
    """Ask everything below this process to end, then make it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deadline = time.monotonic() + PATIENCE_SECONDS
    asked: set[int] = set()
    while True:
        process.poll()
        _reap()
        alive = (
            descendants(os.getpid()) if sys.platform == "linux" else ([process.pid] if process.poll() is None else [])
        )
        if not alive:
            return
        late = time.monotonic() > deadline
        for pid in alive:
            if late or pid not in asked:
                _send(pid, signal.SIGKILL if late else signal.SIGTERM)
                asked.add(pid)
        time.sleep(0.1)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(root: int) -> list[int]:
    """Return the processes that `root` started, and those that they started; the dead among them left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, open_ = [], [root]
    while open_:
        below = children.get(open_.pop(), [])
        found += below
        open_ += below
    return found


if __name__ == "__main__":
    sys.exit(main())

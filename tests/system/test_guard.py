"""What a guarded server started ends with it, even when whoever started it is killed outright."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="descendants are found through /proc")

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(float(sys.argv[2]))
"""
STARTER = """
import sys
from pathlib import Path
from photoqual.embedded.home import guarded
import os, time
command = [sys.executable, "-c", sys.argv[1], sys.argv[2], sys.argv[3]]
with guarded(command, log=Path(sys.argv[2] + ".log"), environment=os.environ, cwd=Path(sys.argv[2]).parent) as process:
    while not Path(sys.argv[2]).exists() or not Path(sys.argv[2]).read_text():
        time.sleep(0.05)
    print("up", flush=True)
    if sys.argv[4] == "stay":
        time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("ending", ["the block ends", "the starter is killed"])
def test_nothing_outlives_a_guarded_command(tmp_path: Path, ending: str) -> None:
    pids = tmp_path / "pids"
    stay = "leave" if ending == "the block ends" else "stay"
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, STUBBORN, str(pids), "600", stay], stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    with starter.stdout:
        assert starter.stdout.readline() == "up\n"
        started = [int(pid) for pid in pids.read_text().split()]
        if stay == "stay":
            assert all(alive(pid) for pid in started)
            os.kill(starter.pid, signal.SIGKILL)
        starter.wait(timeout=30)
        deadline = time.monotonic() + 30
        while any(alive(pid) for pid in started) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert [pid for pid in started if alive(pid)] == []

"""The app for tests: the verb itself, as a process on loopback, and what a person does on its pages."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

_PATIENCE_SECONDS = 120
_DIES_WITH_US = ("setpriv", "--pdeathsig", "TERM")


@contextmanager
def app_running(
    folder: Path,
    *options: str,
    log: Path | None = None,
    port: int | None = None,
    end: signal.Signals | None = None,
) -> Iterator[str]:
    """Run `photoqual app` in `folder` for the time of the block; yield its address once it answers.

    It ends with this process however that ends. With `end`, the verb gets that signal after the block, and must end by
    it as it should, with its server.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    log = log or folder / "app.log"
    command = [*_DIES_WITH_US, sys.executable, "-m", "photoqual", "app", "--port", str(port), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as written:
        process = subprocess.Popen(command, stderr=written, stdout=written, env=environment, cwd=folder)
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while "The app is at" not in log.read_text():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        assert answers(url)
        yield url
    finally:
        process.send_signal(end or signal.SIGTERM)
        code = process.wait(_PATIENCE_SECONDS)
    if end is not None:
        assert code == (-end if end is signal.SIGKILL else 0), log.read_text()[-3000:]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while answers(url):
            assert time.monotonic() < deadline, "the server outlived its command"
            time.sleep(0.2)


def answers(url: str) -> bool:
    """Tell whether an app answers at `url`."""
    try:
        urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def server_of(url: str) -> Path:
    """Return what /proc tells of the process that serves the app at `url`."""
    port = url.rpartition(":")[2]
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if words[1:3] == ["-m", "photoqual.app.server"] and port in words:
            return place
    raise AssertionError(f"no process serves {url}")


def visit(page: "Page", url: str, title: str) -> None:
    """Open a page of the app and wait until it is drawn."""
    page.goto(url)
    page.get_by_role("heading", name=title, level=1).wait_for()
    settle(page)


def settle(page: "Page") -> None:
    """Wait until the app has nothing more to draw."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()

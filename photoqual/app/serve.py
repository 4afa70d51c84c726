"""`photoqual app`: start the server as a process, say where it is, and end it with us however we end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from photoqual.app.limits import is_loopback
from photoqual.app.options import PREFIX, Options
from photoqual.errors import ConfigError, PhotoqualError

FIRST_PORT, PORTS = 8501, 20
_STARTUP_SECONDS = 120.0


def serve(host: str, port: int | None, options: Options, say: Callable[[str], None]) -> None:
    """Serve the app on `host` until SIGINT or SIGTERM; `say` is told where it is.

    Without `port` it is the first free one from 8501 on. Raise ConfigError for what cannot be served so.
    """
    check(options)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    chosen = free_port(host, port)
    with running(host, chosen, options) as (url, process):
        say(f"The app is at {url}   (Ctrl-C ends it)")
        if not is_loopback(host):
            say(
                "Warning: there is no sign-in. Whoever reaches this address can rate, label and see the photos of "
                "the label folder. Use it in a network that you trust, or behind a proxy that signs people in."
            )
        while not ended.wait(0.5):
            if process.poll() is not None:
                raise PhotoqualError("The app's server has ended by itself.", next_step="See its messages above.")


def check(options: Options) -> None:
    """Raise ConfigError or ModelError for options that no page could work with."""
    if find_spec("streamlit") is None:
        raise ModuleNotFoundError(name="streamlit")
    if options.model is not None:
        from photoqual.starter.model import resolve

        resolve(options.model)
    if options.keep_uploads is not None:
        try:
            options.keep_uploads.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"{options.keep_uploads} cannot be made: {error.strerror}.",
                next_step="Name a folder that you may write to with --keep-uploads.",
            ) from None


def free_port(host: str, port: int | None) -> int:
    """Return `port`, or the first free one from 8501 on. Raise ConfigError when there is none, or no such host."""
    wanted = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    problem = ""
    for number in wanted:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as tried:
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tried.bind(address)
                return number
        except OSError as error:
            problem = error.strerror or str(error)
    ports = f"port {port}" if port is not None else f"any port of {wanted[0]} to {wanted[-1]}"
    raise ConfigError(
        f"The app cannot listen on {host}, {ports}: {problem}.",
        next_step="Name another with --port, and an address of this machine with --host.",
    )


@contextmanager
def running(host: str, port: int, options: Options) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Run the server for the time of the block; yield its address, once it answers, and the process that guards it.

    The guard ends it when this process is gone, even if it was killed.
    """
    import photoqual.embedded

    guard = Path(photoqual.embedded.__file__).with_name("guard.py")
    told = options.model_dump(mode="json", exclude_none=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMLIT_", PREFIX))}
    environment |= {f"{PREFIX}{name.upper()}": str(value) for name, value in told.items()}
    command = [sys.executable, "-P", str(guard), sys.executable, "-m", "photoqual.app.server", host, str(port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    try:
        url = f"http://{_shown(host)}:{port}"
        _await(f"{url}/_stcore/health", process)
        yield url, process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104 - only compared with
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _await(health: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _STARTUP_SECONDS
    while True:
        try:
            urllib.request.urlopen(health, timeout=5).close()  # noqa: S310 - our own server
            return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise PhotoqualError("The app's server did not start.", next_step="See its messages above.") from None
            time.sleep(0.2)

"""Kill a process at every instant at which it is about to touch the disk, and look at what it leaves.

Run as a program, so that nothing but what is under test lives in the process that forks.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator

_TOUCHING = ("open", "os.", "shutil.", "fcntl.", "sqlite3.")


def killed(act: Callable[[], object], instant: int) -> bool:
    """Call `act` in a process that is killed just before its `instant`-th touch of the disk; tell whether it was."""
    child = os.fork()
    if child == 0:
        try:
            _arm(instant)
            act()
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, status
    return False


def _arm(instant: int) -> None:
    left = instant

    def touched(event: str, _: object) -> None:
        nonlocal left
        if event.startswith(_TOUCHING):
            left -= 1
            if left < 0:
                signal.raise_signal(signal.SIGKILL)

    sys.addaudithook(touched)


def instants(prepare: Callable[[], object], act: Callable[[], object], step: int = 1) -> Iterator[int]:
    """Yield each instant (every `step`-th) after `act` was killed at it on what `prepare` had made; end when it survives."""
    instant = 0
    while True:
        prepare()
        if not killed(act, instant):
            return
        yield instant
        instant += step

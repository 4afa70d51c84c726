"""Progress on a terminal: how many of how many, photos per second, time left."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

Advance = Callable[[bool], None]
"""Counts one photo; whether it took work, or was done before."""


@contextmanager
def shown(console: Console, count: Callable[[], int]) -> Iterator[Advance]:
    """Yield what counts a photo. Nothing is shown unless `console` is a terminal; `count` finds out how many there are
    in a thread of its own, and what it raises leaves that unknown.
    """
    if not console.is_terminal:
        yield lambda worked: None
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("rating", total=None, told="")
        counted: list[int] = []

        def find_out() -> None:
            with suppress(Exception):  # the run itself meets it, and tells
                counted.append(count())

        threading.Thread(target=find_out, daemon=True).start()
        began, worked_on, done = time.monotonic(), 0, 0

        def advance(worked: bool) -> None:
            nonlocal worked_on, done
            done, worked_on = done + 1, worked_on + worked
            total = max(counted[0], done) if counted else None
            told = told_of(done, worked_on, total, time.monotonic() - began)
            progress.update(task, completed=done, total=total, told=told)

        yield advance


def told_of(done: int, worked_on: int, total: int | None, seconds: float) -> str:
    """Return `1,200 of 5,000, 31.4 photos/s, 0:02:01 left`; what is not known yet is left out."""
    speed = worked_on / seconds if seconds > 0 else 0.0
    parts = [f"{done:,} of {total:,}" if total is not None else f"{done:,}"]
    if speed:
        parts.append(f"{speed:.1f} photos/s")
        if total is not None:
            parts.append(f"{timedelta(seconds=round((total - done) / speed))} left")
    return ", ".join(parts)

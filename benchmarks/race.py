"""Promotions that race on a real MLflow server with PostgreSQL: two processes judge two challengers at the same time.

Both challengers beat the champion by far. Each round starts from the same champion; each process is let go at the same
instant. Held against the journal and the aliases afterwards: every change of the champion builds on the one before it
and was judged against the champion of that moment, and the alias `champion` was never gone.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import yaml

from benchmarks.table import Row
from photoqual.config import Params, parse_params
from photoqual.errors import RegistryError
from photoqual.evaluation.evaluate import evaluate
from photoqual.layout import Layout
from photoqual.registry import journal
from photoqual.registry.promote import promote
from photoqual.registry.register import register
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected, version_of
from tests.model.registered import BLUE, RED, UNGUARDED, coloured_project, tiny_model
from tests.servers import mlflow_server, postgres

ROUNDS = 50
ALMOST_RED = (0.048, 0.004, 0.0)
CHALLENGERS = ("2", "3")


@dataclass
class Outcome:
    """What the rounds came to. `stale`: changes judged against a champion that was none any more; `none`: rounds that
    ended without a new champion, or moments without any; `both`: rounds in which both were promoted one after the other;
    `void`: promotions that came second and were judged anew.
    """

    rounds: int = 0
    stale: int = 0
    none: int = 0
    both: int = 0
    void: int = 0
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def rows(rounds: int = ROUNDS) -> list[Row]:
    """Run the race; return its rows."""
    found = race(rounds)
    seconds = sorted(found.seconds)[len(found.seconds) // 2]
    return [
        Row(
            f"{found.rounds} races of two promotions (MLflow server, PostgreSQL): judged against an old champion",
            "0",
            f"{found.stale}",
            found.stale == 0,
        ),
        Row(
            "the same: rounds or moments without a champion, or a run that failed",
            "0",
            f"{found.none + len(found.failures)}",
            not found.none and not found.failures,
        ),
        Row("the same: promotions that came second and were judged anew", "", f"{found.void}"),
        Row("the same: rounds in which both became champion, one after the other", "", f"{found.both}"),
        Row("the same: median time of a round", "", f"{seconds:.1f} s"),
    ]


def race(rounds: int) -> Outcome:
    """Prepare project, server and models, run the rounds, and hold the result against the journal."""
    with (
        tempfile.TemporaryDirectory(prefix="photoqual-race-") as scratch,
        postgres(Path(scratch, "pg")) as database,
        mlflow_server(Path(scratch, "mlflow"), database, workers=2) as address,
    ):
        os.environ |= {"MLFLOW_TRACKING_URI": address, "XDG_CACHE_HOME": str(Path(scratch, "cache"))}
        layout, params = coloured_project(Path(scratch, "project")), _params()
        for weights in (BLUE, RED, ALMOST_RED):
            tiny_model(layout.challenger, weights)
            evaluate(layout, params)
            register(layout, params, revision="a" * 40)
        with _runners(layout.root) as run:
            return _rounds(layout, rounds, run)


def _params() -> Params:
    values = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    for name, value in UNGUARDED.items():
        values["promote"]["guardrails"][name.rpartition(".")[2]] = value
    return parse_params(values)


def _rounds(layout: Layout, rounds: int, run: Callable[[], list[dict[str, Any]]]) -> Outcome:
    found = Outcome()
    with connected(layout.root) as client, _watched(layout) as missing:
        for _ in range(rounds):
            client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")
            head, _ = journal.settled(client)
            started = time.monotonic()
            verdicts = run()
            found.seconds.append(time.monotonic() - started)
            found.rounds += 1
            found.failures += [verdict["failed"] for verdict in verdicts if "failed" in verdict]
            _hold_against_journal(found, journal.entries(client), head.number if head else 0)
            champion = version_of(client, CHAMPION)
            found.none += champion is None or str(champion.version) not in CHALLENGERS
        found.none += len(missing)
    return found


def _hold_against_journal(found: Outcome, written: list[journal.Entry], since: int) -> None:
    """Count what is wrong with the changes after entry `since`."""
    verdicts = {entry.number: entry for entry in written}
    champion = verdicts[since].champion
    promoted = [entry for entry in written if entry.number > since and entry.event == journal.PROMOTED]
    valid = [entry for entry in promoted if entry.valid]
    for entry in valid:
        judged_against = verdicts[entry.facts["verdict"]].champion
        found.stale += entry.replaced != champion or judged_against != champion
        champion = entry.champion
    found.void += len(promoted) - len(valid)
    found.both += len(valid) == len(CHALLENGERS)


@contextmanager
def _watched(layout: Layout) -> Iterator[list[float]]:
    """Look for the alias all the time; yield the moments at which it was gone."""
    missing: list[float] = []
    context = multiprocessing.get_context("spawn")
    gone = context.Queue()
    watcher = context.Process(target=_watch, args=(str(layout.root), gone), daemon=True)
    watcher.start()
    try:
        yield missing
    finally:
        watcher.terminate()
        watcher.join()
        while not gone.empty():
            missing.append(gone.get())


def _watch(root: str, gone: Any) -> None:
    with connected(Path(root)) as client:
        while version_of(client, CHAMPION) is None:
            time.sleep(0.1)
        while True:
            if version_of(client, CHAMPION) is None:
                gone.put(time.time())
            time.sleep(0.02)


@contextmanager
def _runners(root: Path) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Start a process for each challenger; yield a function that lets both promote at once and returns their verdicts."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(len(CHALLENGERS))
    pipes, processes = [], []
    for version in CHALLENGERS:
        ours, theirs = context.Pipe()
        process = context.Process(target=_runner, args=(str(root), version, theirs, barrier), daemon=True)
        process.start()
        pipes.append(ours)
        processes.append(process)

    def run() -> list[dict[str, Any]]:
        for pipe in pipes:
            pipe.send("go")
        return [json.loads(pipe.recv()) for pipe in pipes]

    try:
        yield run
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _runner(root: str, version: str, pipe: Any, barrier: Barrier) -> None:
    layout, params = Layout(Path(root)), _params()
    while pipe.recv() == "go":
        barrier.wait()
        try:
            verdict = promote(layout, params, version=version)
        except RegistryError as error:
            verdict = {"failed": f"{type(error).__name__}: {error.message}"}
        pipe.send(json.dumps(verdict))

"""The demo: three real DAG runs on demonstration photographs, from an empty project to a champion that is defended.

1. The site is scraped for the first time; what is learned from it becomes the first champion.
2. The site grows; the new photos trigger a training; the challenger is promoted, or refused with the reason.
3. A vandal poisons the votes; validation stops the run; branch `data` and the champion stay as they were.

Nothing here reaches into the platform: the site is changed through its own buttons, the DAGs are started through
Airflow's API, and the champion is asked through the command line, as a person would.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from rich.console import Console
from rich.table import Table

from photoqual.embedded.airflow import Airflow, free_ports, running
from photoqual.embedded.follow import Run, follow, triggered
from photoqual.embedded.home import Home, create, held
from photoqual.errors import PhotoqualError
from photoqual.pipeline.workspace import DATA, branch, summaries
from photoqual.sources.demo import DemoSite, unseen

REFRESH, RETRAIN, WATCH, RATE = "refresh_photos", "retrain", "watch_champion", "rate_gallery"


class DemoFailed(PhotoqualError):
    """Something in the demo did not go as it must."""


@dataclass(frozen=True)
class Result:
    """One row of the table at the end."""

    run: str
    photos: str
    auc: str
    verdict: str
    reason: str


def demo(project: Path, home: Home, console: Console) -> None:
    """Run the whole demo in `home`, which is made anew. Raise PhotoqualError when anything goes otherwise."""
    started = time.monotonic()
    with held(home):
        (port,) = free_ports(1)
        console.print(f"[bold]A workspace of its own[/] in {home.root}: git origin, DVC store, registry, Airflow")
        create(
            home, project, {"sources": {"demo": {"kind": "demo", "url": f"http://127.0.0.1:{port}"}}}, site_port=port
        )
        with DemoSite(port=port) as site:
            console.print(f"The demo site is at {site.url}. Airflow is starting …")
            with running(home, project / "dags") as airflow:
                airflow.start_dags([REFRESH, RETRAIN, WATCH, RATE])
                console.print(f"Airflow is at {airflow.url} (user admin, password {airflow.password})")
                story = Story(home, airflow, site.url, console)
                results = [story.first(), story.grown(), story.poisoned()]
            show(console, results)
            console.print("\n[bold]Three photos that no run has seen, rated by the champion[/]")
            rate_unseen(home, site)
    console.print(f"\nThe demo took {time.monotonic() - started:.0f} s. Look around in it: [bold]make up[/]")


@dataclass(frozen=True)
class Story:
    """The three acts. Each returns its row of the table."""

    home: Home
    airflow: Airflow
    site: str
    console: Console

    def first(self) -> Result:
        """Scrape the site for the first time and train the first champion."""
        self._heading("1. First refresh and training")
        refreshed, trained = self._refresh_and_retrain()
        result = self._trained("first", refreshed, trained)
        if result.verdict != "promoted":
            raise DemoFailed(f"The first challenger did not become champion: {result.reason}", next_step=self._look())
        return result

    def grown(self) -> Result:
        """Let the site grow; what is new triggers a training."""
        self._heading("2. The site grows; new photos trigger a training")
        press(self.site, "grow")
        return self._trained("grown", *self._refresh_and_retrain())

    def poisoned(self) -> Result:
        """Poison the votes; the run must stop at validation and leave everything as it was."""
        self._heading("3. A vandal gives every photo a hundred votes of five stars")
        data, champion = self.home.git("rev-parse", DATA), champion_of(self.home)
        before = self._runs_of_retrain()
        press(self.site, "poison")
        run = self._follow(REFRESH, self.airflow.trigger(REFRESH))
        self.console.print("  validate says:", style="red", end=" ")
        self.console.print(run.said, markup=False)
        if run.states.get("validate") != "failed":
            raise DemoFailed("Poisoned votes passed validation.", next_step=self._look())
        if self.home.git("rev-parse", DATA) != data or champion_of(self.home) != champion:
            raise DemoFailed("A refused run changed branch `data` or the champion.", next_step=self._look())
        if self._runs_of_retrain() != before:
            raise DemoFailed("A refused run triggered a training.", next_step=self._look())
        self.console.print(f"  branch data and champion (version {champion}) are as they were")
        photos = self._did("refresh", branch(run.name))["photos"]
        return Result("poisoned", f"{photos}", "", "stopped", f"validation refused the data: {_failed(run.said)}")

    def _refresh_and_retrain(self) -> tuple[Run, Run]:
        before = self._runs_of_retrain()
        refreshed = self._succeed(self._follow(REFRESH, self.airflow.trigger(REFRESH)))
        return refreshed, self._succeed(self._follow(RETRAIN, triggered(self.airflow, RETRAIN, before)))

    def _follow(self, dag_id: str, run_id: str) -> Run:
        self.console.print(f"[cyan]{dag_id}[/] [dim]{run_id}[/]")
        return follow(self.airflow, dag_id, run_id, self.console)

    def _succeed(self, run: Run) -> Run:
        if run.state != "success":
            raise DemoFailed(f"A run of {run.dag_id} failed: {run.said}", next_step=self._look())
        return run

    def _trained(self, name: str, refreshed: Run, trained: Run) -> Result:
        registered = self.airflow.result(RETRAIN, trained.run_id, "register")
        verdict = self.airflow.result(RETRAIN, trained.run_id, "promote")
        photos = self._did("refresh", DATA)
        auc = f"{registered['auc']:.3f} ({registered['auc_low']:.3f} to {registered['auc_high']:.3f})"
        self.console.print(
            f"  version {verdict['version']} is [bold]{verdict['decision']}[/]: {verdict['reason']}", highlight=False
        )
        return Result(name, f"{photos['photos']}", auc, verdict["decision"], verdict["reason"])

    def _did(self, stage: str, revision: str) -> dict[str, Any]:
        """Return what the newest run of a stage said it did, as the history of a revision tells."""
        return next(did for name, did in summaries(self.home.origin, revision) if name == stage)

    def _runs_of_retrain(self) -> set[str]:
        return {str(run["dag_run_id"]) for run in self.airflow.runs(RETRAIN)}

    def _heading(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/]")

    def _look(self) -> str:
        return f"See {self.home.logs / 'airflow.log'} and {self.home.airflow / 'logs'}."


def _failed(said: str) -> str:
    """Return the names of the failed expectations in what validation said."""
    return ", ".join(re.findall(r"\[(\w+)\]", said))


def press(site: str, button: str) -> None:
    """Press a button of the demo site's home page."""
    with urlopen(Request(f"{site}/{button}", method="POST"), timeout=30) as answer:  # noqa: S310 - our own loopback site
        answer.read()


def champion_of(home: Home) -> str:
    """Return the version that has the alias `champion`, as `photoqual history` tells."""
    told = _photoqual(home, "history", capture_output=True)
    return next(
        str(entry["version"]) for entry in json.loads(told.stdout)["versions"] if "champion" in entry["aliases"]
    )


def rate_unseen(home: Home, site: DemoSite) -> None:
    """Save three photos of the site's next edition as files and rate them with the champion."""
    folder = home.root / "unseen"
    folder.mkdir(exist_ok=True)
    paths = []
    for name, jpeg in unseen(site.edition):
        paths.append(folder / f"{name}.jpg")
        paths[-1].write_bytes(jpeg)
    _photoqual(home, "rate", *(str(path) for path in paths), "--format", "table")


def _photoqual(home: Home, *arguments: str, capture_output: bool = False) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "photoqual", *arguments],
        env=home.command_environment(),
        capture_output=capture_output,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DemoFailed(
            f"photoqual {arguments[0]} ended with code {done.returncode}. {done.stderr or ''}",
            next_step=f"See {home.logs}.",
        )
    return done


def show(console: Console, results: Sequence[Result]) -> None:
    """Print the table of runs."""
    table = Table(title="What the three runs did", title_justify="left")
    for name, style in (
        ("run", "bold"),
        ("photos", ""),
        ("AUC (95 % interval)", ""),
        ("verdict", "bold"),
        ("reason", ""),
    ):
        table.add_column(name, style=style, justify="right" if name == "photos" else "left", no_wrap=name != "reason")
    for row in results:
        table.add_row(row.run, row.photos, row.auc, row.verdict, row.reason)
    console.print()
    console.print(table)

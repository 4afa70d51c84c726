"""A promotion that a person has to approve, on Airflow's own scheduler: rejected once, approved once. Then the next
frozen test set, started from the form.

The tests tell one story in their order: bright photos are good and dark ones bad, which any model learns at once.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageEnhance
from rich.console import Console

from photoqual.embedded.airflow import Airflow, running
from photoqual.embedded.demo import REFRESH, RETRAIN
from photoqual.embedded.follow import Run, follow, triggered
from photoqual.embedded.home import Home, create, held
from photoqual.registry.history import events, history
from tests.conftest import scene

PHOTOS = 120
SIZE = (96, 64)
NEW = 300
"""Photos that come later; a fifth of all is frozen, so that the next set has the 50 that it needs."""
WAIT_SECONDS = 300
pytestmark = pytest.mark.timeout(900)


@dataclass
class Platform:
    home: Home
    airflow: Airflow
    photos: Path

    @property
    def registry(self) -> Path:
        return self.home.registry.parent

    def ends(self, dag_id: str, run_id: str) -> Run:
        return follow(self.airflow, dag_id, run_id, Console(file=StringIO()))

    def asks(self, run_id: str) -> dict[str, Any]:
        """Wait until a person is asked; return the question."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            run = self.airflow.run(RETRAIN, run_id)
            states = {task["task_id"]: task["state"] for task in self.airflow.tasks(RETRAIN, run_id)}
            if states.get("approve") == "awaiting_input":
                return self.airflow.send("GET", self._question(run_id))
            assert run["state"] not in ("failed", "success"), states
            time.sleep(1)
        raise AssertionError(f"nobody was asked: {states}")

    def answers(self, run_id: str, option: str, reason: str) -> None:
        """Answer, and once more whenever it is asked again: a busy scheduler may take an early answer for a crash of the
        task, and then it asks anew.
        """
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            time.sleep(5)  # as a person would
            states = {task["task_id"]: task["state"] for task in self.airflow.tasks(RETRAIN, run_id)}
            if states["approve"] in ("success", "skipped", "failed"):
                return
            if states["approve"] == "awaiting_input":
                self.airflow.send("PATCH", self._question(run_id), body)
        raise AssertionError(f"the answer was not taken: {states}")

    def pause(self, paused: bool) -> None:
        self.airflow.send("PATCH", f"/dags/{RETRAIN}", {"is_paused": paused})

    def _question(self, run_id: str) -> str:
        return f"/dags/{RETRAIN}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"


def make_photos(place: Path, start: int, count: int) -> None:
    for index in range(start, start + count):
        folder, light = ("good", 1.1) if index % 2 else ("bad", 0.4)
        (place / folder).mkdir(exist_ok=True)
        picture = ImageEnhance.Brightness(scene(index, SIZE)).enhance(light)
        picture.save(place / folder / f"{index:03d}.png")


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Platform]:
    photos = tmp_path_factory.mktemp("photos")
    make_photos(photos, 0, PHOTOS)
    overrides = {
        "sources": {"trip": {"kind": "folders", "path": str(photos), "good": ["good"], "bad": ["bad"]}},
        "labels.rule": "folders",
        "model.image_width": 64,
        "train.epochs": 6,
        "promote.require_approval": True,
        "promote.guardrails": {
            "max_calibration_error": 1.0,
            "max_rises": {"blurred": 1.0, "compressed": 1.0, "noisy": 1.0},
            "max_changes": {"flipped": 1.0, "cropped": 1.0},
        },
    }
    home, project = Home(tmp_path_factory.mktemp("home")), request.config.rootpath
    with held(home):
        create(home, project, overrides, site_port=0)
        with running(home, project / "dags") as airflow:
            airflow.start_dags([REFRESH, RETRAIN])
            yield Platform(home, airflow, photos)


def test_a_rejected_promotion_moves_nothing_and_keeps_the_reason(platform: Platform) -> None:
    refreshed = platform.ends(REFRESH, platform.airflow.trigger(REFRESH))
    assert refreshed.state == "success", refreshed.said
    run_id = triggered(platform.airflow, RETRAIN, set())
    question = platform.asks(run_id)
    assert "Promote version 1 of photoqual?" in question["subject"]
    assert "lower bound" in question["body"]
    assert history(platform.registry)[0]["decision"] == "awaiting_approval"
    platform.answers(run_id, "Reject", "the photos are all of one trip")
    run = platform.ends(RETRAIN, run_id)
    assert run.state == "success", run.said
    assert run.states["conclude"] == run.states["close"] == "success"
    assert run.states["approved"] == "skipped"
    (version,) = history(platform.registry)
    assert version["decision"] == "rejected"
    assert "Rejected by admin: the photos are all of one trip" in version["reason"].replace("Admin", "admin")
    assert version["aliases"] == ["challenger"]


def test_an_approved_promotion_is_carried_out_in_the_name_of_who_approved(platform: Platform) -> None:
    run_id = platform.airflow.trigger(RETRAIN, {"force": True})
    platform.asks(run_id)
    assert "champion" not in history(platform.registry)[0]["aliases"]
    platform.answers(run_id, "Approve", "looked at the report")
    run = platform.ends(RETRAIN, run_id)
    assert run.state == "success", run.said
    assert platform.airflow.result(RETRAIN, run_id, "conclude")["decision"] == "promoted"
    newest = history(platform.registry)[0]
    assert newest["decision"] == "promoted"
    assert {"champion", "challenger"} <= set(newest["aliases"])
    (promotion,) = (event for event in events(platform.registry) if event["event"] == "promoted")
    assert promotion["by"].lower() == "admin"


def test_the_next_frozen_set_by_the_form_and_a_verdict_that_asks_nobody(platform: Platform) -> None:
    platform.pause(True)
    make_photos(platform.photos, PHOTOS, NEW)
    refreshed = platform.ends(REFRESH, platform.airflow.trigger(REFRESH))
    assert refreshed.state == "success", refreshed.said
    run_id = platform.airflow.trigger(RETRAIN, {"freeze_next": True, "require_approval": False})
    platform.pause(False)
    run = platform.ends(RETRAIN, run_id)
    assert run.state == "success", run.said
    assert run.states["approve"] == run.states["conclude"] == "skipped"
    assert run.states["close"] == "success"
    (frozen,) = (event for event in events(platform.registry) if event["event"] == "frozen")
    assert 50 <= frozen["facts"]["photos"] <= NEW
    verdict = platform.airflow.result(RETRAIN, run_id, "promote")
    assert verdict["frozen_test_digest"] == frozen["facts"]["frozen_test_digest"] != frozen["facts"]["before"]
    assert verdict["numbers"]["look"] == 1
    assert verdict["numbers"]["champion_auc"] > 0.9

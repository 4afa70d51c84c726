"""The champion watched on a real registry in SQLite: new photos of its kind, darker ones, ones with other votes."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from photoqual.config import Params, PhotosParams, parse_params
from photoqual.errors import NoChampion
from photoqual.evaluation.evaluate import evaluate
from photoqual.labels.rules import label
from photoqual.labels.splits import write_frozen
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos.decode import working_copy
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from photoqual.pipeline.changes import retrain_due
from photoqual.registry import journal
from photoqual.registry.register import register
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected
from photoqual.registry.watch import watch
from photoqual.registry.watch_series import EXPERIMENT, earlier, last_alarm
from tests.conftest import NOW, PROJECT, encoded
from tests.model.registered import RED, tiny_model, write_lock

SHARD = "made/2026-11/00000.parquet"
TRAINED, FROZEN, NEW = 160, 120, 90
Row = dict[str, Any]


def photos_of(kind: str, start: int, count: int, *, darker: int = 0) -> tuple[list[Row], list[Row]]:
    """Return catalog rows and shard rows of photos of one colour each; good ones are redder."""
    draw = np.random.default_rng(start + 7)
    known, stored = [], []
    for place in range(count):
        good = place % 2
        colour = np.array([120 + 50 * good, 120, 120]) - darker + draw.normal(0, 20, 3)
        data = encoded(Image.new("RGB", (48, 32), tuple(int(value) for value in np.clip(colour, 0, 255))), "PNG")
        data += (start + place).to_bytes(2, "big")
        copy = working_copy(data, PhotosParams())
        row = {
            "photo_id": photo_id(data),
            "source": "made",
            "source_key": f"{kind}-{place:03d}",
            "group": f"{kind}-{place // 2}",
            "phash": "",
            "uploaded_at": NOW,
            "votes_count": 9,
            "votes_mean": 1.0 + 4 * good,
            "rating_min": 1.0,
            "rating_max": 5.0,
            "original_width": 48,
            "original_height": 32,
            "shard": SHARD,
            "row": start + place,
            "first_seen": NOW + timedelta(days=start // 100),
            "last_checked": NOW,
            "status": "ok",
        }
        known.append(row)
        stored.append(
            {key: row[key] for key in ("photo_id", "source", "source_key", "phash")}
            | {"image": {"bytes": copy.jpeg, "path": None}, "width": 48, "height": 32, "fetched_at": NOW}
        )
    return known, stored


@dataclass
class Watched:
    """A project with a registered model, and photos of several kinds that can come after its training."""

    layout: Layout
    params: Params
    kinds: dict[str, list[Row]]

    def has(self, *kinds: str, **changes: Any) -> None:
        """Let the catalog hold training, frozen and these new photos, the new ones with `changes`."""
        new = [{**row, **changes} for kind in kinds for row in self.kinds[kind]]
        rows = [*self.kinds["trained"], *self.kinds["frozen"], *new]
        frame = pa.Table.from_pylist(rows, schema=catalogs.SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)
        catalogs.write_catalog(self.layout.catalog, frame)
        label(self.layout, self.params)

    def watch(self) -> dict[str, Any]:
        return watch(self.layout, self.params, revision="d" * 40, run_id="watch_champion.test")

    def findings(self, summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {finding["name"]: finding for finding in summary["findings"]}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    patch = pytest.MonkeyPatch()
    root = tmp_path_factory.mktemp("watched")
    patch.delenv("MLFLOW_TRACKING_URI", raising=False)
    patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
    layout = Layout(root / "project")
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values["labels"]["exclude_categories"] = []
    values["evaluate"]["grid_photos"] = 1
    kinds: dict[str, list[Row]] = {}
    stored: list[Row] = []
    for kind, start, count, darker in (
        ("trained", 0, TRAINED, 0),
        ("frozen", 200, FROZEN, 0),
        ("alike", 400, NEW, 0),
        ("darker", 600, NEW, 70),
    ):
        kinds[kind], more = photos_of(kind, start, count, darker=darker)
        first = len(stored)
        stored += more
        for place, row in enumerate(kinds[kind]):
            row["row"] = first + place
    write_shard(layout.photos / SHARD, stored)
    frozen = pd.DataFrame(kinds["frozen"]).assign(width=48, height=32, category=None, good=np.arange(FROZEN) % 2)
    write_frozen(layout.frozen_test, frozen.assign(stars=1.0 + 4 * frozen["good"]))
    made = Watched(layout, parse_params(values), kinds)
    made.has()
    write_lock(layout)
    lock = yaml.safe_load(layout.lock.read_text())
    for out in lock["stages"]["refresh"]["outs"]:
        if (layout.root / out["path"]).is_file():
            data = (layout.root / out["path"]).read_bytes()
            out["md5"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    layout.lock.write_text(yaml.safe_dump(lock))
    yield made
    patch.undo()
    assert "MLFLOW_TRACKING_URI" not in os.environ


def test_without_a_champion_there_is_nothing_to_watch_and_a_training_is_due(watched: Watched) -> None:
    with pytest.raises(NoChampion):
        watched.watch()
    assert retrain_due(watched.layout, watched.params)["reasons"] == ["There is no champion yet."]
    trained = [row["photo_id"] for row in watched.kinds["trained"]]
    tiny_model(watched.layout.challenger, RED, bias=-7.25, trained_on=trained)
    evaluate(watched.layout, watched.params)
    register(watched.layout, watched.params, revision="a" * 40)
    with pytest.raises(NoChampion):
        watched.watch()
    with connected(watched.layout.root) as client:
        client.set_registered_model_alias(MODEL_NAME, CHAMPION, "1")


def test_too_few_new_photos_are_counted_and_raise_no_alarm(watched: Watched) -> None:
    watched.has()
    found = watched.watch()
    assert (found["outcome"], found["photos"]["new"], found["findings"]) == ("too_few", 0, [])
    assert "0 of 50" in found["text"]
    assert "Too few" in (watched.layout.watch / "index.html").read_text()


def test_new_photos_of_the_same_kind_are_quiet(watched: Watched) -> None:
    watched.has("alike")
    found = watched.watch()
    assert (found["outcome"], found["version"]) == ("quiet", "1")
    counts = found["photos"]
    assert (counts["new"], counts["looked_at"], counts["unseen_groups"]) == (NEW, NEW, NEW)
    assert (counts["good"], counts["training"], counts["frozen"]) == (NEW // 2, TRAINED, FROZEN)
    assert found["frozen_test_of_version"]
    metrics = found["metrics"]
    assert found["judged_on"] == "unseen groups"
    assert metrics["auc"] == metrics["auc_all"]
    assert metrics["auc_low"] < metrics["auc"] < metrics["auc_high"]
    assert metrics["auc_loss"] == pytest.approx(metrics["frozen_auc"] - metrics["auc"])
    assert json.loads((watched.layout.watch / "summary.json").read_text())["metrics"] == metrics


def test_darker_photos_raise_an_alarm_that_makes_a_training_due(watched: Watched) -> None:
    watched.has("darker")
    found = watched.watch()
    crossed = {name for name, finding in watched.findings(found).items() if finding["crossed"]}
    assert found["outcome"] == "alarm"
    assert {"psi.brightness", "psi.score", "two_sample_auc"} <= crossed
    assert "auc_loss" not in crossed  # darkness does not change the order
    page = (watched.layout.watch / "index.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 12
    assert page.count("data:image/png;base64,") == 3
    assert "<script" not in page
    with connected(watched.layout.root) as client:
        alarm = last_alarm(client, "1")
    assert alarm is not None
    assert set(alarm.crossed) == crossed


def test_votes_that_turned_raise_an_alarm_about_the_auc(watched: Watched) -> None:
    watched.has("alike", votes_mean=1.0)
    for place, row in enumerate(watched.kinds["alike"]):
        row["votes_mean"] = 5.0 - 4 * (place % 2)
    watched.has("alike")
    found = watched.watch()
    loss = watched.findings(found)["auc_loss"]
    assert loss["crossed"]
    assert 0.5 < loss["low"] < loss["value"] < 1
    assert {name for name, finding in watched.findings(found).items() if finding["crossed"]} == {"auc_loss"}
    for place, row in enumerate(watched.kinds["alike"]):
        row["votes_mean"] = 1.0 + 4 * (place % 2)


def test_the_series_is_kept_with_steps_and_tags(watched: Watched) -> None:
    with connected(watched.layout.root) as client:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])
        history = client.get_metric_history(runs[0].info.run_id, "psi.brightness")
        files = {item.path for item in client.list_artifacts(runs[0].info.run_id, "watch")}
        series = earlier(client, "1")
    assert [run.data.tags["outcome"] for run in runs] == ["alarm", "alarm", "quiet", "too_few"]
    assert [run.data.tags["alarm"] for run in runs] == ["true", "true", "false", "false"]
    assert {run.data.tags["revision"] for run in runs} == {"d" * 40}
    assert [point.step for point in history] == [2, 3, 4]
    assert [point.value for point in history] == [point.metrics["psi.brightness"] for point in series[1:]]
    assert files == {"watch/index.html", "watch/summary.json"}
    assert "auc" not in runs[-1].data.metrics


def test_photos_alike_to_known_ones_are_left_out_where_they_would_flatter(watched: Watched) -> None:
    kept = [dict(row) for row in watched.kinds["alike"]]
    for place, row in enumerate(watched.kinds["alike"]):
        row["group"] = f"frozen-{place}" if place < 20 else f"trained-{place % 40}" if place < 50 else row["group"]
        row["votes_mean"] = 3.0 if place >= 80 else row["votes_mean"]
    watched.has("alike")
    found = watched.watch()
    watched.kinds["alike"] = kept
    counts = found["photos"]
    assert (found["judged_on"], "auc" in found["metrics"], "auc_all" in found["metrics"]) == ("all", False, True)
    assert counts["left_out_alike_to_frozen"] == 20
    assert counts["left_out_without_label"] == NEW - 80
    assert (counts["new"], counts["unseen_groups"]) == (60, 30)


def test_an_alarm_lasts_until_a_watch_is_quiet(watched: Watched) -> None:
    watched.has("darker")
    assert watched.watch()["outcome"] == "alarm"
    with connected(watched.layout.root) as client:
        assert last_alarm(client, "1") is not None
        assert last_alarm(client, "2") is None
    watched.has()
    assert watched.watch()["outcome"] == "too_few"
    with connected(watched.layout.root) as client:
        assert last_alarm(client, "1") is not None  # too few photos take nothing back
    watched.has("alike")
    assert watched.watch()["outcome"] == "quiet"
    with connected(watched.layout.root) as client:
        assert last_alarm(client, "1") is None


def test_an_alarm_is_over_once_its_version_is_promoted_anew(watched: Watched) -> None:
    watched.has("darker")
    assert watched.watch()["outcome"] == "alarm"
    time.sleep(1.1)  # instants are kept to the second
    with connected(watched.layout.root) as client:
        assert last_alarm(client, "1") is not None
        version = client.get_model_version(MODEL_NAME, "1")
        head = journal.head_of(journal.entries(client))
        journal.change(client, journal.PROMOTED, version=version, replaced=None, head=head, reason="judged anew")
        assert last_alarm(client, "1") is None

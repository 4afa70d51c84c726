"""The series of watches in MLflow: experiment `photoqual-watch`, one run a watch.

Each run also carries the points of the champion's earlier watches, step by step, so that MLflow draws the whole line
when the newest run is opened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from photoqual.registry import journal
from photoqual.registry.store import experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "photoqual-watch"
KEPT_POINTS = 200
"""Earlier watches whose points a run carries."""
_BATCH = 1000
"""Metrics that MLflow takes at once."""


@dataclass(frozen=True)
class Point:
    """One watch: when (ISO), its outcome, its numbers by name, and the names of what crossed its threshold."""

    at: str
    outcome: str
    metrics: Mapping[str, float]
    crossed: tuple[str, ...] = ()
    number: int = 0

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> Self:
        """Return the point of what a watch found."""
        crossed = tuple(finding["name"] for finding in summary["findings"] if finding["crossed"])
        metrics = {
            **summary["metrics"],
            "new_photos": float(summary["photos"]["new"]),
            "alarm": float(summary["outcome"] == "alarm"),
        }
        return cls(summary["at"], summary["outcome"], metrics, crossed)


def earlier(client: "MlflowClient", version: str) -> list[Point]:
    """Return the newest watches of a version, oldest first."""
    return [_point(run) for run in reversed(_runs(client, f"tags.version = '{version}'", KEPT_POINTS))]


def record(
    client: "MlflowClient", root: Path, summary: Mapping[str, Any], before: Sequence[Point], folder: Path
) -> str:
    """Keep a watch: numbers, tags, and the files of `folder`. Return the id of its run.

    A run that is killed on the way stays unfinished, and no reader counts it.
    """
    from mlflow.entities import Metric

    point = Point.of(summary)
    last = _runs(client, "", 1)
    number = (_point(last[0]).number if last else 0) + 1
    tags = {
        "version": summary["version"],
        "outcome": summary["outcome"],
        "alarm": str(summary["outcome"] == "alarm").lower(),
        "crossed": ",".join(point.crossed),
        "revision": summary["revision"],
        "at": point.at,
        "number": str(number),
        "mlflow.note.content": summary["text"][:5000],
        **({"run_id": str(summary["run_id"])} if summary["run_id"] else {}),
    }
    run = client.create_run(experiment_id(client, root, EXPERIMENT), run_name=f"watch {number}", tags=tags).info.run_id
    points = [
        Metric(name, value, _milliseconds(each.at), step)
        for each, step in [*((old, old.number) for old in before), (point, number)]
        for name, value in each.metrics.items()
        if name in point.metrics
    ]
    for start in range(0, len(points), _BATCH):
        client.log_batch(run, metrics=points[start : start + _BATCH])
    client.log_artifacts(run, str(folder), "watch")
    client.set_terminated(run)
    return str(run)


def last_alarm(client: "MlflowClient", version: str) -> Point | None:
    """Return the last watch of champion `version` if it raised an alarm and came after its promotion, else None.

    Watches with too few photos tell nothing and are passed over.
    """
    found = _runs(client, f"tags.version = '{version}' AND tags.outcome != 'too_few'", 1)
    if not found:
        return None
    point = _point(found[0])
    change = journal.head_of(journal.entries(client))
    since = change.at if change is not None and change.champion == version else ""
    newer = not since or datetime.fromisoformat(point.at) >= datetime.fromisoformat(since).replace(microsecond=0)
    return point if point.outcome == "alarm" and newer else None


def _runs(client: "MlflowClient", wanted: str, limit: int) -> "list[Run]":
    """Return the newest finished watches that fit, newest first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    condition = " AND ".join(part for part in ("attributes.status = 'FINISHED'", wanted) if part)
    return list(
        client.search_runs(
            [experiment.experiment_id], condition, max_results=limit, order_by=["attributes.start_time DESC"]
        )
    )


def _point(run: "Run") -> Point:
    tags = run.data.tags
    return Point(
        at=tags.get("at") or datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds"),
        outcome=tags.get("outcome", ""),
        metrics=dict(run.data.metrics),
        crossed=tuple(name for name in tags.get("crossed", "").split(",") if name),
        number=int(tags.get("number") or 0),
    )


def _milliseconds(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp() * 1000)

"""A search in MLflow: one parent run, and a child run per trial with its values and its AUC by epoch."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.registry.store import connected, experiment_id
from photoqual.selection import study as studies
from photoqual.selection.study import REASON, VALUES

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from optuna import Study
    from optuna.trial import FrozenTrial

EXPERIMENT = "photoqual-tune"
AUC = "validation_auc"
_PARENT_RUN, _PARENT, _TRIAL, _NAME = "mlflow_run", "mlflow.parentRunId", "trial", "mlflow.runName"
_URI = "MLFLOW_TRACKING_URI"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "failed": "FAILED"}
_PAGE = 1000


@contextmanager
def no_run_of_its_own() -> Iterator[None]:
    """Keep a training within the block from a run in MLflow: the child run of its trial tells the same."""
    address = os.environ.pop(_URI, None)
    try:
        yield
    finally:
        if address is not None:
            os.environ[_URI] = address


class Tracker:
    """Copies a study into the tracking store of the project in `root`: MLFLOW_TRACKING_URI, else its mlflow.db."""

    def __init__(self, root: Path, study: "Study") -> None:
        self._root = root
        self._study = study

    def sync(self, status: str = "RUNNING") -> None:
        """Give the parent run a status and write every trial that ended and is not there yet, so that what a killed search left out is caught up on.
        Raise RegistryError when the store cannot be reached.
        """
        with connected(self._root, create=True) as client:
            experiment = experiment_id(client, self._root, EXPERIMENT)
            parent = self._parent(client, experiment)
            there = self._there(client, experiment, parent)
            for trial in studies.trained(self._study):
                if str(trial.number) not in there:
                    _write(client, experiment, parent, trial)
            ranked = studies.complete(self._study)
            if ranked:
                client.log_metric(parent, f"best_{AUC}", float(ranked[0].value or 0), step=len(ranked))
            client.update_run(parent, status=status)

    def _parent(self, client: "MlflowClient", experiment: str) -> str:
        """Return the parent run of the study, made anew where the store does not have it."""
        named = self._study.user_attrs.get(_PARENT_RUN)
        if named and client.search_runs([experiment], f"attributes.run_id = '{named}'"):
            return str(named)
        run = client.create_run(experiment, run_name=f"tune {self._study.study_name}").info.run_id
        self._study.set_user_attr(_PARENT_RUN, run)
        return str(run)

    def _there(self, client: "MlflowClient", experiment: str, parent: str) -> set[str]:
        found: set[str] = set()
        token = None
        while True:
            page = client.search_runs([experiment], f"tags.{_PARENT} = '{parent}'", max_results=_PAGE, page_token=token)
            found |= {run.data.tags[_TRIAL] for run in page if run.info.status != "RUNNING"}
            token = page.token
            if not token:
                return found


def _write(client: "MlflowClient", experiment: str, parent: str, trial: "FrozenTrial") -> None:
    from mlflow.entities import Metric, Param

    started, ended = (
        int(moment.timestamp() * 1000) if moment else None for moment in (trial.datetime_start, trial.datetime_complete)
    )
    tags = {_PARENT: parent, _TRIAL: str(trial.number), "state": studies.state(trial)}
    if reason := trial.user_attrs.get(REASON):
        tags[REASON] = reason
    run = client.create_run(experiment, start_time=started, tags=tags, run_name=f"trial {trial.number}").info.run_id
    when = ended or started or 0
    metrics = [
        Metric(AUC, auc, when, epoch) for epoch, auc in sorted(trial.intermediate_values.items()) if math.isfinite(auc)
    ]
    if trial.value is not None and studies.state(trial) == "complete":
        metrics.append(Metric("objective", float(trial.value), when, 0))
    params = [Param(name, str(value)) for name, value in trial.user_attrs.get(VALUES, {}).items()]
    client.log_batch(run, metrics=metrics, params=params)
    client.set_terminated(run, _STATUS[studies.state(trial)], end_time=ended)

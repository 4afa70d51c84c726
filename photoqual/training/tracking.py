"""What a training tells while it runs: a bar or a line per epoch, a run of MLflow, event files of TensorBoard.

MLflow gets a run in experiment `photoqual-training` when `MLFLOW_TRACKING_URI` is set. A training that was killed goes
on in the same run. A registry that cannot be reached costs the run, with a warning, never the training.
"""

import importlib.util
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from photoqual.config import Params
from photoqual.settings import Settings
from photoqual.training.curve import Epoch

log = logging.getLogger(__name__)

EXPERIMENT = "photoqual-training"
_URI = "MLFLOW_TRACKING_URI"
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""How long a registry that does not answer is waited for; the environment may say otherwise."""


class Tracker:
    """Tells MLflow and TensorBoard of each epoch; `run_id` is MLflow's name of the run, None without one."""

    def __init__(self, params: Params, name: str) -> None:
        self.run_id: str | None = None
        self._params, self._name = params, name
        self._connected = False
        self._client: Any = None
        self._system: Any = None
        self._events: Any = None

    def start(self, run_id: str | None = None) -> None:
        """Begin, or go on with the run `run_id`."""
        self._events = _event_writer(self._name)
        if uri := os.environ.get(_URI):
            self._connected = True
            self._attempt(lambda: self._open(uri, run_id))

    def epoch(self, row: Epoch) -> None:
        """Log the figures of one epoch as metrics, with the epoch as step."""
        figures = {name: float(value) for name, value in asdict(row).items() if name != "epoch"}
        if self._events is not None:
            _write_scalars(self._events, figures, row.epoch)
        self._attempt(lambda: self._log(figures, row.epoch))

    def end(self, status: str) -> None:
        """Close the run with the `status` FINISHED or FAILED."""
        if self._events is not None:
            self._events.close()
        if self._system is not None:  # its thread ends even when MLflow is left alone by now
            try:
                self._system.finish()
            except Exception as error:
                log.warning("System metrics were not ended: %s", _first_line(error))
        self._attempt(lambda: self._client.set_terminated(self.run_id, status))

    def _open(self, uri: str, run_id: str | None) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        client = MlflowClient(uri)
        if run_id is not None:
            try:
                client.update_run(run_id, status="RUNNING")
                self.run_id = run_id
            except MlflowException as error:
                log.warning("Run %s cannot be resumed (%s); a new one is begun.", run_id, _first_line(error))
        if self.run_id is None:
            self.run_id = self._create(client)
        self._client = client
        if importlib.util.find_spec("psutil") is not None:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
            self._system = SystemMetricsMonitor(self.run_id, resume_logging=run_id is not None, tracking_uri=uri)
            self._system.start()

    def _create(self, client: Any) -> str:
        from mlflow.entities import Param

        known = client.get_experiment_by_name(EXPERIMENT)
        experiment = known.experiment_id if known is not None else client.create_experiment(EXPERIMENT)
        tags = {"checkpoint": self._name, "run_id": Settings().run_id or ""}
        run = client.create_run(experiment, run_name=f"{self._params.model.kind} {self._name[:8]}", tags=tags)
        flat = _flat({"model": self._params.model.model_dump(), "train": self._params.train.model_dump()})
        client.log_batch(run.info.run_id, params=[Param(name, str(value)) for name, value in flat.items()])
        return str(run.info.run_id)

    def _log(self, figures: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(self.run_id, metrics=[Metric(name, value, 0, step) for name, value in figures.items()])

    def _attempt(self, call: Callable[[], Any]) -> None:
        """Call MLflow; after its first failure it is left alone."""
        if not self._connected:
            return
        try:
            call()
        except Exception as error:  # MLflow lets errors of requests, SQLAlchemy and its own pass
            log.warning("MLflow is not told of this training any more: %s", _first_line(error))
            self._connected = False


@contextmanager
def tracked(params: Params, name: str) -> Iterator[Tracker]:
    """Yield a tracker for the training `name`, to be started once it is known whether a run goes on."""
    before = {key: os.environ.get(key) for key in _PATIENCE}
    os.environ.update({key: value for key, value in _PATIENCE.items() if before[key] is None})
    tracker = Tracker(params, name)
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    finally:
        tracker.end(status)
        for key, value in before.items():
            if value is None:
                del os.environ[key]


@contextmanager
def progress(title: str, done: int, steps: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each batch: on a terminal it moves a bar with the time left of the training, whose
    `done` of `steps` batches are behind it; elsewhere it does nothing.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=steps, completed=done)
        yield lambda: bar.advance(task)


def _event_writer(name: str) -> Any:
    folder = Settings().tensorboard
    if folder is None or folder == Path():
        return None
    try:
        import tensorflow as tf
    except ImportError:
        log.warning("PHOTOQUAL_TENSORBOARD is set, but its event files are written by TensorFlow, which is not here.")
        return None
    return tf.summary.create_file_writer(str(folder.expanduser() / name[:20]))


def _write_scalars(events: Any, figures: dict[str, float], step: int) -> None:
    """Write points of scalars by hand: TensorFlow's own call wants the package tensorboard here as well."""
    import tensorflow as tf

    kind = tf.compat.v1.SummaryMetadata(
        plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
        data_class=1,  # a scalar
    )
    with events.as_default(step=step):
        for name, value in figures.items():
            tf.summary.write(name, tf.constant(value, tf.float32), metadata=kind)
    events.flush()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _first_line(error: Exception) -> str:
    """Return the start of a message, without the user and password that an address in it may hold."""
    return re.sub(
        r"//[^/@\s]+@", "//***@", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    )

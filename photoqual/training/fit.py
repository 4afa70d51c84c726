"""The loop: batches → steps → epochs, with the best weights kept, and a checkpoint to go on from.

Everything that decides how a training goes on lies in a `State`, and everything random in it comes from (seed, epoch,
number of the batch) or from seed states among the variables of the model. So a training that is restored from any
checkpoint ends as it would have without the kill.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from photoqual.config import TrainParams
from photoqual.errors import TrainingError
from photoqual.models.keras_files import quiet_keras
from photoqual.training import devices, losses, optimizers
from photoqual.training.checkpoints import Checkpoints, Saved
from photoqual.training.curve import Epoch, moving_average
from photoqual.training.feed import Batch, dataset, stream
from photoqual.training.tracking import Tracker, progress

log = logging.getLogger(__name__)


Watch = Callable[[int, float], None]
"""Called with epoch and validation AUC after each epoch; it may raise to end the training there."""


@dataclass(frozen=True)
class Course:
    """What there is to train on.

    `plan`: epoch → the photos of each of its batches. `load`: (epoch, number of the batch, photos) → batch. `judge`:
    validation loss and AUC of the model as it is now. `photo_ids` names the photos in errors.
    """

    plan: Callable[[int], list[np.ndarray]]
    load: Callable[[int, int, np.ndarray], Batch]
    judge: Callable[[], tuple[float, float]]
    photo_ids: list[str]


@dataclass
class State:
    """How far a training has come: `batch` batches of epoch `epoch` are behind it, after `seconds` in that epoch."""

    epoch: int = 1
    batch: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    best: list[np.ndarray] = field(default_factory=list)
    run_id: str | None = None
    keep: Literal["auc", "loss"] = "auc"

    def best_epoch(self) -> Epoch:
        """Return the epoch with the best validation AUC; of equal ones, that with the lowest validation loss. Where
        `keep` is `loss`, that alone decides.
        """
        if self.keep == "loss":
            return min(self.epochs, key=lambda epoch: epoch.validation_loss)
        return max(self.epochs, key=lambda epoch: (epoch.validation_auc, -epoch.validation_loss))

    def finished(self, params: TrainParams) -> bool:
        """Tell whether all epochs are over, or none of the last `patience` was better than one before."""
        if not self.epochs:
            return False
        last = self.epochs[-1].epoch
        return last >= params.epochs or last - self.best_epoch().epoch >= params.patience


def learner(model: Any, params: TrainParams, steps: int, strategy: Any | None = None) -> Any:
    """Return `model` (inputs → {head: raw output}), ready to be trained for `steps` steps. It shares the weights."""
    keras = quiet_keras()
    of_heads = losses.losses_of(list(model.output), params)
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync

    base: Any = keras.Model

    class Learner(base):
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            penalties = sum(self.losses) if self.losses else 0.0
            return (losses.total(of_heads, y, y_pred, sample_weight) + penalties) / replicas

    with devices.scope(strategy):
        inputs = keras.Input(model.input_shape[1:])
        made = Learner(inputs, model(inputs))
        made.compile(
            optimizer=optimizers.make(params.optimizer, steps),
            jit_compile=False if devices.backend() == "tensorflow" else "auto",  # XLA compiles each shape anew
        )
        made.optimizer.build(made.trainable_variables)
    return made


def fit(
    model: Any,
    course: Course,
    params: TrainParams,
    store: Checkpoints,
    tracker: Tracker,
    strategy: Any | None = None,
    watch: Watch | None = None,
) -> State:
    """Train `model`, made by `learner`, until all epochs are over or patience is out; leave the best weights in it.

    Go on from the checkpoint in `store` when there is one that fits. Raise TrainingError when the loss or the
    validation is no longer finite; the checkpoint then holds the last good state.
    """
    state = _restore(model, store.read())
    state.keep = params.keep
    tracker.start(state.run_id)
    state.run_id = tracker.run_id
    steps = params.epochs * len(course.plan(1))
    saved_at = time.monotonic()
    while not state.finished(params):
        plan = course.plan(state.epoch)
        started = time.monotonic() - state.seconds
        with progress(f"epoch {state.epoch}/{params.epochs}", len(state.losses), steps) as advance:
            for loss in _steps(model, course, plan, state, strategy):
                if not np.isfinite(loss):
                    raise _not_finite(f"The loss became {loss}", state, course.photo_ids, plan, store)
                state.losses.append(loss)
                state.batch += 1
                advance()
                if time.monotonic() - saved_at >= params.checkpoint_seconds:
                    state.seconds = time.monotonic() - started
                    _save(model, state, store)
                    saved_at = time.monotonic()
        if not _finite(_values(model.weights)):
            raise _not_finite("Weights became no numbers", state, course.photo_ids, plan, store)
        validation_loss, auc = course.judge()
        if not (np.isfinite(validation_loss) and np.isfinite(auc)):
            raise _not_finite("Validation gives no numbers", state, course.photo_ids, plan, store)
        row = Epoch(
            state.epoch,
            float(np.mean(state.losses[-len(plan) :])),
            float(moving_average(state.losses)[-1]),
            validation_loss,
            auc,
            round(time.monotonic() - started, 2),
            float(optimizers.learning_rate(params.optimizer, steps, len(state.losses) - 1)),
        )
        state.epochs.append(row)
        if state.best_epoch() is row:
            state.best = _values(model.weights)
        log.info(
            "Epoch %d: loss %.4f, validation loss %.4f, validation AUC %.4f, %.1f s",
            row.epoch,
            row.loss,
            validation_loss,
            auc,
            row.seconds,
        )
        tracker.epoch(row)
        state.epoch, state.batch, state.seconds = state.epoch + 1, 0, 0.0
        _save(model, state, store)
        saved_at = time.monotonic()
        if watch is not None:
            watch(row.epoch, row.validation_auc)
    _assign(model.weights, state.best)
    return state


def _steps(model: Any, course: Course, plan: list[np.ndarray], state: State, strategy: Any | None) -> Iterator[float]:
    """Train on the batches of `plan` that are not behind `state` yet; yield the loss of each."""
    epoch, first = state.epoch, state.batch
    if strategy is None:
        for batch in stream(lambda number: course.load(epoch, number, plan[number]), first, len(plan)):
            yield float(model.train_on_batch(batch.inputs, batch.targets, batch.weights, return_dict=True)["loss"])
        return
    replicas = strategy.num_replicas_in_sync
    even = [np.resize(indices, -(-len(indices) // replicas) * replicas) for indices in plan]  # a part for each device
    units = {head: output.shape[-1] for head, output in model.output.items()}
    batches = dataset(
        lambda number: course.load(epoch, number, even[number]),
        first,
        len(plan),
        units,
        shape=(None, *model.input_shape[1:]),
    )
    model.make_train_function()
    iterator = iter(strategy.experimental_distribute_dataset(batches))
    for _ in range(first, len(plan)):
        model.reset_metrics()  # the loss is a mean since the last reset
        yield float(model.train_function(iterator)["loss"])


def _save(model: Any, state: State, store: Checkpoints) -> None:
    """Write the checkpoint, unless a weight is no longer finite: the last good one then stays."""
    parts = {
        "model": _values(model.variables),
        "optimizer": _values(model.optimizer.variables),
        "best": state.best,
    }
    if not _finite(parts["model"]):
        return
    arrays = {f"{part}/{place:05d}": value for part, values in parts.items() for place, value in enumerate(values)}
    told = {
        "epoch": state.epoch,
        "batch": state.batch,
        "seconds": state.seconds,
        "epochs": [asdict(epoch) for epoch in state.epochs],
        "run_id": state.run_id,
    }
    store.write(Saved({**arrays, "losses": np.asarray(state.losses, dtype=float)}, told))


def _restore(model: Any, saved: Saved | None) -> State:
    """Return the state that `saved` holds, with model and optimizer set to it; a new one when there is none."""
    if saved is None:
        return State()
    parts: dict[str, list[np.ndarray]] = {
        part: [saved.arrays[name] for name in sorted(saved.arrays) if name.startswith(f"{part}/")]
        for part in ("model", "optimizer", "best")
    }
    told = saved.state
    fits = [_fits(model.variables, parts["model"]), _fits(model.optimizer.variables, parts["optimizer"])]
    if not all(fits) or (told["epochs"] and not _fits(model.weights, parts["best"])):
        log.warning("The checkpoint holds other weights than this model has and is ignored: training starts anew.")
        return State()
    _assign(model.variables, parts["model"])
    _assign(model.optimizer.variables, parts["optimizer"])
    log.info("Going on from a checkpoint: epoch %d, after %d batches of it", told["epoch"], told["batch"])
    return State(
        told["epoch"],
        told["batch"],
        told["seconds"],
        saved.arrays["losses"].tolist(),
        [Epoch(**epoch) for epoch in told["epochs"]],
        parts["best"],
        told["run_id"],
    )


def _values(variables: list[Any]) -> list[np.ndarray]:
    convert = quiet_keras().ops.convert_to_numpy
    return [np.array(convert(variable)) for variable in variables]


def _finite(values: list[np.ndarray]) -> bool:
    return all(bool(np.isfinite(value).all()) for value in values)


def _fits(variables: list[Any], values: list[np.ndarray]) -> bool:
    return [tuple(variable.shape) for variable in variables] == [value.shape for value in values]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _not_finite(
    what: str, state: State, photo_ids: list[str], plan: list[np.ndarray], store: Checkpoints
) -> TrainingError:
    """Return the error. Found in a batch it carries its photos; found when the epoch was over, no photo is to blame."""
    during = state.batch < len(plan)
    where = f", batch {state.batch + 1}" if during else ", seen at its end"
    best = ""
    if state.epochs:
        kept = state.best_epoch()
        best = f" The best weights so far (epoch {kept.epoch}, validation AUC {kept.validation_auc:.4f}) are in {store.path}."
    return TrainingError(
        f"{what} in epoch {state.epoch}{where}.{best}",
        next_step="Lower train.optimizer.learning_rate, or set train.optimizer.clip_norm.",
        photo_ids=[photo_ids[int(index)] for index in plan[state.batch]] if during else [],
    )

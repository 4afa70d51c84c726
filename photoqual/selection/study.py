"""The study behind a search: Optuna's record of every trial, kept in one SQLite file, so that a search goes on."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photoqual.errors import TrainingError
from photoqual.selection.search import Search

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

VALUES, REASON, PRESENT, REPEATS = "values", "reason", "present", "repeats"
"""What a trial carries: its values by dotted name, why it ended early, whether it is the present params, and the trial
that it only repeats."""
KILLED, OUT_OF_TIME = "the search was killed", "out of time"
_HALVING = 3


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process alone. Raise TrainingError when another search holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TrainingError(
                f"Another search is at work in {folder}.", next_step="Wait for it, or name another folder with --out."
            ) from None
        yield


def open_study(path: Path, name: str, search: Search, seed: int) -> "Study":
    """Return the study `name` in the SQLite file `path`, made on first use. Trials that a killed search left behind are
    ended; they, and those that the budget stopped, wait to go on. Raise TrainingError when the file cannot be used.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
        study = optuna.create_study(
            storage=storage, study_name=name, direction="maximize", load_if_exists=True, pruner=_pruner(search)
        )
    except (SQLAlchemyError, RuntimeError) as error:
        raise TrainingError(
            f"{path} is not a study that can be used: {str(error).strip().splitlines()[0]}.",
            next_step="Move it away; the search starts anew.",
        ) from None
    # The seed moves on with the trials: a sampler that began at the same place again would repeat its first draws.
    study.sampler = optuna.samplers.TPESampler(
        seed=seed + len(study.get_trials(deepcopy=False)), n_startup_trials=search.startup_trials
    )
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        storage.set_trial_user_attr(trial._trial_id, REASON, KILLED)
        study.tell(trial.number, state=optuna.trial.TrialState.PRUNED)
        log.info("Trial %d was left behind by a search that was killed", trial.number)
    for trial in trained(study):
        values = trial.user_attrs.get(VALUES)
        if state(trial) == "stopped" and trial.params and not (with_values(study, values) or waits(study, values)):
            study.enqueue_trial(trial.params, user_attrs={VALUES: values})
    return study


def _pruner(search: Search) -> "BasePruner":
    from optuna import pruners

    if search.pruner == "halving":
        return pruners.SuccessiveHalvingPruner(max(1, search.warmup_epochs), _HALVING)
    if search.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=search.startup_trials, n_warmup_steps=search.warmup_epochs)
    return pruners.NopPruner()


def trained(study: "Study") -> "list[FrozenTrial]":
    """Return the trials that ended, without those that only repeat another one."""
    return [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and REPEATS not in trial.user_attrs
    ]


def complete(study: "Study") -> "list[FrozenTrial]":
    """Return the complete trials, best first; of equal ones the earlier first."""
    from optuna.trial import TrialState

    ended = [trial for trial in trained(study) if trial.state is TrialState.COMPLETE]
    return sorted(ended, key=lambda trial: (-float(trial.value or 0), trial.number))


def with_values(study: "Study", values: dict[str, Any]) -> "FrozenTrial | None":
    """Return the complete or pruned trial of exactly these values, None when there is none."""
    return next(
        (
            trial
            for trial in trained(study)
            if trial.user_attrs.get(VALUES) == values and state(trial) in {"complete", "pruned"}
        ),
        None,
    )


def waits(study: "Study", values: dict[str, Any]) -> bool:
    """Tell whether a trial of exactly these values waits for its turn."""
    from optuna.trial import TrialState

    waiting = study.get_trials(deepcopy=False, states=[TrialState.WAITING])
    return any(trial.user_attrs.get(VALUES) == values for trial in waiting)


def state(trial: "FrozenTrial") -> str:
    """Return `complete`, `pruned`, `failed` or, for a trial that a kill or the budget ended, `stopped`."""
    from optuna.trial import TrialState

    if trial.state is TrialState.COMPLETE:
        return "complete"
    if trial.state is TrialState.FAIL:
        return "failed"
    return "stopped" if trial.user_attrs.get(REASON) else "pruned"

"""`photoqual tune`: a search for better params, on a budget of minutes.

The objective is the AUC on the validation photos; the frozen test set is never read for it. The best of many trials
is a little lucky on the photos that chose it: `photoqual promote` judges on frozen ones.
"""

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photoqual import files
from photoqual.config import Params, load_params
from photoqual.errors import ConfigError, TrainingError
from photoqual.layout import Layout
from photoqual.models.keras_files import quiet_keras
from photoqual.selection import study as studies
from photoqual.selection.params_diff import differing, rewritten, unified_diff
from photoqual.selection.scratch import (
    OF_ALL,
    ScratchLayout,
    changed,
    present,
    read_splits,
    reason_of,
)
from photoqual.selection.search import KIND, SHIPPED, Space, read_search, spaces, suggest
from photoqual.selection.study import OUT_OF_TIME, PRESENT, REASON, REPEATS, VALUES
from photoqual.selection.tracking import Tracker, no_run_of_its_own
from photoqual.selection.tune_table import as_text, counts, write_trials
from photoqual.training.identity import digest, training_digest, training_inputs, weights_digest

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_FAILURES_IN_A_ROW = 5
_REPEATS_IN_A_ROW = 20
_WEIGHTS = {"model.backbone.name", "model.backbone.weights"}
_CHECKPOINTS = "tune-"
"""How the names of its checkpoints begin, so that those of `photoqual train` stay its own."""


class Stopped(Exception):
    """A trial is ended at the end of an epoch; `reason` is empty when it was pruned."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason or "pruned")


@dataclass(frozen=True)
class Tuned:
    """What a search found: the best complete trial's values that differ from params, and the diff of params.yaml."""

    best: float | None
    present: float | None
    changes: dict[str, Any]
    diff: str
    counts: dict[str, int]
    table: str


def tune(
    layout: Layout,
    *,
    minutes: float,
    trials: int | None = None,
    seeds: int = 1,
    kinds: Sequence[str] = (),
    search: Path | None = None,
    apply: bool = False,
    out: Path | None = None,
) -> Tuned:
    """Search for `minutes`, for at most `trials` trials, and write study.db, trials.csv and params.diff into `out`
    (default: reports/tune); with `apply`, the winner goes into params.yaml.

    The first trial is params.yaml as it is. A search of the same data, code, search file and params (but for those that
    are searched) goes on where the last one ended. `seeds`: trainings per trial, whose mean counts; the first one is
    pruned. `kinds`: default, `model.kind` of params.yaml. A trial that runs over the budget is stopped at the end of
    its epoch, and the next call goes on with it from its checkpoint.

    Raise ConfigError for a search file or a params.yaml that does not fit, TrainingError when trials keep failing,
    MissingData, TooFewPhotos or FrozenTestLeak when the data let no model be trained.
    """
    params = load_params(layout.params)
    text = layout.params.read_text(encoding="utf-8")
    path = search or SHIPPED
    searched = read_search(path)
    by_kind = spaces(searched, list(dict.fromkeys(kinds or [params.model.kind])), params, str(path))
    read_splits(layout)
    out = out or layout.root / "reports/tune"
    keys = [KIND, *dict.fromkeys(name for space in by_kind.values() for name in space)]
    name = digest(
        [_fixed(layout, params, keys, list(by_kind)), searched.model_dump(mode="json"), list(by_kind), seeds]
    )[:16]

    with studies.alone(out):
        study = studies.open_study(out / "study.db", name, searched, params.train.seed)
        log.info("Study %s, %d trials so far", name, len(studies.trained(study)))
        tracker = Tracker(layout.root, study)
        tracker.sync()
        now = {name: present(params, name) for name in keys}
        if studies.with_values(study, now) is None and not studies.waits(study, now):
            study.enqueue_trial({}, user_attrs={PRESENT: True, VALUES: now})
        bench = _Bench(layout, params, out / "scratch", seeds, time.monotonic() + 60 * minutes)
        _search(study, by_kind, now, bench, trials, tracker)
        tracker.sync("FINISHED")
        shutil.rmtree(out / "scratch", ignore_errors=True)

        ranked = studies.complete(study)
        best = ranked[0] if ranked else None
        changes = differing(params, best.user_attrs[VALUES]) if best else {}
        new = rewritten(text, changes) if changes else text
        diff = unified_diff(text, new)
        files.write_bytes(out / "params.diff", diff.encode())
        write_trials(out / "trials.csv", study)
        if apply and changes:
            _apply(layout.params, text, new, out / "params.diff")
        start = next((trial for trial in ranked if trial.user_attrs[VALUES] == now), None)
        return Tuned(
            best.value if best else None,
            start.value if start else None,
            changes,
            diff,
            counts(study),
            as_text(study),
        )


def _fixed(layout: Layout, params: Params, keys: Sequence[str], kinds: Sequence[str]) -> dict[str, Any]:
    """Return the inputs of every trial of a study: those of a training without what is searched. The content of the
    pretrained weights is one of them unless they are searched themselves.
    """
    inputs = training_inputs(layout, params)
    pretrained = "transfer" in kinds and not _WEIGHTS & set(keys)
    inputs["weights"] = weights_digest(params.model.backbone) if pretrained else None
    for key in keys:
        *path, last = key.split(".")
        section = inputs
        for part in path:
            section = section[part]
        section.pop(last, None)
    return inputs


@dataclass(frozen=True)
class _Bench:
    """Where and until when trials are trained; `deadline` is a reading of time.monotonic."""

    layout: Layout
    params: Params
    scratch: Path
    seeds: int
    deadline: float

    def auc(self, trial: "Trial", values: dict[str, Any]) -> float:
        """Return the mean validation AUC over the seeds. Raise Stopped when the trial is pruned or out of time."""
        return float(np.mean([self._trained(trial, values, index) for index in range(self.seeds)]))

    def _trained(self, trial: "Trial", values: dict[str, Any], index: int) -> float:
        from photoqual.training.checkpoints import Checkpoints, address
        from photoqual.training.train import train

        seed = self.params.train.seed + index
        params = changed(self.params, {**values, "train.seed": seed}, origin="A trial")
        layout = ScratchLayout(self.layout.root, into=self.scratch / digest({**values, "train.seed": seed})[:16])

        def watch(epoch: int, auc: float) -> None:
            if index == 0:
                trial.report(auc, epoch)
                if PRESENT not in trial.user_attrs and trial.should_prune():
                    raise Stopped()
            if time.monotonic() >= self.deadline and epoch < params.train.epochs:
                raise Stopped(OUT_OF_TIME)

        quiet_keras().utils.clear_session()
        try:
            with no_run_of_its_own():
                told = train(layout, params, watch=watch, checkpoints=_CHECKPOINTS)
        except Exception as error:
            if not (isinstance(error, Stopped) and error.reason):  # what the budget stopped goes on next time
                Checkpoints(address(), _CHECKPOINTS + training_digest(layout, params)).remove()
            raise
        shutil.rmtree(layout.into, ignore_errors=True)
        return float(told["validation_auc"])


def _search(
    study: "Study",
    by_kind: dict[str, Space],
    now: dict[str, Any],
    bench: _Bench,
    trials: int | None,
    tracker: Tracker,
) -> None:
    """Run trials until `trials` have been trained, the time is over, or nothing new is left to try. What a trial does
    not draw has the value of `now`, by dotted name of every key that is searched.
    """
    done = failures = repeats = 0
    while (trials is None or done < trials) and time.monotonic() < bench.deadline:
        trial = study.ask()
        drawn = {} if PRESENT in trial.user_attrs else suggest(trial, by_kind, bench.params)
        values = trial.user_attrs.get(VALUES) or {**now, **drawn}
        trial.set_user_attr(VALUES, values)
        known = studies.with_values(study, values)
        if known is not None:
            trial.set_user_attr(REPEATS, known.number)
            study.tell(trial, known.value if studies.state(known) == "complete" else None, state=known.state)
            repeats += 1
            if repeats >= _REPEATS_IN_A_ROW:
                log.info("The last %d trials were all known: nothing new is left to try", repeats)
                return
            continue
        repeats = 0
        ended = _run(study, trial, values, bench)
        done += 1
        tracker.sync()
        failures = failures + 1 if studies.state(ended) == "failed" else 0
        if failures >= _FAILURES_IN_A_ROW:
            raise TrainingError(
                f"The last {failures} trials failed, the last one: {ended.user_attrs[REASON]}",
                next_step="Mend what the reason names, or narrow the search file; the same command goes on.",
            )


def _run(study: "Study", trial: "Trial", values: dict[str, Any], bench: _Bench) -> "FrozenTrial":
    """Train one trial and write how it ended into the study."""
    from optuna.trial import TrialState

    shown = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in values.items())
    log.info("Trial %d: %s", trial.number, shown)
    try:
        auc = bench.auc(trial, values)
    except Stopped as stop:
        if stop.reason:
            trial.set_user_attr(REASON, stop.reason)
        ended = study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        trial.set_user_attr(REASON, reason_of(error))
        ended = study.tell(trial, state=TrialState.FAIL)
        log.debug("What was raised:", exc_info=True)
        if isinstance(error, OF_ALL):
            raise
    else:
        ended = study.tell(trial, auc)
    log.info("Trial %d is %s%s", trial.number, studies.state(ended), f", AUC {ended.value:.4f}" if ended.value else "")
    return ended


def _apply(path: Path, before: str, new: str, diff: Path) -> None:
    """Write the new text of params.yaml. Raise ConfigError when someone changed the file during the search."""
    if path.read_text(encoding="utf-8") != before:
        raise ConfigError(
            f"{path} was changed during the search.",
            next_step=f"Apply {diff} by hand, or run this again with --minutes 0 --apply.",
        )
    files.write_bytes(path, new.encode())

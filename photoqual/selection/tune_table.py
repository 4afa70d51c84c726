"""The trials of a search as a table and as CSV, and how many ended how."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from photoqual import files
from photoqual.selection import study as studies
from photoqual.selection.study import PRESENT, REASON, VALUES

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_SHOWN = 10
STATES = ("complete", "pruned", "stopped", "failed")


def counts(study: "Study") -> dict[str, int]:
    """Return how many trials ended how; repetitions of a known trial are not counted."""
    ended = [studies.state(trial) for trial in studies.trained(study)]
    return {name: ended.count(name) for name in STATES}


def as_text(study: "Study", *, width: int = 160) -> str:
    """Return the best trials as a table for the terminal, the counts and the reasons of failures below."""
    from rich.console import Console
    from rich.table import Table

    ranked = studies.complete(study)[:_SHOWN]
    keys = list(dict.fromkeys(name for trial in ranked for name in trial.user_attrs[VALUES]))
    table = Table(title=f"The {len(ranked)} best trials" if ranked else "No trial was completed")
    for heading in ("trial", "validation AUC", "epochs", "seconds", *(name.partition(".")[2] for name in keys)):
        table.add_column(heading, overflow="fold")
    for trial in ranked:
        mark = " (present)" if trial.user_attrs.get(PRESENT) else ""
        values = trial.user_attrs[VALUES]
        table.add_row(
            f"{trial.number}{mark}",
            f"{trial.value:.4f}",
            str(len(trial.intermediate_values)),
            f"{_seconds(trial):.0f}",
            *(str(values.get(name, "–")) for name in keys),
        )
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(table)
    printed = "\n".join(line.rstrip() for line in str(console.file.getvalue()).splitlines())  # type: ignore[attr-defined]
    told = ", ".join(f"{count} {name}" for name, count in counts(study).items())
    failed = "".join(
        f"Trial {trial.number} failed: {trial.user_attrs.get(REASON, 'unknown')}\n"
        for trial in studies.trained(study)
        if studies.state(trial) == "failed"
    )
    return f"{printed}\n{told}\n{failed}"


def write_trials(path: Path, study: "Study") -> None:
    """Write a row per trial: number, state, AUC, epochs, seconds, values by dotted name, and why it ended early."""
    told: list[dict[str, Any]] = [
        {
            "trial": trial.number,
            "state": studies.state(trial),
            "validation_auc": trial.value,
            "epochs": len(trial.intermediate_values),
            "seconds": round(_seconds(trial), 1),
            **trial.user_attrs.get(VALUES, {}),
            "reason": trial.user_attrs.get(REASON, ""),
        }
        for trial in studies.trained(study)
    ]
    with files.atomic(path) as temporary:
        pd.DataFrame(told).to_csv(temporary, index=False)


def _seconds(trial: "FrozenTrial") -> float:
    return trial.duration.total_seconds() if trial.duration else 0.0

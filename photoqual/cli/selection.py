"""Verbs that train many models to choose one: the ladder of kinds, and the search for better params."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import SELECTION, app
from photoqual.cli.output import leave_outcome, listed
from photoqual.layout import Layout


@app.command(rich_help_panel=SELECTION)
def ladder(
    kinds: Annotated[str, typer.Option(help="Kinds of model, with commas.")] = "all",
    backbones: Annotated[
        str, typer.Option(help="Backbones of kind transfer, with commas, or all. Default: that of params.yaml.")
    ] = "",
    poolings: Annotated[
        str, typer.Option(help="Poolings of kind transfer, with commas, or all. Default: that of params.yaml.")
    ] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per rung, with seeds from train.seed on.")] = 1,
    frozen: Annotated[
        bool,
        typer.Option("--frozen", help="Judge on the frozen test set, which wears it out, not on validation photos."),
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder of the table; what lies there already is not trained again.")
    ] = Path("reports/ladder"),
) -> None:
    """Train every kind of model on the present data and draw the table of what each is worth. Exit 1 when some failed."""
    from photoqual.config import load_params
    from photoqual.selection.ladder import ladder as run
    from photoqual.selection.ladder_table import as_frame, as_text

    layout = Layout()
    params = load_params(layout.params)
    rows = run(
        layout,
        params,
        kinds=listed(kinds),
        backbones=listed(backbones),
        poolings=listed(poolings),
        seeds=seeds,
        frozen=frozen,
        out=out,
    )
    typer.echo(as_text(rows, params.evaluate.confidence, frozen=frozen, width=_width()), nl=False)
    failed = sum(len(row.failures) for row in rows)
    typer.echo(f"{len(rows)} rungs, {failed} trainings failed; written to {out}", err=True)
    leave_outcome({"ok": True, "result": {"rows": as_frame(rows).to_dict("records"), "failed": failed}})
    raise typer.Exit(1 if failed else 0)


@app.command(rich_help_panel=SELECTION)
def tune(
    minutes: Annotated[float, typer.Option(min=0, help="Budget; 0 only reports.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Try at most this many in this call.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings per trial, whose mean counts.")] = 1,
    kinds: Annotated[str, typer.Option(help="Kinds of model, with commas. Default: that of params.yaml.")] = "",
    search: Annotated[
        Path | None, typer.Option(help="What may be tried: a YAML file. Default: the shipped one.")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write the winner into params.yaml.")] = False,
    out: Annotated[Path, typer.Option(help="Folder of the study; one of the same inputs goes on.")] = Path(
        "reports/tune"
    ),
) -> None:
    """Search for better params by the AUC on the validation photos; print the winner as a diff of params.yaml. Exit 1
    when no trial was completed.
    """
    from photoqual.selection.tune import tune as run

    told = run(
        Layout(),
        minutes=minutes,
        trials=trials,
        seeds=seeds,
        kinds=listed(kinds),
        search=search,
        apply=apply,
        out=out,
    )
    typer.echo(told.table, nl=False)
    if told.best is None:
        typer.echo("No trial was completed yet: allow more minutes.", err=True)
        raise typer.Exit(1)
    typer.echo(told.diff or "params.yaml stays as it is.\n", nl=False)
    if told.diff:
        done = "Written into params.yaml." if apply else f"To take it: `git apply {out / 'params.diff'}`, or --apply."
        typer.echo(done, err=True)
    leave_outcome(
        {
            "ok": True,
            "result": {"best": told.best, "present": told.present, "changes": told.changes, "trials": told.counts},
        }
    )


def _width() -> int | None:
    """Return the width of the terminal, None where there is none."""
    from rich.console import Console

    return Console().width if sys.stdout.isatty() else None

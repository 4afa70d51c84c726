"""The stages of dvc.yaml as verbs."""

from typing import Annotated

import typer

from photoqual.cli.app import STAGES, app
from photoqual.cli.output import run_stage


@app.command(rich_help_panel=STAGES)
def refresh(
    limit: Annotated[
        int | None, typer.Option(min=1, envvar="PHOTOQUAL_REFRESH_LIMIT", help="Fetch at most this many new photos.")
    ] = None,
) -> None:
    """Fetch new photos and votes of every source."""
    from photoqual.sources.refresh import refresh as run

    run_stage(run, limit=limit)


@app.command(rich_help_panel=STAGES)
def label() -> None:
    """Turn votes into labels by the label rule."""
    from photoqual.labels.rules import label as run

    run_stage(run)


@app.command(rich_help_panel=STAGES)
def validate() -> None:
    """Check catalog and labels with Great Expectations; exit 1 when they are refused."""
    from photoqual.validation.validate import validate as run

    run_stage(run)


@app.command(rich_help_panel=STAGES)
def split(
    freeze_next: Annotated[
        bool,
        typer.Option("--freeze-next", envvar="PHOTOQUAL_FREEZE_NEXT", help="Start the next frozen test set first."),
    ] = False,
) -> None:
    """Split by group; make the frozen test set once."""
    if freeze_next:
        from photoqual.registry.freeze import freeze_next as freeze_and_split

        run_stage(freeze_and_split)
        return
    from photoqual.labels.splits import split as run

    run_stage(run)


@app.command(rich_help_panel=STAGES)
def train() -> None:
    """Train the challenger."""
    from photoqual.training.train import train as run

    run_stage(run)


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Judge the challenger on the frozen test set."""
    from photoqual.evaluation.evaluate import evaluate as run

    run_stage(run)

"""The verb that accepts a change of the data."""

from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import DATA, app
from photoqual.cli.output import run_stage


@app.command(rich_help_panel=DATA)
def accept(
    reason: Annotated[str, typer.Option(help="Why; it is kept in data/acceptances.jsonl.")],
    by: Annotated[str | None, typer.Option(help="Who decided; default: you, as git knows you.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder of the report that refused the change; default: reports/validation.")
    ] = None,
) -> None:
    """Accept a change of the data that validation refused: it becomes what the next data is compared with."""
    from photoqual.pipeline.git import person
    from photoqual.validation.acceptances import accept as run

    run_stage(run, reason=reason, by=by or person(), folder=report)

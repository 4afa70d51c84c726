"""Verbs for photographers."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import OutputFormat, leave_outcome


@app.command(rich_help_panel=PHOTOGRAPHERS)
def rate(
    paths: Annotated[list[Path], typer.Argument(help="Photos or folders of photos.")],
    model: Annotated[str, typer.Option(help="A registry address or a model folder.")] = "models:/photoqual@champion",
    output: Annotated[
        OutputFormat | None, typer.Option("--format", help="Default: table on a terminal, else json.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Rate photos, best first in a table. Exit 1 when some had to be skipped (listed on standard error)."""
    from photoqual.rating.command import rate_paths

    chosen = output or (OutputFormat.table if out is None and sys.stdout.isatty() else OutputFormat.json)
    rated, skipped = rate_paths(paths, model=model, output=chosen.value, out=out)
    leave_outcome({"ok": True, "result": {"rated": rated, "skipped": skipped}})
    raise typer.Exit(1 if skipped else 0)

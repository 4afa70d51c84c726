"""The verb that finds photos like one photo."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import ReportFormat, leave_outcome


@app.command(rich_help_panel=PHOTOGRAPHERS)
def similar(
    photo: Annotated[Path, typer.Argument(help="What the photos found should be like.")],
    folders: Annotated[
        list[Path] | None, typer.Option("--in", help="Folders to look in. Default: those of --index, else the photo's.")
    ] = None,
    index: Annotated[
        Path | None, typer.Option(help="Folder of the index. Default: one per choice of folders, in the cache.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A registry address, a model folder, or `starter`. Default: the champion; without one, the starter."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="How many photos to find.", min=1, max=1000)] = 10,
    output: Annotated[
        ReportFormat | None, typer.Option("--format", help="Default: table on a terminal, else json.")
    ] = None,
) -> None:
    """Find the photos most like one photo. The index is kept and brought up to date: only new photos are looked at."""
    from photoqual.rating.similar.command import find_similar, show, summary

    found, done = find_similar(photo, folders=folders or [], index=index, model=model, k=k)
    chosen = output or (ReportFormat.table if sys.stdout.isatty() else ReportFormat.json)
    show(found, done, chosen.value)
    leave_outcome({"ok": True, "result": summary(found, done)})

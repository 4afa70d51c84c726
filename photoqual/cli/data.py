"""Verbs about the data itself: what is there, and what must go."""

from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import DATA, app
from photoqual.cli.output import leave_outcome, print_summary
from photoqual.layout import Layout


@app.command(rich_help_panel=DATA)
def catalog(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON instead of a table.")] = False,
    votes_over_time: Annotated[
        bool, typer.Option("--votes-over-time", help="Draw votes and ratings over time and over upload year.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder of the pictures; default: reports/catalog.")] = None,
) -> None:
    """Show what is known of every source's photos: how many, rated, set aside and why, from when to when."""
    from photoqual.photos.catalog import read_catalog
    from photoqual.photos.overview import as_text, overview

    layout = Layout()
    if votes_over_time:
        from photoqual.photos.overview_page import draw

        print_summary(draw(layout, out or layout.overview))
        return
    told = overview(read_catalog(layout.catalog))
    if as_json:
        print_summary(told)
    else:
        typer.echo(as_text(told), nl=False)
        leave_outcome({"ok": True, "result": told})


@app.command(rich_help_panel=DATA)
def forget(
    photos: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PHOTO]...", help="Photo ids (the first digits will do), or source:key."),
    ] = None,
    listed: Annotated[Path | None, typer.Option("--from", help="File with a photo a line.")] = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept in data/forgotten.jsonl.")] = "",
    by: Annotated[str | None, typer.Option(help="Who decided; default: you.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what would be removed.")] = False,
) -> None:
    """Remove photos from all data and never fetch them again; a dry run by default. Says which models knew them."""
    from photoqual.photos.named import read_names
    from photoqual.pipeline.forget import forget as run

    names = [*(photos or []), *(read_names(listed) if listed else [])]
    print_summary(run(Layout(), names, reason=reason, by=by, dry_run=not yes))

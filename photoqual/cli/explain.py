"""The verb that tells why a photo got its rating."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import leave_outcome


class Level(StrEnum):
    """How much `photoqual explain` tells."""

    sentence = "sentence"
    panel = "panel"
    everything = "everything"


@app.command(rich_help_panel=PHOTOGRAPHERS)
def explain(
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    level: Annotated[
        Level | None, typer.Option(help="How much to tell. Default: everything with --out, else the panel.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A registry address, a model folder, or `starter`. Default: the champion; without one, the starter."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write everything as an HTML page to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is told as JSON.")] = False,
    of: Annotated[
        str | None, typer.Option(help="Draw the heat map of this defect too. Default: of the likeliest one.")
    ] = None,
    dream: Annotated[bool, typer.Option(help="Dream: a minute or so, with a model that was trained here.")] = True,
) -> None:
    """Tell why a photo got its rating: in a sentence, in a panel, or everything, with heat map, similar rated photos
    and the deep dream.
    """
    from photoqual.rating.explain import command

    chosen = level or (Level.everything if out is not None else Level.panel)
    told = command.explain(photo, level=chosen.value, model=model, out=out, as_json=as_json, of=of, dream=dream)
    leave_outcome({"ok": True, "result": told})

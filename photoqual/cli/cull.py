"""The verb that culls a gallery."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import leave_outcome
from photoqual.errors import ConfigError

UNDO = "undo"


class ListFormat(StrEnum):
    """How `photoqual cull` writes its list."""

    table = "table"
    json = "json"
    csv = "csv"
    txt = "txt"


@app.command(rich_help_panel=PHOTOGRAPHERS)
def cull(
    paths: Annotated[list[Path], typer.Argument(help="Photos or folders of photos; or `undo FOLDER`.")],
    keep: Annotated[
        str | None, typer.Option(help="What remains: 60% or 40. Default: one of each burst and its likes.")
    ] = None,
    keep_top: Annotated[
        str | None,
        typer.Option(help="First pass: drop what does not belong to the best 5%, by the model's evaluation."),
    ] = None,
    confidence: Annotated[str, typer.Option(help="How sure it is to be that the best stay.")] = "95%",
    stay: Annotated[str, typer.Option(help="What part of the best has to stay.")] = "95%",
    out: Annotated[Path | None, typer.Option(help="Write the list to this .csv, .json or .txt file.")] = None,
    target: Annotated[
        Path | None, typer.Option("--move", help="Move what is dropped, with its sidecars, to this folder.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --move: say what would be moved.")] = False,
    burst_seconds: Annotated[float, typer.Option(help="Longest pause within a burst.", min=0, max=3600)] = 3.0,
    model: Annotated[
        str | None,
        typer.Option(
            help="A registry address, a model folder, or `starter`. Default: the champion; without one, the starter."
        ),
    ] = None,
    output: Annotated[
        ListFormat | None, typer.Option("--format", help="Default: table on a terminal, else json.")
    ] = None,
) -> None:
    """List which photos to keep and why: the best of each burst and of near duplicates, brackets and panoramas whole.
    Nothing is moved unless told; `photoqual cull undo FOLDER` brings back what was. Exit 1 when some were skipped.
    """
    from photoqual.rating.cull.command import Wish, bring_back, run

    if str(paths[0]) == UNDO:
        if len(paths) != 2:
            raise ConfigError("`undo` takes one folder.", next_step="Write `photoqual cull undo FOLDER`.")
        back = bring_back(paths[1])
        leave_outcome({"ok": True, "result": back})
        raise typer.Exit(1 if back["not_brought_back"] else 0)
    wish = Wish(
        keep=keep,
        top=None if keep_top is None else _share(keep_top, "--keep-top"),
        stay=_share(stay, "--stay"),
        confidence=_share(confidence, "--confidence"),
        seconds=burst_seconds,
    )
    chosen = output or (ListFormat.table if sys.stdout.isatty() else ListFormat.json)
    done = run(paths, wish, model=model, output=chosen.value, out=out, target=target, dry_run=dry_run)
    leave_outcome({"ok": True, "result": done})
    raise typer.Exit(1 if done["skipped"] or done.get("not_moved") else 0)


def _share(text: str, option: str) -> float:
    """Return a share such as `95%` or 0.95. Raise ConfigError for what is none."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1 or (option == "--confidence" and value == 1):
        raise ConfigError(f"{option} {text} is no share.", next_step=f"Write {option} 95%.")
    return value

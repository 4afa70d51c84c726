"""Verbs for what is in XMP sidecars."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import leave_outcome

if TYPE_CHECKING:
    from photoqual.rating.sidecars.told import Told

xmp_app = typer.Typer(no_args_is_help=True, help="Look after what is written into XMP sidecars.")
app.add_typer(xmp_app, name="xmp", rich_help_panel=PHOTOGRAPHERS)


@xmp_app.command()
def undo(
    paths: Annotated[list[Path], typer.Argument(help="Photos, sidecars, or folders with all below them.")],
    write: Annotated[bool, typer.Option("--write", help="Do it; without it, only count what would be done.")] = False,
) -> None:
    """Take out of sidecars what `photoqual rate --xmp` wrote: our tags, and stars that nobody changed since. Sidecars
    that it created are deleted if nothing else is in them. Exit 1 when some had to be skipped (listed on standard error).
    """
    from photoqual.rating.sidecars.undo import undo as run

    undone = run(paths, write=write)
    left = print_told(undone)
    leave_outcome({"ok": True, "result": undone.summary()})
    raise typer.Exit(1 if left else 0)


def print_told(told: "Told") -> int:
    """Say on standard error what became of sidecars; return how many were skipped."""
    from rich.console import Console

    errors = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    for skip in told.skipped:
        shown = "".join(letter if letter.isprintable() else "?" for letter in skip.photo)
        errors.print(f"skipped {shown}: {skip.message}")
    errors.print(told.sentence())
    return len(told.skipped)

"""The verbs `labels …`: what people have labelled in the app."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import leave_outcome, print_summary

if TYPE_CHECKING:
    from photoqual.labels.desk import Desk
    from photoqual.labels.desk_photos import Photos

labels_app = typer.Typer(no_args_is_help=True, help="Look at and export what people have labelled in the app.")
app.add_typer(labels_app, name="labels", rich_help_panel=PHOTOGRAPHERS)


class LabelMode(StrEnum):
    """In which way photos were labelled."""

    tournament = "tournament"
    stars = "stars"
    good = "good"


Folder = Annotated[Path, typer.Argument(help="The folder of labels (`photoqual app --labels`).")]
PhotosOption = Annotated[Path | None, typer.Option(help="Where the photos are now. Default: where they were.")]
ModeOption = Annotated[LabelMode | None, typer.Option(help="Default: the one in which there are labels.")]


@labels_app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="CSV file to write, a row per vote.")],
    mode: ModeOption = None,
    photos: PhotosOption = None,
    only_random: Annotated[
        bool, typer.Option("--only-random", help="Only photos drawn at random: a fair sample, to judge models with.")
    ] = False,
    name: Annotated[str, typer.Option(help="Name of the source in params.yaml.")] = "labelled",
) -> None:
    """Write the votes for the source `votes`, and print the lines of params.yaml that use them."""
    from photoqual.labels import desk_export

    desk, found = _opened(folder, photos)
    chosen = desk_export.chosen_mode(desk, mode.value if mode else None)
    done = desk_export.export(desk, found, out, chosen, only_random=only_random)
    left_out = "".join(f"; left out: {count} {reason}" for reason, count in done.left_out.items())
    typer.echo(
        f"{done.votes} votes of {done.labellers} labellers on {done.photos} photos, in {out}{left_out}", err=True
    )
    typer.echo(
        "To train on them, have this in params.yaml (in `sources` and `labels` that are there already):", err=True
    )
    typer.echo(desk_export.params_lines(desk, out, chosen, name), nl=False)
    leave_outcome({"ok": True, "result": {"mode": chosen, "votes": done.votes, "left_out": done.left_out}})


@labels_app.command()
def status(folder: Folder, photos: PhotosOption = None) -> None:
    """Print how far each labeller is, in each mode."""
    from photoqual.labels import desk_status

    print_summary(desk_status.summary(*_opened(folder, photos)))


@labels_app.command()
def agreement(folder: Folder, mode: ModeOption = None, photos: PhotosOption = None) -> None:
    """Print how far labellers agree: Krippendorff's alpha, of all and of each two, and split-half agreement."""
    from photoqual.labels import desk_export, desk_status

    desk, _ = _opened(folder, photos)
    print_summary(desk_status.agreement_of(desk, desk_export.chosen_mode(desk, mode.value if mode else None)))


def _opened(folder: Path, photos: Path | None) -> "tuple[Desk, Photos]":
    from photoqual.labels.desk import open_desk
    from photoqual.labels.desk_photos import find_photos

    desk = open_desk(folder, photos)
    return desk, find_photos(desk.photos, desk.index)

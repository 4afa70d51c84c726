"""The verb `rate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import OutputFormat, leave_outcome
from photoqual.cli.sidecars import print_told
from photoqual.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from photoqual.rating.sidecars.write import SidecarWriter

_STOPPED = 130
"""Exit code of a run that was ended by Ctrl-C."""


@app.command(rich_help_panel=PHOTOGRAPHERS)
def rate(
    paths: Annotated[list[str], typer.Argument(help="Photos, folders of photos, or s3://BUCKET/PREFIX.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="A registry address, a model folder, or `starter`. Default: the champion; without one, the starter."
        ),
    ] = None,
    output: Annotated[
        OutputFormat | None,
        typer.Option("--format", help="Default: by the ending of --out; else table on a terminal, json elsewhere."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the file at --out: rate what is not in it, or was changed since."),
    ] = False,
    profile: Annotated[str | None, typer.Option(help="Rate by the taste of this profile (`photoqual taste`).")] = None,
    xmp: Annotated[
        bool, typer.Option("--xmp", help="Count what would be written into XMP sidecars beside the photos.")
    ] = False,
    stars: Annotated[
        bool, typer.Option("--stars", help="With --xmp: also stars that other programs show, never over a person's.")
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="With --xmp: write the sidecars.")] = False,
    blur_faces: Annotated[
        bool, typer.Option("--blur-faces", help="With html: blur the faces that can be found; some are missed.")
    ] = False,
) -> None:
    """Rate photos, best first in a table. Exit 1 when some had to be skipped (listed on standard error).
    Ctrl-C keeps what was rated, and exits with 130.
    """
    from photoqual.rating.command import rate_paths

    if profile is not None:
        model = _address_of(profile, model)
    sidecars = _sidecars(xmp, stars, write)
    form = (output or _usual_format(out)).value
    each, look = sidecars.write if sidecars else None, _blurring(form) if blur_faces else None
    done = rate_paths(paths, model=model, output=form, out=out, resume=resume, look=look, each=each)
    if look:
        typer.echo("Look through the page before you share it: some faces are missed.", err=True)
    result = {"rated": done.rated, "skipped": done.skipped, **({"stopped": True} if done.stopped else {})}
    left = print_told(sidecars.told) if sidecars else 0
    leave_outcome({"ok": True, "result": result | ({"sidecars": sidecars.told.summary()} if sidecars else {})})
    raise typer.Exit(_STOPPED if done.stopped else 1 if done.skipped or left else 0)


def _sidecars(xmp: bool, stars: bool, write: bool) -> "SidecarWriter | None":
    """Return what writes sidecars, None where none are asked for. Raise ConfigError for options that need --xmp."""
    if not xmp:
        if stars or write:
            raise ConfigError("--stars and --write are about sidecars.", next_step="Add --xmp.")
        return None
    from photoqual.rating.sidecars.write import SidecarWriter

    return SidecarWriter(stars=stars, write=write)


def _blurring(form: str) -> "Callable[[Image.Image], bytes]":
    """Return what makes thumbnails with blurred faces. Raise ConfigError for a format without pictures, or without
    OpenCV.
    """
    if form != OutputFormat.html:
        raise ConfigError("--blur-faces is about the pictures of a gallery.", next_step="Add --format html.")
    from photoqual.rating.gallery.thumbnail import maker

    return maker(blur_faces=True)


def _usual_format(out: Path | None) -> OutputFormat:
    from photoqual.rating.output.formats import ENDINGS

    if out is not None:
        return OutputFormat(ENDINGS.get(out.suffix.lower(), "json"))
    return OutputFormat.table if sys.stdout.isatty() else OutputFormat.json


def _address_of(profile: str, model: str | None) -> str:
    from photoqual.registry.store import CHAMPION, profile_model

    if model is not None:
        raise ConfigError("--profile and --model both name a model.", next_step="Give one of the two.")
    return f"models:/{profile_model(profile)}@{CHAMPION}"

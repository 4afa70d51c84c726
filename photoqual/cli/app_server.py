"""The verb `app`."""

from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app


@app.command("app", rich_help_panel=PHOTOGRAPHERS)
def serve_app(
    host: Annotated[str, typer.Option(help="Address to listen on. Any other than loopback is open to others.")] = (
        "127.0.0.1"
    ),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 8501 on.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A registry address, a model folder, or `starter`. Default: the champion; without one, the starter."
        ),
    ] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of photos to label. Default: choose it there.")] = None,
    labels: Annotated[Path, typer.Option(help="Folder that keeps the labels given.")] = Path("labels"),
    keep_uploads: Annotated[
        Path | None, typer.Option(help="Keep every uploaded photo in this folder. Default: none is kept.")
    ] = None,
) -> None:
    """Serve the app for a browser until Ctrl-C: rate photos, label them, teach a taste, look at the champion."""
    from photoqual.app.limits import is_loopback
    from photoqual.app.options import Options
    from photoqual.app.serve import serve

    serve(
        host,
        port,
        Options(model=model, photos=photos, labels=labels, keep_uploads=keep_uploads, local=is_loopback(host)),
        lambda message: typer.echo(message, err=True),
    )

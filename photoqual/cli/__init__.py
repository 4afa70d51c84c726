"""The command line: a thin skin, each verb one library function. Nothing heavy is imported before a verb needs it."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from photoqual import __version__
from photoqual.cli import (
    app_server,
    cull,
    data,
    doctor,
    explain,
    labelling,
    photographers,
    rate,
    registry,
    selection,
    similar,
    stages,
    validation,
)
from photoqual.cli.app import app
from photoqual.cli.output import OUTCOME_FILE, leave_outcome
from photoqual.errors import ConfigError, PhotoqualError

__all__ = [
    "EXTRAS",
    "OUTCOME_FILE",
    "app",
    "app_server",
    "cull",
    "data",
    "doctor",
    "explain",
    "labelling",
    "main",
    "photographers",
    "rate",
    "registry",
    "selection",
    "similar",
    "stages",
    "validation",
]

EXTRAS = {
    **dict.fromkeys(("aiohttp", "boto3", "botocore", "extruct", "parsel", "scrapy", "twisted"), "harvest"),
    **dict.fromkeys(("dvc", "great_expectations", "matplotlib", "ruamel", "sklearn"), "pipeline"),
    **dict.fromkeys(("keras", "onnx", "tensorflow", "tf2onnx"), "train-cpu"),
    **dict.fromkeys(("optuna",), "tune"),
    **dict.fromkeys(("streamlit",), "app"),
    **dict.fromkeys(("usearch",), "similar"),
    **dict.fromkeys(("cv2",), "faces"),
    **dict.fromkeys(("mlflow", "requests", "sqlalchemy"), "registry"),
}
"""Which extra of pyproject.toml brings what a verb imports when it needs it."""


@app.command()
def schema() -> None:
    """Print the JSON schema of params.yaml."""
    from photoqual.config import Params

    typer.echo(json.dumps(Params.model_json_schema(), indent=2))


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"photoqual {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("photoqual").setLevel(logging.DEBUG if verbose else logging.INFO)


@contextmanager
def _naming_extras() -> Iterator[None]:
    """Turn the failed import of an optional package into an error that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise ConfigError(
            f"This needs the package {package}, which is not installed.",
            next_step=f"Install photoqual with the extra `{EXTRAS[package]}`, or run `make install`.",
        ) from None


def main() -> None:
    """Run the command line; a PhotoqualError becomes one message on standard error and its exit code."""
    try:
        with _naming_extras():
            app()
    except PhotoqualError as error:
        typer.echo(f"Error: {error}", err=True)
        leave_outcome(
            {
                "ok": False,
                "error": type(error).__name__,
                "message": error.message,
                "next_step": error.next_step,
                "details": error.details,
            }
        )
        sys.exit(error.exit_code)

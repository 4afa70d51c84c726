"""The command line: a thin skin, each verb one library function. Nothing heavy is imported before a verb needs it."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from photoqual import __version__
from photoqual.errors import ConfigError, PhotoqualError
from photoqual.layout import Layout

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from rated photos what a good photo is, and rate new photos with reasons.",
)
STAGES, REGISTRY, PHOTOGRAPHERS = "Stages of the pipeline (see dvc.yaml)", "Model registry", "Photographers"
OUTCOME_FILE = "PHOTOQUAL_OUTCOME_FILE"
EXTRAS = {
    **dict.fromkeys(("extruct", "parsel", "scrapy", "twisted"), "harvest"),
    **dict.fromkeys(("dvc", "great_expectations", "matplotlib", "ruamel", "sklearn"), "pipeline"),
    **dict.fromkeys(("keras", "onnx", "tensorflow", "tf2onnx"), "train-cpu"),
    **dict.fromkeys(("mlflow", "requests", "sqlalchemy"), "registry"),
}
"""Which extra of pyproject.toml brings what a verb imports when it needs it."""


class OutputFormat(StrEnum):
    """How `photoqual rate` writes its ratings."""

    table = "table"
    json = "json"
    csv = "csv"


def _print_summary(summary: Any) -> None:
    """Print what a verb did as JSON, and leave it for the pipeline where that asked for it."""
    typer.echo(json.dumps(summary, indent=2, default=str))
    _leave_outcome({"ok": True, "result": summary})


def _leave_outcome(outcome: dict[str, Any]) -> None:
    if path := os.environ.get(OUTCOME_FILE):
        Path(path).write_text(json.dumps(outcome, default=str), encoding="utf-8")


def _stage(run: Callable[..., dict[str, Any]], **options: Any) -> None:
    from photoqual.config import load_params

    layout = Layout()
    _print_summary(run(layout, load_params(layout.params), **options))


@app.command(rich_help_panel=STAGES)
def refresh(
    limit: Annotated[
        int | None, typer.Option(min=1, envvar="PHOTOQUAL_REFRESH_LIMIT", help="Fetch at most this many new photos.")
    ] = None,
) -> None:
    """Fetch new photos and votes of every source."""
    from photoqual.sources.refresh import refresh as run

    _stage(run, limit=limit)


@app.command(rich_help_panel=STAGES)
def label() -> None:
    """Turn votes into labels by the label rule."""
    from photoqual.labels.rules import label as run

    _stage(run)


@app.command(rich_help_panel=STAGES)
def validate() -> None:
    """Check catalog and labels with Great Expectations; exit 1 when they are refused."""
    from photoqual.validation.validate import validate as run

    _stage(run)


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Split by group; make the frozen test set once."""
    from photoqual.labels.splits import split as run

    _stage(run)


@app.command(rich_help_panel=STAGES)
def train() -> None:
    """Train the challenger."""
    from photoqual.training.train import train as run

    _stage(run)


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Judge the challenger on the frozen test set."""
    from photoqual.evaluation.evaluate import evaluate as run

    _stage(run)


@app.command(rich_help_panel=REGISTRY)
def register(
    revision: Annotated[str | None, typer.Option(help="Git revision of code and data; default: HEAD.")] = None,
) -> None:
    """Register models/challenger as a new version with alias `challenger`."""
    from photoqual.registry.register import register as run
    from photoqual.settings import Settings

    _stage(run, revision=revision, run_id=Settings().run_id)


@app.command(rich_help_panel=REGISTRY)
def promote(
    version: Annotated[str | None, typer.Option(help="Version to judge; default: alias `challenger`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, but move no alias.")] = False,
) -> None:
    """Judge champion and challenger on the same frozen photos; promote only on evidence."""
    from photoqual.registry.promote import promote as run

    _stage(run, version=version, dry_run=dry_run)


@app.command(rich_help_panel=REGISTRY)
def rollback(reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")]) -> None:
    """Make the previous champion champion again."""
    from photoqual.registry.rollback import rollback as run

    _print_summary(run(Layout(), reason=reason))


@app.command(rich_help_panel=REGISTRY)
def history() -> None:
    """List every registered version with its verdict."""
    from photoqual.registry.history import history as run

    _print_summary(run())


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
    _leave_outcome({"ok": True, "result": {"rated": rated, "skipped": skipped}})
    raise typer.Exit(1 if skipped else 0)


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
        _leave_outcome(
            {
                "ok": False,
                "error": type(error).__name__,
                "message": error.message,
                "next_step": error.next_step,
                "details": error.details,
            }
        )
        sys.exit(error.exit_code)

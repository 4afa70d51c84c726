"""Verbs of the model registry: judge, promote, go back, look into what happened."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import REGISTRY, app, registry_app
from photoqual.cli.output import (
    PageFormat,
    ReportFormat,
    leave_outcome,
    print_page,
    print_summary,
    run_stage,
)
from photoqual.layout import Layout


@app.command(rich_help_panel=REGISTRY)
def register(
    revision: Annotated[str | None, typer.Option(help="Git revision of code and data; default: HEAD.")] = None,
) -> None:
    """Register models/challenger as a new version with alias `challenger`."""
    from photoqual.registry.register import register as run
    from photoqual.settings import Settings

    run_stage(run, revision=revision, run_id=Settings().run_id)


@app.command(rich_help_panel=REGISTRY)
def promote(
    version: Annotated[str | None, typer.Option(help="Version to judge; default: alias `challenger`.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, but move no alias.")] = False,
) -> None:
    """Judge champion and challenger on the same frozen photos; promote only on evidence. Exit 0 whatever the verdict."""
    from photoqual.registry.promote import promote as run

    run_stage(run, version=version, dry_run=dry_run)


@app.command(rich_help_panel=REGISTRY)
def approve(
    version: Annotated[str, typer.Argument(help="Version that awaits approval.")],
    reason: Annotated[str, typer.Option(help="Why; it is kept with the verdict.")],
    by: Annotated[str | None, typer.Option(help="Who approves; default: you.")] = None,
) -> None:
    """Carry out a promotion that awaits approval, after judging it once more."""
    from photoqual.registry.approval import approve as run

    run_stage(run, version=version, reason=reason, by=by)


@app.command(rich_help_panel=REGISTRY)
def reject(
    version: Annotated[str, typer.Argument(help="Version that awaits approval.")],
    reason: Annotated[str, typer.Option(help="Why not; it is kept with the verdict.")],
    by: Annotated[str | None, typer.Option(help="Who rejects; default: you.")] = None,
) -> None:
    """End a promotion that awaits approval; nothing moves."""
    from photoqual.registry.approval import reject as run

    print_summary(run(Layout(), version=version, reason=reason, by=by))


@app.command(rich_help_panel=REGISTRY)
def freeze(
    following: Annotated[bool, typer.Option("--next", help="Start the next frozen test set.")] = False,
    min_photos: Annotated[int, typer.Option(min=2, help="Refuse to start a smaller one.")] = 50,
) -> None:
    """Show how worn the frozen test sets are; with --next, start a new one and judge the champion on it."""
    if following:
        from photoqual.registry.freeze import freeze_next

        run_stage(freeze_next, min_photos=min_photos)
    else:
        from photoqual.registry.history import wear

        print_summary(wear())


@app.command(rich_help_panel=REGISTRY)
def watch(
    revision: Annotated[
        str | None,
        typer.Option(envvar="PHOTOQUAL_REVISION", help="Git revision of the data, kept with it; default: HEAD."),
    ] = None,
) -> None:
    """Watch the champion on photos that came after its training; see reports/watch."""
    from photoqual.registry.watch import watch as run
    from photoqual.settings import Settings

    run_stage(run, revision=revision, run_id=Settings().run_id)


@app.command(rich_help_panel=REGISTRY)
def due() -> None:
    """Tell whether training again is worth it, by what changed since the champion."""
    from photoqual.pipeline.changes import retrain_due as run

    run_stage(run)


@app.command(rich_help_panel=REGISTRY)
def rollback(reason: Annotated[str, typer.Option(help="Why; it is kept with the version.")]) -> None:
    """Make the previous champion champion again."""
    from photoqual.registry.rollback import rollback as run

    print_summary(run(Layout(), reason=reason))


@app.command(rich_help_panel=REGISTRY)
def history(
    output: Annotated[
        ReportFormat | None, typer.Option("--format", help="Default: table on a terminal, else json.")
    ] = None,
) -> None:
    """List every version, and every verdict, promotion and rollback: who, when, why."""
    from photoqual.registry.history import events, print_history, wear
    from photoqual.registry.history import history as run

    told = {"versions": run(), "events": events(), "frozen_sets": wear()}
    if (output or (ReportFormat.table if sys.stdout.isatty() else ReportFormat.json)) is ReportFormat.table:
        print_history(told)
    else:
        print_summary(told)


@app.command(rich_help_panel=REGISTRY)
def compare(
    collections: Annotated[list[str], typer.Argument(metavar="NAME=FOLDER...", help="Project folders, each named.")],
    output: Annotated[
        ReportFormat | None, typer.Option("--format", help="Default: table on a terminal, else json.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
) -> None:
    """Judge each collection's model on each collection's frozen test set. Exit 1 when nothing could be judged."""
    from photoqual.config import EvaluateParams, load_params
    from photoqual.evaluation.compare import compare as run

    path = Layout().params
    params = load_params(path).evaluate if path.is_file() else EvaluateParams()
    chosen = output or (ReportFormat.table if out is None and sys.stdout.isatty() else ReportFormat.json)
    judged, not_evaluable = run(collections, params, output=chosen.value, out=out)
    leave_outcome({"ok": True, "result": {"judged": judged, "not_evaluable": not_evaluable}})
    raise typer.Exit(0 if judged else 1)


@app.command(rich_help_panel=REGISTRY)
def lineage(
    model: Annotated[
        str, typer.Argument(help="A registry address, an alias or a number.")
    ] = "models:/photoqual@champion",
    all_params: Annotated[bool, typer.Option("--params", help="Show every param, not only those that differ.")] = False,
    output: Annotated[PageFormat, typer.Option("--format", help="text or json.")] = PageFormat.text,
) -> None:
    """Print what a version came from, by registry, git and DVC: data, params, code, environment, run, verdict."""
    from photoqual.pipeline.lineage_text import as_text
    from photoqual.pipeline.provenance import lineage as run

    print_page(run(model, all_params=all_params), output, as_text)


@app.command(rich_help_panel=REGISTRY)
def reproduce(
    version: Annotated[str, typer.Argument(help="A number, an alias or a registry address.")],
    keep: Annotated[bool, typer.Option("--keep", help="Keep the workspace.")] = False,
    any_environment: Annotated[
        bool, typer.Option("--any-environment", help="Go on when the packages here are not those of the version.")
    ] = False,
    output: Annotated[PageFormat, typer.Option("--format", help="text or json.")] = PageFormat.text,
) -> None:
    """Rebuild a version in a clean workspace and compare data and AUC. Exit 1 when something differs."""
    from photoqual.pipeline.lineage_text import comparison_text
    from photoqual.pipeline.reproduce import reproduce as run

    told = run(version, keep=keep, any_environment=any_environment)
    print_page(told, output, comparison_text)
    raise typer.Exit(0 if told["same"] else 1)


@registry_app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="Keep this many of the newest versions, whatever they are.")] = 10,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list what would be deleted.")] = False,
) -> None:
    """Delete old versions that were never champion; a dry run by default. Their verdicts stay in the journal."""
    from photoqual.registry.prune import prune as run

    print_summary(run(keep=keep, dry_run=not yes))

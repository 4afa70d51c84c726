"""How a verb reads params.yaml, prints what it did, and leaves it for the pipeline."""

import json
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from photoqual.layout import Layout

OUTCOME_FILE = "PHOTOQUAL_OUTCOME_FILE"


class OutputFormat(StrEnum):
    """How `photoqual rate` writes its ratings."""

    table = "table"
    json = "json"
    csv = "csv"
    parquet = "parquet"
    html = "html"


class ReportFormat(StrEnum):
    """How `photoqual compare` and `photoqual history` write their tables."""

    table = "table"
    json = "json"


class PageFormat(StrEnum):
    """How `photoqual lineage` and `photoqual reproduce` write what they found."""

    text = "text"
    json = "json"


def listed(text: str) -> list[str]:
    """Return the parts of `text` between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def print_summary(summary: Any) -> None:
    """Print what a verb did as JSON, and leave it for the pipeline where that asked for it."""
    typer.echo(json.dumps(summary, indent=2, default=str))
    leave_outcome({"ok": True, "result": summary})


def print_page(found: dict[str, Any], output: PageFormat, as_text: Callable[[dict[str, Any]], str]) -> None:
    """Print what a verb found as a page of text or as JSON, and leave it for the pipeline."""
    if output is PageFormat.json:
        print_summary(found)
    else:
        typer.echo(as_text(found), nl=False)
        leave_outcome({"ok": True, "result": found})


def leave_outcome(outcome: dict[str, Any]) -> None:
    if path := os.environ.get(OUTCOME_FILE):
        Path(path).write_text(json.dumps(outcome, default=str), encoding="utf-8")


def run_stage(run: Callable[..., dict[str, Any]], **options: Any) -> None:
    from photoqual.config import load_params

    layout = Layout()
    print_summary(run(layout, load_params(layout.params), **options))

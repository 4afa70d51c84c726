"""The list of decisions: as a table, JSON lines, CSV, or lines of text."""

import csv
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from photoqual.errors import ConfigError
from photoqual.rating.cull.choose import Decision
from photoqual.terminal import plain

_TABLE_WIDTH = 200


def as_json(decisions: Sequence[Decision]) -> str:
    """Return one JSON object a line."""
    return "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in decisions)


def as_csv(decisions: Sequence[Decision]) -> str:
    """Return CSV with a header; `keep` is yes or no."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Decision)])
    writer.writerows(
        [one.photo, "yes" if one.keep else "no", one.reason, one.score, one.group, one.keeper] for one in decisions
    )
    return text.getvalue()


def as_text(decisions: Sequence[Decision]) -> str:
    """Return a line for each photo: `keep` or `drop`, its path, the reason, with tabs between."""
    return "".join(f"{'keep' if one.keep else 'drop'}\t{plain(one.photo)}\t{plain(one.reason)}\n" for one in decisions)


def as_table(decisions: Sequence[Decision], width: int = _TABLE_WIDTH) -> str:
    """Return a table in the order of the photos; the folder that all share is named once, above it."""
    top = os.path.commonpath([Path(one.photo).parent for one in decisions]) if decisions else ""
    table = Table(box=None, pad_edge=False, title=f"In {plain(top)}" if top else None, title_justify="left")
    for name in ("", "score", "photo", "reason"):
        table.add_column(name, justify="right" if name == "score" else "left", overflow="fold")
    for one in decisions:
        reason = one.reason.replace(f"{top}{os.sep}", "")
        shown = plain(os.path.relpath(one.photo, top))
        table.add_row("keep" if one.keep else "drop", f"{one.score:.3f}", shown, plain(reason))
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(table)
    return "".join(line.rstrip() + "\n" for line in console.file.getvalue().splitlines())  # type: ignore[attr-defined]


WRITERS: dict[str, Callable[[Sequence[Decision]], str]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "txt": as_text,
}


def writer_for(out: Path) -> Callable[[Sequence[Decision]], str]:
    """Return how to write the file `out`, by its ending. Raise ConfigError for one that is none of ours."""
    name = out.suffix.lower().removeprefix(".").replace("jsonl", "json")
    if name not in ("json", "csv", "txt"):
        raise ConfigError(f"{out} does not tell its format.", next_step="End it in .csv, .json or .txt.")
    return WRITERS[name]

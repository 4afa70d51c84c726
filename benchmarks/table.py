"""Rows of goal and figure: printed, judged, and kept in RESULTS.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoqual import files

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Results of benchmarks\n\nEach section is written by the command it names; a figure without `ok` or `MISS` has no goal of its own.\n"


@dataclass(frozen=True)
class Row:
    """One line of a table; `ok` is None where the figure stands for comparison only."""

    name: str
    goal: str
    figure: str
    ok: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "ok", False: "MISS", None: ""}[self.ok]


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [f"| {row.name} | {row.goal} | {row.figure} | {row.verdict} |" for row in rows]
    return "\n".join(["| What | Goal | Figure | |", "| --- | --- | --- | --- |", *lines])


def plain(rows: Sequence[Row]) -> str:
    """Return the rows in aligned columns for a terminal."""
    cells = [("what", "goal", "figure", ""), *((row.name, row.goal, row.figure, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 when a goal was missed, else 0."""
    return 1 if any(row.ok is False for row in rows) else 0


def with_section(text: str, title: str, body: str) -> str:
    """Return the document `text` in which the section `title` (a heading of level 2) is `body`: replaced, or added."""
    before, found, rest = f"\n{text}".partition(f"\n## {title}\n")
    section = f"\n## {title}\n\n{body.strip()}\n"
    if not found:
        return f"{text.rstrip()}\n{section}" if text.strip() else f"{_HEAD}{section}"
    _, following, after = rest.partition("\n## ")
    return f"{before[1:]}{section}" + (f"\n## {after}" if following else "")


def update_results(title: str, body: str, path: Path = RESULTS) -> None:
    """Put the section `title` into RESULTS.md; the other sections stay as they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    files.write_bytes(path, with_section(text, title, body).encode())

"""Prove the gate of docs/promotion.md: `python -m benchmarks.promotion [--part statistics|race|all]`.

Prints a table of goal and figure per part, writes it into RESULTS.md, and exits with 1 when a goal was missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks import promotion_statistics
from benchmarks.table import Row, exit_code, markdown, plain, update_results


def _race() -> list[Row]:
    from benchmarks import race

    return race.rows()


PARTS: dict[str, Callable[[], list[Row]]] = {"statistics": promotion_statistics.rows, "race": _race}
"""What can be proved, by name; each becomes a section of RESULTS.md."""
NOTES = {"statistics": promotion_statistics.RULE}
"""How the figures of a part are judged, where the goal alone does not say it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    wanted = parser.parse_args(arguments).part
    every: list[Row] = []
    for part, run in PARTS.items():
        if wanted not in (part, "all"):
            continue
        started, spent = time.monotonic(), sum(os.times()[:4])
        rows = run()
        minutes, processor = (time.monotonic() - started) / 60, (sum(os.times()[:4]) - spent) / 60
        took = f"{minutes:.1f} minutes, {processor:.1f} of them processor time"
        print(f"\nPromotion: {part} ({took})\n{plain(rows)}", flush=True)
        update_results(f"Promotion: {part}", body(part, rows, f"{datetime.now(UTC):%Y-%m-%d}", took))
        every += rows
    return exit_code(every)


def body(part: str, rows: Sequence[Row], day: str, took: str) -> str:
    """Return the text of the part's section."""
    lines = [f"{day}, {os.cpu_count()} CPU cores, {took}: `python -m benchmarks.promotion --part {part}`"]
    return "\n\n".join([*lines, *([NOTES[part]] if part in NOTES else []), markdown(rows)])


if __name__ == "__main__":
    sys.exit(main())

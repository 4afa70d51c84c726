"""The outcome of a validation for people: summary.json, index.html, and the Data Docs behind it.

reports/validation/index.html needs no network and links to data_docs/index.html, the site of Great Expectations (its
pages load their styles and charts from the web when there is one; their text is there without).
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from photoqual import files
from photoqual.pages.render import render
from photoqual.validation.distribution import Distribution
from photoqual.validation.drift import Comparison, biggest_moves
from photoqual.validation.looks import Looks
from photoqual.validation.offenders import Offending
from photoqual.validation.outcomes import Outcome
from photoqual.validation.plots import BAR, NAME, PLOT_HEIGHT, PLOT_WIDTH, ROW, bars, lines

INDEX, SUMMARY, DOCS = "index.html", "summary.json", "data_docs"
MOVES = 3
"""Categories of a distribution that the head of the page names."""
FEW = 5
"""Offending rows of a rule that the page shows at once; the others unfold."""
CHANGES = 20
"""Accepted changes that the page lists, newest first."""


@dataclass(frozen=True)
class Seen:
    """All that a validation found. `offending`: the rows that break a rule, by its name. `accepted`: what was accepted
    last; `standing`: the acceptance that took its place as the reference, `changes`: all of them, newest first.
    """

    at: str
    outcomes: Sequence[Outcome]
    notes: Sequence[str]
    comparisons: Sequence[Comparison]
    offending: Mapping[str, Offending]
    looks: Looks | None
    now: Distribution
    accepted: Distribution | None
    standing: Mapping[str, Any] | None
    changes: Sequence[Mapping[str, Any]]
    rows_shown: int

    @property
    def failed(self) -> list[Outcome]:
        return [item for item in self.outcomes if item.stops]


def summary(seen: Seen) -> dict[str, Any]:
    """Return what was found as a JSON-able value: what summary.json holds."""
    return {
        "ok": not seen.failed,
        "at": seen.at,
        "notes": list(seen.notes),
        "expectations": [
            asdict(item) | {"severity": "warning" if item.warning else "critical"} for item in seen.outcomes
        ],
        "distributions": [asdict(found) | {"holds": found.holds} for found in seen.comparisons],
        "offending": {
            name: {"count": found.count, "rows": [asdict(row) for row in found.rows[: seen.rows_shown]]}
            for name, found in seen.offending.items()
        },
        "looks": asdict(seen.looks) if seen.looks else None,
        "accepted_change": seen.standing,
        "accepted": seen.accepted.model_dump(mode="json") if seen.accepted else None,
        "now": seen.now.model_dump(mode="json"),
    }


def page(seen: Seen) -> str:
    """Return index.html."""
    ranked = sorted(seen.outcomes, key=lambda item: (item.ok, item.warning))
    compared = {found.rule: found for found in seen.comparisons}
    titles = {item.name: item.title for item in seen.outcomes}
    return render(
        "validation.html",
        at=seen.at,
        failed=seen.failed,
        checked=len(seen.outcomes),
        failed_sentences=[_plainly(item, compared.get(item.name)) for item in seen.failed],
        few=FEW,
        warned=[item for item in seen.outcomes if not item.ok and item.warning],
        outcomes=ranked,
        notes=seen.notes,
        distributions=[(found, bars(found)) for found in seen.comparisons if found.now is not None],
        offending=[
            (titles.get(name, name), name, found, found.rows[: seen.rows_shown])
            for name, found in seen.offending.items()
        ],
        looks=seen.looks,
        lines=lines(seen.looks) if seen.looks else [],
        standing=seen.standing,
        changes=seen.changes[:CHANGES],
        changes_left_out=max(0, len(seen.changes) - CHANGES),
        drawn={"row": ROW, "name": NAME, "bar": BAR, "width": PLOT_WIDTH, "height": PLOT_HEIGHT},
        docs=f"{DOCS}/index.html",
        summary=SUMMARY,
    )


def _plainly(item: Outcome, comparison: Comparison | None) -> str:
    """Return a failure for the head of the page; of a distribution only what moved most, since it is drawn below."""
    title = item.title[:1].upper() + item.title[1:]
    if item.broken:
        return f"{title}: could not be checked ({item.broken})."
    if comparison is None or comparison.divergence is None:
        return f"{title}: observed {item.observed}, expected {item.expected}."
    moved = "; ".join(f"{name}: {now:.1%} (was {before:.1%})" for name, now, before in biggest_moves(comparison, MOVES))
    return (
        f"{comparison.title}: divergence {comparison.divergence:.3g}, over the limit of {comparison.limit:g}. {moved}."
    )


def write_report(folder: Path, seen: Seen) -> None:
    """Write index.html and summary.json into `folder`."""
    files.write_json(folder / SUMMARY, summary(seen))
    files.write_bytes(folder / INDEX, page(seen).encode("utf-8", "replace"))


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `folder` when the block ends well; else `folder` stays as it was."""
    fresh, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
        if folder.exists():
            folder.replace(old)
        fresh.replace(folder)
    finally:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)

"""The outcome of a validation for people: plain sentences, summary.json, index.html, and the Data Docs behind it.

reports/validation/index.html needs no network and links to data_docs/index.html, the site of Great Expectations (its
pages load their styles and charts from the web when there is one; their text is there without).
"""

import html
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from photoqual import files

INDEX, SUMMARY, DOCS = "index.html", "summary.json", "data_docs"
EXAMPLES = 3
"""Unexpected values named in a sentence."""


@dataclass(frozen=True)
class Outcome:
    """One expectation: what it is about, what was observed and expected, and whether it holds.

    `broken` says why it could not be checked at all; that is a failure too, but no drift of the data. `warning`: a
    failure is reported and does not stop anything.
    """

    name: str
    title: str
    table: str
    column: str
    observed: str
    expected: str
    ok: bool
    warning: bool = False
    broken: str = ""

    @property
    def stops(self) -> bool:
        return not self.ok and not self.warning

    def sentence(self) -> str:
        """Return the outcome in words, with the expectation's name for a search in summary.json."""
        seen = f"could not be checked ({self.broken})" if self.broken else f"observed {self.observed}"
        return f"{self.title} [{self.name}]: {seen}, expected {self.expected}"


def outcome(table: str, result: Any) -> Outcome:
    """Turn one result of Great Expectations into an Outcome."""
    config = result.expectation_config
    kwargs, meta = config.kwargs, config.meta
    broken = _exception(result.exception_info)
    return Outcome(
        name=meta["name"],
        title=meta["title"],
        table=table,
        column=", ".join(_columns(kwargs)),
        observed="" if broken else describe(result.result),
        expected=meta["expected"],
        ok=bool(result.success) and not broken,
        warning=str(getattr(config.severity, "value", config.severity)) != "critical",
        broken=broken,
    )


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    names = [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs]
    return names + list(kwargs.get("column_list", []))


def _exception(info: Mapping[str, Any] | None) -> str:
    """Return the message of the exception behind a result, "" if none. Results carry either one record or one per
    metric, keyed by the metric's id.
    """
    records = [info] if info and "raised_exception" in info else list((info or {}).values())
    messages = [
        str(record.get("exception_message") or "unknown error") for record in records if record.get("raised_exception")
    ]
    return "; ".join(dict.fromkeys(messages))


def describe(result: Mapping[str, Any]) -> str:
    """Return what was observed, in words, from the `result` part of a result."""
    details = result.get("details") or {}
    if "observed_partition" in details:
        return f"{_text(result.get('observed_value'))} ({_moves(details)})"
    if result.get("partial_missing_list"):
        return f"no {_text(result['partial_missing_list'])}"
    if "element_count" in result:
        wrong = int(result["unexpected_count"])
        examples = [
            _text(value)
            for value in result.get("partial_unexpected_list") or []
            if value is not None and not isinstance(value, bool)
        ]
        named = ", ".join(dict.fromkeys(examples[:EXAMPLES]))
        return f"{wrong} of {result['element_count']} otherwise" + (f", for example {named}" if wrong and named else "")
    return _text(result.get("observed_value"))


def _moves(details: Mapping[str, Any]) -> str:
    """Return "good 0.97 (was 0.50), …" from the partitions of a divergence."""
    parts = (
        details["observed_partition"]["values"],
        details["observed_partition"]["weights"],
        details["expected_partition"]["weights"],
    )
    rows = sorted(zip(*parts, strict=True))
    return ", ".join(f"{name} {_text(float(now))} (was {_text(float(before))})" for name, now, before in rows)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, Mapping):
        return " / ".join(str(part) for part in value.values())
    if isinstance(value, list | tuple | set):
        return ", ".join(_text(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def summary(outcomes: Sequence[Outcome], notes: Sequence[str]) -> dict[str, Any]:
    """Return the outcomes as a JSON-able value: what summary.json holds."""
    return {
        "ok": not any(item.stops for item in outcomes),
        "notes": list(notes),
        "expectations": [asdict(item) | {"severity": "warning" if item.warning else "critical"} for item in outcomes],
    }


def page(outcomes: Sequence[Outcome], notes: Sequence[str]) -> str:
    """Return index.html: one row per expectation, the failed ones first."""
    failed = sum(item.stops for item in outcomes)
    verdict = (
        f"Refused: {failed} of {len(outcomes)} expectations failed"
        if failed
        else f"Accepted: {len(outcomes)} expectations checked"
    )
    rows = "\n".join(_row(item) for item in sorted(outcomes, key=lambda item: (item.ok, item.warning)))
    paragraphs = "".join(f"<p>{html.escape(note)}</p>\n" for note in notes)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>photoqual: validation</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1c1c; background: #fff }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }}
.failed {{ background: #fde8e6 }} .warning {{ background: #fff4d6 }}
</style></head><body>
<h1>{html.escape(verdict)}</h1>
{paragraphs}<p><a href="{DOCS}/index.html">Data Docs of Great Expectations</a> · <a href="{SUMMARY}">{SUMMARY}</a></p>
<table><thead><tr><th>Outcome</th><th>Expectation</th><th>Table, column</th><th>Observed</th><th>Expected</th></tr></thead><tbody>
{rows}
</tbody></table></body></html>
"""


def _row(item: Outcome) -> str:
    kind = "ok" if item.ok else "warning" if item.warning else "failed"
    seen = f"could not be checked: {item.broken}" if item.broken else item.observed
    cells = (kind, item.title, f"{item.table} {item.column}".strip(), seen, item.expected)
    return f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def write_report(folder: Path, outcomes: Sequence[Outcome], notes: Sequence[str]) -> None:
    """Write index.html and summary.json into `folder`."""
    files.write_json(folder / SUMMARY, summary(outcomes, notes))
    files.write_bytes(folder / INDEX, page(outcomes, notes).encode())


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

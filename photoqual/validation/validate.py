"""The validate stage: Great Expectations over the catalog and the labels; a failure stops everything after it.

The report is written whatever the outcome. data/accepted.json is rewritten only when every expectation holds, so a
refused catalog never becomes what the next one is compared with.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from photoqual import files
from photoqual.config import Params
from photoqual.errors import ValidationFailed
from photoqual.labels.rules import read_labels
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog
from photoqual.validation import checks, frames, offenders, report, rules, suites
from photoqual.validation.acceptances import Acceptance, change, read_acceptances, reference
from photoqual.validation.distribution import Distribution, distribution, read_accepted
from photoqual.validation.drift import Comparison, compare
from photoqual.validation.looks import looks
from photoqual.validation.offenders import Offending
from photoqual.validation.outcomes import Outcome, exception_of, outcome
from photoqual.validation.words import printable

log = logging.getLogger(__name__)


def validate(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the validate stage. Return what was checked, or raise ValidationFailed that names each failed expectation,
    what was observed and what was expected.
    """
    rules.assert_known(params.validation.only_warn)
    tables = {
        "catalog": read_catalog(layout.catalog, frames.CATALOG_COLUMNS),
        "labels": read_labels(layout, frames.LABEL_COLUMNS),
    }
    accepted, written = _read_accepted(layout.accepted), read_acceptances(layout.acceptances)
    at = datetime.now(UTC)
    plain = {
        "catalog": frames.catalog_frame(tables["catalog"], at),
        "labels": frames.labels_frame(tables["labels"], tables["catalog"]),
    }
    pa.default_memory_pool().release_unused()  # Great Expectations makes copies: what reading took has to be gone by then
    now = distribution(plain)
    against, acceptance = reference(accepted, written, now, params)
    comparisons = compare(now, against, params.validation)
    plain["catalog"] = frames.fold_categories(plain["catalog"], now.categories, against.categories if against else None)
    with report.replaced_folder(layout.validation) as folder:
        outcomes, offending = _checked(tables, plain, comparisons, params, at, folder / report.DOCS)
        seen = report.Seen(
            at=at.isoformat(timespec="seconds"),
            outcomes=outcomes,
            notes=_notes(accepted, comparisons),
            comparisons=comparisons,
            offending=offending,
            looks=looks(tables["catalog"], tables["labels"]),
            now=now,
            accepted=accepted,
            standing=_told(acceptance, params) if acceptance else None,
            changes=[_told(line, params) for line in reversed(written)],
            rows_shown=params.validation.report_rows,
        )
        report.write_report(folder, seen)
    for item in outcomes:
        if not item.ok and item.warning:
            log.warning("%s", item.sentence())
    index = layout.validation / report.INDEX
    if seen.failed:
        raise _refusal(seen, index)
    if accepted != now:
        files.write_json(layout.accepted, now.model_dump(mode="json"))
    return {
        "photos": len(tables["catalog"]),
        "labelled": sum(now.classes.values()),
        "good_share": round(now.classes["good"] / sum(now.classes.values()), 6),
        "expectations": len(outcomes),
        "warnings": [item.sentence() for item in outcomes if not item.ok],
        "notes": list(seen.notes),
        "accepted_change": seen.standing and {key: seen.standing[key] for key in ("by", "at", "reason")},
        "report": str(index),
    }


def _read_accepted(path: Path) -> Distribution | None:
    """Read data/accepted.json; None when nothing was accepted yet."""
    return read_accepted(path.read_text(encoding="utf-8"), origin=str(path)) if path.exists() else None


def _checked(
    tables: Mapping[str, pd.DataFrame],
    plain: Mapping[str, pd.DataFrame],
    comparisons: Sequence[Comparison],
    params: Params,
    at: datetime,
    docs: Path,
) -> tuple[list[Outcome], dict[str, Offending]]:
    """Hold the frames to the rules; return an outcome per rule, in their order, and the rows that break one."""
    known = rules.bounds(params.validation, at)
    labelled = int(plain["labels"]["labelled"].sum()) if "labelled" in plain["labels"] else 0
    chosen = {table: suites.in_force(table, comparisons, labelled) for table in ("catalog", "labels")}
    with checks.quiet():
        expectations = {table: suites.suite(of, params.validation, known, comparisons) for table, of in chosen.items()}
        results = checks.check(plain, expectations, docs)
    compared = {found.rule: found for found in comparisons}
    outcomes: list[Outcome] = []
    offending: dict[str, Offending] = {}
    for table, found in results.items():
        for rule in chosen[table]:
            result = found[rule.name]
            if not result.success and not exception_of(result):
                wrong = offenders.broken(rule, plain[table], known)
                if wrong is not None and wrong.any():
                    offending[rule.name] = offenders.offending(rule, wrong, tables, params.validation.report_rows)
            outcomes.append(outcome(rule, result, offending.get(rule.name), compared.get(rule.name)))
        held = sum(item.ok for item in outcomes if item.table == table)
        log.info("%s: %d of %d expectations hold over %d rows", table, held, len(found), len(plain[table]))
    return outcomes, offending


def _notes(accepted: Distribution | None, comparisons: Sequence[Comparison]) -> list[str]:
    """Say which comparisons were left out, and why."""
    if accepted is None:
        return ["Nothing was accepted before: the distributions become the reference, uncompared."]
    left_out = [f"{found.kind} ({found.note})" for found in comparisons if found.note]
    return [f"Not compared: {'; '.join(left_out)}."] if left_out else []


def _told(line: Acceptance, params: Params) -> dict[str, Any]:
    """Return an acceptance for the report: who, when, why, and each kind that it changed beyond its limit."""
    found = compare(line.now, line.before, params.validation)
    return {
        **{key: printable(value) for key, value in (("at", line.at), ("by", line.by))},
        "reason": line.reason,
        "changes": [change(of) for of in found if not of.holds],
    }


def _refusal(seen: report.Seen, index: Path) -> ValidationFailed:
    failed = seen.failed
    sentences = "; ".join(item.sentence() for item in failed)
    look = f"Open {index}"
    moved = {found.rule for found in seen.comparisons if not found.holds}
    if all(item.broken for item in failed):
        next_step = f"{look}: the check itself broke, the data may be fine; report this."
    elif all(item.name in moved for item in failed):
        next_step = f'{look}; if the change is deliberate, accept it: `photoqual accept --reason "…"`.'
    elif any(item.table == "labels" for item in failed):
        next_step = f"{look} and look at the votes of the newest photos; if the change is deliberate, change `validation` in params.yaml."
    else:
        next_step = f"{look} and mend the source that these rows came from; if they are right, change `validation` in params.yaml."
    return ValidationFailed(
        f"Validation refused the data, {len(failed)} of {len(seen.outcomes)} expectations failed: {sentences}.",
        next_step=next_step,
        report=str(index),
        failed=[
            {"name": item.name, "observed": item.observed, "expected": item.expected, "broken": item.broken}
            for item in failed
        ],
    )

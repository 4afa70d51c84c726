"""Deliberate changes of the data: data/acceptances.jsonl, a line for each, kept by git.

A line says who accepted a change, when and why, and holds the distribution that was the reference and the one that
takes its place. It is in force as long as `data/accepted.json` is the reference it replaces; the run that passes writes
the next accepted.json, and the line is history. So a line needs no date to be judged by, and an earlier revision of the
data finds the line that belongs to it. Lines are only ever added: of two branches, keep both sides.
"""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from photoqual import files
from photoqual.config import Params, Strict
from photoqual.errors import ConfigError, DataError, MissingData
from photoqual.layout import Layout
from photoqual.validation import report
from photoqual.validation.distribution import Distribution, parse_accepted
from photoqual.validation.drift import Comparison, compare

LONGEST_REASON = 2000


class Acceptance(Strict):
    """One deliberate change: `now` takes the place of `before` as what the next data is compared with."""

    at: str
    by: str
    reason: str
    before: Distribution
    now: Distribution


def read_acceptances(path: Path) -> list[Acceptance]:
    """Return the lines of `path`, oldest first; none where there is no file. Raise DataError when one is damaged."""
    return files.read_json_lines(path, _acceptance, partial(_damaged, path))


def _acceptance(values: Any) -> Acceptance:
    sides = {side: parse_accepted(values[side], origin=side).model_dump() for side in ("before", "now")}
    try:
        return Acceptance.model_validate({**values, **sides})
    except ValidationError as error:
        raise ValueError(str(error.errors()[0]["msg"])) from None


def _damaged(path: Path, number: int, problem: str) -> DataError:
    place = f"line {number}" if number else "the file"
    return DataError(
        f"{path}: {place} is not an acceptance: {problem.rstrip('.')}.",
        next_step=f"Restore it with `git checkout {path}`; after a merge keep the lines of both sides.",
    )


def reference(
    accepted: Distribution | None, written: list[Acceptance], now: Distribution, params: Params
) -> tuple[Distribution | None, Acceptance | None]:
    """Return what `now` is to be compared with, and the acceptance that says so, None where it is the last accepted.

    An acceptance counts only where the last accepted distribution refuses the data: what is as it always was stays good.
    """
    if accepted is None or all(found.holds for found in compare(now, accepted, params.validation)):
        return accepted, None
    standing = [line for line in written if line.before == accepted]
    return (standing[-1].now, standing[-1]) if standing else (accepted, None)


def accept(layout: Layout, params: Params, *, reason: str, by: str, folder: Path | None = None) -> dict[str, Any]:
    """Accept the change that the validation whose report is in `folder` (default: reports/validation) refused: append
    a line to data/acceptances.jsonl. Return who, when, why, what changed, and which rules still refuse the data.

    Raise ConfigError without a reason or a name, MissingData without a report, DataError when that report has no
    change of a distribution to accept.
    """
    reason, by = _one_line(reason), _one_line(by)
    if not reason or not by or len(reason) > LONGEST_REASON:
        raise ConfigError(
            f"An acceptance needs a name and a reason of at most {LONGEST_REASON} characters.",
            next_step='Say why and who: --reason "…" --by "…".',
        )
    before, now, refused = _seen(folder or layout.validation)
    changes = [found for found in compare(now, before, params.validation) if not found.holds]
    if not changes:
        raise DataError(
            "The last validation refused no change of a distribution, so there is nothing to accept"
            + (f"; it refused {', '.join(refused)}." if refused else "."),
            next_step="Mend the data or change `validation` in params.yaml; an acceptance lifts no other rule."
            if refused
            else "Run `dvc repro validate`; it passes by itself.",
        )
    line = Acceptance(at=datetime.now(UTC).isoformat(timespec="seconds"), by=by, reason=reason, before=before, now=now)
    written = read_acceptances(layout.acceptances)
    if not any((earlier.before, earlier.now) == (before, now) for earlier in written[-1:]):
        _append(layout.acceptances, line)
    others = [name for name in refused if name not in {found.rule for found in changes}]
    return {
        "by": by,
        "at": line.at,
        "reason": reason,
        "accepted": [change(found) for found in changes],
        "still_refused": others,
        "record": str(layout.acceptances),
        "next": f"Commit {layout.acceptances} and run `dvc repro`; with Airflow push it to `main` and start refresh_photos."
        + (f" {', '.join(others)} will still refuse the data: an acceptance lifts no other rule." if others else ""),
    }


def _one_line(text: str) -> str:
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())


def _append(path: Path, line: Acceptance) -> None:
    before = path.read_bytes() if path.exists() else b""
    text = json.dumps(line.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
    files.write_bytes(path, before + (b"\n" if before and not before.endswith(b"\n") else b"") + f"{text}\n".encode())


def _seen(folder: Path) -> tuple[Distribution, Distribution, list[str]]:
    """Return what a report compared: the last accepted distribution, the one it saw, and the rules that refused it."""
    path = folder / report.SUMMARY
    try:
        summary = files.read_json(path)
        accepted, now = summary["accepted"], summary["now"]
        refused = [
            item["name"] for item in summary["expectations"] if not item["ok"] and item["severity"] == "critical"
        ]
    except FileNotFoundError:
        raise MissingData(
            f"{path} does not exist: no validation was refused here.",
            next_step="Run `dvc repro validate`, or give the folder of the report with --report.",
        ) from None
    except (ValueError, TypeError, KeyError):
        raise DataError(
            f"{path} is not a report of this version.", next_step="Run `photoqual validate` again."
        ) from None
    if accepted is None:
        raise DataError(
            "Nothing was accepted before, so no change can be accepted: the first data that passes is the reference.",
            next_step="Read the report; what it refused is no change.",
        )
    return parse_accepted(accepted, origin=str(path)), parse_accepted(now, origin=str(path)), refused


def change(found: Comparison) -> dict[str, Any]:
    """Return one accepted change as a JSON-able value."""
    return {
        "kind": found.kind,
        "divergence": found.divergence,
        "limit": found.limit,
        "before": found.before,
        "now": found.now,
    }

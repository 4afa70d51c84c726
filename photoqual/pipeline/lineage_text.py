"""Lineage and reproduction of a version as pages of text for a terminal."""

import io
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from photoqual.terminal import plain

_WIDTH = 120
_SHORT = 12
_CELL = 24
_UNKNOWN = "not known"
_STYLES = {"equal": "green", "differs": "bold red", "not made": "bold red", "not known": "bold red"}

Rows = list[tuple[str, str]]


def as_text(told: Mapping[str, Any]) -> str:
    """Return what `provenance.lineage` found, section by section; what it could not find comes last."""
    console = _console()
    registered = told["registered"]
    console.print(Text.assemble((told["model"], "bold"), "  ", (", ".join(told["aliases"]), "bold green")))
    console.print(f"registered {_instant(registered['at'])}{_by(registered['by'])}")
    for title, rows in (
        ("Data", _data(told)),
        ("Training", _training(told)),
        ("Judgement", _judgement(told)),
        ("Origin", _origin(told)),
    ):
        _print(console, title, rows)
    if "all" in told["params"]:
        _print(console, "Params", list(told["params"]["all"].items()))
    if told["missing"]:
        console.print(Text("\nNot found", style="bold red"))
        for line in told["missing"]:
            console.print(f"  {plain(line)}")
    return _written(console)


def comparison_text(told: Mapping[str, Any]) -> str:
    """Return what `reproduce.reproduce` compared as a table, what it did, and the outcome in the last line."""
    console = _console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "registered", "here", "outcome"):
        table.add_column(name, no_wrap=name != "")
    for row in told["rows"]:
        told_only = not row["counts"] and row["outcome"] != "equal"
        outcome = f"{row['outcome']} (for information)" if told_only else row["outcome"]
        style = "yellow" if told_only else _STYLES[row["outcome"]]
        cells = [plain(row[name])[:_CELL] or "–" for name in ("registered", "here")]
        table.add_row(plain(row["what"]), *cells, Text(outcome, style=style))
    console.print(table)
    ran = f"Ran again: {', '.join(told['stages'])}." if told["stages"] else "No stage ran again."
    console.print(f"\n{ran} Not run again, because sources change: {', '.join(told['not_run'])}; its data is from DVC.")
    if told["failed"]:
        console.print(f"Stopped: {plain(told['failed'])}.")
    if told["workspace"]:
        console.print(f"Workspace: {told['workspace']}")
    verdict = "is reproduced" if told["same"] else "is NOT reproduced"
    style = "bold green" if told["same"] else "bold red"
    console.print(Text(f"Version {told['version']} {verdict} ({told['seconds']:.0f} s).", style=style))
    return _written(console)


def _console() -> Console:
    terminal = sys.stdout.isatty()
    return Console(
        file=io.StringIO(),
        width=Console().width if terminal else _WIDTH,
        force_terminal=terminal,
        highlight=False,
        markup=False,
    )


def _written(console: Console) -> str:
    page: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in page.splitlines())


def _print(console: Console, title: str, rows: Rows) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(style="cyan", no_wrap=True, min_width=17)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(f"  {plain(name)}", plain(text))
    console.print(Text(f"\n{title}", style="bold"))
    console.print(table)


def _data(told: Mapping[str, Any]) -> Rows:
    data, labels, splits, frozen = told["data"], told["labels"], told["splits"], told["frozen"]
    found = told["validation"]
    rows: Rows = [("photos", _photos(data))]
    if "quarantined" in data:
        rows.append(("quarantined", _counts(data["quarantined"]) or "none"))
    if "votes" in data:
        on = f" on {data['photos_with_votes']:,} photos" if "photos_with_votes" in data else ""
        rows.append(("votes", f"{data['votes']:,}{on}"))
    rows += [(name, " to ".join(data[name])) for name in ("uploaded", "fetched") if data.get(name)]
    rows.append(("label rule", labels.get("rule") or _UNKNOWN))
    rows.append(("labels", _counts({name: labels[name] for name in ("good", "bad", "unlabelled") if name in labels})))
    if found:
        failed = f"; failed: {', '.join(found['failed'])}" if found.get("failed") else ""
        verdict = "accepted" if found["accepted"] else "refused"
        rows.append(("validation", f"{verdict}, {found['held']} of {found['expectations']} expectations hold{failed}"))
    rows.append(("splits", _counts(splits)))
    by_class = f" ({frozen['good']:,} good, {frozen['bad']:,} bad)" if "good" in frozen else ""
    count = f"{frozen['photos']:,} photos{by_class}, " if "photos" in frozen else ""
    rows.append(("frozen test set", f"{count}digest {_short(frozen['digest'])}"))
    rows.append(("data revision", _short(data["revision"])))
    return [(name, text or _UNKNOWN) for name, text in rows]


def _photos(data: Mapping[str, Any]) -> str:
    if "photos" not in data:
        return _UNKNOWN
    sources = _counts(data.get("by_source", {}))
    return f"{data['photos']:,}" + (f" ({sources})" if sources else "")


def _training(told: Mapping[str, Any]) -> Rows:
    training, params = told["training"], told["params"]
    settings = training["settings"]
    rows: Rows = []
    if "kind" in training:
        parameters = f", {training['parameters']:,} parameters" if "parameters" in training else ""
        rows.append(("model", f"{training['kind']}{parameters}"))
    rows.append(("settings", ", ".join(f"{name} {text}" for name, text in settings.items()) or _UNKNOWN))
    if "best_epoch" in training:
        rows.append(("best epoch", f"{training['best_epoch']}, validation AUC {training['validation_auc']:.3f}"))
    if params["before"] is None:
        rows.append(("params", "no champion before it to compare with"))
    elif params["differ"] is None:
        rows.append(("params", f"those of version {params['before']}, the champion before, are not known"))
    elif not params["differ"]:
        rows.append(("params", f"the same as those of version {params['before']}, the champion before"))
    else:
        rows.append(("params", f"other than those of version {params['before']}, the champion before:"))
        rows += [("", f"{name}: {_value(old)} → {_value(new)}") for name, (old, new) in params["differ"].items()]
    return rows


def _judgement(told: Mapping[str, Any]) -> Rows:
    found, verdict = told["evaluation"], told["verdict"]
    rows: Rows = []
    if "auc" in found:
        interval = f" ({found['auc_low']:.3f} to {found['auc_high']:.3f})" if "auc_low" in found else ""
        photos = f" on {found['photos']:,.0f} frozen photos" if "photos" in found else ""
        rows.append(("AUC", f"{found['auc']:.3f}{interval}{photos}"))
    else:
        rows.append(("AUC", _UNKNOWN))
    if verdict:
        against = f" against version {verdict['against']}" if verdict["against"] else ""
        rows.append(("verdict", f"{verdict['decision']}{against} on {_instant(verdict['at'])}: {verdict['reason']}"))
    else:
        rows.append(("verdict", "not judged yet"))
    for change in told["champion"]:
        came = change["champion"] == told["version"]
        other = change["replaced"] if came else change["champion"]
        what = "became champion" if came else "was replaced"
        versus = "" if other is None else f", {'in place of' if came else 'by'} version {other}"
        reason = "" if change["reason"] == verdict.get("reason") else f": {change['reason']}"
        rows.append((change["event"], f"{what} {_instant(change['at'])}{_by(change['by'])}{versus}{reason}"))
    return rows


def _origin(told: Mapping[str, Any]) -> Rows:
    code, environment, run = told["code"], told["environment"], told["run"]
    rows: Rows = [("revision", _short(code["revision"]))]
    if "source" in code:
        rows.append(("code", f"{_short(code['source'])}, {_instant(code['committed'])}: {code['subject']}"))
    rows.append(("environment", f"lock {_short(environment['lock'])}{_beside(environment)}"))
    rows.append(("DAG run", f"{run['dag']}, {run['run']}" if run["dag"] else "none, registered by hand"))
    rows.append(("MLflow run", run["mlflow"] or _UNKNOWN))
    rows.append(("model digest", _short(told["model_digest"])))
    return rows


def _beside(environment: Mapping[str, Any]) -> str:
    if "differs_here" not in environment:
        return ""
    found = "" if environment["at_revision"] else ", not the one at the revision"
    here = environment["differs_here"]
    return found + (
        f"; here {len(here)} package(s) differ: {', '.join(here[:5])}{' …' if len(here) > 5 else ''}"
        if here
        else "; the packages here are the same"
    )


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items())


def _instant(text: str | None) -> str:
    return _UNKNOWN if not text else text[:16].replace("T", " ") + (" UTC" if text.endswith("+00:00") else text[19:])


def _by(person: str | None) -> str:
    return f" by {person}" if person else ""


def _short(digest: str | None) -> str:
    return digest[:_SHORT] if digest else _UNKNOWN


def _value(text: str | None) -> str:
    return "(not there)" if text is None else text

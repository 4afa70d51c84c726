"""`photoqual doctor`: all checks, as a table for a person or as JSON lines for a program."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from photoqual.doctor import installation, project, services
from photoqual.doctor.findings import Finding, State, examine
from photoqual.layout import Layout

_MARKS = {
    State.ok: ("✓", "green"),
    State.absent: ("–", "dim"),
    State.warning: ("!", "yellow"),
    State.problem: ("✗", "red"),
}


def doctor(layout: Layout) -> Iterator[Finding]:
    """Yield what every check found, as it is found."""
    yield from examine([*installation.checks(), *project.checks(layout), *services.checks(layout)])


def print_findings(findings: Iterator[Finding], console: Console) -> Counter[State]:
    """Print each finding as it comes, and what to do about it; return how many there were of each state."""
    counts: Counter[State] = Counter()
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            console.print(Text(f"\n{area}" if counts else area, style="bold"))
        counts[finding.state] += 1
        mark, style = _MARKS[finding.state]
        line = Text.assemble(f"  {mark} ", f"{finding.name}: ", finding.seen, style=style)
        console.print(line, soft_wrap=True)
        if finding.next_step:
            console.print(Text(f"      {finding.next_step}"), soft_wrap=True)
    told = ", ".join(f"{counts[state]} {state.value}" for state in State if counts[state])
    console.print(Text(f"\n{told}"))
    return counts


def as_json(finding: Finding) -> str:
    """Return a finding as one line of JSON."""
    return json.dumps(asdict(finding), ensure_ascii=False)

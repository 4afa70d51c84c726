"""The verb that looks after the installation."""

from typing import Annotated

import typer

from photoqual.cli.app import app
from photoqual.cli.output import ReportFormat


@app.command()
def doctor(
    output: Annotated[ReportFormat, typer.Option("--format", help="A table, or a JSON object a line.")] = (
        ReportFormat.table
    ),
) -> None:
    """Check the installation, the project in this folder and each configured service; say what to do. Exit 1 where
    something is broken; what is merely not set up is no fault.
    """
    from rich.console import Console

    from photoqual.doctor.findings import State
    from photoqual.doctor.report import as_json, print_findings
    from photoqual.doctor.report import doctor as run
    from photoqual.layout import Layout

    findings = run(Layout())
    if output is ReportFormat.table:
        broken = print_findings(findings, Console(highlight=False, markup=False))[State.problem]
    else:
        broken = 0
        for finding in findings:
            typer.echo(as_json(finding))
            broken += finding.state is State.problem
    raise typer.Exit(1 if broken else 0)

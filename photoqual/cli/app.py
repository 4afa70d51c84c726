"""The Typer app, and the headings of its help."""

import typer

STAGES, REGISTRY, PHOTOGRAPHERS = "Stages of the pipeline (see dvc.yaml)", "Model registry", "Photographers"
SELECTION = "Choice of a model"
DATA = "The data"

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Learn from rated photos what a good photo is, and rate new photos with reasons.",
)
registry_app = typer.Typer(no_args_is_help=True, help="Look after the registry itself.")
app.add_typer(registry_app, name="registry", rich_help_panel=REGISTRY)

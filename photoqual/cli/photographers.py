"""Verbs for photographers."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from photoqual.cli.app import PHOTOGRAPHERS, app
from photoqual.cli.output import leave_outcome, listed
from photoqual.errors import ConfigError


@app.command(rich_help_panel=PHOTOGRAPHERS)
def damage(
    paths: Annotated[list[Path], typer.Argument(help="Good photos or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder to write; it must not exist yet, or be empty.")],
    kinds: Annotated[str | None, typer.Option(help="Kinds of damage, with commas. Default: all.")] = None,
    strengths: Annotated[str, typer.Option(help="Strengths to draw from, with commas.")] = "1,2,3",
    per_photo: Annotated[int, typer.Option(help="Damaged variants of each photo, each of another kind.")] = 1,
    seed: Annotated[int, typer.Option(help="Equal seeds damage equal photos equally.", min=0)] = 0,
) -> None:
    """Make training data: good photos and damaged variants in folders. Prints the lines of params.yaml that use them.
    Exit 1 when some photos had to be skipped (listed on standard error).
    """
    from rich.console import Console
    from rich.progress import track

    from photoqual.defects import stored
    from photoqual.defects.damage import NAMES
    from photoqual.rating.rater import find_photos

    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    found = list(find_photos(paths))
    photos = [photo for photo in found if isinstance(photo, Path)]
    for item in found:
        if not isinstance(item, Path):
            errors.print(f"skipped {item.photo}: {item.message}")
    made = stored.store(
        track(photos, "damaging", console=errors, transient=True) if errors.is_terminal else photos,
        out,
        kinds=NAMES if kinds is None else listed(kinds),
        strengths=[_number(strength) for strength in listed(strengths)],
        per_photo=per_photo,
        seed=seed,
    )
    for skip in made.skipped:
        errors.print(f"skipped {skip.photo}: {skip.message}")
    skipped = len(found) - len(photos) + len(made.skipped)
    errors.print(", ".join(f"{count} {name}" for name, count in made.files.items()) + f"; {skipped} skipped")
    errors.print("To train on it, have this in params.yaml (in `sources` and `labels` that are there already):")
    typer.echo(stored.params_lines(out), nl=False)
    leave_outcome({"ok": True, "result": {"files": made.files, "skipped": skipped}})
    raise typer.Exit(1 if skipped else 0)


@app.command(rich_help_panel=PHOTOGRAPHERS)
def taste(
    ratings: Annotated[
        Path, typer.Argument(help="CSV with columns photo and stars (or good), or a folder with good/ and bad/ in it.")
    ],
    profile: Annotated[str, typer.Option(help="Whose taste: a short name. The model is photoqual-<profile>.")],
    model: Annotated[str, typer.Option(help="What to start from: a registry address or a model folder.")] = (
        "models:/photoqual@champion"
    ),
    out: Annotated[Path | None, typer.Option(help="Write the model folder here too; it must not exist yet.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, but register nothing.")] = False,
) -> None:
    """Learn one person's taste from 20 or more of their own ratings; kept only if it beats the model on held-out ones.
    Exit 0 whatever the verdict; skipped ratings are listed on standard error.
    """
    from rich.console import Console
    from rich.progress import track

    from photoqual.cli.output import print_summary
    from photoqual.taste.learn import learn_taste
    from photoqual.taste.ratings import Rated

    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

    def progress(rated: Iterable[Rated]) -> Iterable[Rated]:
        return track(list(rated), "looking", console=errors, transient=True) if errors.is_terminal else rated

    found = learn_taste(ratings, profile=profile, model=model, out=out, dry_run=dry_run, progress=progress)
    for skip in found.pop("skips"):
        errors.print(f"skipped {skip}")
    print_summary(found)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ConfigError(f"{text!r} is not a whole number.", next_step="Name strengths as 1,2,3.")
    return int(text)

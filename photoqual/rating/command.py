"""`photoqual rate`: from paths to a table, JSON or CSV, with progress on a terminal and every skip accounted for."""

import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from photoqual import files
from photoqual.errors import ConfigError, DataError
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import SUFFIXES
from photoqual.rating.rater import Rating, Skipped, find_photos, rate
from photoqual.starter.model import STARTER, resolve


def rate_paths(paths: list[Path], *, model: str | None, output: str, out: Path | None) -> tuple[int, int]:
    """Rate `paths` with `model` and write the ratings as `output` (table, json or csv) to `out` or standard output.

    Without `model` the champion rates, or the starter where there is no champion, and standard error says so. Return
    how many were rated and how many skipped; each skip is listed on standard error with its reason.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
    errors = Console(stderr=True)
    name, folder = resolve(model)
    scorer = Scorer.load(folder)
    photos: Iterable[Path | Skipped] = list(find_photos(paths))
    if not photos:
        raise DataError(
            f"There is no photo in {', '.join(str(path) for path in paths)}.",
            next_step=f"Known endings: {', '.join(sorted(SUFFIXES))}.",
        )
    if model is None and name == STARTER:
        errors.print(
            "There is no champion yet, so the starter rates: it knows technical faults, nobody's taste.",
            highlight=False,
            soft_wrap=True,
        )
    if errors.is_terminal:
        photos = track(photos, "rating", console=errors, transient=True)
    ratings: list[Rating] = []
    skipped: list[Skipped] = []
    for result in rate(scorer, photos, name):
        if isinstance(result, Rating):
            ratings.append(result)
        else:
            skipped.append(result)
    text = WRITERS[output](ratings)
    if out is None:
        sys.stdout.write(text)
    else:
        files.write_bytes(out, text.encode())
    _report(errors, len(ratings), skipped)
    return len(ratings), len(skipped)


def _report(errors: Console, rated: int, skipped: list[Skipped]) -> None:
    for skip in skipped:
        errors.print(f"skipped {skip.photo}: {skip.message}", markup=False, highlight=False, soft_wrap=True)
    by_reason = ", ".join(
        f"{count} {reason}" for reason, count in Counter(skip.reason for skip in skipped).most_common()
    )
    errors.print(
        f"{rated} rated" + (f", {len(skipped)} skipped ({by_reason})" if skipped else ""),
        highlight=False,
        soft_wrap=True,
    )


def as_json(ratings: list[Rating]) -> str:
    """Return one JSON object a line."""
    return "".join(json.dumps(asdict(rating), ensure_ascii=False) + "\n" for rating in ratings)


def as_csv(ratings: list[Rating]) -> str:
    """Return CSV with a header; each defect that the model knows has a column, reasons are joined by `; `."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    defects = list(dict.fromkeys(name for rating in ratings for name in rating.defects))
    columns = [f"defect_{name}" for name in defects]
    writer.writerow(["photo", "score", "stars", "sure", "familiar", "label", *columns, "reasons", "model"])
    for rating in ratings:
        writer.writerow(
            [
                rating.photo,
                rating.score,
                rating.stars,
                rating.sure,
                rating.familiar,
                rating.label,
                *(rating.defects.get(name) for name in defects),
                "; ".join(rating.reasons),
                rating.model,
            ]
        )
    return text.getvalue()


def as_table(ratings: list[Rating]) -> str:
    """Return a table, best photo first; the folder that all photos share is named once, above it."""
    folder = _shared_folder(ratings)
    table = Table(box=None, pad_edge=False, title=f"In {_plain(folder)}" if folder else None, title_justify="left")
    for name in ("stars", "score", "label", "sure", "photo", "first reason"):
        table.add_column(
            name,
            justify="right" if name == "score" else "left",
            overflow="fold" if name == "photo" else "ellipsis",
            no_wrap=name != "photo",
        )
    for rating in sorted(ratings, key=lambda rating: -rating.score):
        why = rating.reasons[0] if rating.reasons else ""
        table.add_row(
            "★" * rating.stars + "☆" * (5 - rating.stars),
            f"{rating.score:.3f}",
            rating.label,
            "yes" if rating.sure else "no",
            _plain(os.path.relpath(rating.photo, folder) if folder else rating.photo),
            _plain(why),
        )
    console = Console(
        file=io.StringIO(), width=Console().width if sys.stdout.isatty() else 160, highlight=False, markup=False
    )
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _shared_folder(ratings: list[Rating]) -> str:
    try:
        return os.path.commonpath([Path(rating.photo).parent for rating in ratings])
    except ValueError:  # no photo, or absolute and relative paths together
        return ""


def _plain(text: str) -> str:
    """Return `text` without characters that would move the cursor or that cannot be printed."""
    return "".join(character if character.isprintable() else "?" for character in text)


WRITERS: dict[str, Callable[[list[Rating]], str]] = {"table": as_table, "json": as_json, "csv": as_csv}

"""`photoqual rate`: from paths to a table, JSON or CSV, with progress on a terminal and every skip accounted for."""

import csv
import io
import json
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
from photoqual.registry.fetch import fetch_model


def rate_paths(paths: list[Path], *, model: str, output: str, out: Path | None) -> tuple[int, int]:
    """Rate `paths` with `model` and write the ratings as `output` (table, json or csv) to `out` or standard output.

    Return how many were rated and how many skipped; each skip is listed on standard error with its reason.
    """
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
    errors = Console(stderr=True)
    scorer = Scorer.load(fetch_model(model))
    photos: Iterable[Path | Skipped] = list(find_photos(paths))
    if not photos:
        raise DataError(
            f"There is no photo in {', '.join(str(path) for path in paths)}.",
            next_step=f"Known endings: {', '.join(sorted(SUFFIXES))}.",
        )
    if errors.is_terminal:
        photos = track(photos, "rating", console=errors, transient=True)
    ratings: list[Rating] = []
    skipped: list[Skipped] = []
    for result in rate(scorer, photos, model):
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
    """Return CSV with a header; reasons are joined by `; `."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["photo", "score", "stars", "sure", "label", "reasons", "model"])
    for rating in ratings:
        writer.writerow(
            [
                rating.photo,
                rating.score,
                rating.stars,
                rating.sure,
                rating.label,
                "; ".join(rating.reasons),
                rating.model,
            ]
        )
    return text.getvalue()


def as_table(ratings: list[Rating]) -> str:
    """Return a table, best photo first."""
    table = Table(box=None, pad_edge=False)
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
            _plain(rating.photo),
            _plain(why),
        )
    console = Console(
        file=io.StringIO(), width=Console().width if sys.stdout.isatty() else 160, highlight=False, markup=False
    )
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    """Return `text` without characters that would move the cursor or that cannot be printed."""
    return "".join(character if character.isprintable() else "?" for character in text)


WRITERS: dict[str, Callable[[list[Rating]], str]] = {"table": as_table, "json": as_json, "csv": as_csv}

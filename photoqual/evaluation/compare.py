"""`photoqual compare`: every model judged on every frozen test set, so that "trained on one, judged on the other" and
the reverse stand in one table.

A cell that cannot be judged says why and leaves the others alone. Photos a model was trained on are found by their
id, the digest of the file as fetched; a copy that was saved anew has another id and is not found.
"""

import io
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from photoqual import files
from photoqual.config import EvaluateParams
from photoqual.errors import ConfigError, DataError, ModelError
from photoqual.evaluation import metrics
from photoqual.evaluation.evaluate import Votes, measure, model_digest, read_votes
from photoqual.evaluation.scoring import score_photos
from photoqual.labels.splits import frozen_digest, read_frozen
from photoqual.layout import Layout
from photoqual.models.info import TRAINED_ON
from photoqual.models.scorer import Scorer

if TYPE_CHECKING:
    from rich.table import Table

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Collection:
    """A named project folder. Model and frozen test set are each there, or there is a reason why not."""

    name: str
    layout: Layout
    scorer: Scorer | None = None
    trained_on: frozenset[str] | None = None
    no_model: str = ""
    frozen: pd.DataFrame | None = None
    votes: Votes = field(default_factory=dict)
    no_frozen: str = ""


@dataclass(frozen=True)
class Cell:
    """One model on one frozen test set: `figures` by name as in metrics.json, or the `reason` why it is not evaluable."""

    model: str
    judged_on: str
    figures: dict[str, float]
    reason: str = ""


def compare(named: Iterable[str], params: EvaluateParams, *, output: str, out: Path | None = None) -> tuple[int, int]:
    """Judge the collections of `named` (NAME=FOLDER each) and write a table or JSON to `out` or standard output.

    Return how many cells were judged and how many were not. Raise ConfigError for a NAME=FOLDER that is none, or a
    name that is there twice.
    """
    folders = parse_names(named)
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
    collections = [read_collection(name, folder) for name, folder in folders.items()]
    cells = [judge(of, on, params) for of in collections for on in collections]
    text = as_json(collections, cells, params) if output == "json" else as_table(collections, cells, params)
    if out is None:
        sys.stdout.write(text)
    else:
        files.write_bytes(out, text.encode())
    judged = sum(not cell.reason for cell in cells)
    return judged, len(cells) - judged


def parse_names(named: Iterable[str]) -> dict[str, Path]:
    """Return the folders by name."""
    folders: dict[str, Path] = {}
    for text in named:
        name, separator, folder = text.partition("=")
        if not separator or not folder or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{text!r} is not NAME=FOLDER.",
                next_step="Name each project folder, as in `photoqual compare own=. club=../club`.",
            )
        if name in folders:
            raise ConfigError(f"The name {name} is there twice.", next_step="Give each folder a name of its own.")
        folders[name] = Path(folder)
    return folders


def read_collection(name: str, folder: Path) -> Collection:
    """Read model and frozen test set of the project in `folder`, as far as they are there."""
    layout = Layout(folder)
    scorer, trained_on, no_model = None, None, ""
    frozen, no_frozen = None, ""
    votes: Votes = {}
    try:
        scorer, trained_on = Scorer.load(layout.challenger), _trained_on(layout.challenger)
    except (ModelError, DataError) as error:
        no_model = f"model {name}: {error.message}"
    try:
        frozen, votes = read_frozen(layout.frozen_test), read_votes(layout)
        metrics.checked(frozen["good"])
    except DataError as error:
        frozen, no_frozen = None, f"set {name}: {error.message}"
    except KeyError as error:
        no_frozen = f"set {name}: {layout.frozen_test} has no column {error}."
    return Collection(name, layout, scorer, trained_on, no_model, frozen, votes, no_frozen)


def _trained_on(folder: Path) -> frozenset[str]:
    path = folder / TRAINED_ON
    table = files.read_table(path) if path.is_file() else None
    if table is None or "photo_id" not in table.schema.names:
        raise ModelError(
            f"{path} does not say what the model was trained on.", next_step="Train it again: `photoqual train`."
        )
    return frozenset(table["photo_id"].to_pylist())


def judge(of: Collection, on: Collection, params: EvaluateParams) -> Cell:
    """Judge the model of one collection on the frozen test set of another, or of its own."""
    if of.scorer is None or of.trained_on is None or on.frozen is None:
        return Cell(of.name, on.name, {}, of.no_model or on.no_frozen)
    seen = int(on.frozen["photo_id"].isin(of.trained_on).sum())
    if seen:
        return Cell(
            of.name,
            on.name,
            {},
            f"model {of.name} was trained on {seen} of the {len(on.frozen)} frozen photos of set {on.name}.",
        )
    try:
        scores = score_photos(on.layout.photos, on.frozen, of.scorer)
    except DataError as error:
        return Cell(of.name, on.name, {}, f"model {of.name} on set {on.name}: {error.message}")
    found = measure(on.frozen, scores, of.scorer.info.threshold, params, on.votes)
    return Cell(of.name, on.name, found.figures)


def as_json(collections: Sequence[Collection], cells: Sequence[Cell], params: EvaluateParams) -> str:
    """Return collections and cells as one JSON object; a cell that is not evaluable has no figures and a reason."""
    told: dict[str, Any] = {
        "confidence": params.confidence,
        "keep_share": params.keep_share,
        "collections": {
            one.name: {
                "folder": str(one.layout.root),
                "model_digest": model_digest(one.layout.challenger) if one.scorer else None,
                "trained_on_photos": len(one.trained_on) if one.trained_on is not None else None,
                "frozen_test_digest": frozen_digest(one.frozen) if one.frozen is not None else None,
                "frozen_photos": len(one.frozen) if one.frozen is not None else None,
            }
            for one in collections
        },
        "cells": [
            {**asdict(cell), "outcome": "not_evaluable" if cell.reason else "judged", "reason": cell.reason or None}
            for cell in cells
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def as_table(collections: Sequence[Collection], cells: Sequence[Cell], params: EvaluateParams) -> str:
    """Return a table, a row per model and a column per frozen test set, and below it why cells are not evaluable."""
    from rich.console import Console
    from rich.table import Table

    reasons = list(dict.fromkeys(cell.reason for cell in cells if cell.reason))
    by_place = {(cell.model, cell.judged_on): cell for cell in cells}
    table = Table(show_lines=True)
    table.add_column("trained on ↓  judged on →")
    for on in collections:
        size = f"{len(on.frozen)} photos" if on.frozen is not None else "not usable"
        table.add_column(f"{on.name}\n{size}")
    for of in collections:
        row = [by_place[of.name, on.name] for on in collections]
        table.add_row(of.name, *(_told(cell, reasons, params) for cell in row))
    return _printed(table, Console) + "".join(f"[{number}] {text}\n" for number, text in enumerate(reasons, 1))


def _told(cell: Cell, reasons: Sequence[str], params: EvaluateParams) -> str:
    if cell.reason:
        return f"not evaluable [{reasons.index(cell.reason) + 1}]"
    found = cell.figures
    return "\n".join(
        [
            f"AUC {found['auc']:.3f} ({found['auc_low']:.3f} to {found['auc_high']:.3f})",
            f"Spearman {_with_bounds(found, 'spearman', 'z.2f')}",
            f"left out {_with_bounds(found, 'gallery_reduction', '.0%')} at {params.keep_share:.0%} kept",
        ]
    )


def _with_bounds(found: dict[str, float], name: str, form: str) -> str:
    if name not in found:
        return "–"
    bounds = [found.get(f"{name}{end}") for end in ("_low", "_high")]
    told = f" ({bounds[0]:{form}} to {bounds[1]:{form}})" if None not in bounds else ""
    return f"{found[name]:{form}}{told}"


def _printed(table: "Table", console: Any) -> str:
    width = console().width if sys.stdout.isatty() else 30 + 48 * len(table.columns)
    printer = console(file=io.StringIO(), width=width, highlight=False, markup=False)
    printer.print(table)
    return str(printer.file.getvalue())

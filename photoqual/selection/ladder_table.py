"""The table of the ladder: in the terminal, as CSV, Markdown and a picture."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from photoqual import files
from photoqual.config import ModelParams

_MEANS = ("auc", "auc_low", "auc_high", "accuracy", "precision_good", "precision_bad")
_SPEEDS = ("photos_per_second", "train_seconds")
_BLUE, _ORANGE = "#0072B2", "#D55E00"
_DPI = 120


@dataclass(frozen=True)
class Row:
    """One rung, over its seeds: means of the figures, and of the bounds of each seed's AUC interval, which tell of the
    chance in the photos; `auc_seeds` is the standard deviation of the AUC between seeds, the chance in the training.
    Figures are None when no seed gave a model; `failures` says why.
    """

    kind: str
    backbone: str | None
    pooling: str | None
    trained: str
    data: str
    seeds: int
    failures: tuple[str, ...]
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    auc_seeds: float | None = None
    accuracy: float | None = None
    precision_good: float | None = None
    precision_bad: float | None = None
    parameters: int | None = None
    photos_per_second: float | None = None
    train_seconds: float | None = None

    @classmethod
    def of(cls, model: ModelParams, data: str, results: Sequence[Mapping[str, Any]], failures: Sequence[str]) -> Self:
        """Return the row of `results`, a mapping of figures per seed."""
        backbone = model.backbone if model.kind == "transfer" else None
        blocks = backbone.trainable_blocks if backbone else "all"
        figures: dict[str, Any] = {}
        if results:
            figures = {name: float(np.mean([result[name] for result in results])) for name in (*_MEANS, *_SPEEDS)}
            figures["parameters"] = results[0]["parameters"]
        if len(results) > 1:
            figures["auc_seeds"] = float(np.std([result["auc"] for result in results], ddof=1))
        return cls(
            kind=model.kind,
            backbone=backbone.name if backbone else None,
            pooling=backbone.pooling if backbone else None,
            trained={0: "head", "all": "all blocks"}.get(blocks, f"last {blocks} blocks"),
            data=data,
            seeds=len(results),
            failures=tuple(failures),
            **figures,
        )

    @property
    def name(self) -> str:
        """Kind, and what tells transfers apart."""
        blocks = "" if self.trained == "head" else f", {self.trained}"
        return f"{self.kind} {self.backbone} {self.pooling}{blocks}" if self.backbone else self.kind


def cells(row: Row, reasons: Sequence[str]) -> list[str]:
    """Return the cells of one row as text; a failure is a number that points into `reasons`."""
    marks = "".join(f" [{reasons.index(failure) + 1}]" for failure in row.failures)
    if row.auc is None:
        return [row.name, row.data, f"failed{marks}", *["–"] * (len(HEADINGS) - 3)]
    spread = f" ± {row.auc_seeds:.3f}" if row.auc_seeds is not None else ""
    return [
        row.name,
        row.data,
        f"{row.auc:.3f}{spread} ({row.auc_low:.3f} to {row.auc_high:.3f}){marks}",
        f"{row.accuracy:.3f}",
        f"{row.precision_good:.3f}",
        f"{row.precision_bad:.3f}",
        f"{row.parameters:,}",
        f"{row.photos_per_second:,.0f}",
        f"{row.train_seconds:,.0f}",
    ]


HEADINGS = (
    "model",
    "data",
    "AUC (interval)",
    "accuracy",
    "precision good",
    "precision bad",
    "parameters",
    "photos/s",
    "training s",
)


def list_reasons(rows: Sequence[Row]) -> list[str]:
    """Return every reason of a failure once, in order."""
    return list(dict.fromkeys(failure for row in rows for failure in row.failures))


def caption(rows: Sequence[Row], confidence: float, *, frozen: bool) -> str:
    """Return what has to be known to read the table."""
    chosen = (
        "Judged on the frozen test set. Each look at it for a choice wears it out: a model chosen by this table has "
        "seen it, and a verdict of `photoqual promote` on it promises less than it says."
        if frozen
        else "Judged on the validation photos, which chose the epoch and the calibration too: good for comparing "
        "rungs, a little kind to all of them."
    )
    several = " ± is the standard deviation between seeds." if any(row.seeds > 1 for row in rows) else ""
    return f"{chosen} Intervals at {confidence:.0%}.{several} Photos/s through ONNX Runtime, decoding left out."


def as_text(rows: Sequence[Row], confidence: float, *, frozen: bool, width: int | None = None) -> str:
    """Return the table for a terminal `width` characters wide, with its caption and the reasons of failures below."""
    from rich.console import Console
    from rich.table import Table

    reasons = list_reasons(rows)
    title = f"The ladder on {rows[0].data}" if rows else None
    table = Table(title=title, caption=caption(rows, confidence, frozen=frozen), caption_justify="left")
    shown = [place for place, heading in enumerate(HEADINGS) if heading != "data"]
    for place in shown:
        table.add_column(HEADINGS[place].replace(" ", "\n"), justify="left" if place < 3 else "right", overflow="fold")
    for row in rows:
        told = cells(row, reasons)
        table.add_row(*(told[place] for place in shown))
    console = Console(file=io.StringIO(), width=width or 180, highlight=False, markup=False)
    console.print(table)
    printed = "\n".join(line.rstrip() for line in str(console.file.getvalue()).splitlines())  # type: ignore[attr-defined]
    return printed + "\n" + "".join(f"[{number}] {reason}\n" for number, reason in enumerate(reasons, 1))


def as_markdown(rows: Sequence[Row], confidence: float, *, frozen: bool) -> str:
    """Return the table in Markdown."""
    reasons = list_reasons(rows)
    lines = [HEADINGS, ["---"] * 3 + ["---:"] * (len(HEADINGS) - 3), *(cells(row, reasons) for row in rows)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    below = "".join(f"\n[{number}] {reason}\n" for number, reason in enumerate(reasons, 1))
    return f"{table}\n{caption(rows, confidence, frozen=frozen)}\n{below}"


def as_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the table with a column per field of Row; failures are joined by "; "."""
    told = [{**asdict(row), "failures": "; ".join(row.failures)} for row in rows]
    return pd.DataFrame(told, columns=[field.name for field in fields(Row)])


def write_tables(folder: Path, rows: Sequence[Row], confidence: float, *, frozen: bool) -> None:
    """Write table.csv, table.md and table.png into `folder`."""
    with files.atomic(folder / "table.csv") as temporary:
        as_frame(rows).to_csv(temporary, index=False)
    files.write_bytes(folder / "table.md", as_markdown(rows, confidence, frozen=frozen).encode())
    with files.atomic(folder / "table.png") as temporary:
        draw(temporary, rows, confidence)


def draw(path: Path, rows: Sequence[Row], confidence: float) -> None:
    """Draw the AUC of each rung with its interval, and beside it how many photos it rates in a second."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 1.6 + 0.42 * len(rows)), layout="constrained")
    quality, speed = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    places = np.arange(len(rows))
    for place, row in zip(places, rows, strict=True):
        if row.auc is None:
            quality.text(0.02, place, "failed", color="0.4", va="center", transform=quality.get_yaxis_transform())
            continue
        quality.plot([row.auc_low, row.auc_high], [place, place], color=_BLUE, linewidth=2)
        quality.plot(row.auc, place, "o", color=_BLUE, markersize=8)
        speed.plot(row.photos_per_second, place, "s", color=_ORANGE, markersize=7)
        speed.annotate(
            f"{row.photos_per_second:,.0f}",
            (row.photos_per_second, place),
            (7, 0),
            textcoords="offset points",
            va="center",
        )
    quality.set_yticks(places, [row.name for row in rows])
    quality.set(xlabel=f"AUC, {confidence:.0%} interval", xlim=(None, 1.01), ylim=(len(rows) - 0.5, -0.5))
    speeds = [row.photos_per_second for row in rows if row.photos_per_second]
    speed.set(xlabel="photos per second (ONNX Runtime)", xscale="log")
    if speeds:
        speed.set_xlim(10 ** np.floor(np.log10(min(speeds)) - 0.1), 10 ** np.ceil(np.log10(max(speeds)) + 0.8))
    for axes in (quality, speed):
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"The ladder on {rows[0].data}" if rows else "The ladder", fontsize=13)
    figure.savefig(path, dpi=_DPI, format="png")

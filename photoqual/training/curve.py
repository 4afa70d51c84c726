"""The training curve: history.csv by epoch for DVC, and a picture by batch with a moving average."""

import csv
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

_WINDOW = 50
"""Batches in the moving average of the training loss."""


@dataclass(frozen=True)
class Epoch:
    """One row of history.csv: mean training loss, its moving average at the end, the validation figures, and the
    learning rate of the last step.
    """

    epoch: int
    loss: float
    loss_moving_average: float
    validation_loss: float
    validation_auc: float
    seconds: float
    learning_rate: float


def moving_average(losses: list[float], window: int = _WINDOW) -> np.ndarray:
    """Return, for each batch, the mean loss of it and up to `window` − 1 batches before it."""
    sums = np.cumsum(np.insert(np.asarray(losses, dtype=float), 0, 0.0))
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def write_history(path: Path, epochs: list[Epoch]) -> None:
    """Write history.csv, a row per epoch."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in epochs)


def draw_curve(path: Path, losses: list[float], epochs: list[Epoch]) -> None:
    """Draw the moving average of the loss by batch beside validation loss and AUC by epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    batch_ends = np.linspace(0, len(losses), len(epochs) + 1)[1:]
    axes.plot(moving_average(losses), color="#0072B2", label=f"training loss, mean of {_WINDOW} batches")
    axes.plot(batch_ends, [epoch.validation_loss for epoch in epochs], "o-", color="#E69F00", label="validation loss")
    axes.set(xlabel="batch", ylabel="loss", title=f"Training, {len(epochs)} epochs", ylim=(0, None))
    right = axes.twinx()
    right.plot(batch_ends, [epoch.validation_auc for epoch in epochs], "s--", color="#009E73", label="validation AUC")
    right.set(ylabel="AUC", ylim=(0.4, 1.0))
    lines = axes.get_lines() + right.get_lines()
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="lower left", fontsize="small")
    figure.savefig(path, dpi=110)

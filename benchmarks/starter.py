"""Judge the starter on real labelled photos that it has never seen: `PHOTOQUAL_BENCH_DATA=… python -m benchmarks.starter`.

Photos are rated as `photoqual rate` rates them. Nothing is fitted here.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.table import Row, exit_code, markdown, plain, update_results
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.significance import auc_interval
from photoqual.models.scorer import Scorer
from photoqual.rating.rater import Rating, Skipped, find_photos, rate
from photoqual.starter.model import STARTER, starter_folder

GOAL = 0.90
CONFIDENCE = 0.95
TITLE = "Quality: starter"


def rows(data: Path) -> list[Row]:
    """Return the table of the starter on the sets in `data`: AUC of good photos against the rest."""
    scorer = Scorer.load(starter_folder())
    defects = _scores(scorer, data / "defects/test")
    blur = _scores(scorer, data / "blur")
    table = [
        _row("starter: defects, 600 test photos, good against the rest", "good", defects, GOAL),
        _row("starter: blur, all photos, sharp against blurred", "sharp", blur, GOAL),
    ]
    for name in sorted(set(defects) - {"good"}):
        only = {kind: scores for kind, scores in defects.items() if kind in ("good", name)}
        table.append(_row(f"starter: defects, good against {name}", "good", only, None))
    return table


def _scores(scorer: Scorer, folder: Path) -> dict[str, np.ndarray]:
    """Return the scores of the photos in `folder` by the name of the folder that each lies in."""
    found: dict[str, list[float]] = {}
    for rating in _ratings(scorer, folder):
        found.setdefault(Path(rating.photo).parent.name, []).append(rating.score)
    return {name: np.array(scores) for name, scores in found.items()}


def _ratings(scorer: Scorer, folder: Path) -> Iterator[Rating]:
    for result in rate(scorer, find_photos([folder]), STARTER):
        if isinstance(result, Skipped):
            raise ValueError(f"{result.photo}: {result.message}")
        yield result


def _row(what: str, good: str, scores: dict[str, np.ndarray], goal: float | None) -> Row:
    truth = np.concatenate([np.full(len(found), int(name == good)) for name, found in scores.items()])
    every = np.concatenate(list(scores.values()))
    figure = auc(truth, every)
    low, high = auc_interval(truth, every, CONFIDENCE)
    text = f"AUC {figure:.4f} (95 %: {low:.4f} to {high:.4f}), {len(every)} photos"
    return Row(what, f"≥ {goal:.2f}" if goal else "", text, figure >= goal if goal else None)


def main() -> int:
    """Print the table, put it into RESULTS.md, and return the exit code."""
    data = Path(os.environ.get("PHOTOQUAL_BENCH_DATA", ""))
    if not (data / "defects/test").is_dir():
        print("Set PHOTOQUAL_BENCH_DATA to the folder that holds defects and blur.", file=sys.stderr)
        return 2
    table = rows(data)
    print(plain(table))
    update_results(TITLE, f"`python -m benchmarks.starter`\n\n{markdown(table)}")
    return exit_code(table)


if __name__ == "__main__":
    sys.exit(main())

"""What others make of the same photos: published measures that know no labels, and classic features that learn.

Published measures are judged on the test photos as they lie in their files (of blur and beauty on every fourth, which
already takes minutes). Classic features are trained and judged along the same folds as our models.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr

from benchmarks.data_sets import BEAUTY_FOLDS, BLUR_FOLDS, table
from benchmarks.table import Row

_PACKAGES = ("cleanvision==0.3.7", "brisque==0.2.0", "pypiqe==1.2", "numpy==2.2.*")
_EVERY = 4


def rows(data: Path, part: str) -> list[Row]:
    """Return the figures of peers on the set `part` of `data`; they have no goals."""
    paths, truth, folds = _LOADERS[part](data)
    with ThreadPoolExecutor() as pool:
        features = np.array(list(pool.map(_features, paths)))
    started = time.monotonic()
    learned = _learned(part, features, truth, folds)
    seconds = time.monotonic() - started
    found = [Row(f"{part}: 26 classic features, gradient boosting", "", f"{learned}; {seconds:.0f} s")]
    tested = np.flatnonzero(folds == "test") if part == "defects" else np.arange(0, len(paths), _EVERY)
    sharpness = features[tested, _LAPLACIAN]
    found.append(Row(f"{part}: variance of the Laplacian", "", _judged(part, truth[tested], sharpness)))
    for method, scores in _published([paths[index] for index in tested]).items():
        found.append(Row(f"{part}: {method}", "", _judged(part, truth[tested], scores)))
    return found


def _defects(data: Path) -> tuple[list[Path], np.ndarray, np.ndarray]:
    paths = sorted((data / "defects").rglob("*.jpg"))
    return paths, np.array([path.parent.name for path in paths]), np.array([path.parts[-3] for path in paths])


def _blur(data: Path) -> tuple[list[Path], np.ndarray, np.ndarray]:
    paths = sorted((data / "blur").rglob("*.jpg"))
    folds = {row["filename"]: int(row["fold"]) for row in table(data / "blur/scenes.csv")}
    truth = np.array(["good" if path.parent.name == "sharp" else "blurred" for path in paths])
    return paths, truth, np.array([folds[path.name] for path in paths])


def _beauty(data: Path) -> tuple[list[Path], np.ndarray, np.ndarray]:
    votes = sorted(table(data / "beauty/votes.csv"), key=lambda row: row["filename"])
    paths = [data / "beauty/photos" / row["filename"] for row in votes]
    return paths, np.array([float(row["beauty_mean"]) for row in votes]), np.array([int(row["fold"]) for row in votes])


_LOADERS: dict[str, Callable[[Path], tuple[list[Path], np.ndarray, np.ndarray]]] = {
    "defects": _defects,
    "blur": _blur,
    "beauty": _beauty,
}
_LAPLACIAN = 0


def _features(path: Path) -> list[float]:
    """Return 26 classic measures of a photo: Laplacian, gradients, luma, saturation, channels, entropy, blockiness."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"), dtype=np.float32)
    luma = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    saturation = pixels.max(axis=2) - pixels.min(axis=2)
    down, right = np.diff(luma, axis=0), np.diff(luma, axis=1)
    laplacian = ndimage.laplace(luma)
    shares = np.bincount(luma.astype(int).ravel(), minlength=256) / luma.size
    seen = shares[shares > 0]
    blocks = np.abs(right[:, 7::8]).mean() - np.abs(right).mean(), np.abs(down[7::8]).mean() - np.abs(down).mean()
    return [
        float(value)
        for value in (
            np.log1p(laplacian.var()),
            np.abs(laplacian).mean(),
            *np.percentile(np.abs(laplacian), [50, 90, 99]),
            np.abs(down).mean(),
            np.abs(right).mean(),
            np.abs(down).std(),
            np.abs(right).std(),
            luma.mean(),
            luma.std(),
            *np.percentile(luma, [1, 5, 50, 95, 99]),
            (luma > 250).mean(),
            saturation.mean(),
            saturation.std(),
            *pixels.mean(axis=(0, 1)),
            -(seen * np.log2(seen)).sum(),
            *blocks,
            np.abs(luma - ndimage.uniform_filter(luma, 3)).mean(),
        )
    ]


def _learned(part: str, features: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> str:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    if part == "defects":
        test = folds == "test"
        model = HistGradientBoostingClassifier(random_state=7).fit(features[~test], truth[~test])
        odds = model.predict_proba(features[test])
        right = float((model.classes_[odds.argmax(axis=1)] == truth[test]).mean())
        return f"accuracy {right:.4f}, {_judged(part, truth[test], odds[:, list(model.classes_).index('good')])}"
    scores, count = np.zeros(len(truth)), BLUR_FOLDS if part == "blur" else BEAUTY_FOLDS
    for fold in range(count):
        test = folds == fold
        if part == "blur":
            model = HistGradientBoostingClassifier(random_state=7).fit(features[~test], truth[~test] == "good")
            scores[test] = model.predict_proba(features[test])[:, 1]
        else:
            scores[test] = (
                HistGradientBoostingRegressor(random_state=7).fit(features[~test], truth[~test]).predict(features[test])
            )
    per_fold = [
        _figures(part, truth[folds == fold], scores[folds == fold], np.median(truth) if part == "beauty" else 0)
        for fold in range(count)
    ]
    means = {name: statistics.mean(found[name] for found in per_fold) for name in per_fold[0]}
    return ", ".join(f"{name} {value:.4f}" for name, value in means.items()) + f" (mean of {count} folds)"


def _judged(part: str, truth: np.ndarray, scores: np.ndarray) -> str:
    middle = float(np.median(truth)) if part == "beauty" else 0.0
    figures = ", ".join(f"{name} {value:.4f}" for name, value in _figures(part, truth, scores, middle).items())
    return f"{figures}, {len(truth)} photos"


def _figures(part: str, truth: np.ndarray, scores: np.ndarray, middle: float) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score

    if part == "beauty":
        return {"SRCC": float(spearmanr(truth, scores).statistic), "AUC": float(roc_auc_score(truth > middle, scores))}
    return {"AUC": float(roc_auc_score(truth == "good", scores))}


def _published(paths: list[Path]) -> dict[str, np.ndarray]:
    """Return the scores of published measures, in the order of `paths`, from an environment of their own."""
    command = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
    for package in _PACKAGES:
        command += ["--with", package]
    done = subprocess.run(
        [*command, "python", str(Path(__file__).with_name("peers_scores.py"))],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"peers_scores.py ended with code {done.returncode}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    return {method: np.array([scores[str(path)] for path in paths]) for method, scores in found.items()}

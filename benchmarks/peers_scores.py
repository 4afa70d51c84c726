"""Scores of published quality measures, run by `peers.py` in an environment of their own; not part of the project.

Takes paths of photos, one a line, on standard input, and gives a JSON object {method: {path: score}}; higher is better.
CleanVision's score of a photo is its lowest over all its issues of single photos. BRISQUE and PIQE count damage, so
their sign is turned.
"""

import contextlib
import json
import sys

import numpy as np
from PIL import Image


def main() -> None:
    paths = [line.strip() for line in sys.stdin if line.strip()]
    with contextlib.redirect_stdout(sys.stderr):
        found = {
            "CleanVision 0.3.7": cleanvision(paths),
            "BRISQUE 0.2.0": brisque(paths),
            "PIQE (pypiqe 1.2)": piqe(paths),
        }
    json.dump(found, sys.stdout)


def cleanvision(paths: list[str]) -> dict[str, float]:
    from cleanvision import Imagelab

    lab = Imagelab(filepaths=paths, verbose=False)
    kinds = ("dark", "light", "odd_aspect_ratio", "low_information", "blurry", "grayscale")
    lab.find_issues({kind: {} for kind in kinds}, n_jobs=1, verbose=False)
    scores = lab.issues[[f"{kind}_score" for kind in kinds]].min(axis=1)
    return {str(path): float(score) for path, score in scores.items()}


def brisque(paths: list[str]) -> dict[str, float]:
    from brisque import BRISQUE

    measure = BRISQUE()
    return {path: -float(measure.score(np.asarray(Image.open(path).convert("RGB")))) for path in paths}


def piqe(paths: list[str]) -> dict[str, float]:
    from pypiqe import piqe as measure

    return {path: -float(measure(np.asarray(Image.open(path).convert("RGB")))[0]) for path in paths}


if __name__ == "__main__":
    main()

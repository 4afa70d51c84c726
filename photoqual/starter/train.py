"""Train the starter's head: `python -m photoqual.starter.train`. Writes head.npz and model.json beside this file.

Good photos are varied crops of freely licensed photographs, bad ones the same damaged by `photoqual.defects`; nobody's
ratings are used. Settings were chosen by cross-validation over base photographs (`--tune`), never on a benchmark.
Needs the extras `starter`, `demo` and `pipeline`; the shipped head also had Debian's package gcompris-qt-data.
"""

import argparse
import json
import logging
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import expit

from photoqual.errors import PhotoqualError
from photoqual.evaluation.metrics import auc
from photoqual.models.backbones.efficientnet_lite import package_file
from photoqual.models.backbones.torch_weights import read_state_dict
from photoqual.models.heads import DEFECTS
from photoqual.models.info import ModelInfo, write_info
from photoqual.photos.decode import model_input
from photoqual.photos.measures import NAMES, measure
from photoqual.starter.fit import Photos, cross_validated, fit, span_of
from photoqual.starter.graph import BACKBONE, OUTPUTS, model_graph
from photoqual.starter.head import FILE
from photoqual.starter.photos import GCOMPRIS, Photo
from photoqual.starter.photos import photos as base_photographs
from photoqual.starter.variants import KINDS, variants
from photoqual.training.calibrate import sure_margin

log = logging.getLogger(__name__)

IMAGE_WIDTH = 640
GOOD, DAMAGED = 12, 26
"""Variants of each base photograph."""
STRENGTH = 10.0
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
SEED = 1
THRESHOLD = 0.5
_BATCH = 8


class Extractor:
    """Turns photos into the features that the starter sees, (n, d) float32, through ONNX Runtime."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        graph = model_graph(read_state_dict(package_file(BACKBONE)), None)
        self._session = onnxruntime.InferenceSession(graph.SerializeToString(), options)

    def features(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Return the features of `inputs`, photos as `photos.decode.model_input` makes them."""
        rows: dict[int, np.ndarray] = {}
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, pixels in enumerate(inputs):
            by_shape[pixels.shape].append(index)
        for alike in by_shape.values():
            for start in range(0, len(alike), _BATCH):
                batch = alike[start : start + _BATCH]
                pixels = np.stack([inputs[index] for index in batch]).astype(np.float32)
                rows.update(zip(batch, self._session.run(None, {"pixels": pixels})[0], strict=True))
        return np.stack([rows[index] for index in range(len(inputs))])


def train(photos: Photos, measures: np.ndarray, image_width: int, out: Path) -> dict[str, Any]:
    """Fit the head on `photos`, write it with its model.json into `out`, and return cross-validated figures.

    `measures` (good photos, measures) are those of the good ones (photos/measures.py).
    """
    span = span_of(photos.features)
    head, log_odds = fit(span, photos, STRENGTH, cross_validated(span, photos, STRENGTH, SEED))
    figures = _figures(photos, log_odds)
    head.save(out / FILE.name)
    write_info(
        out,
        ModelInfo(
            kind="transfer",
            head=DEFECTS,
            image_width=image_width,
            enlarge=False,
            threshold=THRESHOLD,
            sure_margin=sure_margin(photos.good, expit(log_odds), THRESHOLD),
            parameters=head.weights.size + head.bias.size,
            train_photos=len(log_odds),
            validation_photos=len(log_odds),
            best_epoch=0,
            validation_auc=figures["auc"],
            seed=SEED,
            good_ranges={
                name: (float(low), float(high))
                for name, low, high in zip(NAMES, *np.quantile(measures, (0.05, 0.95), axis=0), strict=True)
            },
            outputs=OUTPUTS,
            defects=KINDS,
            backbone=f"{BACKBONE}, levels, frozen",
        ),
    )
    return {"photos": len(log_odds), "base_photos": len(set(photos.groups.tolist())), **figures}


def make_photos(
    bases: Iterable[Photo], good: int, damaged: int, image_width: int, extractor: Extractor
) -> tuple[Photos, np.ndarray]:
    """Return training photos from the photographs `bases`, and the measures of the good ones."""
    features, damage, groups, measures = [], [], [], []
    for base in bases:
        random = np.random.default_rng((SEED, zlib.crc32(base.name.encode())))
        made = list(variants(base.image, good, damaged, random))
        inputs = [model_input(Image.fromarray(variant.pixels), image_width, enlarge=False) for variant in made]
        features.append(extractor.features(inputs))
        damage += [[int(kind in variant.kinds) for kind in KINDS] for variant in made]
        groups += [base.name] * len(made)
        found = [measure(pixels) for variant, pixels in zip(made, inputs, strict=True) if not variant.kinds]
        measures += [[values[name] for name in NAMES] for values in found]
        log.info("%d photos, the last of %s", len(groups), base.name)
    return Photos(np.concatenate(features), np.array(damage), np.array(groups)), np.array(measures)


def _figures(photos: Photos, log_odds: np.ndarray) -> dict[str, float]:
    """Return the AUC of good photos against the rest, and against each kind of damage alone."""
    figures = {"auc": auc(photos.good, log_odds)}
    for index, kind in enumerate(KINDS):
        shown = (photos.good == 1) | (photos.damage[:, index] == 1)
        figures[kind] = auc(photos.good[shown], log_odds[shown])
    return {name: round(value, 4) for name, value in figures.items()}


def _kept(file: Path | None, make: Callable[[], tuple[Photos, np.ndarray]]) -> tuple[Photos, np.ndarray]:
    """Return what `make` gives, or what it gave when it was kept in `file`."""
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as kept:
            return Photos(kept["features"], kept["damage"], kept["groups"]), kept["measures"]
    photos, measures = make()
    if file is not None:
        np.savez(file, features=photos.features, damage=photos.damage, groups=photos.groups, measures=measures)
    return photos, measures


def main() -> None:
    """Train the head, or compare strengths of regularisation."""
    parser = argparse.ArgumentParser(description="Train the starter's head.")
    parser.add_argument("--good", type=int, default=GOOD, help="good variants of each base photograph")
    parser.add_argument("--damaged", type=int, default=DAMAGED, help="damaged variants of each base photograph")
    parser.add_argument("--image-width", type=int, default=IMAGE_WIDTH, help="long side at which photos are rated, px")
    parser.add_argument("--gcompris", type=Path, default=GCOMPRIS, help="its folder of .rcc files")
    parser.add_argument("--keep", type=Path, help="keep the features in this .npz file, and read them when it is there")
    parser.add_argument("--out", type=Path, default=FILE.parent, help="folder for head.npz and model.json")
    parser.add_argument("--tune", action="store_true", help="compare strengths of regularisation, write nothing")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        photos, measures = _kept(
            options.keep,
            lambda: make_photos(
                base_photographs(options.gcompris), options.good, options.damaged, options.image_width, Extractor()
            ),
        )
        if options.tune:
            span = span_of(photos.features)
            for strength in STRENGTHS:
                _, log_odds = fit(span, photos, strength, cross_validated(span, photos, strength, SEED))
                print(f"strength {strength:g}:", json.dumps(_figures(photos, log_odds)), flush=True)
        else:
            print(json.dumps(train(photos, measures, options.image_width, options.out), indent=2))
    except PhotoqualError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()

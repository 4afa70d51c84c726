"""Search among 100,000 latent vectors: `python -m benchmarks.similar_search [--tune]`, about 5 minutes.

Two sets of vectors: clusters of very different sizes in a space whose directions matter less and less, as those of
features do; and the starter's features of the demo photographs (6 cuts of each), mixed two by two and with noise. Each is
searched for 500 further vectors of its own kind, one at a time. `--tune` tries settings of the graph on 20,000 instead.
"""

import os
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.table import Row, exit_code, markdown, plain, update_results
from photoqual.models.heads import FEATURES
from photoqual.models.scorer import Scorer
from photoqual.models.seen import look_at
from photoqual.rating.similar import index as settings
from photoqual.rating.similar.index import Index
from photoqual.rating.similar.space import PROJECTED, Space, nearest
from photoqual.starter.model import starter_folder
from photoqual.starter.photos import photos

VECTORS, QUERIES, K = 100_000, 500, 10
MOST_MS, LEAST_RECALL = 10.0, 0.95
_CHUNK = 50
_SIDE = 320
Draw = Callable[[int, int], np.ndarray]
"""Gives (number, seed) vectors."""


def clusters(count: int, seed: int) -> np.ndarray:
    """Return unit vectors, float32 (count, PROJECTED), in 3,000 clusters."""
    centres = np.random.default_rng(0).standard_normal((3000, PROJECTED), np.float32)
    sizes = 1 / np.arange(1, 3001)
    spectrum = (1 / np.sqrt(np.arange(1, PROJECTED + 1))).astype(np.float32)
    draw = np.random.default_rng(seed)
    chosen = centres[draw.choice(3000, count, p=sizes / sizes.sum())]
    chosen += np.float32(0.7) * draw.standard_normal((count, PROJECTED), np.float32)
    return _unit(chosen * spectrum)


def mixtures_of(real: np.ndarray) -> Draw:
    """Return a draw of unit vectors between two of `real`, nearer to one of them, with noise a third as long."""

    def drawn(count: int, seed: int) -> np.ndarray:
        draw = np.random.default_rng(seed)
        one, other = (real[draw.integers(0, len(real), count)] for _ in range(2))
        part = draw.beta(2, 6, count).astype(np.float32)[:, None]
        noise = draw.standard_normal((count, real.shape[1]), np.float32) / np.float32(3 * np.sqrt(real.shape[1]))
        return _unit((1 - part) * one + part * other + noise)

    return drawn


def real_vectors() -> np.ndarray:
    """Return where 6 cuts of each demo photograph lie, float32 (n, PROJECTED)."""
    scorer = Scorer.load(starter_folder())
    space = Space.of(scorer)
    found = []
    for photo in photos():
        image = photo.image.copy()
        image.thumbnail((_SIDE, _SIDE))
        width, height = image.size
        for at in range(6):
            left, top = at % 3 * width // 6, at // 3 * height // 4
            cut = image.crop((left, top, left + 2 * width // 3, top + 3 * height // 4))
            pixels = look_at(cut, scorer.info)[1]
            found.append(space.place(scorer.answers_of([pixels], (FEATURES,))[FEATURES])[0])
    return np.array(found)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32, copy=False)


def measured(name: str, draw: Draw, count: int) -> list[Row]:
    """Return the rows of one set of vectors."""
    vectors, queries = draw(count, 1), draw(QUERIES, 2)
    index = Index(vectors.shape[1])
    began, worked = time.perf_counter(), time.process_time()
    for start in range(0, count, 4096):
        index.add(np.arange(start, min(start + 4096, count)), vectors[start : start + 4096])
    built, work = time.perf_counter() - began, time.process_time() - worked
    found, took = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(index.search(query[None], K)[0][0])
        took.append(1000 * (time.perf_counter() - began))
    began = time.perf_counter()
    exact = np.concatenate([nearest(vectors, queries[at : at + _CHUNK], K)[0] for at in range(0, QUERIES, _CHUNK)])
    by_all = 1000 * (time.perf_counter() - began) / QUERIES
    recall = float(np.mean([len(set(a.tolist()) & set(b.tolist())) / K for a, b in zip(found, exact, strict=True)]))
    usual, slow = np.percentile(took, [50, 95])
    size = f"{count:,} of {vectors.shape[1]} dimensions"
    return [
        Row(f"{name}: recall@{K} of {size}", f"≥ {LEAST_RECALL}", f"{recall:.3f}", recall >= LEAST_RECALL),
        Row(
            f"{name}: one search, median (95 %)", f"< {MOST_MS:g} ms", f"{usual:.2f} ms ({slow:.2f} ms)", slow < MOST_MS
        ),
        Row(f"{name}: the same by comparing all, {_CHUNK} at once", "", f"{by_all:.1f} ms"),
        Row(f"{name}: building", "", f"{built:.0f} s ({work:.0f} s of processor time)"),
        Row(f"{name}: memory", "", f"{index.megabytes:.0f} MB"),
    ]


def tune(draw: Draw) -> None:
    """Print what settings of the graph give on 20,000 vectors."""
    vectors, queries = draw(20_000, 1), draw(QUERIES, 2)
    exact = nearest(vectors, queries, K)[0]
    for kind in ("f16", "i8"):
        for connectivity, add in ((16, 64), (16, 128), (24, 128)):
            settings.DTYPE, settings.CONNECTIVITY, settings.EXPANSION_ADD = kind, connectivity, add
            began = time.process_time()
            index = Index(vectors.shape[1])
            index.add(np.arange(len(vectors)), vectors)
            built = time.process_time() - began
            for search in (32, 64, 128, 256):
                index._graph.expansion_search = search
                began = time.process_time()
                found = index._graph.search(queries, K, threads=1).keys
                took = 1000 * (time.process_time() - began) / QUERIES
                recall = np.mean([len(set(a) & set(b)) / K for a, b in zip(found, exact, strict=True)])
                print(f"{kind} {connectivity:2} {add:3} {search:3}: built {built:5.1f} s, {took:.2f} ms, {recall:.3f}")


def main() -> int:
    """Print the table, put it into RESULTS.md, and return the exit code."""
    mixtures = mixtures_of(real_vectors())
    if "--tune" in sys.argv[1:]:
        tune(mixtures)
        return 0
    rows = [*measured("clusters", clusters, VECTORS), *measured("photos", mixtures, VECTORS)]
    print(plain(rows))
    cores = len(os.sched_getaffinity(0))
    update_results(
        "Search among latent vectors", f"`python -m benchmarks.similar_search`, {cores} cores\n\n{markdown(rows)}"
    )
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())

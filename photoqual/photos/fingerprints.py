"""Photos that must not be split apart: near duplicates by perceptual hash, joined with the groups of the sources.

Two hashes of 64 bits that differ in at most 3 bits agree in at least one of their four 16-bit quarters, so the
candidates are found by sorting, without a quadratic step.
"""

import hashlib

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_BITS = 3
FEATURELESS = 3.0
"""Standard deviation of luma (0 to 255) under which a photo has no structure that a hash could tell apart."""


def photo_id(data: bytes) -> str:
    """Return the id of a photo: the SHA-256 of its bytes as fetched, in hex."""
    return hashlib.sha256(data).hexdigest()


def perceptual_hash(image: Image.Image) -> str:
    """Return the 64-bit DCT hash as 16 hex digits, or "" for an image without structure (a black frame)."""
    if float(np.asarray(image.convert("L"), dtype=np.float32).std()) < FEATURELESS:
        return ""
    return str(imagehash.phash(image))


def near_duplicates(hashes: pd.Series, bits: int = MAX_BITS) -> np.ndarray:
    """Return an integer per hash; photos that are near duplicates of one another, directly or through others, share it.

    `bits` is the largest number of differing bits, 0 to 3. Photos without a hash stay alone. Sets of more than 200
    photos that share a quarter of the hash are compared with their neighbours in sorted order only.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits: expected 0 to {MAX_BITS}, received {bits}")
    texts = hashes.fillna("").to_numpy(dtype=object)
    known = np.flatnonzero(texts != "")
    values = np.array([int(texts[index], 16) for index in known], dtype=np.uint64)
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    for quarter in range(4):
        part = (values >> np.uint64(16 * quarter)) & np.uint64(0xFFFF)
        order = np.lexsort((values, part))
        sorted_part, sorted_values = part[order], values[order]
        _, counts = np.unique(sorted_part, return_counts=True)
        reach = min(int(counts.max(initial=1)), 200)
        for step in range(1, reach):
            same = sorted_part[step:] == sorted_part[:-step]
            if not same.any():
                break
            apart = np.bitwise_count(sorted_values[step:] ^ sorted_values[:-step])
            near = np.flatnonzero(same & (apart <= bits))
            rows.append(known[order[near]])
            columns.append(known[order[near + step]])
    return _components(len(texts), rows, columns)


def split_units(photos: pd.DataFrame, bits: int = MAX_BITS) -> np.ndarray:
    """Return an integer per row of `photos` (columns `photo_id`, `group`, `phash`): rows that share it are of one
    group, are the same photo, or are near duplicates, directly or through others. Splits keep them together.
    """
    rows: list[np.ndarray] = []
    columns: list[np.ndarray] = []
    near = near_duplicates(photos["phash"], bits)
    for codes in (pd.factorize(photos["group"])[0], pd.factorize(photos["photo_id"])[0], near):
        order = np.argsort(codes, kind="stable")
        same = np.flatnonzero((codes[order][1:] == codes[order][:-1]) & (codes[order][1:] >= 0))
        rows.append(order[same])
        columns.append(order[same + 1])
    return _components(len(photos), rows, columns)


def _components(size: int, rows: list[np.ndarray], columns: list[np.ndarray]) -> np.ndarray:
    left = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    right = np.concatenate(columns) if columns else np.empty(0, dtype=np.int64)
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    return connected_components(graph, directed=False)[1]

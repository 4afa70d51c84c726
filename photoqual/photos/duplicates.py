"""Photos that must not be split apart: near duplicates by perceptual hash and time, joined with groups and equal bytes.

Two photos are near duplicates when their hashes differ in at most 3 of 64 bits and they were taken within the same or
neighbouring minutes, or the time of either is unknown. So a copy in another size is found, even where a site has taken
its EXIF data away; two photos of one motif that looks alike every day stay apart where both tell their time.

Hashes that differ in at most n bits agree in one of n + 1 parts of them, so candidates are found by sorting. Where many
agree in a part, the bits that are left are parted again. No step compares all with all.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

MAX_BITS = 3
_HASH_BITS = 64
_CROWDED = 64
"""Hashes that agree in a part, above which they are parted again instead of compared with one another."""
_FEW_BITS = 6
"""Hashes that can differ in so many bits only, more than MAX_BITS, are few and not parted any more."""
_MAX_LINKS = 4_000_000
"""Links that are held before they are settled into labels: a bound on memory."""
_MINUTE = np.timedelta64(1, "m")


class _Links:
    """Which of `size` things are joined, directly or through others."""

    def __init__(self, size: int) -> None:
        self._labels = np.arange(size)
        self._pairs: list[np.ndarray] = []
        self._held = 0

    def add(self, left: np.ndarray, right: np.ndarray) -> None:
        pairs = np.stack([self._labels[left], self._labels[right]])
        pairs = pairs[:, pairs[0] != pairs[1]]
        self._pairs.append(pairs)
        self._held += pairs.shape[1]
        if self._held > _MAX_LINKS:
            self.labels()

    def labels(self) -> np.ndarray:
        """Return an integer per thing; joined things share it."""
        if self._held:
            left, right = np.concatenate(self._pairs, axis=1)
            size = int(self._labels.max()) + 1
            graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
            self._labels = connected_components(graph, directed=False)[1][self._labels]
        self._pairs, self._held = [], 0
        return self._labels


def near_duplicates(hashes: pd.Series, bits: int = MAX_BITS, taken_at: pd.Series | None = None) -> np.ndarray:
    """Return an integer per hash; photos that are near duplicates of one another, directly or through others, share it.

    `bits` is the largest number of differing bits, 0 to 3; `taken_at` tells the times, nothing of it known by default.
    Photos without a hash stay alone.
    """
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"bits: expected 0 to {MAX_BITS}, received {bits}")
    known, values = _values(hashes)
    minutes, timed = _minutes(taken_at, known)
    links = _Links(len(hashes))
    if not timed.all():
        _link_untimed(known, values, timed, bits, links)
    if timed.any():
        for offset in (0, 1):  # the two ways to pair minutes off: neighbours share a pair in one of them
            _link_timed(known[timed], values[timed], (minutes[timed] + offset) // 2, bits, links)
    return links.labels()


def split_units(photos: pd.DataFrame, bits: int = MAX_BITS) -> np.ndarray:
    """Return an integer per row of `photos` (columns `photo_id`, `group`, `phash` and, where there is one, `taken_at`):
    rows that share it are of one group, are the same photo, or are near duplicates, directly or through others. Splits
    keep them together.
    """
    links = _Links(len(photos))
    near = near_duplicates(photos["phash"], bits, photos.get("taken_at"))
    for codes in (pd.factorize(photos["group"])[0], pd.factorize(photos["photo_id"])[0], near):
        order = np.argsort(codes, kind="stable")
        same = np.flatnonzero((codes[order][1:] == codes[order][:-1]) & (codes[order][1:] >= 0))
        links.add(order[same], order[same + 1])
    return links.labels()


def _values(hashes: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows that have a hash, and their hashes as integers."""
    texts = hashes.fillna("").to_numpy(dtype=object)
    known = np.flatnonzero(texts != "")
    return known, np.frombuffer(bytes.fromhex("".join(texts[known])), dtype=">u8").astype(np.uint64)


def _minutes(taken_at: pd.Series | None, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the minute of each `known` row, and which of them tell their time."""
    if taken_at is None:
        return np.zeros(len(known), dtype=np.int64), np.zeros(len(known), dtype=bool)
    times = instants(taken_at)
    timed = ~np.isnat(times[known])
    since = np.where(timed, times[known], np.datetime64(0, "us")) - np.datetime64(0, "us")
    return np.floor_divide(since, _MINUTE), timed


def instants(taken_at: pd.Series) -> np.ndarray:
    """Return times, of whatever kind the column is, in microseconds; NaT where it tells none."""
    if not taken_at.notna().any():
        return np.full(len(taken_at), np.datetime64("NaT"), dtype="datetime64[us]")
    if isinstance(taken_at.dtype, pd.DatetimeTZDtype):
        return taken_at.dt.tz_convert(None).to_numpy("datetime64[us]")
    found = pa.array(taken_at, pa.timestamp("us", tz="UTC"), from_pandas=True)
    return found.to_numpy() if isinstance(found, pa.ChunkedArray) else found.to_numpy(zero_copy_only=False)


def _link_untimed(known: np.ndarray, values: np.ndarray, timed: np.ndarray, bits: int, links: _Links) -> None:
    """Join photos of which at least one does not tell its time."""
    distinct, place = np.unique(values, return_inverse=True)
    untimed = np.zeros(len(distinct), dtype=bool)
    untimed[place[~timed]] = True
    whole = untimed.copy()
    """Hashes all of whose photos belong together, since one that may be of any time is near each of them."""
    first = known[_first_of(place, len(distinct))]

    def meet(left: np.ndarray, right: np.ndarray) -> None:
        counts = untimed[left] | untimed[right]
        left, right = left[counts], right[counts]
        whole[left] = whole[right] = True
        links.add(first[left], first[right])

    _find_near(distinct, np.zeros(len(distinct), dtype=np.int64), bits, meet, lambda: links.labels()[first])
    joined = whole[place]
    links.add(known[joined], first[place[joined]])


def _link_timed(known: np.ndarray, values: np.ndarray, cells: np.ndarray, bits: int, links: _Links) -> None:
    """Join photos that share one of `cells` of time."""
    order = np.lexsort((values, cells))
    known, values, cells = known[order], values[order], cells[order]
    starts = _changes(values) | _changes(cells)
    place = np.cumsum(starts) - 1
    first = known[starts]
    links.add(known, first[place])
    _find_near(
        values[starts],
        np.cumsum(_changes(cells[starts])) - 1,
        bits,
        lambda left, right: links.add(first[left], first[right]),
        lambda: links.labels()[first],
    )


def _find_near(
    values: np.ndarray,
    cells: np.ndarray,
    bits: int,
    meet: Callable[[np.ndarray, np.ndarray], None],
    labels: Callable[[], np.ndarray],
) -> None:
    """Call `meet` with the places of all pairs of `values` that share their cell and differ in at most `bits` bits, but
    for pairs that `labels` says are joined already. Cells are in order; values are distinct in their cell.
    """

    def part(members: np.ndarray, buckets: np.ndarray, free: int) -> None:
        free &= _varying(values[members], buckets)
        if free.bit_count() <= _FEW_BITS:
            starts = np.flatnonzero(_changes(buckets))
            sizes = np.diff(starts, append=len(members))
            compare(members, np.repeat(starts + sizes, sizes))
            return
        for mask in _parts(free, bits + 1):
            shared = values[members] & np.uint64(mask)
            order = np.lexsort((shared, buckets))
            ordered = members[order]
            starts = np.flatnonzero(_changes(buckets[order]) | _changes(shared[order]))
            sizes = np.diff(starts, append=len(members))
            compare(ordered, np.repeat(np.where(sizes <= _CROWDED, starts + sizes, 0), sizes))
            crowded = sizes > _CROWDED
            if crowded.any():
                known = labels()[ordered]
                crowded &= np.minimum.reduceat(known, starts) != np.maximum.reduceat(known, starts)
            if crowded.any():
                inside = np.repeat(crowded, sizes)
                part(ordered[inside], np.repeat(np.arange(len(starts)), sizes)[inside], free & ~mask)

    def compare(members: np.ndarray, ends: np.ndarray) -> None:
        """Compare each member with those after it up to its end."""
        step, places = 1, np.arange(len(members))
        while len(places := places[places + step < ends[places]]):
            left, right = members[places], members[places + step]
            near = np.bitwise_count(values[left] ^ values[right]) <= bits
            if near.any():
                meet(left[near], right[near])
            step += 1

    if len(values):
        part(np.arange(len(values)), cells, (1 << _HASH_BITS) - 1)


def _varying(values: np.ndarray, buckets: np.ndarray) -> int:
    """Return a mask of the bits in which values of any one bucket differ; equal buckets stand together."""
    starts = np.flatnonzero(_changes(buckets))
    differing = np.bitwise_or.reduceat(values, starts) ^ np.bitwise_and.reduceat(values, starts)
    return int(np.bitwise_or.reduce(differing))


def _parts(free: int, number: int) -> list[int]:
    """Return `number` masks of nearly equally many bits that make up the mask `free`."""
    places = [place for place in range(_HASH_BITS) if free >> place & 1]
    return [sum(1 << int(place) for place in part) for part in np.array_split(places, number)]


def _changes(values: np.ndarray) -> np.ndarray:
    """Return a mask of the places where a value differs from the one before; the first does."""
    return np.concatenate([np.ones(min(1, len(values)), dtype=bool), values[1:] != values[:-1]])


def _first_of(place: np.ndarray, size: int) -> np.ndarray:
    """Return where each of 0 … size − 1 stands first in `place`."""
    found = np.empty(size, dtype=np.int64)
    found[place[::-1]] = np.arange(len(place))[::-1]
    return found

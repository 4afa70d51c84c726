"""Histograms of votes for many photos at once: lists of counts of any length, kept end to end in one array."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class Histograms:
    """`counts` of photo i lie from `starts[i]` to `starts[i + 1]`, lowest grade first; none where both are equal. Places
    are 32-bit numbers, so that many counts need little memory.
    """

    starts: np.ndarray
    counts: np.ndarray

    @property
    def bins(self) -> np.ndarray:
        """How many grades each has, (n,); 0: none is known."""
        return np.diff(self.starts)

    @property
    def owners(self) -> np.ndarray:
        """To which photo each of `counts` belongs."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), self.bins)

    @property
    def places(self) -> np.ndarray:
        """Which grade each of `counts` belongs to, from 0."""
        places = np.arange(len(self.counts), dtype=np.int32)
        places -= np.repeat(self.starts[:-1].astype(np.int32), self.bins)
        return places

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return `values`, one for each of `counts`, added up by photo, (n,)."""
        return np.bincount(self.owners, weights=values, minlength=len(self.starts) - 1)

    def shares(self) -> np.ndarray:
        """Return `counts` such that those of each photo add up to 1."""
        return self.counts / np.repeat(self.sums(self.counts), self.bins)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the votes, (n,), grades lying evenly on 0 to 1; NaN without any."""
        shares, at = self.shares(), self.places / np.repeat(np.maximum(self.bins - 1, 1), self.bins)
        mean = np.where(self.bins > 0, self.sums(shares * at), np.nan)
        variance = self.sums(shares * (at - np.repeat(mean, self.bins)) ** 2)
        return mean, np.where(self.bins > 0, np.sqrt(variance), np.nan)

    def kept(self, mask: np.ndarray) -> "Histograms":
        """Return those where `mask` (n,) holds, the others as unknown ones."""
        if mask.all():
            return self
        return Histograms(offsets(np.where(mask, self.bins, 0)), self.counts[np.repeat(mask, self.bins)])

    def of(self, indices: np.ndarray) -> "Histograms":
        """Return the histograms at `indices`, in their order."""
        starts = offsets(self.bins[indices])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
        return Histograms(starts, self.counts[np.repeat(self.starts[:-1][indices], np.diff(starts)) + within])

    def merged(self, owners: np.ndarray, number: int) -> "Histograms":
        """Return the histograms of `number` photos: row i is about photo `owners[i]`, and rows about one are added.

        Where they have different numbers of grades, those with most votes decide which; the others are left out.
        """
        votes = np.where(self.bins > 0, self.sums(self.counts), -1.0)
        first = np.lexsort((-votes, owners))
        first = first[np.r_[True, np.diff(owners[first]) > 0]] if len(first) else first
        bins = np.zeros(number, dtype=np.int64)
        bins[owners[first]] = self.bins[first]
        same = self.kept(self.bins == bins[owners])
        starts = offsets(bins)
        targets = np.repeat(starts[:-1][owners].astype(np.int32), same.bins) + same.places
        return Histograms(starts, np.bincount(targets, weights=same.counts, minlength=int(starts[-1])))

    def listed(self) -> pa.Array:
        """Return the shares as an array of lists, null where none is known."""
        starts = pa.array(self.starts, pa.int32(), mask=np.r_[self.bins == 0, False])
        return pa.ListArray.from_arrays(starts, pa.array(self.shares()))


def offsets(sizes: np.ndarray) -> np.ndarray:
    """Return where each of things of `sizes` (n,) begins when they lie end to end, and where the last ends, (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def histograms_of(lists: pa.Array) -> Histograms:
    """Return the histograms in an array of lists of numbers. One with a missing or negative count, without votes, or
    with less than two grades is none.
    """
    sizes = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    flat = lists.flatten()
    counts = flat.cast(pa.float64()).fill_null(-1.0).to_numpy(zero_copy_only=False)
    found = Histograms(offsets(sizes), counts)
    wrong = found.sums(~(counts >= 0)) > 0
    return found.kept(~wrong & (found.bins > 1) & (found.sums(counts) > 0))

"""Which photos belong together: brackets and panoramas, which stay whole, and bursts and near duplicates, of which one
is enough. Pure; no step compares all with all.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from photoqual.photos.duplicates import near_duplicates
from photoqual.rating.cull import panoramas as sweeps
from photoqual.rating.cull.brackets import brackets
from photoqual.rating.cull.frames import Frame, copies, retaken, same_burst
from photoqual.sources._sidecars import Shot, bursts

BRACKET, PANORAMA, BURST, DUPLICATES = "bracket", "panorama", "burst", "duplicates"
WHOLE = frozenset({BRACKET, PANORAMA})
"""Kinds of groups that are kept or dropped whole."""
_BRACKET_SECONDS = 120.0
"""Longest pause that is looked into for a bracket: its frames may be exposed for a minute and more."""
_MINUTE = timedelta(minutes=1)
_RETAKES = 20
"""Photos that one is compared with, at most, of those taken in the minute after it."""


@dataclass(frozen=True)
class Group:
    """Places of the photos that belong together, in the order in which they were taken; `name` such as `burst 3`."""

    kind: str
    number: int
    members: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.kind} {self.number}"

    @property
    def whole(self) -> bool:
        return self.kind in WHOLE


def group(frames: Sequence[Frame], *, seconds: float) -> list[Group]:
    """Return the groups of `frames`, no photo in two of them; those alone are in none.

    `seconds`: photos of one camera at most this far apart are of one burst, if they also show the same.
    """
    order = sorted(range(len(frames)), key=lambda place: _when(frames[place]))
    whole = [(BRACKET, found) for found in _in_runs(frames, order, _BRACKET_SECONDS, brackets)]
    free = _without(order, whole)
    whole += [(PANORAMA, found) for found in _in_runs(frames, free, sweeps.SECONDS, sweeps.panoramas)]
    free = _without(order, whole)
    runs = _runs(frames, free, seconds) if seconds > 0 else []
    in_bursts = [pair for run in runs for pair in _burst_pairs(frames, run)]
    pairs = in_bursts + _copy_pairs(frames, free) + _retake_pairs(frames, free)
    of_bursts = {place for pair in in_bursts for place in pair}
    alike = [(BURST if of_bursts & set(members) else DUPLICATES, members) for members in _joined(pairs)]
    return _numbered(whole + alike, order)


def _numbered(found: Iterable[tuple[str, list[int]]], order: Sequence[int]) -> list[Group]:
    rank = {place: at for at, place in enumerate(order)}
    counts: dict[str, int] = defaultdict(int)
    groups = []
    for kind, members in sorted(found, key=lambda one: min(rank[place] for place in one[1])):
        counts[kind] += 1
        groups.append(Group(kind, counts[kind], tuple(sorted(members, key=rank.__getitem__))))
    return groups


def _when(frame: Frame) -> tuple[str, float, str]:
    """Return what photos are put in order by: camera, its clock, name."""
    clock = frame.taken.replace(tzinfo=UTC).timestamp() if frame.taken else float("inf")
    return frame.camera or "", clock, frame.photo


def _without(order: Sequence[int], found: Iterable[tuple[str, list[int]]]) -> list[int]:
    taken = {place for _, members in found for place in members}
    return [place for place in order if place not in taken]


def _runs(frames: Sequence[Frame], order: Sequence[int], seconds: float) -> list[list[int]]:
    """Return the runs of photos that one camera took at most `seconds` apart, two photos or more, each in order."""
    shots = [
        Shot(str(place), frames[place].camera, taken) for place in order if (taken := frames[place].taken) is not None
    ]
    found: dict[str, list[int]] = defaultdict(list)
    names = bursts(shots, seconds)
    for shot in shots:
        found[names[shot.key]].append(int(shot.key))
    return [run for run in found.values() if len(run) > 1]


def _in_runs(
    frames: Sequence[Frame],
    order: Sequence[int],
    seconds: float,
    find: Callable[[Sequence[Frame]], list[list[int]]],
) -> list[list[int]]:
    """Return what `find` finds in each run, as places of `frames`."""
    return [
        [run[at] for at in members]
        for run in _runs(frames, order, seconds)
        for members in find([frames[place] for place in run])
    ]


def _burst_pairs(frames: Sequence[Frame], run: Sequence[int]) -> list[tuple[int, int]]:
    """Return each photo of a run with the first of its burst: one that does not show the same begins the next burst, so
    that a scene which changes slowly is not one burst from end to end.
    """
    pairs, first = [], run[0]
    for place in run[1:]:
        if same_burst(frames[first], frames[place]):
            pairs.append((first, place))
        else:
            first = place
    return pairs


def _copy_pairs(frames: Sequence[Frame], places: Sequence[int]) -> list[tuple[int, int]]:
    """Return each photo whose hash is near that of others with the first of these that it is a copy of."""
    hashes = pd.Series([frames[place].phash for place in places], dtype=object)
    taken = [frame.taken and frame.taken.replace(tzinfo=UTC) for frame in (frames[place] for place in places)]
    labels = near_duplicates(hashes, taken_at=pd.Series(taken, dtype="datetime64[us, UTC]"))
    firsts: dict[int, list[int]] = defaultdict(list)
    pairs = []
    for place, label in zip(places, labels, strict=True):
        if not frames[place].phash:
            continue
        first = next((first for first in firsts[label] if copies(frames[first], frames[place])), None)
        if first is None:
            firsts[label].append(place)
        else:
            pairs.append((first, place))
    return pairs


def _retake_pairs(frames: Sequence[Frame], order: Sequence[int]) -> list[tuple[int, int]]:
    """Return each photo that shows the motif of one that the camera took within the minute before, with that one. A photo
    that was told so is not compared with later ones, so that a scene which changes slowly is not one motif.
    """
    pairs, told = [], set[int]()
    for at, place in enumerate(order):
        if place in told:
            continue
        for later in order[at + 1 : at + 1 + _RETAKES]:
            one, other = frames[place], frames[later]
            if one.camera != other.camera or not _within_a_minute(one, other):
                break
            if later not in told and retaken(one, other):
                pairs.append((place, later))
                told.add(later)
    return pairs


def _within_a_minute(one: Frame, other: Frame) -> bool:
    if one.taken is None or other.taken is None:
        return False
    return other.taken.replace(tzinfo=None) - one.taken.replace(tzinfo=None) <= _MINUTE


def _joined(pairs: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the sets of places that `pairs` join, directly or through others."""
    if not pairs:
        return []
    places, numbers = np.unique(np.array(pairs), return_inverse=True)
    left, right = numbers.reshape(-1, 2).T
    graph = coo_array((np.ones(len(pairs), np.int8), (left, right)), shape=(len(places), len(places)))
    labels = connected_components(graph, directed=False)[1]
    found: dict[int, list[int]] = defaultdict(list)
    for place, label in zip(places.tolist(), labels.tolist(), strict=True):
        found[label].append(place)
    return list(found.values())

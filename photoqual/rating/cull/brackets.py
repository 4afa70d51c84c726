"""Exposure brackets: one motif, exposed in equal steps. To be merged later, so they are kept or dropped whole."""

import itertools
from collections.abc import Sequence
from datetime import timedelta

from photoqual.rating.cull.frames import Frame

PAUSE = timedelta(seconds=2)
"""Longest pause between two frames of a bracket, beyond the time that the first is exposed."""
MOST, LEAST = 9, 3
"""Frames of a bracket."""
LEAST_STEP = 0.3
"""Least step between two exposures where the camera tells of compensation or bracketing, in steps (EV)."""
LEAST_LIGHT_STEP = 0.6
"""Least step where only times, f-numbers and ISO tell: automatic exposure drifts by less from frame to frame."""
_ROUNDING = 0.2
"""How far steps may differ: cameras write 1/125 s for 1/128 s."""


def brackets(frames: Sequence[Frame]) -> list[list[int]]:
    """Return the brackets among `frames`, which one camera took one after the other, as lists of their places.

    A bracket is 3 to 9 frames in a row with pauses of at most 2 seconds, through one lens at one focal length and in one
    size, whose exposures are all different and in equal steps in whatever order: by compensation (or the camera says
    that it brackets), else by exposure time, f-number and ISO together. The longest run of frames that fits is taken.
    """
    found: list[list[int]] = []
    at = 0
    while at <= len(frames) - LEAST:
        size = next((size for size in range(MOST, LEAST - 1, -1) if _is_bracket(frames[at : at + size], size)), 0)
        if size:
            found.append(list(range(at, at + size)))
        at += size or 1
    return found


def _is_bracket(frames: Sequence[Frame], size: int) -> bool:
    if len(frames) < size or len({(frame.exposure.focal, frame.size) for frame in frames}) > 1:
        return False
    if not all(_follows(before, after) for before, after in itertools.pairwise(frames)):
        return False
    biases = [frame.exposure.bias for frame in frames if frame.exposure.bias is not None]
    if len(biases) == size and _even_steps(biases, LEAST_STEP):
        return True
    lights = [light for frame in frames if (light := frame.exposure.light) is not None]
    told = all(frame.exposure.bracketing for frame in frames)
    return len(lights) == size and _even_steps(lights, LEAST_STEP if told else LEAST_LIGHT_STEP)


def _follows(before: Frame, after: Frame) -> bool:
    if before.taken is None or after.taken is None:
        return False
    return after.taken - before.taken <= PAUSE + timedelta(seconds=min(before.exposure.seconds or 0.0, 3600.0))


def _even_steps(values: Sequence[float], least: float) -> bool:
    """Tell whether `values` are all different and, once in order, in equal steps of at least `least`."""
    ordered = sorted(values)
    steps = [high - low for low, high in itertools.pairwise(ordered)]
    return min(steps) >= least - 0.05 and max(steps) - min(steps) <= _ROUNDING

"""Which photos are kept, and why. Pure: frames and groups in, a decision for each frame out."""

from collections.abc import Sequence
from dataclasses import dataclass

from photoqual.errors import ConfigError
from photoqual.rating.cull.frames import Frame
from photoqual.rating.cull.groups import Group

TIE = 0.02
"""Scores that differ by less do not tell two photos of one group apart; their sharpness does."""


@dataclass(frozen=True)
class Decision:
    """Whether a photo is kept and why, with its score, its group (such as `burst 3`) and the photo that is kept for it."""

    photo: str
    keep: bool
    reason: str
    score: float
    group: str | None = None
    keeper: str | None = None


@dataclass(frozen=True)
class _Unit:
    """Photos that are kept or dropped together: one, or a group that stays whole."""

    members: tuple[int, ...]
    score: float
    first: bool
    """Whether it comes before photos that others are kept for."""


def parse_keep(text: str, photos: int) -> int:
    """Return how many of `photos` the option `--keep` asks to keep: `60%` or `40`. Raise ConfigError for anything else."""
    number = text.removesuffix("%")
    try:
        value = float(number) if text.endswith("%") else int(number)
    except ValueError:
        value = -1
    if text.endswith("%") and 0 <= value <= 100:
        return round(photos * value / 100)
    if not text.endswith("%") and value >= 0:
        return min(int(value), photos)
    raise ConfigError(f"--keep {text} is no share or number.", next_step="Write --keep 60% or --keep 40.")


def best_of(frames: Sequence[Frame], members: Sequence[int]) -> int:
    """Return the photo to keep of a group: that of the highest score, where others come within 0.02 of it the sharpest of
    these, then the first by name. A copy with less than half the pixels of another is not kept in its stead.
    """
    most = max(frames[place].pixels for place in members)
    large = [place for place in members if 2 * frames[place].pixels >= most or not frames[place].pixels]
    highest = max(frames[place].score for place in large)
    near = [place for place in large if highest - frames[place].score < TIE]
    return min(near, key=lambda place: (-frames[place].sharpness, -frames[place].pixels, frames[place].photo))


def choose(frames: Sequence[Frame], groups: Sequence[Group], keep: int | None = None) -> list[Decision]:
    """Return a decision for each of `frames`.

    Without `keep`: all but those that another of their group is kept for. Else at most `keep` photos remain: first, by
    score, what stands for itself (the best of each group, photos alone, brackets and panoramas as wholes, by their
    best frame), then, by score, the others. A bracket or panorama that is larger than the room left is dropped.
    """
    keepers = {place: best_of(frames, group.members) for group in groups if not group.whole for place in group.members}
    in_group = {place: group for group in groups for place in group.members}
    units = _units(frames, groups, keepers)
    room = sum(len(unit.members) for unit in units if unit.first) if keep is None else keep
    kept: set[int] = set()
    for unit in sorted(units, key=lambda unit: (not unit.first, -unit.score, frames[unit.members[0]].photo)):
        if len(unit.members) <= room and (unit.first or keep is not None):
            kept.update(unit.members)
            room -= len(unit.members)
    return [
        _decided(frames, place, place in kept, in_group.get(place), keepers.get(place), keep)
        for place in range(len(frames))
    ]


def _units(frames: Sequence[Frame], groups: Sequence[Group], keepers: dict[int, int]) -> list[_Unit]:
    wholes = [group.members for group in groups if group.whole]
    inside = {place for members in wholes for place in members}
    units = [_Unit(members, max(frames[place].score for place in members), True) for members in wholes]
    singles = (place for place in range(len(frames)) if place not in inside)
    return units + [_Unit((place,), frames[place].score, keepers.get(place, place) == place) for place in singles]


def _decided(
    frames: Sequence[Frame], place: int, kept: bool, group: Group | None, keeper: int | None, keep: int | None
) -> Decision:
    frame = frames[place]
    if group is None:
        reason = "no other like it" if kept else f"not among the best {keep}"
    elif group.whole:
        reason = f"{group.name} of {len(group.members)} is {'kept whole' if kept else f'not among the best {keep}'}"
    elif keeper == place:
        reason = f"best of {group.name}" if kept else f"not among the best {keep}, though the best of {group.name}"
    else:
        reason = _beside(frame, frames[keeper if keeper is not None else place], group)
        reason = f"there is room for it; {reason}" if kept else reason
    name = group.name if group else None
    named = frames[keeper].photo if keeper is not None else None
    return Decision(frame.photo, kept, reason, frame.score, name, named)


def _beside(frame: Frame, keeper: Frame, group: Group) -> str:
    what = f"in {group.name} with" if group.kind == "burst" else "near duplicate of"
    if frame.pixels and 2 * frame.pixels < keeper.pixels:
        return f"{what} {keeper.photo}, which is larger"
    if frame.score <= keeper.score - TIE:
        return f"{what} {keeper.photo}, which scores {keeper.score:.3f}"
    if frame.sharpness < keeper.sharpness:
        return f"{what} {keeper.photo}, which is about as good and sharper"
    return f"{what} {keeper.photo}, which is as good and as sharp"


def first_pass(frames: Sequence[Frame], groups: Sequence[Group], threshold: float | None) -> list[Decision]:
    """Return a decision for each of `frames` by the score alone: those under `threshold` are dropped, none without one, but
    for photos that the model does not know and brackets and panoramas of which one frame is kept. Of bursts and near
    duplicates none is dropped for another: any of them may be one of the best.
    """
    in_group = {place: group for group in groups for place in group.members}
    stays = [threshold is None or frame.score >= threshold or frame.familiar is False for frame in frames]
    found = []
    for place, frame in enumerate(frames):
        group = in_group.get(place)
        kept = any(stays[other] for other in group.members) if group and group.whole else stays[place]
        reason = "nothing can be promised" if threshold is None else _passed(frame, group, threshold, kept=kept)
        found.append(Decision(frame.photo, kept, reason, frame.score, group.name if group else None))
    return found


def _passed(frame: Frame, group: Group | None, threshold: float, *, kept: bool) -> str:
    if frame.score >= threshold:
        return f"scores {threshold:.4f} or more"
    if frame.familiar is False:
        return "not the kind of photo that the model knows"
    return f"{group.name} is kept whole" if kept and group else f"scores under {threshold:.4f}"

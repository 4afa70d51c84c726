"""A labelling as values: what was shown, what was clicked, and what follows from it. Pure.

Three modes. `tournament`: some photos at a time, any number of which advance; a round ends when all its photos were
seen, and those that advanced meet again in the next one, so that a photo's level is the number of rounds it won.
`stars`: 1 to 5 for a photo at a time. `good`: 1 (good) or 0 (bad) for a photo at a time.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

Mode = Literal["tournament", "stars", "good"]
Do = Literal["deal", "toggle", "advance", "rate", "skip", "undo"]
CLICKS: dict[Mode, tuple[Do, ...]] = {
    "tournament": ("toggle", "advance"),
    "stars": ("rate", "skip"),
    "good": ("rate", "skip"),
}
RANDOM, MODEL = "random", "model"
"""How a photo was drawn to be labelled."""
EVERY = 5
"""Of so many photos one is drawn at random whatever a model says, so that a fair sample is among the labels."""


@dataclass(frozen=True)
class Step:
    """One line of a labeller's journal: photos that were dealt to be judged, or a click.

    `deal`: `photos` of round `round` (0 first), each `drawn` as random or by the model. `toggle`: `photo` is to advance,
    or not any more. `advance`: the dealt photos are judged. `rate`: `photo` gets `value`. `skip`: the dealt photos stay
    without a value. `undo`: the last click that is in force never was. `press` names the key press behind it, and `line`
    is its line in the journal, from 1 on.
    """

    do: Do
    round: int = 0
    photos: tuple[str, ...] = ()
    drawn: tuple[str, ...] = ()
    photo: str | None = None
    value: int | None = None
    press: str | None = None
    line: int = 0


@dataclass(frozen=True)
class Level:
    """How many rounds a photo won; `final`: it was seen in every round that it came to."""

    value: int
    final: bool


@dataclass
class Progress:
    """What the steps of one labeller in one mode come to. `rounds`: by round, which of the photos seen advanced.

    `deal` is what waits to be judged, `chosen` those of it that are to advance; `values` holds stars, or 1 and 0.
    """

    mode: Mode
    targets: int = 3
    rounds: list[dict[str, bool]] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    drawn: dict[str, str] = field(default_factory=dict)
    deal: Step | None = None
    chosen: frozenset[str] = frozenset()
    steps: list[Step] = field(default_factory=list)
    presses: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._clear()

    def apply(self, step: Step) -> None:
        """Take one step. Raise ValueError for one that does not fit to what came before."""
        if problem := self.unfit(step):
            raise ValueError(problem)
        if step.do == "undo":
            self._undo()
        else:
            self._take(step)
            self.steps.append(step)
        if step.press:
            origin, _, number = step.press.rpartition(":")
            self.presses[origin] = int(number)

    def unfit(self, step: Step) -> str | None:
        """Return why `step` cannot come next, or None."""
        dealt = self.deal.photos if self.deal else ()
        low, high = scale(self.mode, self.targets)
        deals = step.photos and len(step.drawn) == len(step.photos) and 0 <= step.round < len(self.rounds)
        problems = {
            f"press is {step.press!r}": step.press and not step.press.rpartition(":")[2].isdecimal(),
            "it deals no photos, or in no round": step.do == "deal" and not deals,
            "there is nothing to undo": step.do == "undo" and not self.can_undo(),
            "no photos are dealt": step.do not in ("deal", "undo") and not dealt,
            f"photo {step.photo} is not dealt": step.do in ("toggle", "rate") and step.photo not in dealt,
            f"{step.do} is not of mode {self.mode}": step.do not in ("deal", "undo", *CLICKS[self.mode]),
            f"value {step.value} is not in {low} to {high}": step.do == "rate"
            and not (step.value is not None and low <= step.value <= high),
        }
        return next((problem for problem, is_so in problems.items() if is_so), None)

    def can_undo(self) -> bool:
        """Tell whether any click is in force."""
        return any(step.do != "deal" for step in self.steps)

    def seen(self, number: int) -> tuple[int, int]:
        """Return of round `number` how many photos advanced and how many were seen; elsewhere rated, and rated or skipped."""
        if self.mode == "tournament":
            return sum(self.rounds[number].values()), len(self.rounds[number])
        return len(self.values), len(self.values) + len(self.skipped)

    def _clear(self) -> None:
        self.rounds = [{} for _ in range(self.targets if self.mode == "tournament" else 1)]
        self.values, self.skipped, self.drawn = {}, set(), {}
        self.deal, self.chosen = None, frozenset()

    def _take(self, step: Step) -> None:
        dealt = self.deal.photos if self.deal else ()
        if step.do == "deal":
            self.deal = step
            self.chosen &= frozenset(step.photos)
            for photo, how in zip(step.photos, step.drawn, strict=True):
                self.drawn.setdefault(photo, how)
            return
        if step.do == "toggle":
            self.chosen ^= {step.photo or ""}
            return
        if step.do == "advance" and self.deal:
            self.rounds[self.deal.round] |= {photo: photo in self.chosen for photo in dealt}
        elif step.do == "rate" and step.value is not None:
            self.values |= dict.fromkeys(dealt, step.value)
            self.skipped -= set(dealt)
        elif step.do == "skip":
            self.skipped |= set(dealt)
        self.deal, self.chosen = None, frozenset()

    def _undo(self) -> None:
        kept = self.steps
        while kept[-1].do == "deal":
            kept.pop()
        kept.pop()
        self.steps = []
        self._clear()
        for step in kept:
            self._take(step)
            self.steps.append(step)


def scale(mode: Mode, targets: int) -> tuple[int, int]:
    """Return the lowest and the highest value of `mode`; the highest level is the number of rounds, `targets`."""
    return {"tournament": (0, targets), "stars": (1, 5), "good": (0, 1)}[mode]


def pending(progress: Progress, present: Iterable[str]) -> tuple[int, list[str]]:
    """Return the round to go on with, and those of the `present` photos that it still has to show, in their order.

    It is the first round that has any, so photos that come late begin in round 0; the last where all is done.
    """
    if progress.mode != "tournament":
        return 0, [photo for photo in present if photo not in progress.values and photo not in progress.skipped]
    present = list(present)
    for number, seen in enumerate(progress.rounds):
        pool = present if number == 0 else [photo for photo in present if progress.rounds[number - 1].get(photo)]
        if left := [photo for photo in pool if photo not in seen]:
            return number, left
    return len(progress.rounds) - 1, []


def levels(progress: Progress) -> dict[str, Level]:
    """Return the level of each photo that was seen in a tournament."""
    found = {}
    for photo in progress.rounds[0]:
        won = 0
        final = True
        for seen in progress.rounds:
            if photo not in seen:
                final = False
                break
            if not seen[photo]:
                break
            won += 1
        found[photo] = Level(won, final)
    return found


def votes(progress: Progress) -> dict[str, int]:
    """Return the value of each photo that has one that will not change: final levels, stars, or 1 and 0."""
    if progress.mode != "tournament":
        return dict(progress.values)
    return {photo: level.value for photo, level in levels(progress).items() if level.final}


def shuffled(photos: Iterable[str], seed: int, number: int) -> list[str]:
    """Return `photos` in the order of round `number`: that of a seeded hash, so photos that come or go move no other."""
    return sorted(photos, key=lambda photo: _place(photo, seed, number))


def is_fair(photo: str, seed: int) -> bool:
    """Tell whether `photo` is one of the fifth that is drawn at random, whatever a model says of it."""
    return _place(photo, seed, -1) % EVERY == 0


def _place(photo: str, seed: int, number: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{number}/{photo}".encode(), digest_size=8).digest(), "big")


def interleaved(fair: Iterable[str], others: Iterable[str], how: str, start: int) -> Iterator[tuple[str, str]]:
    """Yield photos and how they were drawn: at every fifth place, counted from `start`, one of `fair`, else one of
    `others`, drawn as `how`; what is left of the one when the other has run out.
    """
    fairs, rest = iter(fair), iter(others)
    for place in count(start):
        order = ((fairs, RANDOM), (rest, how)) if place % EVERY == EVERY - 1 else ((rest, how), (fairs, RANDOM))
        found = next(((photo, drawn) for photos, drawn in order for photo in photos), None)
        if found is None:
            return
        yield found


def dealt(queue: Iterable[tuple[str, str]], groups: Mapping[str, str], at_once: int) -> list[tuple[str, str]]:
    """Return the first `at_once` photos of `queue` of which no two are of one group; fewer where there are none."""
    found: list[tuple[str, str]] = []
    taken: set[str] = set()
    for photo, drawn in queue:
        group = groups.get(photo)
        if group is not None and group in taken:
            continue
        found.append((photo, drawn))
        if len(found) == at_once:
            break
        if group is not None:
            taken.add(group)
    return found

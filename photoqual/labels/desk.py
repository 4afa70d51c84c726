"""A desk: the folder that keeps the labels given to the photos of another folder.

desk.json                   the folder of photos, seed, rounds: what all labellers share
labellers/<name>.jsonl      a journal for each labeller (desk_journal.py)
photos.parquet              which photo lies where; made anew when it is lost
"""

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError

from photoqual import files
from photoqual.config import Share, Strict
from photoqual.errors import ConfigError, DataError, MissingData
from photoqual.labels import tournament
from photoqual.labels.desk_journal import Journal, Line, Moved
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import MODEL, RANDOM, Mode, Progress, Step

SETTINGS = "desk.json"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
MODES: tuple[Mode, ...] = get_args(Mode)


class Settings(Strict):
    """What all labellers of a desk share. `targets`: the share of the photos of each round that is to advance."""

    photos: str
    seed: int
    targets: Annotated[tuple[Share, ...], Field(min_length=1, max_length=9)] = (0.5, 0.05, 0.02)
    at_once: Annotated[int, Field(ge=1, le=9)] = 4


class Desk:
    """The desk in `folder`."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings

    @property
    def photos(self) -> Path:
        return Path(self.settings.photos)

    @property
    def index(self) -> Path:
        return self.folder / "photos.parquet"

    def labellers(self) -> list[str]:
        """Return the names of those who have labelled."""
        return sorted(path.stem for path in self._journals.glob("*.jsonl") if NAME.fullmatch(path.stem))

    def journal(self, labeller: str) -> Journal:
        """Return the journal of `labeller`. Raise ConfigError for what is no short name."""
        if not NAME.fullmatch(labeller):
            raise ConfigError(
                f"{labeller!r} is no short name.",
                next_step="Use 1 to 40 of the letters a to z, digits, - and _; a letter or digit first.",
            )
        return Journal(self._journals / f"{labeller}.jsonl")

    def progress(self, labeller: str, mode: Mode) -> Progress:
        """Return how far `labeller` is in `mode`. Raise DataError for a damaged journal."""
        return Session(self, labeller, mode).progress

    def all_progress(self, mode: Mode) -> dict[str, Progress]:
        """Return by name how far each labeller is in `mode`, of those who have begun it."""
        found = {name: self.progress(name, mode) for name in self.labellers()}
        return {name: progress for name, progress in found.items() if progress.steps}

    @property
    def _journals(self) -> Path:
        return self.folder / "labellers"


def open_desk(folder: Path, photos: Path | None = None) -> Desk:
    """Open the desk in `folder`, of the photos in `photos`; make it when there is none. Without `photos` it is that of
    the folder it was made for. Raise MissingData, DataError.
    """
    path = folder / SETTINGS
    wanted = None if photos is None else str(photos.expanduser().resolve())
    if wanted is not None and not Path(wanted).is_dir():
        raise ConfigError(f"{photos} is not a folder.", next_step="Name the folder of the photos with --photos.")
    try:
        settings = Settings.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if wanted is None:
            raise MissingData(
                f"{folder} holds no labels: it has no {SETTINGS}.",
                next_step="Label photos first: `photoqual app --photos PHOTOS --labels FOLDER`.",
            ) from None
        settings = Settings(photos=wanted, seed=random.SystemRandom().randrange(2**31))
        _keep(folder, settings)
    except (OSError, ValidationError) as error:
        raise DataError(
            f"{path} cannot be used: {error}.", next_step="Mend it, or name another folder of labels.", path=str(path)
        ) from None
    if wanted is not None and wanted != settings.photos:
        settings = settings.model_copy(update={"photos": wanted})
        _keep(folder, settings)
    return Desk(folder, settings)


def _keep(folder: Path, settings: Settings) -> None:
    try:
        (folder / "labellers").mkdir(parents=True, exist_ok=True)
        files.write_json(folder / SETTINGS, settings.model_dump(mode="json"))
    except OSError as error:
        raise DataError(
            f"{folder} cannot keep labels: {error.strerror or error}.",
            next_step="Name a folder that you may write to, on a disk with room.",
            path=str(folder),
        ) from None


class Session:
    """One labeller at work in one mode. Every click is in the journal before it counts."""

    def __init__(self, desk: Desk, labeller: str, mode: Mode) -> None:
        self.desk, self.labeller, self.mode = desk, labeller, mode
        self._handled: dict[str, int] = {}
        self._orders: dict[int, tuple[Photos, frozenset[str], tuple[list[str], list[str]]]] = {}
        self._reload()

    def _reload(self) -> None:
        self._journal = self.desk.journal(self.labeller)
        self.progress = Progress(self.mode, len(self.desk.settings.targets))
        self.refresh()

    def refresh(self) -> bool:
        """Take in what other windows have written; return whether there was any."""
        start = self._journal.lines
        lines = self._journal.read()
        for number, line in enumerate(lines, start=start + 1):
            try:
                mode, step = _parse(line, number)
                if mode == self.mode:
                    self.progress.apply(step)
            except (ValueError, TypeError, KeyError) as error:
                raise self._journal.damaged(number, str(error)) from None
        return bool(lines)

    def deal(self, photos: Photos, refused: Sequence[str] = (), taught: Sequence[str] | None = None) -> None:
        """See to it that photos are dealt, if any are left. Those that are gone or `refused` are dealt no more.

        `taught`: the order in which a model would have them labelled; what it does not name comes after it.
        """
        gone = set(refused)
        present = [photo for photo in photos.paths if photo not in gone]
        dealt = self.progress.deal
        if dealt is not None and set(dealt.photos) <= photos.paths.keys() - gone:
            return
        steps = [step] if (step := self._next(photos, present, taught)) else []
        if steps:
            self._write(steps, photos)
        elif dealt is not None:
            self.progress.deal = None

    def is_new(self, press: str) -> bool:
        """Tell whether the key press `origin:number` was not handled yet, here or before a crash; it is handled now."""
        origin, _, number = press.rpartition(":")
        last = max(self._handled.get(origin, -1), self.progress.presses.get(origin, -1))
        self._handled[origin] = max(last, int(number))
        return int(number) > last

    def click(self, step: Step, photos: Photos) -> bool:
        """Keep a click; return whether it counts, which one that does not fit does not."""
        if self.progress.unfit(step):
            return False
        self._write([step], photos)
        return True

    def ahead(
        self, photos: Photos, refused: Sequence[str] = (), taught: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """Return the photos that will be dealt after the present ones, as far as it can be told now."""
        hidden = set(refused) | set(self.progress.deal.photos if self.progress.deal else ())
        step = self._next(photos, [photo for photo in photos.paths if photo not in hidden], taught, len(hidden))
        return step.photos if step else ()

    def _next(
        self, photos: Photos, present: Sequence[str], taught: Sequence[str] | None, seen_more: int = 0
    ) -> Step | None:
        settings = self.desk.settings
        number, left = tournament.pending(self.progress, present)
        waiting = set(left)
        fair, others = self._shuffled(photos, number, waiting)
        how = RANDOM if number or (taught is None and MODEL not in self.progress.drawn.values()) else MODEL
        if how == MODEL and taught is not None:
            others = _first(taught, others, waiting, settings.seed)
        start = self.progress.seen(number)[1] + seen_more
        queue = tournament.interleaved(_those(waiting, fair), _those(waiting, others), how, start)
        found = tournament.dealt(queue, photos.groups, settings.at_once if self.mode == "tournament" else 1)
        return (
            Step("deal", number, tuple(photo for photo, _ in found), tuple(how for _, how in found)) if found else None
        )

    def _shuffled(self, photos: Photos, number: int, waiting: set[str]) -> tuple[Iterable[str], Iterable[str]]:
        """Return the photos of round `number` in its order, those of the fair sample first; kept, since sorting many
        takes longer than a click may.
        """
        held = self._orders.get(number)
        if held is None or held[0] is not photos or not waiting <= held[1]:
            pool = photos.paths.keys() if number == 0 else waiting
            order = tournament.shuffled(pool, self.desk.settings.seed, number)
            fair = {photo for photo in order if number == 0 and tournament.is_fair(photo, self.desk.settings.seed)}
            parts = [photo for photo in order if photo in fair], [photo for photo in order if photo not in fair]
            held = self._orders[number] = photos, frozenset(order), parts
        return held[2]

    def _write(self, steps: list[Step], photos: Photos) -> None:
        """Keep `steps`, then take them. Raise Moved, with everything read anew, when others have written meanwhile."""
        lines = [_line(self.mode, step, photos) for step in steps]
        try:
            self._journal.append(lines)
        except Moved:
            self._reload()
            raise
        for number, step in enumerate(steps, start=self._journal.lines - len(steps) + 1):
            self.progress.apply(replace(step, line=number))


def _those(waiting: set[str], photos: Iterable[str]) -> Iterator[str]:
    return (photo for photo in photos if photo in waiting)


def _first(taught: Sequence[str], others: Iterable[str], waiting: set[str], seed: int) -> Iterator[str]:
    """Yield those of `others` that `taught` names, in its order, and then the rest of them."""
    named = {photo for photo in taught if photo in waiting and not tournament.is_fair(photo, seed)}
    yield from (photo for photo in taught if photo in named)
    yield from (photo for photo in others if photo not in named)


def _line(mode: Mode, step: Step, photos: Photos) -> Line:
    """Return `step` as a line of the journal, with the paths of the photos for people to read."""
    line: Line = {"mode": mode, **{name: value for name, value in asdict(step).items() if value not in (None, ())}}
    del line["line"]
    if step.do == "deal":
        line["paths"] = [photos.paths[photo] for photo in step.photos]
    else:
        del line["round"]
    return line


def _parse(line: Line, number: int) -> tuple[Mode, Step]:
    if line["mode"] not in MODES:
        raise ValueError(f"mode is {line['mode']!r}")
    told: dict[str, Any] = {name: value for name, value in line.items() if name not in ("mode", "paths", "at")}
    told |= {name: tuple(map(str, told[name])) for name in ("photos", "drawn") if name in told}
    if told["do"] not in get_args(tournament.Do):
        raise ValueError(f"do is {told['do']!r}")
    return line["mode"], Step(**told, line=number)

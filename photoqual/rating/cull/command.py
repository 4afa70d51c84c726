"""`photoqual cull`: from paths to decisions, a list of them, and files that are moved where that was asked for."""

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from photoqual import files
from photoqual.errors import ConfigError, DataError
from photoqual.models.scorer import Scorer
from photoqual.rating.cull import listing
from photoqual.rating.cull.choose import Decision, choose, first_pass, parse_keep
from photoqual.rating.cull.frames import Frame
from photoqual.rating.cull.groups import Group, group
from photoqual.rating.cull.moves import move, undo
from photoqual.rating.cull.promise import promise
from photoqual.rating.cull.read import read_frames
from photoqual.rating.cull.shots import Shot, companions, find_shots, located
from photoqual.rating.rater import Skipped
from photoqual.starter.model import STARTER, resolve


@dataclass(frozen=True)
class Wish:
    """What is asked for: how many photos are kept (`keep`), or what share of the best (`top`) has to stay (`stay`) with
    which `confidence`; `seconds` between photos of a burst.
    """

    keep: str | None = None
    top: float | None = None
    stay: float = 0.95
    confidence: float = 0.95
    seconds: float = 3.0

    def check(self) -> None:
        """Raise ConfigError where the wishes contradict one another."""
        if self.keep is not None and self.top is not None:
            raise ConfigError("--keep and --keep-top are two different questions.", next_step="Give one of the two.")
        if self.keep is not None:
            parse_keep(self.keep, 1)


@dataclass(frozen=True)
class Culled:
    """Decisions for all photo files, in name order; those that could not be looked at, which always stay; and what else
    there is to say, such as the promise that holds.
    """

    decisions: list[Decision]
    skipped: list[Skipped]
    shots: dict[str, Shot]
    said: list[str]


def cull(paths: Sequence[Path], wish: Wish, *, model: str | None, leave_out: Path | None = None) -> Culled:
    """Decide which photos among `paths` to keep; nothing is changed. What lies in the folder `leave_out` is left out.

    Raise ConfigError for wishes that contradict one another, DataError when there is no photo.
    """
    wish.check()
    shots, skipped = find_shots(paths, leave_out)
    if not shots and not skipped:
        raise DataError(f"There is no photo in {', '.join(map(str, paths))}.", next_step="Name photos or folders.")
    name, folder = resolve(model)
    scorer = Scorer.load(folder, threads=1)
    frames: list[Frame] = []
    for found in read_frames(scorer, _progress([shot.photo for shot in shots]), name):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            frames.append(found)
    groups = group(frames, seconds=wish.seconds)
    decisions, said = _decide(frames, groups, wish, name, folder)
    if model is None and name == STARTER:
        said.insert(0, "There is no champion yet, so the starter rates: it knows technical faults, nobody's taste.")
    by_photo = {str(shot.photo): shot for shot in shots}
    return Culled(_with_twins(decisions, by_photo), skipped, by_photo, said)


def _decide(
    frames: list[Frame], groups: list[Group], wish: Wish, name: str, folder: Path
) -> tuple[list[Decision], list[str]]:
    if wish.top is None:
        keep = None if wish.keep is None else parse_keep(wish.keep, len(frames))
        return choose(frames, groups, keep), []
    from photoqual.rating.cull.evidence import truth_of

    truth = truth_of(name, folder)
    found = (
        truth
        if isinstance(truth, str)
        else promise(truth, len(frames), top=wish.top, stay=wish.stay, confidence=wish.confidence)
    )
    if isinstance(found, str):
        return first_pass(frames, groups, None), [f"Nothing is dropped, since nothing can be promised: {found}."]
    said = (
        f"With {found.confidence:.1%} confidence at least {found.stay} of the best {found.best} photos stay, if this gallery "
        f"is of the kind of the frozen test set: of its {found.top} groups with a best photo, {found.lost} scored under "
        f"{found.threshold:.4f}."
    )
    return first_pass(frames, groups, found.threshold), [said]


def _with_twins(decisions: list[Decision], shots: dict[str, Shot]) -> list[Decision]:
    """Add a decision for each file that goes with a photo; all in name order."""
    found = []
    for one in decisions:
        found.append(one)
        found += [replace(one, photo=str(twin), reason=f"goes with {one.photo}") for twin in shots[one.photo].twins]
    return sorted(found, key=lambda one: one.photo)


def _progress(photos: list[Path]) -> Iterable[Path]:
    errors = Console(stderr=True)
    return track(photos, "looking", console=errors, transient=True) if errors.is_terminal else photos


def dropped_files(culled: Culled) -> list[list[Path]]:
    """Return the files to move, by shot: its photo files and their sidecars. A sidecar that a photo which stays shares
    with it stays.
    """
    keep = {one.photo: one.keep for one in culled.decisions}
    dropped = [shot for path, shot in culled.shots.items() if keep.get(path) is False]
    gone = {file for shot in dropped for file in shot.files}
    beside: dict[Path, list[Path]] = {}
    for folder in {shot.photo.parent for shot in dropped}:
        beside[folder] = sorted(path for path in folder.iterdir() if path.is_file())
    taken: set[Path] = set()
    found = []
    for shot in dropped:
        around = beside[shot.photo.parent]
        stays = [path for path in around if path not in gone and path.suffix.lower() != ".xmp"]
        with_it = [path for path in companions(shot, around, stays) if path not in taken and not path.is_symlink()]
        taken.update(with_it)
        found.append([*shot.files, *with_it])
    return found


def common_top(paths: Sequence[Path]) -> Path:
    """Return the folder that all of `paths` lie in: a folder itself, or that of a file."""
    folders = [path if path.is_dir() else path.parent for path in map(located, paths)]
    return Path(os.path.commonpath(folders))


def run(
    paths: Sequence[Path],
    wish: Wish,
    *,
    model: str | None,
    output: str,
    out: Path | None,
    target: Path | None,
    dry_run: bool,
) -> dict[str, Any]:
    """Cull, write the list to `out` or as `output` to standard output, and with `target` move what is dropped there.

    Return what was done, in numbers.
    """
    write = listing.writer_for(out) if out is not None else listing.WRITERS[output]
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    leave_out = located(target) if target is not None else None
    top = common_top(paths)
    if leave_out is not None and top.is_relative_to(leave_out):
        raise ConfigError(f"The photos lie in {target} already.", next_step="Name another folder with --move.")
    culled = cull(paths, wish, model=model, leave_out=leave_out)
    text = write(culled.decisions)
    if out is None:
        sys.stdout.write(text)
    else:
        files.write_bytes(out, text.encode())
    for skip in culled.skipped:
        errors.print(f"skipped {skip.photo}: {skip.message}")
    for line in culled.said:
        errors.print(line)
    done = _summary(culled)
    errors.print(_in_words(done))
    if leave_out is None:
        return done
    return {**done, **_move(dropped_files(culled), top, leave_out, errors, dry_run=dry_run)}


def _move(groups: list[list[Path]], top: Path, target: Path, errors: Console, *, dry_run: bool) -> dict[str, Any]:
    count = sum(map(len, groups))
    if dry_run:
        for files_together in groups:
            for file in files_together:
                errors.print(f"would move {file} to {target / file.relative_to(top)}")
        errors.print(f"{count} files would be moved; nothing was, by --dry-run")
        return {"would_move": count}
    outcome = move(groups, top, target)
    for path, why in outcome.problems:
        errors.print(f"not moved {path}: {why}")
    errors.print(f"{outcome.files} files moved to {target}; `photoqual cull undo {target}` brings them back")
    return {"moved": outcome.files, "not_moved": len(outcome.problems)}


def bring_back(folder: Path) -> dict[str, Any]:
    """Bring back what was moved to `folder`, and say what could not be."""
    errors = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    outcome = undo(located(folder))
    for path, why in outcome.problems:
        errors.print(f"not brought back {path}: {why}")
    errors.print(f"{outcome.files} files brought back")
    return {"brought_back": outcome.files, "not_brought_back": len(outcome.problems)}


def _summary(culled: Culled) -> dict[str, Any]:
    kinds: dict[str, set[str]] = defaultdict(set)
    for one in culled.decisions:
        if one.group:
            kinds[one.group.split()[0]].add(one.group)
    kept = sum(one.keep for one in culled.decisions if one.photo in culled.shots)
    total = sum(one.photo in culled.shots for one in culled.decisions)
    return {
        "kept": kept,
        "dropped": total - kept,
        "skipped": len(culled.skipped),
        "skips": dict(Counter(skip.reason for skip in culled.skipped)),
        "groups": {kind: len(names) for kind, names in sorted(kinds.items())},
    }


def _in_words(done: dict[str, Any]) -> str:
    words = {
        "burst": "burst{}",
        "bracket": "bracket{}",
        "panorama": "panorama{}",
        "duplicates": "set{} of near duplicates",
    }
    groups = ", ".join(
        f"{count} {words[kind].format('s' if count > 1 else '')}" for kind, count in done["groups"].items()
    )
    skipped = f", {done['skipped']} skipped" if done["skipped"] else ""
    return f"{done['kept']} to keep, {done['dropped']} to drop{skipped}" + (f"; {groups}" if groups else "")

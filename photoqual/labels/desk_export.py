"""From labels to a table of single votes, which the source `votes` reads, and the lines of params.yaml that use it."""

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from photoqual import files
from photoqual.errors import ConfigError, DataError, MissingData
from photoqual.labels import tournament
from photoqual.labels.desk import MODES, Desk
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import RANDOM, Mode, Progress

COLUMNS = ("photo", "rater", "vote", "drawn", "group", "photo_id")


@dataclass(frozen=True)
class Exported:
    """What was written: how many votes of how many photos and labellers; what was left out, by reason."""

    mode: Mode
    votes: int
    photos: int
    labellers: int
    left_out: dict[str, int]


def chosen_mode(desk: Desk, wanted: Mode | None) -> Mode:
    """Return the mode that `wanted` names or, without it, the one that has votes. Raise ConfigError, MissingData."""
    if wanted is not None:
        return wanted
    found = [mode for mode in MODES if any(tournament.votes(part) for part in desk.all_progress(mode).values())]
    if not found:
        raise MissingData(
            f"{desk.folder} holds no labels that are final.", next_step="Label first: `photoqual app --labels FOLDER`."
        )
    if len(found) > 1:
        raise ConfigError(f"{desk.folder} holds labels of {' and '.join(found)}.", next_step="Choose one with --mode.")
    return found[0]


def export(desk: Desk, photos: Photos, out: Path, mode: Mode, *, only_random: bool = False) -> Exported:
    """Write the votes of `mode` to the CSV file `out`; with `only_random` those of photos that were drawn at random.

    Raise MissingData when there is none, DataError when `out` cannot be written.
    """
    found = desk.all_progress(mode)
    text, counts, left_out = as_csv(found, photos, only_random=only_random)
    if not counts["votes"]:
        why = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise MissingData(
            f"No vote of {desk.folder} can be exported{f' (left out: {why})' if why else ''}.",
            next_step="Label some photos first; levels count once a photo was seen in every round it came to.",
        )
    try:
        files.write_bytes(out, text.encode())
    except OSError as error:
        raise DataError(
            f"{out} cannot be written: {error.strerror or error}.", next_step="Name another file with --out."
        ) from None
    return Exported(mode, counts["votes"], counts["photos"], counts["labellers"], dict(left_out))


def as_csv(
    found: Mapping[str, Progress], photos: Photos, *, only_random: bool = False
) -> tuple[str, Counter[str], Counter[str]]:
    """Return the votes of the labellers in `found` as CSV, what was counted, and what was left out by reason."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    voted: set[str] = set()
    for name, progress in found.items():
        votes = tournament.votes(progress)
        left_out["not_final"] += len(progress.rounds[0]) - len(votes) if progress.mode == "tournament" else 0
        written = 0
        for photo, value in votes.items():
            drawn = progress.drawn[photo]
            reason = _problem(photo, photos) or ("not_random" if only_random and drawn != RANDOM else None)
            if reason:
                left_out[reason] += 1
                continue
            table.writerow([photos.paths[photo], name, value, drawn, photos.groups.get(photo, ""), photo])
            voted.add(photo)
            written += 1
        counts["votes"] += written
        counts["labellers"] += written > 0
    counts["photos"] = len(voted)
    return text.getvalue(), counts, +left_out


def params_lines(desk: Desk, out: Path, mode: Mode, name: str = "labelled") -> str:
    """Return the lines of params.yaml that read the votes in `out` as source `name` and make labels of them."""
    low, high = tournament.scale(mode, len(desk.settings.targets))
    source = {
        "kind": "votes",
        "path": str(desk.photos),
        "csv": str(out.resolve()),
        "format": "single_votes",
        "image": "photo",
        "rater": "rater",
        "vote": "vote",
        "group": "group",
        "rating_scale": [float(low), float(high)],
    }
    lines = {"sources": {name: source}, "labels": _rule(mode, high)}
    return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=1000)


def _rule(mode: Mode, rounds: int) -> dict[str, Any]:
    """Return the label rule for the votes of `mode`: good is what won a round; what has four stars or more and bad what
    has two or less; what more labellers call good than bad.
    """
    if mode == "tournament":
        return {"rule": "ordinal", "ordinal_levels": rounds + 1, "good_at_least": round(1 + 2 / rounds, 2)}
    good, bad = (4, 2) if mode == "stars" else (3.01, 2.99)
    return {"rule": "threshold", "good_at_least": good, "bad_at_most": bad}


def _problem(photo: str, photos: Photos) -> str | None:
    """Return why the votes on `photo` cannot be exported, or None."""
    path = photos.paths.get(photo)
    if path is None:
        return "photo_gone"
    if path != path.strip():
        return "name_begins_or_ends_with_space"
    return None if path.isprintable() else "name_with_control_characters"

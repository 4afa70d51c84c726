"""What a desk holds, in figures."""

from typing import Any

from photoqual.labels import tournament
from photoqual.labels.desk import MODES, Desk
from photoqual.labels.desk_agreement import agreement, in_words
from photoqual.labels.desk_photos import Photos
from photoqual.labels.tournament import RANDOM, Mode, Progress


def summary(desk: Desk, photos: Photos) -> dict[str, Any]:
    """Return how many photos there are, why files were passed over, and how far each labeller is in each mode."""
    modes = {}
    for mode in MODES:
        if found := desk.all_progress(mode):
            modes[mode] = {name: _of_one(desk, progress, photos) for name, progress in found.items()}
    return {
        "photos": len(photos.paths),
        "folder": str(photos.top),
        "passed_over": dict(photos.skipped),
        "labels": modes,
    }


def agreement_of(desk: Desk, mode: Mode) -> dict[str, Any]:
    """Return how far the labellers of `mode` agree, alone and in pairs."""
    found = agreement(votes_of(desk, mode), mode)
    return {
        "mode": mode,
        "photos_labelled_by_two_or_more": found.photos,
        "votes_on_them": found.votes,
        "krippendorff_alpha": _rounded(found.alpha),
        "meaning": in_words(found.alpha),
        "split_half": _rounded(found.split_half),
        "pairs": {f"{left} and {right}": _rounded(value) for (left, right), value in found.pairs.items()},
    }


def votes_of(desk: Desk, mode: Mode) -> dict[str, dict[str, int]]:
    """Return by labeller the value of each photo that has a final one."""
    return {name: tournament.votes(progress) for name, progress in desk.all_progress(mode).items()}


def _of_one(desk: Desk, progress: Progress, photos: Photos) -> dict[str, Any]:
    votes = tournament.votes(progress)
    number, left = tournament.pending(progress, photos.paths)
    told: dict[str, Any] = {
        "labelled": len(votes),
        "drawn_at_random": sum(progress.drawn[photo] == RANDOM for photo in votes),
        "left": len(left),
    }
    if progress.mode == "tournament":
        targets = desk.settings.targets
        told |= {"round": number + 1, "not_final_yet": len(progress.rounds[0]) - len(votes), "rounds": []}
        for target, (advanced, seen) in zip(targets, map(progress.seen, range(len(targets))), strict=True):
            share = round(advanced / seen, 4) if seen else None
            told["rounds"].append({"seen": seen, "advanced": advanced, "share": share, "target": target})
    else:
        told["skipped"] = len(progress.skipped)
    return told


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)

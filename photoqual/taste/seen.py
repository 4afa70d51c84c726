"""The rated photos as the champion sees them: its score and features of each, and which of them belong together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from photoqual.config import PhotosParams
from photoqual.errors import ModelError, UnreadablePhoto
from photoqual.models.heads import FEATURES, SCORE
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.decode import open_photo, taken_at
from photoqual.photos.duplicates import split_units
from photoqual.photos.fingerprints import perceptual_hash, photo_id
from photoqual.taste.ratings import Rated, Skipped

LIMITS = PhotosParams()
SAMPLES = 8
"""Photos kept as pixels, to compare the two files of a new model on."""
GRAINS = {"day": 10, "hour": 13, "minute": 16}
"""Photos taken in the same day, hour or minute belong together: how many characters of an ISO date tell it."""
ENOUGH_GROUPS = 10
_BATCH = 32


@dataclass(frozen=True)
class Seen:
    """Rated photos, n of them: `targets` (n,) in −1 to 1, `groups` (n,) integers, the champion's `scores` (n,) and
    `features` (n, d). `samples`: the first few as the model sees them. `grouping` says what made the groups.
    """

    photo_ids: list[str]
    targets: np.ndarray
    groups: np.ndarray
    scores: np.ndarray
    features: np.ndarray
    samples: list[np.ndarray]
    grouping: str


def look(rated: Iterable[Rated], scorer: Scorer) -> tuple[Seen | None, list[Skipped]]:
    """Decode and score `rated` photos. Return them with what was skipped; None when no photo was left.

    A photo that is rated more than once counts with its last rating. Raise ModelError when the model gives no features.
    """
    if FEATURES not in scorer.info.outputs:
        raise ModelError(
            f"The model in {scorer.folder} gives no features to learn from.",
            next_step="Train it again with this version of photoqual.",
        )
    by_photo: dict[str, tuple[Rated, str, datetime | None]] = {}
    places: dict[str, int] = {}
    scores: list[np.ndarray] = []
    features: list[np.ndarray] = []
    samples: list[np.ndarray] = []
    skipped: list[Skipped] = []
    batch: list[np.ndarray] = []

    def score_batch() -> None:
        answers = scorer.answers_of(batch, (SCORE, FEATURES))
        scores.append(answers[SCORE].reshape(len(batch)))
        features.append(answers[FEATURES])
        batch.clear()

    for rating in rated:
        try:
            data = _read(rating.path)
            image, _ = open_photo(data, LIMITS)
        except UnreadablePhoto as error:
            skipped.append(Skipped(str(rating.path), error.reason, error.message))
            continue
        name = photo_id(data)
        if name in by_photo:
            skipped.append(Skipped(str(by_photo[name][0].path), "rated_again", f"{rating.path} is the same photo."))
            by_photo[name] = rating, *by_photo[name][1:]
            continue
        by_photo[name] = rating, perceptual_hash(image), taken_at(data)
        places[name] = len(places)
        batch.append(input_of(image, scorer.info))
        samples += batch[-1:] if len(samples) < SAMPLES else []
        if len(batch) == _BATCH:
            score_batch()
    if batch:
        score_batch()
    if not by_photo:
        return None, skipped
    ratings, hashes, times = zip(*by_photo.values(), strict=True)
    groups, grouping = grouped(list(by_photo), [rating.group for rating in ratings], times, hashes)
    targets = np.array([rating.target for rating in ratings])
    return (
        Seen(list(by_photo), targets, groups, np.concatenate(scores), np.concatenate(features), samples, grouping),
        skipped,
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMITS.max_megabytes * 1e6:
            raise UnreadablePhoto("too_many_bytes", f"The file is over {LIMITS.max_megabytes:g} MB.")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnreadablePhoto("not_found", "There is no such file.") from None
    except (OSError, ValueError) as error:
        raise UnreadablePhoto("unreadable_file", f"It cannot be read: {error}.") from None


def grouped(
    photo_ids: Sequence[str],
    names: Sequence[str | None],
    times: Sequence[datetime | None],
    hashes: Sequence[str],
) -> tuple[np.ndarray, str]:
    """Return an integer per photo, (n,), equal for photos that belong together, and what made the groups.

    The `names` of groups where there are any, else the day of capture (`times`); where that leaves few groups, as with
    photos of one event, the hour or the minute. Near duplicates by `hashes` belong together in any case.
    """

    def units(groups: Sequence[str | None]) -> np.ndarray:
        return split_units(pd.DataFrame({"photo_id": photo_ids, "group": groups, "phash": hashes}))

    if any(names):
        return units(names), "group"
    if not any(times):
        return units([None] * len(photo_ids)), "near duplicates"
    for grain, length in GRAINS.items():
        found = units([time.isoformat()[:length] if time else None for time in times])
        if len(np.unique(found)) >= ENOUGH_GROUPS:
            return found, grain
    return found, grain

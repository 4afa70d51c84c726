"""A stored set of good photos and damaged variants of them, as a folder tree that the source `folders` reads.

    FOLDER/good/<name>-<id>.jpg
    FOLDER/<kind>/<name>-<id>-<strength>.jpg

`<id>` are the first 12 digits of the SHA-256 of the photo's file: the group of all its variants. Every file is encoded
as working copies are, good ones too, so that no class leaks through compression.
"""

import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from photoqual import files
from photoqual.config import PhotosParams
from photoqual.defects.damage import NAMES, STRENGTHS, damage
from photoqual.errors import ConfigError, DataError, UnreadablePhoto
from photoqual.photos.decode import open_photo, working_copy

GOOD = "good"
GROUP_PATTERN = r"-([0-9a-f]{12})(-[1-3])?\.jpg$"
"""Finds the group in a file's path, for `group_pattern` of the source `folders`."""
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Skipped:
    """A photo of which nothing was stored: its path, a short stable reason, and a message."""

    photo: str
    reason: str
    message: str


@dataclass(frozen=True)
class StoredSet:
    """What was stored in `folder`: how many files in each of its folders, and the photos that were passed over."""

    folder: Path
    files: dict[str, int]
    skipped: list[Skipped]


def store(
    photos: Iterable[Path],
    out: Path,
    *,
    kinds: Sequence[str] = NAMES,
    strengths: Sequence[int] = STRENGTHS,
    per_photo: int = 1,
    seed: int = 0,
    limits: PhotosParams | None = None,
) -> StoredSet:
    """Store each of `photos` (files) and `per_photo` variants of it, each of another kind, in the folder `out`.

    What is drawn for a photo depends on its bytes and `seed` alone, whatever other photos there are. A photo that
    cannot be read, or whose bytes came before, is passed over. Raise ConfigError when an option is wrong or `out` has
    something in it, DataError when no photo could be used.
    """
    _prepare(out, kinds, strengths, per_photo)
    limits = limits or PhotosParams()
    counts: Counter[str] = Counter()
    skipped: list[Skipped] = []
    seen: dict[str, Path] = {}
    for photo in photos:
        try:
            data = _read(photo, limits)
            group = hashlib.sha256(data).hexdigest()[:12]
            if group in seen:
                raise UnreadablePhoto("duplicate", f"Its bytes are those of {seen[group]}.")
            image, _ = open_photo(data, limits)
        except UnreadablePhoto as problem:
            skipped.append(Skipped(str(photo), problem.reason, problem.message))
            continue
        seen[group] = photo
        stem = f"{_plain(photo.stem)}-{group}"
        pixels = np.asarray(image)
        random = np.random.default_rng((seed, int(group, 16)))
        for index in random.permutation(len(kinds))[:per_photo]:
            kind, strength = kinds[index], int(random.choice(strengths))
            _write(out / kind / f"{stem}-{strength}.jpg", damage(pixels, kind, strength, random), limits)
            counts[kind] += 1
        _write(out / GOOD / f"{stem}.jpg", pixels, limits)
        counts[GOOD] += 1
    if not counts:
        why = ", ".join(f"{skip.photo} ({skip.reason})" for skip in skipped[:5])
        raise DataError(
            f"None of {len(skipped)} photos could be used{': ' if why else ''}{why}.",
            next_step="Name readable photos, or folders of them.",
        )
    return StoredSet(out, {name: counts[name] for name in (GOOD, *kinds)}, skipped)


def params_lines(out: Path, name: str = "damaged") -> str:
    """Return the lines of params.yaml that read the set in `out` as source `name` and label it by its folders."""
    source = {"kind": "folders", "path": str(out.resolve()), "good": [GOOD], "group_pattern": GROUP_PATTERN}
    lines = {"sources": {name: source}, "labels": {"rule": "folders"}}
    return yaml.safe_dump(lines, sort_keys=False, allow_unicode=True, width=1000)


def _prepare(out: Path, kinds: Sequence[str], strengths: Sequence[int], per_photo: int) -> None:
    """Make the folder `out`. Raise ConfigError when it holds something, or when an option is wrong."""
    known = f"Known: {', '.join(NAMES)}."
    if not kinds:
        raise ConfigError("No kind of damage is named.", next_step=known)
    for kind in kinds:
        if kind not in NAMES:
            raise ConfigError(f"There is no kind of damage {kind!r}.", next_step=known)
    if len(set(kinds)) < len(kinds):
        raise ConfigError("A kind of damage is named twice.", next_step="Name each once.")
    if not strengths or not set(strengths) <= set(STRENGTHS):
        raise ConfigError(f"Strengths {list(strengths)} are not among 1, 2 and 3.", next_step="Name some of 1,2,3.")
    if not 1 <= per_photo <= len(kinds):
        raise ConfigError(
            f"{per_photo} variants per photo cannot be made of {len(kinds)} kinds, each once.",
            next_step=f"Choose 1 to {len(kinds)} variants per photo.",
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            f"{out} is not an empty folder.", next_step="Name a folder that does not exist yet, or empty this one."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{out} cannot be made: {error}.", next_step="Name a folder that you may write.") from None


def _read(photo: Path, limits: PhotosParams) -> bytes:
    """Return the bytes of a file. Raise UnreadablePhoto; a file over the limit is not read."""
    try:
        if photo.stat().st_size > limits.max_megabytes * 1e6:
            raise UnreadablePhoto("too_many_bytes", f"It is over photos.max_megabytes = {limits.max_megabytes:g}.")
        return photo.read_bytes()
    except OSError as error:
        raise UnreadablePhoto("unreadable_file", str(error)) from None


def _write(path: Path, pixels: np.ndarray, limits: PhotosParams) -> None:
    """Write `pixels` to `path` as a working copy, whole or not at all."""
    lossless = io.BytesIO()
    Image.fromarray(pixels).save(lossless, "BMP")
    files.write_bytes(path, working_copy(lossless.getvalue(), limits).jpeg)


def _plain(stem: str) -> str:
    """Return a file's name without characters that need quoting anywhere."""
    return re.sub(r"[^\w-]+", "_", stem)[:_LONGEST_NAME]

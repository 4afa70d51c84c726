"""Which sidecar a photo's rating goes into: the one that is there, else `IMG.JPG.xmp`.

`IMG.xmp` is taken where it is this photo's alone. Where several photos have its name it is that of the only camera raw
among them, as Lightroom means it; the others, and all where there is no such one, get sidecars of their own.
"""

import os
from pathlib import Path

from photoqual.photos import formats
from photoqual.photos.decode import SUFFIXES
from photoqual.sources._sidecars import SUFFIX, Sidecars


def sidecar_of(photo: Path, sidecars: Sidecars) -> Path:
    """Return the sidecar to write for `photo`, which need not exist."""
    own = photo.with_name(photo.name + SUFFIX)
    for sidecar in sidecars.of(photo):
        if sidecar.stem == photo.name or (not os.path.lexists(own) and _is_owner(photo, sidecars.twins(photo))):
            return sidecar
    return own


def _is_owner(photo: Path, twins: list[str]) -> bool:
    """Tell whether the sidecar that `photo` shares with the files `twins` is to be taken as its own."""
    photos = [name for name in twins if Path(name).suffix.lower() in SUFFIXES]
    raws = [name for name in photos if Path(name).suffix.lower() in formats.RAW_SUFFIXES]
    if photo.stem in photos:
        return False
    return not photos or (photo.suffix.lower() in formats.RAW_SUFFIXES and not raws)


def sidecars_under(folder: Path) -> list[Path]:
    """Return the sidecars in `folder` and below, in a stable order; links to folders are not followed."""
    found = []
    for here, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        found += [Path(here, name) for name in sorted(names) if Path(name).suffix.lower() == SUFFIX]
    return found

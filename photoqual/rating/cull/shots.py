"""A shot is one press of the shutter: the file that is looked at, and the files that go wherever it goes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from photoqual.photos import formats
from photoqual.rating.cull.journal import NAME
from photoqual.rating.found import Skipped, find_photos

SIDECAR = ".xmp"
_DEVELOPED = frozenset({".jpg", ".jpeg"}) | formats.HEIC_SUFFIXES
"""What cameras write beside a camera raw."""


@dataclass(frozen=True)
class Shot:
    """`photo` is looked at; `twins` are the other photo files of the shot, which share what is decided for it."""

    photo: Path
    twins: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All photo files of the shot."""
        return (self.photo, *self.twins)


def located(path: Path) -> Path:
    """Return where `path` lies, absolute; a link at its end is not followed unless it leads to a folder."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def find_shots(paths: Sequence[Path], leave_out: Path | None = None) -> tuple[list[Shot], list[Skipped]]:
    """Return the shots among `paths`, absolute and in name order, and what can be no part of one.

    What lies in `leave_out`, or in a folder that dropped photos were moved to, is not looked at. Links are passed over:
    what they mean would change with their place. A camera raw that cannot be decoded here is no loss where there is a JPEG
    of it.
    """
    photos: dict[Path, None] = {}
    skipped: list[Skipped] = []
    raws: dict[Path, Skipped] = {}
    moved_to: dict[Path, bool] = {}
    for found in find_photos([located(path) for path in paths]):
        path = Path(found.photo) if isinstance(found, Skipped) else found
        if (leave_out is not None and path.is_relative_to(leave_out)) or _holds_dropped(path.parent, moved_to):
            continue
        if isinstance(found, Skipped):
            if found.reason == formats.RAW_MISSING and path.is_file():
                raws[path] = found
            else:
                skipped.append(found)
        elif path.is_symlink():
            skipped.append(Skipped(str(path), "link", "It is a link; only files themselves are culled."))
        else:
            photos[path] = None
    named = {location for path in paths if not (location := located(path)).is_dir()}
    photos |= dict.fromkeys(_twins_of(named & photos.keys()))
    shots = pair([*photos, *raws])
    lost = [raws[shot.photo] for shot in shots if shot.photo in raws]
    return [shot for shot in shots if shot.photo not in raws], skipped + lost


def _twins_of(named: Iterable[Path]) -> Iterator[Path]:
    """Yield the camera raw, or the JPEG or HEIC of one, beside photos that were named one by one: decided for with them."""
    for photo in named:
        is_raw = photo.suffix.lower() in formats.RAW_SUFFIXES
        wanted = _DEVELOPED if is_raw else formats.RAW_SUFFIXES if photo.suffix.lower() in _DEVELOPED else frozenset()
        for path in sorted(photo.parent.iterdir()) if wanted else ():
            if path.stem == photo.stem and path.suffix.lower() in wanted and path.is_file() and not path.is_symlink():
                yield path


def _holds_dropped(folder: Path, known: dict[Path, bool]) -> bool:
    """Tell whether `folder` is, or lies in, one that dropped photos were moved to."""
    if folder not in known:
        known[folder] = (folder / NAME).is_file() or (folder != folder.parent and _holds_dropped(folder.parent, known))
    return known[folder]


def pair(photos: Iterable[Path]) -> list[Shot]:
    """Return the shots of `photos`: a camera raw and the JPEG or HEIC of the same name beside it are one, of which the
    latter is looked at; every other file is a shot of its own.
    """
    by_name: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for photo in photos:
        by_name[photo.parent, photo.stem].append(photo)
    shots = []
    for files in by_name.values():
        raws = [file for file in files if file.suffix.lower() in formats.RAW_SUFFIXES]
        developed = [file for file in files if file.suffix.lower() in _DEVELOPED]
        twins = (*developed, *raws) if raws and developed else ()
        shots += [Shot(twins[0], twins[1:])] if twins else []
        shots += [Shot(file) for file in files if file not in twins]
    return sorted(shots, key=lambda shot: shot.photo)


def companions(shot: Shot, beside: Sequence[Path], others: Iterable[Path]) -> list[Path]:
    """Return the sidecars among the files `beside` a shot that go with it: `IMG.CR2.xmp` of each of its files, and
    `IMG.xmp` unless one of the files `others`, which stay, has that name, too.
    """
    names = {file.name for file in shot.files}
    if shot.photo.stem not in {other.stem for other in others}:
        names.add(shot.photo.stem)
    return [path for path in beside if path.suffix.lower() == SIDECAR and path.stem in names]

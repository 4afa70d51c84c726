"""Which sidecars belong to which photo of a folder, and what a photo's metadata and sidecars tell together."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from photoqual.photos import xmp
from photoqual.photos.containers import MAX_PACKET_BYTES, Metadata, find_metadata
from photoqual.photos.exif import Exif, read_exif
from photoqual.sources import _files

SUFFIX = ".xmp"


@dataclass(frozen=True)
class Facts:
    """What is known of a photo beside its picture. `rating`: −1 rejected, 0 or None unrated, 1 to 5 stars.

    `taken` is what the camera's clock showed, with its zone where that is stated. `problems` are (reason, path) of what
    could not be read; `rating_lost`: the rating depends on one of them.
    """

    rating: float | None = None
    taken: datetime | None = None
    camera: str | None = None
    orientation: int = 1
    problems: tuple[tuple[str, str], ...] = ()
    rating_lost: bool = False

    @property
    def taken_at(self) -> datetime | None:
        """The instant it was taken; a time without a zone is taken as UTC."""
        taken = self.taken
        return taken and (taken.replace(tzinfo=UTC) if taken.tzinfo is None else taken.astimezone(UTC))


class Sidecars:
    """The sidecars of one folder after the other; only the last folder asked for is held."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._sidecars: dict[str, Path] = {}
        self._photos: set[str] = set()
        self._names: list[str] = []

    def of(self, photo: Path) -> list[Path]:
        """Return the sidecars of `photo`, that which wins first: `IMG.CR2.xmp`, then `IMG.xmp`."""
        self._list(photo.parent)
        return [self._sidecars[name] for name in (photo.name, photo.stem) if name in self._sidecars]

    def alone(self, sidecar: Path) -> bool:
        """Tell whether no file beside `sidecar` is the photo that it belongs to."""
        self._list(sidecar.parent)
        return sidecar.stem not in self._photos

    def twins(self, photo: Path) -> list[str]:
        """Return the names of the other files beside `photo` that its `IMG.xmp` belongs to as well."""
        self._list(photo.parent)
        names, stem = self._names, photo.stem
        alike = names[bisect_left(names, f"{stem}.") : bisect_left(names, f"{stem}/")]  # a slash follows the dot
        twins = [name for name in alike if name != photo.name and Path(name).stem == stem]
        return names[bisect_left(names, stem) : bisect_right(names, stem)] + twins

    def _list(self, folder: Path) -> None:
        if folder == self._folder:
            return
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            paths = []
        self._folder = folder
        self._sidecars = {path.stem: path for path in reversed(paths) if path.suffix.lower() == SUFFIX}
        others = [path for path in paths if path.suffix.lower() != SUFFIX]
        self._names = sorted(path.name for path in others)
        self._photos = {*self._names, *(path.stem for path in others)}


def facts_of(photo: Path, sidecars: Iterable[Path], top: Path) -> Facts:
    """Return what `photo` and its `sidecars`, in the order in which they win, tell; both lie under `top`.

    The first that states a rating decides, the photo itself comes last; so 0 in a sidecar unrates a photo. A sidecar
    that cannot be read hides the rating: it may be another one than the next in line states. Stars that photoqual wrote
    are no statement, and neither are equal ones elsewhere: programs copy them from a sidecar into the photo. Raise
    OSError when the photo cannot be read.
    """
    problems: list[tuple[str, str]] = []
    packets: list[xmp.Xmp] = []
    lost = False
    for sidecar in sidecars:
        packet = _read_sidecar(sidecar, top)
        packets.append(packet)
        if packet.problem:
            problems.append((packet.problem, str(sidecar)))
            lost = True
        if packet.problem or packet.rating is not None:
            break
    with photo.open("rb") as file:
        metadata = find_metadata(file)
        exif = read_exif(metadata.exif) if metadata.exif else Exif()
    embedded = [xmp.read_packet(packet) for packet in metadata.packets]
    problems += [(problem, str(photo)) for problem in _problems(metadata, embedded)]
    packets += embedded
    ours = {packet.ours for packet in packets}
    stated = (*(packet.rating for packet in packets), _of_exif(exif))
    rating = next((stars for stars in stated if stars is not None and stars not in ours), None)
    return Facts(
        rating=None if lost else rating,
        taken=exif.taken or next((packet.taken for packet in packets if packet.taken), None),
        camera=exif.camera or next((packet.camera for packet in packets if packet.camera), None),
        orientation=exif.orientation,
        problems=tuple(problems),
        rating_lost=lost or (rating is None and bool(problems)),
    )


def _read_sidecar(sidecar: Path, top: Path) -> xmp.Xmp:
    problem = _files.unsafe(sidecar, top)
    if problem:
        return xmp.Xmp(problem=f"sidecar_{problem}")
    try:
        with sidecar.open("rb") as file:
            return xmp.read_packet(file.read(MAX_PACKET_BYTES + 1))
    except OSError:
        return xmp.Xmp(problem="sidecar_unreadable")


def _problems(metadata: Metadata, embedded: list[xmp.Xmp]) -> list[str]:
    return [xmp.TOO_LARGE] * metadata.too_large + [packet.problem for packet in embedded if packet.problem]


def _of_exif(exif: Exif) -> float | None:
    """Return the stars that Windows wrote into EXIF; they count where no XMP states a rating."""
    if exif.stars is not None and 0 <= exif.stars <= xmp.MOST:
        return float(exif.stars)
    return None if exif.percent is None else xmp.stars_of_percent(exif.percent)


@dataclass(frozen=True)
class Shot:
    """A photo's key, its camera, and when its camera's clock says it was taken."""

    key: str
    camera: str | None
    taken: datetime


def bursts(shots: Iterable[Shot], seconds: float) -> dict[str, str]:
    """Return by key the burst of each shot, named by the key of its first: a burst goes on as long as its camera takes
    the next photo within `seconds`.
    """
    apart = timedelta(seconds=seconds)
    found: dict[str, str] = {}
    last: tuple[str | None, datetime, str] | None = None
    for shot in sorted(shots, key=lambda shot: (shot.camera or "", _clock(shot), shot.key)):
        goes_on = last is not None and last[0] == shot.camera and _clock(shot) - last[1] <= apart
        name = last[2] if last is not None and goes_on else shot.key
        found[shot.key] = name
        last = shot.camera, _clock(shot), name
    return found


def _clock(shot: Shot) -> datetime:
    return shot.taken.replace(tzinfo=None)

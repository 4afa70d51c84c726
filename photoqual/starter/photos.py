"""The photographs that the starter's head is trained on: freely licensed ones from installed packages.

Those of the demo (extra `demo`), and where Debian's gcompris-qt-data is installed, its photographs of animals, buildings
and concerts. docs/how-to/starter.md names the licences.
"""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from PIL import Image

from photoqual.errors import MissingData
from photoqual.sources._demo_photos import Base, bases
from photoqual.starter.qt_resources import resources

GCOMPRIS = Path("/usr/share/gcompris-qt/rcc")
COLLECTIONS = ("erase", "explore_farm_animals", "explore_monuments", "explore_world_animals", "explore_world_music")
LEFT_OUT = ("dolphin", "castleClinton", "georgeWashingtonBirthplace", "middleeast")
"""Underwater, an old print, faded, cut out of its background: not what a good photo looks like."""
LEAST_PIXELS = 250_000


@dataclass(frozen=True)
class Photo:
    """A base photograph, RGB; everything that is made of it belongs to the group `name`."""

    name: str
    image: Image.Image


def photos(gcompris: Path = GCOMPRIS) -> Iterator[Photo]:
    """Yield the base photographs in a fixed order. Raise MissingData when the extra `demo` is not installed."""
    for base in sorted(bases(), key=lambda base: (base.package, base.path, base.member or "")):
        yield Photo(f"{base.package}/{base.member or base.path}", _opened(_content(base)))
    for collection in COLLECTIONS:
        path = gcompris / f"{collection}.rcc"
        if path.is_file():
            yield from _gcompris_photos(path)


def _gcompris_photos(path: Path) -> Iterator[Photo]:
    for inside, content in sorted(resources(path)):
        name = PurePosixPath(inside)
        if name.suffix == ".webp" and name.stem not in LEFT_OUT:
            image = Image.open(io.BytesIO(content))
            if image.mode == "RGB" and image.width * image.height >= LEAST_PIXELS:
                yield Photo(f"gcompris/{path.stem}/{name.name}", image)


def _content(base: Base) -> bytes:
    spec = find_spec(base.package)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise MissingData(f"Package {base.package} is missing.", next_step="Install photoqual with the extra `demo`.")
    file = Path(next(iter(folders))) / base.path
    if base.member is None:
        return file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        return archive.read(base.member)


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")

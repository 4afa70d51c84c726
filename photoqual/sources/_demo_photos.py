"""The demo site's photos: crops and damaged crops of real photographs, with votes from a stated model. Deterministic.

The base photographs lie inside installed packages (extra `demo`) and are read at run time. Every variant of one base
photograph is of one album, so that a split by group keeps them together. Photo k is the same for ever; an edition of
the site is how many photos there are and how many votes each has got so far.

The votes are simulated: a photo has a true quality q (a good crop about 4.75 stars, a slightly damaged one about 3,
a damaged one about 1.45); each rater gives q plus a personal deviation of 0.6 stars, rounded to whole stars.
"""

import importlib.util
import io
import unicodedata
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from photoqual.errors import SourceError
from photoqual.sources._demo_defects import DEFECTS

SEED = 2016
PHOTOS = (640, 240, 60)
"""Photos of the first edition, photos that the second adds, photos that each later one adds."""
ALBUMS = (44, 9, 1)
"""Base photographs likewise, while there are any."""
VANDAL_VOTES = 100
FIRST_DAY = datetime(2000, 3, 1, tzinfo=UTC)
DAYS_APART = 6.5
LAST_DAY = datetime(2024, 12, 31, tzinfo=UTC)
_MAX_VOTES = 400

_LANDSCAPES = (
    "Asturias",
    "Brisbane",
    "Miami",
    "Monaco",
    "Palermo",
    "Seattle",
    "Stockholm",
    "Tempe Town Lake",
    "Vienna",
    "Warsaw",
)
_NIGHTS = (
    "Austin", "Bangkok", "Buenos Aires", "Chicage", "Dallas", "Frankfurt", "Long Beach", "Louisville", "Moscow",
    "Reykjavik", "Sydney", "Tokyo", "Vancouver", "Yokohama",
)  # fmt: skip
_SPELLING = {"Chicage": "Chicago", "Bruxelles": "Brussels"}
_LEFT_OUT = ("Inverness",)
_SINGLES = {
    ("skimage", "data/astronaut.png"): ("Astronaut", "people"),
    ("skimage", "data/chelsea.png"): ("Chelsea the cat", "animals"),
    ("skimage", "data/coffee.png"): ("Coffee", "indoor"),
    ("skimage", "data/motorcycle_left.png"): ("Motorcycle in a garage", "indoor"),
    ("skimage", "data/rocket.jpg"): ("Rocket on its pad", "night"),
    ("sklearn", "datasets/images/china.jpg"): ("Summer Palace", "city"),
    ("sklearn", "datasets/images/flower.jpg"): ("Dahlia", "nature"),
}


@dataclass(frozen=True)
class Base:
    """A base photograph: where its bytes lie, and what an album of it is called."""

    package: str
    path: str
    member: str | None
    album: str
    category: str


@dataclass(frozen=True)
class DemoPhoto:
    """Photo `number` of the site. `quality` is its true quality in stars; `strength` that of its defect, 0 to 1."""

    number: int
    base: Base
    defect: str | None
    strength: float
    quality: float
    first_edition: int
    uploaded: datetime

    @property
    def title(self) -> str:
        return f"{self.base.album}, no. {self.number}"


@lru_cache(maxsize=1)
def bases() -> tuple[Base, ...]:
    """Return the base photographs in a fixed, mixed order. Raise SourceError when the extra `demo` is not installed."""
    found = []
    for name in _members():
        album = unicodedata.normalize("NFC", _decoded(name).removesuffix(".jpg"))
        place = album.split(",")[0]
        if place in _LEFT_OUT:
            continue
        category = "landscape" if place in _LANDSCAPES else "night" if place in _NIGHTS else "city"
        found.append(
            Base(
                "mezzanine",
                "core/static/test/gallery.zip",
                name,
                album.replace(place, _SPELLING.get(place, place)),
                category,
            )
        )
    found += [
        Base(package, path, None, album, category)
        for (package, path), (album, category) in _SINGLES.items()
        if _file(package, path).is_file()
    ]
    order = np.random.default_rng(SEED).permutation(len(found))
    return tuple(found[index] for index in order)


@lru_cache(maxsize=8)
def photos(edition: int) -> tuple[DemoPhoto, ...]:
    """Return the photos of `edition`, oldest first; those of an earlier edition come first, unchanged."""
    earlier = photos(edition - 1) if edition > 1 else ()
    step = min(edition, 3) - 1
    albums = bases()[: sum(ALBUMS[:2]) + ALBUMS[2] * (edition - 2) if edition > 1 else ALBUMS[0]]
    fresh = albums[len({photo.base for photo in earlier}) :]
    random = np.random.default_rng((SEED, edition))
    made = []
    for index in range(PHOTOS[step]):
        # every album gets its turn, and the new ones of an edition get two
        turn = (*albums, *fresh) if edition > 1 else albums
        base = turn[index % len(turn)]
        made.append(_photo(len(earlier) + index + 1, base, edition, random))
    return (*earlier, *made)


def _photo(number: int, base: Base, edition: int, random: np.random.Generator) -> DemoPhoto:
    kind = random.choice(3, p=(0.47, 0.41, 0.12))
    defect = None if kind == 0 else str(random.choice(list(DEFECTS)))
    strength = (0.0, random.uniform(0.3, 1.0), random.uniform(0.0, 0.05))[kind]
    quality = (4.75, 1.75 - 0.45 * strength, 3.0)[kind] + random.normal(0, (0.1, 0.12, 0.25)[kind])
    uploaded = min(FIRST_DAY + timedelta(days=int(number * DAYS_APART)), LAST_DAY)
    return DemoPhoto(number, base, defect, float(strength), float(quality), edition, uploaded)


def votes(photo: DemoPhoto, edition: int, *, poisoned: bool = False) -> np.ndarray:
    """Return the votes that `photo` has got by `edition`, whole stars in order of arrival; earlier ones never change.

    On a poisoned site a vandal has given every photo five stars a hundred times.
    """
    random = np.random.default_rng((SEED, photo.number, 1))
    first, growth = 3 + int(37 * random.beta(1.2, 2.0)), int(random.integers(2, 6))
    number = min(first + growth * max(0, edition - photo.first_edition), _MAX_VOTES)
    honest = np.clip(np.rint(photo.quality + random.normal(0, 0.6, _MAX_VOTES)), 1, 5).astype(int)[:number]
    return np.concatenate([honest, np.full(VANDAL_VOTES, 5)]) if poisoned else honest


def crop_box(photo: DemoPhoto) -> tuple[int, int, int, int]:
    """Return the part of the base photograph that `photo` shows: left, top, right, bottom, in its pixels."""
    width, height = _base_image(photo.base).size
    random = np.random.default_rng((SEED, photo.number, 2))
    scale = random.uniform(0.7, 1.0)
    wide, high = round(width * scale), round(height * scale)
    left, top = int(random.integers(0, width - wide + 1)), int(random.integers(0, height - high + 1))
    return left, top, left + wide, top + high


def render(photo: DemoPhoto) -> bytes:
    """Return the JPEG of `photo`, long side about 400 to 480 px; the same bytes for the same photo and Pillow."""
    random = np.random.default_rng((SEED, photo.number, 3))
    side = int(random.integers(400, 481))
    image = _base_image(photo.base).crop(crop_box(photo))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    if photo.defect:
        image = DEFECTS[photo.defect](image, photo.strength, random)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=88)
    return encoded.getvalue()


@lru_cache(maxsize=80)
def _base_image(base: Base) -> Image.Image:
    file = _file(base.package, base.path)
    if base.member is None:
        data = file.read_bytes()
    else:
        with zipfile.ZipFile(file) as archive:
            data = archive.read(base.member)
    return Image.open(io.BytesIO(data)).convert("RGB")


def _members() -> list[str]:
    with zipfile.ZipFile(_file("mezzanine", "core/static/test/gallery.zip")) as archive:
        return sorted(name for name in archive.namelist() if name.endswith(".jpg"))


def _file(package: str, path: str) -> Path:
    """Return the file `path` inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(
            f"The demo's photographs are not installed: package {package} is missing.",
            next_step="Install photoqual with the extra `demo`.",
        )
    return Path(next(iter(spec.submodule_search_locations))) / path


def _decoded(name: str) -> str:
    """Undo what zipfile makes of UTF-8 names in an archive that does not declare them."""
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name

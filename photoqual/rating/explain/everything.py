"""Everything that can be told of one photo's rating, gathered: the rating, heat maps, rated photos like it, the dream.

What cannot be told, for want of a catalog, of features or of a Keras file, is left out with the reason.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from photoqual.errors import DataError, PhotoqualError, UnreadablePhoto
from photoqual.layout import Layout
from photoqual.models.answer import likely
from photoqual.models.dream import Dream
from photoqual.models.heads import SCORE
from photoqual.models.scorer import Scorer
from photoqual.models.seen import look_at
from photoqual.photos.fingerprints import photo_id
from photoqual.rating.explain.dreams import dream_of
from photoqual.rating.explain.heat import PASSES, Heat, heat_map
from photoqual.rating.explain.levels import sentence
from photoqual.rating.explain.rated import Neighbours, Progress, neighbours
from photoqual.rating.found import read
from photoqual.rating.rater import Rating, rate_pixels

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Looked:
    """A photo that was rated: as it is (upright, sRGB), as the model sees it, and by its id."""

    rating: Rating
    image: Image.Image
    pixels: np.ndarray
    photo_id: str


@dataclass(frozen=True, eq=False)
class Everything:
    """All there is to tell. `heats`: of the score, then of the likeliest defect or the one asked for. `untold`: why
    something could not be told, by what it is: `rated`, `dream`.
    """

    looked: Looked
    heats: list[Heat]
    rated: Neighbours | None
    dream: Dream | None
    untold: dict[str, str] = field(default_factory=dict)


def look(photo: Path, scorer: Scorer, model: str) -> Looked:
    """Rate the file `photo`. Raise DataError when it cannot be read."""
    shown = os.fsencode(photo).decode(errors="replace")
    try:
        data = read(photo)
        image, pixels = look_at(data, scorer.info)
    except UnreadablePhoto as error:
        raise DataError(f"{shown} cannot be rated: {error.message}", next_step="Name a photo.") from None
    return Looked(rate_pixels(scorer, [pixels], [shown], model)[0], image, pixels, photo_id(data))


def gather(
    looked: Looked,
    scorer: Scorer,
    layout: Layout,
    *,
    of: str | None = None,
    dream: bool = True,
    passes: int = PASSES,
    saying: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> Everything:
    """Gather all there is to tell of a photo; `layout` is the workspace whose rated photos are looked among.

    `of`: a defect to draw a heat map of, in place of the likeliest. `saying` hears what is done now. Raise ConfigError
    when the model does not know `of`.
    """
    named = [of] if of and of != SCORE else [name for name, _ in likely(looked.rating.defects)[:1]]
    saying("hiding one part after the other")
    heats = [heat_map(scorer, looked.pixels, name, passes=passes) for name in (SCORE, *named)]
    untold: dict[str, str] = {}
    saying("looking at rated photos")
    rated = _tried(
        lambda: neighbours(scorer, looked.pixels, looked.photo_id, layout, progress=progress), untold, "rated"
    )
    dreamt = None
    if dream:
        saying("dreaming")
        dreamt = _tried(lambda: dream_of(scorer.folder, looked.pixels), untold, "dream")
    else:
        untold["dream"] = "It was left out."
    return Everything(looked, heats, rated, dreamt, untold)


def as_values(told: Everything) -> dict[str, Any]:
    """Return all of it but the pictures, ready for JSON: the rating, its sentence, and what lies beyond it."""
    return {
        **asdict(told.looked.rating),
        "sentence": sentence(told.looked.rating),
        "heat": [
            {"of": heat.of, "value": heat.value, "noticeable": heat.noticeable, "grid": heat.grid.round(4).tolist()}
            for heat in told.heats
        ],
        "rated": told.rated
        and {
            "among": told.rated.among,
            "of": told.rated.rated,
            "itself": told.rated.itself and asdict(told.rated.itself),
            "alike": [{**asdict(one.voted), "cosine": round(one.cosine, 4)} for one in told.rated.alike],
        },
        "dream": told.dream and {name: getattr(told.dream, name) for name in ("score", "better_score", "worse_score")},
        "untold": told.untold,
    }


def _tried(tell: Callable[[], T], untold: dict[str, str], name: str) -> T | None:
    try:
        return tell()
    except PhotoqualError as error:
        untold[name] = str(error)
        return None

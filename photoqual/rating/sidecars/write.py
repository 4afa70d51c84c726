"""What `photoqual rate --xmp` does with each rating: decide what its sidecar becomes, and write that where it is asked to."""

import math
from datetime import UTC, datetime
from pathlib import Path

from photoqual.errors import UnusableSidecar
from photoqual.photos.xmp import UNRATED
from photoqual.rating.rater import Rating
from photoqual.rating.sidecars import edit, store
from photoqual.rating.sidecars.places import sidecar_of
from photoqual.rating.sidecars.told import Told
from photoqual.sources._sidecars import Sidecars, facts_of

NEW, MERGED, UNCHANGED = "new", "merged", "unchanged"
NOT_LOCAL, UNREADABLE_PHOTO = "not_a_local_file", "unreadable_file"
UNCLEAR = "unclear"
"""Of stars: whether a person rated the photo cannot be told, so the rating is left alone."""


class SidecarWriter:
    """Takes ratings, one after the other; `told` says what came of them."""

    def __init__(self, *, stars: bool, write: bool) -> None:
        self.told = Told((NEW, MERGED, UNCHANGED), write)
        self._stars, self._write = stars, write
        self._sidecars = Sidecars()

    def write(self, rating: Rating) -> None:
        """Say `rating` in the sidecar of its photo, or in a dry run find out what would be said."""
        photo = Path(rating.photo)
        if not photo.is_file():
            self.told.skip(rating.photo, NOT_LOCAL, "Sidecars are written beside photos on this machine.")
            return
        sidecar = sidecar_of(photo, self._sidecars)
        try:
            if self._write:
                with store.held(sidecar.parent):
                    self._say(rating, photo, sidecar)
            else:
                self._say(rating, photo, sidecar)
        except UnusableSidecar as error:
            self.told.skip(str(sidecar), error.reason, error.message)

    def _say(self, rating: Rating, photo: Path, sidecar: Path) -> None:
        before = store.read(sidecar)
        elsewhere = self._elsewhere(photo, sidecar) if self._stars else None
        clear = elsewhere is None or not math.isnan(elsewhere)
        stars = rating.stars if self._stars and clear else None
        said = said_of(rating, datetime.now(UTC))
        merged = edit.fresh(said, stars, elsewhere) if before is None else edit.merge(before, said, stars, elsewhere)
        if self._write and merged.data != before:
            store.replace(sidecar, before, merged.data)
        self.told.sidecars[NEW if before is None else UNCHANGED if merged.data == before else MERGED] += 1
        if self._stars:
            self.told.stars[merged.stars or UNCLEAR] += 1

    def _elsewhere(self, photo: Path, sidecar: Path) -> float | None:
        """Return what a person gave the photo in another sidecar or in the photo itself; NaN where it cannot be told."""
        others = [other for other in self._sidecars.of(photo) if other != sidecar]
        top = Path(photo.absolute().anchor)
        for sidecars in (others, []):
            try:
                facts = facts_of(photo, sidecars, top)
            except OSError as error:
                raise UnusableSidecar(UNREADABLE_PHOTO, f"{photo} cannot be read: {error.strerror}.") from None
            if facts.rating_lost:
                return math.nan
            if facts.rating not in (None, UNRATED):
                return facts.rating
        return None


def said_of(rating: Rating, now: datetime) -> dict[str, str]:
    """Return what a sidecar says of `rating`, by name."""
    return {
        "Score": f"{rating.score:.4f}",
        "Stars": str(rating.stars),
        "Label": rating.label,
        "Sure": str(rating.sure),
        "Model": rating.model,
        edit.RATED_AT: f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }

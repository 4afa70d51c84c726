"""Write rated photos as one HTML page that needs nothing else: pictures inside, nothing fetched, works offline.

It is written as the photos are rated, so that memory stays small however many there are, and what is written of a page
that was broken off still opens. Names are escaped, and the page's own policy forbids whatever it would fetch. Of a path
the name and the folder it lies in are told, no more: the page is made to be shared.
"""

import re
from typing import TextIO

from photoqual.models.answer import likely
from photoqual.pages.render import inline_jpeg, render
from photoqual.rating.explain.levels import brief, named_model
from photoqual.rating.rater import Rating
from photoqual.rating.reasons import how_sure
from photoqual.terminal import plain

_CUT = "@@photos@@"
_SEPARATORS = re.compile(r"[/\\]")
_SAID = 3


class GalleryWriter:
    """Writes the page to `stream`. What it writes before `close` opens in a browser too, but for a torn last photo."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._tail: str | None = None

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        """Add a photo; `extra` is its picture as a small JPEG (`gallery.thumbnail`)."""
        if self._tail is None:
            self._begin(rating.model)
        self._stream.write(card(rating, extra))

    def close(self) -> None:
        """End the page; one without photos says so."""
        if self._tail is None:
            self._begin("no model: there is no photo")
        self._stream.write(self._tail or "")

    def _begin(self, model: str) -> None:
        page = render("gallery.html", model=named_model(model), cut=_CUT)
        head, self._tail = page.rsplit(_CUT, 1)
        self._stream.write(head)


def card(rating: Rating, picture: bytes | None) -> str:
    """Return a photo of the gallery as HTML."""
    folder, file = shown_name(rating.photo)
    points = [brief(point) for point in (rating.reasons or rating.strengths)[:_SAID]]
    why = ", ".join(points)
    return render(
        "gallery_photo.html",
        rating=rating,
        name=f"{folder}/{file}" if folder else file,
        folder=folder,
        file=file,
        picture=inline_jpeg(picture) if picture else "",
        likely=[name for name, _ in likely(rating.defects)],
        why=_capital(why),
        how_sure=_capital(how_sure(rating.sure, rating.familiar)),
    )


def shown_name(photo: str) -> tuple[str, str]:
    """Return the folder that a photo lies in, by its last name, and the name of its file."""
    parts = [plain(part) for part in _SEPARATORS.split(photo) if part]
    return (parts[-2] if len(parts) > 1 and not parts[-2].endswith(":") else ""), (parts[-1] if parts else "photo")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

"""The photos on which two models disagree most, with small pictures of them."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from photoqual.config import PhotosParams
from photoqual.errors import PhotoqualError, UnreadablePhoto
from photoqual.pages.render import inline_jpeg
from photoqual.photos.decode import open_photo

Thumbnails = Callable[[Sequence[str]], dict[str, bytes]]
"""From photo ids to the bytes of their pictures, of any size; those it does not have are missing."""
Names = tuple[str, str | None]
"""Versions of challenger and champion."""

SHOWN = 12
_SIDE, _QUALITY = 240, 80


def disagreements(
    frozen: pd.DataFrame, ours: np.ndarray | None, theirs: np.ndarray | None, names: Names, thumbnails: Thumbnails
) -> dict[str, Any]:
    """Return the photos whose two scores lie furthest apart, with a sentence about them and a note on what is missing.

    `frozen` has the columns `photo_id`, `good` and `group`; scores are (n,) in its order, None where there are none.
    """
    if names[1] is None:
        return {"photos": [], "sentence": "None: there is no champion to disagree with.", "note": ""}
    if ours is None or theirs is None:
        return {"photos": [], "sentence": "None: there are no two scores of each photo to compare.", "note": ""}
    rows = frozen[["photo_id", "good", "group"]].assign(challenger=ours, champion=theirs, apart=np.abs(ours - theirs))
    apart = rows[rows["apart"] > 0].sort_values(["apart", "photo_id"], ascending=[False, True])
    if apart.empty:
        return {
            "photos": [],
            "sentence": f"None: both give every one of {len(rows)} photos the same score.",
            "note": "",
        }
    most = apart.head(SHOWN)
    pictures, note = _pictures(most["photo_id"].tolist(), thumbnails)
    sentence = f"{len(most)} of {len(frozen):,} frozen photos, the largest difference of the two scores first."
    shown = [_photo(row, pictures.get(str(row.photo_id))) for row in most.itertuples()]
    return {"photos": shown, "sentence": sentence, "note": note}


def _photo(row: Any, image: str | None) -> dict[str, Any]:
    truth = int(row.good)
    apart = abs(row.challenger - truth) - abs(row.champion - truth)
    return {
        "id": str(row.photo_id)[:12],
        "image": image,
        "truth": "good" if truth == 1 else "bad",
        "group": None if pd.isna(row.group) else str(row.group),
        "challenger": float(row.challenger),
        "champion": float(row.champion),
        "nearer": "challenger" if apart < 0 else "champion" if apart > 0 else None,
    }


def _pictures(ids: Sequence[str], thumbnails: Thumbnails) -> tuple[dict[str, str], str]:
    """Return small JPEGs as data URIs by photo id, and what is to be said of those that are missing."""
    try:
        given = thumbnails(ids)
    except PhotoqualError as error:
        return {}, f"The pictures could not be read: {error.message}"
    small, unreadable = {}, 0
    for photo_id in ids:
        if photo_id in given:
            try:
                small[photo_id] = inline_jpeg(_thumbnail(given[photo_id]))
            except UnreadablePhoto:
                unreadable += 1
    missing = len(ids) - len(small) - unreadable
    counts = [(missing, "picture(s) not at hand"), (unreadable, "unreadable")]
    told = ", ".join(f"{number} {what}" for number, what in counts if number)
    return small, f"{told.capitalize()}." if told else ""


def _thumbnail(data: bytes) -> bytes:
    image, _ = open_photo(data, PhotosParams(), max_side=_SIDE)
    image.info = {}
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_QUALITY, optimize=True)
    return written.getvalue()

"""Everything about one photo's rating as one HTML page: pictures inside, nothing fetched, works offline."""

import io
from typing import Any

import numpy as np
from PIL import Image

from photoqual.models.dream import Dream
from photoqual.models.heads import SCORE
from photoqual.models.info import ModelInfo
from photoqual.pages.render import compact, decimal, inline_jpeg, render
from photoqual.rating.explain.dreams import change
from photoqual.rating.explain.everything import Everything
from photoqual.rating.explain.heat import Heat, overlay
from photoqual.rating.explain.levels import named_model, sentence
from photoqual.rating.explain.rated import Alike, Neighbours, Voted
from photoqual.rating.reasons import how_sure, spoken, usual
from photoqual.terminal import plain

_SHOWN = 960
_THUMBNAIL = 320
_QUALITY = 82
_MUCH_ALIKE = 0.3


def explain_page(told: Everything, info: ModelInfo) -> str:
    """Return the page; `info` is that of the model that rated."""
    rating = told.looked.rating
    return render(
        "explain.html",
        rating=rating,
        name=plain(rating.photo.replace("\\", "/").rsplit("/", 1)[-1]),
        sentence=sentence(rating),
        how_sure=how_sure(rating.sure, rating.familiar, margin_known=info.sure_margin is not None),
        photo=_picture(told.looked.image, _SHOWN),
        defects=[(spoken(name), value) for name, value in sorted(rating.defects.items(), key=lambda pair: -pair[1])],
        heats=[_heat(told.looked.pixels, heat) for heat in told.heats],
        rated=told.rated and _rated(told.rated),
        dream=told.dream and _dream(told.looked.pixels, told.dream),
        untold=told.untold,
        measures=[_measure(name, value, info) for name, value in rating.measures.items()],
        model=named_model(rating.model),
    )


def _heat(pixels: np.ndarray, heat: Heat) -> dict[str, Any]:
    of = "score" if heat.of == SCORE else spoken(heat.of)
    return {
        "of": of,
        "value": heat.value,
        "noticeable": heat.noticeable,
        "parts": heat.grid.size,
        "image": _picture(Image.fromarray(overlay(pixels, heat)), _SHOWN),
    }


def _rated(found: Neighbours) -> dict[str, Any]:
    return {
        "among": found.among,
        "of": found.rated,
        "itself": found.itself and _said(found.itself),
        "photos": [_alike(one) for one in found.alike],
        "far": max((one.cosine for one in found.alike), default=1.0) < _MUCH_ALIKE,
    }


def _alike(one: Alike) -> dict[str, Any]:
    with Image.open(io.BytesIO(one.jpeg), formats=("JPEG",)) as image:
        picture = _picture(image.convert("RGB"), _THUMBNAIL)
    return {
        "image": picture,
        "title": plain(one.voted.title) or f"photo {one.voted.photo_id[:12]}",
        "alike": one.cosine,
        "said": _said(one.voted),
        "bars": _bars(one.voted.histogram),
        "counts": ", ".join(str(count) for count in one.voted.histogram),
        "source": plain(one.voted.source),
    }


def _said(voted: Voted) -> str:
    """Return in words how people voted on a photo."""
    votes = f"{voted.votes} vote{'' if voted.votes == 1 else 's'}"
    stars = f"{decimal(voted.stars, 1)} of 5 stars by {votes}" if voted.stars is not None else ""
    label = {True: "labelled good", False: "labelled bad", None: ""}[voted.good]
    return ", ".join(part for part in (stars, label) if part)


def _bars(histogram: tuple[int, ...]) -> list[int]:
    """Return the heights of the bars of a histogram in per cent of the highest."""
    highest = max(histogram, default=0)
    return [round(100 * count / highest) for count in histogram] if highest else []


def _dream(pixels: np.ndarray, dream: Dream) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "score": score,
            "image": _picture(Image.fromarray(image), _SHOWN),
            "change": _picture(Image.fromarray(change(pixels, image)), _THUMBNAIL),
        }
        for name, score, image in (
            ("better", dream.better_score, dream.better),
            ("worse", dream.worse_score, dream.worse),
        )
    ]


def _measure(name: str, value: float, info: ModelInfo) -> list[str]:
    low, high = info.good_ranges.get(name, (None, None))
    theirs = f"{compact(low)} to {compact(high)}" if low is not None else "not known"
    inside = {True: "usual", False: "unusual", None: ""}[usual(name, value, info.good_ranges)]
    return [spoken(name), compact(value), theirs, inside]


def _picture(image: Image.Image, side: int) -> str:
    """Return `image` as a data URI, its long side at most `side` px."""
    shown = image.copy()
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    shown.info = {}
    encoded = io.BytesIO()
    shown.save(encoded, "JPEG", quality=_QUALITY)
    return inline_jpeg(encoded.getvalue())

"""Why a photo got its score, in plain words: what is likely wrong with it, which measurable properties lie outside
those of good photos, which lie well within, and how sure the answer is. Pure functions.
"""

from collections.abc import Mapping

from photoqual.models.answer import LIKELY, Answer, likely

UNFAMILIAR = "not the kind of photo this model knows"
ABSENT = 0.05
"""Up to this probability a defect is surely absent."""
_ABSENT_NAMED = 3
_WELL_WITHIN = 0.2
"""How far inside the range of good photos a measure has to lie to speak for the photo, in half widths of that range."""
_ONE_SIDED, _FAR_INTO = frozenset({"noise", "sharpness"}), 0.5
"""Measures of which one end of the range is the good one, and how far towards it they have to lie, in its widths."""

_WORDS: dict[str, tuple[str, str]] = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter in contrast", "harsher in contrast"),
    "sharpness": ("less sharp", "grainier or more finely detailed"),
    "saturation": ("less colourful", "more colourful"),
    "clipped_dark": ("", "more lost to black"),
    "clipped_bright": ("", "more lost to white"),
    "noise": ("", "noisier"),
}
"""By measure: what a photo below and above the range of good photos is. Nothing is said of an empty one."""

_PRAISE: dict[str, tuple[str, tuple[str, ...], frozenset[str]]] = {
    "brightness": (
        "well exposed",
        ("clipped_dark", "clipped_bright"),
        frozenset({"too_dark", "too_bright", "lens_flare"}),
    ),
    "sharpness": ("sharp", (), frozenset({"motion_blur", "defocus", "noise"})),
    "noise": ("clean, with little noise", (), frozenset({"noise"})),
    "contrast": ("good contrast", (), frozenset({"low_contrast", "too_dark", "too_bright", "lens_flare"})),
    "saturation": ("balanced colour", (), frozenset({"colour_cast"})),
}
"""By measure: what is said of a photo where it lies well within the range of good photos, which other measures must not
lie above theirs, and which defects would belie it."""


def all_reasons(
    answer: Answer, measured: Mapping[str, float], good_ranges: Mapping[str, tuple[float, float]]
) -> list[str]:
    """Return what speaks against relying on the score, then the likely defects (`motion blur: 0.93`), then `reasons`."""
    defects = [f"{spoken(name)}: {probability:.2f}" for name, probability in likely(answer.defects)]
    return [*([UNFAMILIAR] if answer.familiar is False else []), *defects, *reasons(measured, good_ranges)]


def reasons(measured: Mapping[str, float], good_ranges: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return a sentence for each measure outside the range of 90 % of the good training photos; the furthest first.

    How far is counted in widths of that range. A range of a measure that we do not know says nothing.
    """
    found: list[tuple[float, str]] = []
    for name in good_ranges.keys() & measured.keys() & _WORDS.keys():
        (low, high), value = good_ranges[name], measured[name]
        width = max(high - low, 1e-6)
        for side, beyond in enumerate((low - value, value - high)):
            if beyond > 0 and (word := _WORDS[name][side]):
                found.append((beyond / width, f"{word} than most good photos {_numbers(name, value, low, high)}"))
    return [sentence for _, sentence in sorted(found, reverse=True)]


def usual(name: str, value: float, good_ranges: Mapping[str, tuple[float, float]]) -> bool | None:
    """Tell whether a measure speaks against no photo: it lies in the range of good photos, or beyond the end at which
    there is nothing to say. None where that range is not known.
    """
    if name not in good_ranges or name not in _WORDS:
        return None
    low, high = good_ranges[name]
    return (low <= value or not _WORDS[name][0]) and (value <= high or not _WORDS[name][1])


def strengths(
    measured: Mapping[str, float], good_ranges: Mapping[str, tuple[float, float]], defects: Mapping[str, float]
) -> list[str]:
    """Return what speaks for a photo: measures well within the range of good photos, the most notable first, then the
    defects that are surely absent (up to 0.05).

    Most notable is what lies nearest to the middle of the range; of sharpness what is high in it, of noise what is low.
    A likely defect, or highlights or shadows lost beyond the range, take back the praise that they belie.
    """
    found: list[tuple[float, str]] = []
    for name, (word, companions, belied_by) in _PRAISE.items():
        if name not in good_ranges or name not in measured:
            continue
        (low, high), value = good_ranges[name], measured[name]
        inside = _how_well_within(name, value, low, high)
        lost = any(measured[other] > good_ranges[other][1] for other in companions if other in good_ranges)
        least = _FAR_INTO if name in _ONE_SIDED else _WELL_WITHIN
        if inside >= least and not lost and all(defects.get(defect, 0) < LIKELY for defect in belied_by):
            found.append((inside, f"{word} {_numbers(name, value, low, high)}"))
    said = [sentence for _, sentence in sorted(found, key=lambda pair: -pair[0])]
    return said + ([absent] if (absent := _absent(defects)) else [])


def how_sure(sure: bool, familiar: bool | None, *, margin_known: bool = True) -> str:
    """Return in words how far a rating can be relied on. `margin_known`: validation could tell how far from the
    threshold a score has to be (`ModelInfo.sure_margin`).
    """
    if familiar is False:
        return f"not sure: {UNFAMILIAR}"
    if sure:
        return "sure: at least nine in ten such labels are right"
    if not margin_known:
        return "not sure: there were too few validation photos to tell how far this model can be relied on"
    return "not sure: the score lies near the border between good and bad"


def spoken(name: str) -> str:
    """Return the name of a defect or a measure as it is said."""
    return name.replace("_", " ")


def _how_well_within(name: str, value: float, low: float, high: float) -> float:
    """Return 1 in the middle of the range, 0 at its ends, less than that outside; of sharpness 1 at the upper end, and
    of noise from the lower end down.
    """
    place = (value - low) / max(high - low, 1e-6)
    if name == "noise":
        return 1 - max(place, 0.0)
    if name == "sharpness":
        return place if place <= 1 else 1 - place
    return 1 - abs(2 * place - 1)


def _absent(defects: Mapping[str, float]) -> str:
    absent = [name for name, probability in sorted(defects.items(), key=lambda pair: pair[1]) if probability <= ABSENT]
    if not absent:
        return ""
    named, more = [spoken(name) for name in absent[:_ABSENT_NAMED]], len(absent) - _ABSENT_NAMED
    if more > 0:
        return f"no sign of {', '.join(named)} and {more} other defect{'s' if more > 1 else ''}"
    return "no sign of " + (f"{', '.join(named[:-1])} or {named[-1]}" if len(named) > 1 else named[0])


def _numbers(name: str, value: float, low: float, high: float) -> str:
    share = name.startswith("clipped")
    shown = [f"{number:.0%}" if share else f"{number:.3g}" for number in (value, low, high)]
    return f"({name} {shown[0]}, theirs {shown[1]} to {shown[2]})"

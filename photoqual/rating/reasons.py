"""Why a photo got its score, in plain words: what is likely wrong with it, and which measurable properties lie outside
those of good photos.
"""

from photoqual.models.answer import Answer, likely

UNFAMILIAR = "not the kind of photo this model knows"

_WORDS: dict[str, tuple[str, str]] = {
    "brightness": ("darker", "brighter"),
    "contrast": ("flatter in contrast", "harsher in contrast"),
    "sharpness": ("less sharp", "grainier or more finely detailed"),
    "saturation": ("less colourful", "more colourful"),
    "clipped_dark": ("less deep in the shadows", "more lost to black"),
    "clipped_bright": ("less bright in the highlights", "more lost to white"),
}


def all_reasons(answer: Answer, measured: dict[str, float], good_ranges: dict[str, tuple[float, float]]) -> list[str]:
    """Return what speaks against relying on the score, then the likely defects (`motion blur: 0.93`), then `reasons`."""
    defects = [f"{name.replace('_', ' ')}: {probability:.2f}" for name, probability in likely(answer.defects)]
    return [*([UNFAMILIAR] if answer.familiar is False else []), *defects, *reasons(measured, good_ranges)]


def reasons(measured: dict[str, float], good_ranges: dict[str, tuple[float, float]]) -> list[str]:
    """Return a sentence for each measure outside the range of 90 % of the good training photos; the furthest first.

    How far is counted in widths of that range.
    """
    found: list[tuple[float, str]] = []
    for name, (low, high) in good_ranges.items():
        value, width = measured[name], max(high - low, 1e-6)
        if value < low:
            found.append(((low - value) / width, _sentence(name, 0, value, low, high)))
        elif value > high:
            found.append(((value - high) / width, _sentence(name, 1, value, low, high)))
    return [sentence for _, sentence in sorted(found, reverse=True)]


def _sentence(name: str, side: int, value: float, low: float, high: float) -> str:
    share = name.startswith("clipped")
    shown = [f"{number:.0%}" if share else f"{number:.3g}" for number in (value, low, high)]
    return f"{_WORDS[name][side]} than most good photos ({name} {shown[0]}, theirs {shown[1]} to {shown[2]})"

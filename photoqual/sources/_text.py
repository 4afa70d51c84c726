"""From the words of a web page to numbers, dates and clean text. Pure; whatever a page says, none of it raises."""

import math
import re
from datetime import UTC, datetime
from typing import Any

LONGEST = 500
"""Characters that are kept of a title, category or group."""
_DATE_FORMATS = ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y/%m/%d", "%Y:%m:%d %H:%M:%S")
_MOST_DIGITS = 12
"""Longer whole numbers are no number of votes and no size in pixels."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
"""Marks that turn the direction of what follows them, also of what does not belong to the text."""


def number(text: Any) -> float | None:
    """Return the first number in `text`, decimal point or comma, or None."""
    match = re.search(r"-?\d+(?:[.,]\d+)?", str(text)) if text is not None else None
    value = float(match.group().replace(",", ".")) if match else math.nan
    return value if math.isfinite(value) else None


def count(text: Any) -> int | None:
    """Return the first whole number in `text`, thousands separated or not; None without one, or with one below 0."""
    if isinstance(text, int | float):
        return int(text) if 0 <= text < 10**_MOST_DIGITS else None
    match = re.search(r"(?P<minus>(?<!\S)-)?(?:\d{1,3}(?:[., \u00a0\u202f']\d{3})+(?!\d)|\d+)", str(text or ""))
    digits = re.sub(r"\D", "", match.group()) if match else ""
    return int(digits) if match and not match["minus"] and len(digits) <= _MOST_DIGITS else None


def date(text: Any) -> datetime | None:
    """Return the date in `text` (ISO 8601, EXIF or an English date), in UTC where it names no zone, or None."""
    value = str(text or "").strip()
    if not value:
        return None
    parsed = None
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        for form in _DATE_FORMATS:
            try:
                parsed = datetime.strptime(value, form)
                break
            except ValueError:
                continue
    if parsed is None:
        return None
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError:
        return None


def clean(text: Any) -> str | None:
    """Return `text` on one line, without control characters and marks of direction, cut to `LONGEST`; None for nothing."""
    line = " ".join(_DIRECTION.sub("", _CONTROL.sub(" ", writable(str(text if text is not None else "")))).split())
    return (line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…") or None


def writable(text: str) -> str:
    """Return `text` with what UTF-8 cannot write as question marks: JSON may hold half characters."""
    return text.encode("utf-8", "replace").decode()


def holds_control(text: str) -> bool:
    """Tell whether `text` holds a control character, which no address has."""
    return _CONTROL.search(text) is not None

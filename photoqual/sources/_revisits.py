"""When a known photo is looked at again, and how a page is asked for only if it changed. Pure."""

import zlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from photoqual.config.sources import Revisit

_LONGEST_VALIDATOR = 200
_LATEST, _SPREAD = 0.97, 0.27
"""Parts of the interval: before its end, so that a refresh that begins a little earlier than yesterday's finds the photo
due, and how far photos that were found together are spread."""


def due(key: str, born: datetime | None, last_checked: datetime | None, now: datetime, revisit: Revisit) -> bool:
    """Tell whether the photo `key` is to be looked at. `born`: when it was uploaded or, where that is unknown, first seen.

    What was never looked at is due; so is what was looked at in the future, by a clock that went wrong.
    """
    if last_checked is None or last_checked > now:
        return True
    age = max(timedelta(), last_checked - (born or last_checked))
    days = max(revisit.at_least_days, revisit.share_of_age * (age / timedelta(days=1)))
    spread = zlib.crc32(key.encode("utf-8", "surrogatepass")) / 2**32
    interval = timedelta(days=min(days, revisit.at_most_days)) * (_LATEST - _SPREAD * spread)
    return now - last_checked >= interval


def validator(headers: Mapping[str, bytes | None]) -> str | None:
    """Return what marks this state of an address: its ETag, else its Last-Modified; None without a usable one."""
    for name in ("ETag", "Last-Modified"):
        value = (headers.get(name) or b"").decode("latin-1").strip()
        if value and len(value) <= _LONGEST_VALIDATOR and value.isascii() and value.isprintable():
            return value
    return None


def conditions(mark: str | None) -> dict[str, str]:
    """Return the headers that ask for an address only if it is no longer as `mark`, a `validator`, says."""
    if not mark:
        return {}
    if not mark.startswith(('"', "W/")):
        try:
            parsedate_to_datetime(mark)
        except ValueError:
            return {"If-None-Match": mark}
        return {"If-Modified-Since": mark}
    return {"If-None-Match": mark}

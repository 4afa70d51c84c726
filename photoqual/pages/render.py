"""HTML pages from the templates beside this module. A page is one file: style and pictures inside, no scripts, nothing
fetched from anywhere. Every value is escaped; a value that a template misses is an error.

`base.html` has the blocks `title` and `content`; `macros.html` has tables, figures, badges and notices.
"""

import base64
import math
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from photoqual.errors import DataError

if TYPE_CHECKING:
    from jinja2 import Environment

NOTHING = "–"
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def render(template: str, **values: object) -> str:
    """Return the page of the template of that name, for instance "verdict.html", filled with `values`."""
    return _environment().get_template(template).render(**values)


def inline_png(data: bytes) -> str:
    """Return a PNG file's bytes as a data URI for `img`. Raise DataError for anything else."""
    return _inline(data, "png", _PNG)


def inline_jpeg(data: bytes) -> str:
    """Return a JPEG file's bytes as a data URI for `img`. Raise DataError for anything else."""
    return _inline(data, "jpeg", _JPEG)


def decimal(value: float | None, digits: int = 3) -> str:
    """Return `value` with so many digits after the point, whole numbers in threes; a dash for None and NaN."""
    return NOTHING if _missing(value) else _unsigned_zero(f"{value:,.{digits}f}")


def signed(value: float | None, digits: int = 3) -> str:
    """Return `value` with its sign, 0 without."""
    return NOTHING if _missing(value) else _unsigned_zero(f"{value:+,.{digits}f}")


def percent(value: float | None, digits: int = 0) -> str:
    """Return the share `value` in per cent."""
    return NOTHING if _missing(value) else _unsigned_zero(f"{value:.{digits}%}")


def compact(value: float | None) -> str:
    """Return `value` with three significant digits or three after the point, whichever is shorter: for columns of
    different units.
    """
    if value is None or math.isnan(value):
        return NOTHING
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:,.{digits}f}"
    return _unsigned_zero(text.rstrip("0").rstrip(".") if digits else text)


def when(value: str | datetime | None) -> str:
    """Return an ISO date and time as 2026-07-28 14:03, with its zone's name or offset; other text as it is."""
    if value is None or not str(value):
        return NOTHING
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return str(value)
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment:%Y-%m-%d %H:%M}{zone}"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _unsigned_zero(text: str) -> str:
    """Take the sign off what is rounded to zero, and write minus as such."""
    return text.replace("-", "−") if text.strip("+-0.,%") else text.lstrip("+-")


def _inline(data: bytes, kind: str, signature: bytes) -> str:
    if not data.startswith(signature):
        raise DataError(
            f"A picture for a page is not a {kind.upper()} file: it starts with {data[:8]!r}.",
            next_step=f"Encode it as {kind.upper()} before it is put into a page.",
        )
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("photoqual.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"compact": compact, "decimal": decimal, "signed": signed, "percent": percent, "when": when}
    return made

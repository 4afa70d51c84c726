"""Values that sources gave, as people may safely read them in a terminal, a log or a page."""

import math
from typing import Any

import numpy as np
import pandas as pd

LONGEST = 120


def printable(value: Any) -> str:
    """Return a value for people: numbers short, dates to the second, of a text what is printable, other characters
    (control, direction marks) by their number, and the middle of a long text left out.
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple | np.ndarray):
        return printable(", ".join(printable(part) for part in list(value)[:20]))
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    text = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in str(value)[: 4 * LONGEST])
    cut = len(str(value)) > 4 * LONGEST or len(text) > LONGEST
    return f"{text[: LONGEST - 1]}…" if cut else text

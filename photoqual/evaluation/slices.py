"""Parts of the frozen test set that are looked at one by one."""

import numpy as np
import pandas as pd

UNKNOWN = "unknown"


def slices(frozen: pd.DataFrame, brightness: np.ndarray) -> dict[str, np.ndarray]:
    """Return, by slicing (`source`, `category`, `upload_year`, `orientation`, `brightness`), the slice of each photo,
    (n,) of str; `unknown` where the value is missing.

    `brightness` is the mean luma of each photo, (n,). Its slices are the thirds of this frozen set: they are never
    empty for want of dark photos, and stay the same as long as the frozen set does.
    """
    return {
        "source": _named(frozen["source"]),
        "category": _named(frozen["category"]),
        "upload_year": _years(frozen["uploaded_at"]),
        "orientation": _orientation(frozen["width"], frozen["height"]),
        "brightness": _thirds(np.asarray(brightness, dtype=float), ("dark", "medium", "bright")),
    }


def _named(values: pd.Series) -> np.ndarray:
    named = values.astype(object).where(values.notna(), UNKNOWN).astype(str)
    return named.where(named != "", UNKNOWN).to_numpy(dtype=object)


def _years(values: pd.Series) -> np.ndarray:
    times = pd.to_datetime(values, utc=True)
    return np.array([UNKNOWN if pd.isna(time) else f"{time.year}" for time in times], dtype=object)


def _orientation(width: pd.Series, height: pd.Series) -> np.ndarray:
    wide = pd.to_numeric(width).to_numpy(dtype=float, na_value=np.nan)
    high = pd.to_numeric(height).to_numpy(dtype=float, na_value=np.nan)
    return np.select(
        [np.isnan(wide) | np.isnan(high), wide > high, wide < high],
        [UNKNOWN, "landscape", "portrait"],
        default="square",
    ).astype(object)


def _thirds(values: np.ndarray, names: tuple[str, str, str]) -> np.ndarray:
    """Return which third of the known `values` each lies in; equal values are never in two."""
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [1 / 3, 2 / 3]) if len(known) else (np.nan, np.nan)
    return np.select(
        [~np.isfinite(values), values < low, values > high], [UNKNOWN, names[0], names[2]], default=names[1]
    ).astype(object)

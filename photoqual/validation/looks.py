"""What good and bad photos look like: histograms of brightness and of the mean red, green and blue of each photo.

They are counted from what the refresh measured when it decoded the photo, so no photo is opened here. A difference is
no fault; it says what a model can learn by the crudest means, and a sudden one that a source has changed.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

MEASURES = ("brightness", "red", "green", "blue")
STEPS = 32


@dataclass(frozen=True)
class Looks:
    """Photos counted (of `labelled`, those that were measured) by class, and by measure and class the number of photos
    in each of 32 steps from 0 to 255.
    """

    labelled: int
    photos: dict[str, int]
    histograms: dict[str, dict[str, list[int]]]


def looks(catalog: pd.DataFrame, labels: pd.DataFrame) -> Looks | None:
    """Return how the labelled photos look; None when none of them was measured."""
    if not set(MEASURES) <= set(catalog.columns):
        return None
    good = labels["good"].to_numpy(dtype=float, na_value=math.nan)
    labelled = np.flatnonzero(~np.isnan(good))
    ids = pa.array(labels["photo_id"], from_pandas=True).take(pa.array(labelled))
    places = pc.index_in(ids, value_set=_array(catalog["photo_id"]))
    values = {name: _floats(_array(catalog[name]).take(places)) for name in MEASURES}
    measured = ~np.isnan(values["brightness"])
    if not measured.any():
        return None
    classes = {"bad": measured & (good[labelled] == 0), "good": measured & (good[labelled] == 1)}
    return Looks(
        labelled=len(labelled),
        photos={name: int(rows.sum()) for name, rows in classes.items()},
        histograms={
            measure: {name: _histogram(found[rows]) for name, rows in classes.items()}
            for measure, found in values.items()
        },
    )


def _histogram(values: np.ndarray) -> list[int]:
    counts: list[int] = np.histogram(values[~np.isnan(values)], STEPS, (0, 256))[0].tolist()
    return counts


def _array(column: pd.Series) -> Any:
    found = pa.array(column, from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _floats(values: Any) -> np.ndarray:
    found: np.ndarray = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found

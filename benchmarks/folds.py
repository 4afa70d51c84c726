"""Splits along the folds that came with a data set, in place of the split stage.

Random splits of these data sets leak themes and scenes; their own folds do not.
"""

from collections.abc import Mapping

import numpy as np

from photoqual.labels.splits import HELD_OUT, TEST, labelled_photos, write_frozen, write_splits
from photoqual.layout import Layout
from photoqual.photos.duplicates import split_units


def write_folds(layout: Layout, splits: Mapping[str, str], bits: int) -> dict[str, int]:
    """Write data/splits.parquet and data/frozen_test.parquet by `splits` (source key to name of split).

    A photo for training that is a near duplicate (at most `bits` differing bits) or group-mate of a test photo is
    held out, so that the trainer's own check passes. Return the number of photos by split.
    """
    photos = labelled_photos(layout)
    photos["split"] = photos["source_key"].astype(str).map(splits)
    if photos["split"].isna().any():
        raise ValueError(f"no fold for {photos.loc[photos['split'].isna(), 'source_key'].iloc[0]}")
    in_test = (photos["split"] == TEST).to_numpy(dtype=bool)
    units = split_units(photos, bits)
    photos.loc[np.isin(units, units[in_test]) & ~in_test, "split"] = HELD_OUT
    layout.frozen_test.unlink(missing_ok=True)
    write_frozen(layout.frozen_test, photos[in_test])
    write_splits(layout.splits, photos)
    return {str(name): int(count) for name, count in photos["split"].value_counts().items()}

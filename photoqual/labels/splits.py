"""Splits by group, and the frozen test set: kept byte for byte once made.

What must stay together (photos of one group, the same photo, near duplicates) forms a unit. Units are drawn in the
order of a seeded hash of their smallest photo id, so that equal data give equal splits. Units that touch the frozen
test set but came after it was made are `held_out`: they are neither trained on nor judged with.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.config import Params, SplitParams
from photoqual.errors import DataError, FrozenTestLeak, MissingData, TooFewPhotos
from photoqual.labels.rules import read_labels
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos.fingerprints import split_units

TRAIN, VALIDATION, TEST, HELD_OUT = "train", "validation", "test", "held_out"
_DIGESTED = ["photo_id", "group", "good", "stars"]

FROZEN_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("group", pa.string()),
        ("phash", pa.string()),
        ("good", pa.int8()),
        ("stars", pa.float64()),
        ("source", pa.string()),
        ("category", pa.string()),
        ("uploaded_at", pa.timestamp("us", tz="UTC")),
        ("width", pa.int64()),
        ("height", pa.int64()),
        ("shard", pa.string()),
        ("row", pa.int64()),
    ]
)
SPLITS_SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("split", pa.string()),
        ("group", pa.string()),
        ("phash", pa.string()),
        ("good", pa.int8()),
        ("weight", pa.float64()),
        ("shard", pa.string()),
        ("row", pa.int64()),
    ]
)


def frozen_digest(frozen: pd.DataFrame) -> str:
    """Return the SHA-256, in hex, over the content of a frozen test set, whatever the order of its rows."""
    rows = frozen[_DIGESTED].sort_values("photo_id")
    lines = (
        "\t".join("" if pd.isna(value) else str(value) for value in row)
        for row in rows.astype({"good": int}).itertuples(index=False)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_frozen(path: Path) -> pd.DataFrame:
    """Read a frozen test set and check its content against the digest it carries."""
    if not path.is_file():
        raise MissingData(
            f"{path} does not exist.", next_step="Run `photoqual split` (or `dvc repro split`), or `dvc pull` it."
        )
    table = files.read_table(path)
    missing = [name for name in FROZEN_SCHEMA.names if name not in table.schema.names]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: it was not written by this version.",
            next_step="Restore it with `dvc checkout data/frozen_test.parquet`.",
        )
    frozen = table.to_pandas()
    stated = (table.schema.metadata or {}).get(b"digest", b"").decode()
    if stated != frozen_digest(frozen):
        raise DataError(
            f"{path} does not match the digest it carries ({stated[:12] or 'none'}): it was changed after it was frozen.",
            next_step="Restore it with `dvc checkout data/frozen_test.parquet`.",
        )
    return frozen


def write_frozen(path: Path, frozen: pd.DataFrame) -> str:
    """Write a frozen test set with its digest; return the digest."""
    digest = frozen_digest(frozen)
    table = pa.Table.from_pandas(frozen.sort_values("photo_id"), schema=FROZEN_SCHEMA, preserve_index=False)
    with files.atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata({"digest": digest}), temporary, compression="zstd")
    return digest


def write_splits(path: Path, splits: pd.DataFrame) -> None:
    """Write the splits, in the order of `photo_id`."""
    table = pa.Table.from_pandas(splits.sort_values("photo_id"), schema=SPLITS_SCHEMA, preserve_index=False)
    with files.atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def draw_test(photos: pd.DataFrame, units: np.ndarray, params: SplitParams) -> np.ndarray:
    """Return a mask over `photos`: whole units, in hashed order, until the share `params.test` is reached."""
    return np.isin(units, _draw(photos, units, params.test, f"test:{params.seed}"))


def draw_next(photos: pd.DataFrame, units: np.ndarray, used: np.ndarray, salt: str, params: SplitParams) -> np.ndarray:
    """Return a mask over `photos`: the next frozen test set, from units without a `used` photo (trained on, or frozen
    before). As many as `params.test` of all photos, fewer when there are not so many; `salt` makes each set its own.
    """
    free = ~np.isin(units, units[used])
    chosen = _draw(photos[free], units[free], 1.0, f"test:{params.seed}:{salt}")
    sizes = pd.Series(units[free]).value_counts()
    before = sizes.loc[chosen].cumsum() - sizes.loc[chosen]
    taken = [unit for unit in chosen if before[unit] + sizes[unit] / 2 <= params.test * len(photos)]
    return free & np.isin(units, taken)


def assign(
    photos: pd.DataFrame, units: np.ndarray, in_test: np.ndarray, frozen: pd.DataFrame, params: SplitParams
) -> np.ndarray:
    """Return the split of each of `photos`, given who is in the frozen test set (`in_test`).

    `units` were formed over `photos` and `frozen` together, in this order.
    """
    photo_units, frozen_units = units[: len(photos)], units[len(photos) :]
    touched = np.isin(photo_units, frozen_units) | np.isin(photo_units, photo_units[in_test])
    split = np.where(in_test, TEST, np.where(touched, HELD_OUT, TRAIN)).astype(object)
    free = split == TRAIN
    share = params.validation / (params.train + params.validation) if params.train + params.validation > 0 else 0.0
    chosen = _draw(photos[free], photo_units[free], share, f"validation:{params.seed}")
    split[free & np.isin(photo_units, chosen)] = VALIDATION
    return split


def _draw(photos: pd.DataFrame, units: np.ndarray, share: float, salt: str) -> list[int]:
    """Return units in the order of a salted hash of their smallest photo id, until they hold `share` of the photos."""
    smallest = pd.Series(photos["photo_id"].to_numpy()).groupby(units).agg(["min", "size"])
    smallest["order"] = [hashlib.sha256(f"{salt}:{photo}".encode()).hexdigest() for photo in smallest["min"]]
    ordered = smallest.sort_values("order")
    before = ordered["size"].cumsum() - ordered["size"]
    return ordered.index[before + ordered["size"] / 2 <= share * len(photos)].tolist()


def assert_no_leak(trained: pd.DataFrame, frozen: pd.DataFrame, bits: int) -> None:
    """Raise FrozenTestLeak if a row of `trained` is in `frozen`, shares a group with it, or is a near duplicate of it.

    Both have the columns `photo_id`, `group` and `phash`. Asserted when splitting, and again before training.
    """
    columns = ["photo_id", "group", "phash"]
    units = split_units(pd.concat([trained[columns], frozen[columns]], ignore_index=True), bits)
    leaked = np.isin(units[: len(trained)], units[len(trained) :])
    if leaked.any():
        first = trained.iloc[int(np.flatnonzero(leaked)[0])]
        raise FrozenTestLeak(
            f"{int(leaked.sum())} photo(s) for training are in, of one group with, or near duplicates of the frozen test set; the first is {first['photo_id'][:12]} (group {first['group']}).",
            next_step="Run `photoqual split` again; if this stays, report it: the split must never allow it.",
            photo_ids=trained.loc[leaked, "photo_id"].head(20).tolist(),
        )


def labelled_photos(layout: Layout) -> pd.DataFrame:
    """Return the photos that have a label and a shard, in the order of `photo_id`, with all that a split keeps."""
    catalog = catalogs.usable(catalogs.read_catalog(layout.catalog))
    labels = read_labels(layout).dropna(subset=["good"])
    columns = [
        "photo_id",
        "source_key",
        "group",
        "phash",
        "source",
        "category",
        "uploaded_at",
        "original_width",
        "original_height",
        "shard",
        "row",
    ]
    photos = (
        labels[["photo_id", "good", "stars", "weight"]]
        .merge(catalog[columns], on="photo_id", how="inner")
        .sort_values("photo_id", ignore_index=True)
    )
    return photos.rename(columns={"original_width": "width", "original_height": "height"})


def split(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the split stage: labels + catalog → splits, and the frozen test set when there is none yet."""
    photos = labelled_photos(layout)
    made_now = not layout.frozen_test.is_file()
    if made_now:
        units = split_units(photos, params.split.near_duplicate_bits)
        in_test = draw_test(photos, units, params.split)
        require_both_classes(photos[in_test], TEST, params.split.test)
        write_frozen(layout.frozen_test, photos.loc[in_test])
    frozen = read_frozen(layout.frozen_test)
    units = split_units(pd.concat([photos, frozen], ignore_index=True), params.split.near_duplicate_bits)
    in_test = photos["photo_id"].isin(frozen["photo_id"]).to_numpy(dtype=bool)
    photos["split"] = assign(photos, units, in_test, frozen, params.split)
    for name in (TRAIN, VALIDATION):
        require_both_classes(photos[photos["split"] == name], name, getattr(params.split, name))
    assert_no_leak(photos[photos["split"].isin([TRAIN, VALIDATION])], frozen, params.split.near_duplicate_bits)
    write_splits(layout.splits, photos)
    counts = photos["split"].value_counts()
    return {
        "photos": {name: int(counts.get(name, 0)) for name in (TRAIN, VALIDATION, TEST, HELD_OUT)},
        "frozen_photos": len(frozen),
        "frozen_digest": frozen_digest(frozen),
        "frozen": "made now" if made_now else "kept",
    }


def require_both_classes(photos: pd.DataFrame, name: str, share: float) -> None:
    good, bad = int((photos["good"] == 1).sum()), int((photos["good"] == 0).sum())
    if good == 0 or bad == 0:
        raise TooFewPhotos(
            f"Split `{name}` ({share:.0%}) would hold {good} good and {bad} bad photos; it needs both.",
            next_step="Add rated photos, choose a wider label rule, or use finer groups (a split never cuts a group).",
        )

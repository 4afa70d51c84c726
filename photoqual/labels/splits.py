"""Splits by group, and the frozen test set: kept byte for byte once made.

What must stay together (photos of one group, the same photo, near duplicates) forms a unit. Units are drawn in the
order of a seeded hash of their smallest photo id, so that equal data give equal splits. Units that touch the frozen
test set but came after it was made are `held_out`: they are neither trained on nor judged with.
"""

import hashlib
import json
from collections.abc import Sequence
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
from photoqual.photos.duplicates import instants, split_units
from photoqual.photos.forgotten import Forgotten, read_forgotten

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
        ("taken_at", pa.timestamp("us", tz="UTC")),
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
        ("taken_at", pa.timestamp("us", tz="UTC")),
    ]
)
_UNITED_BY = ["photo_id", "group", "phash", "taken_at"]


def frozen_digest(frozen: pd.DataFrame) -> str:
    """Return the SHA-256, in hex, over the content of a frozen test set, whatever the order of its rows."""
    rows = frozen[_DIGESTED].sort_values("photo_id").astype({"good": int})
    texts = (
        ["" if missing else str(value) for value, missing in zip(rows[name], rows[name].isna(), strict=True)]
        for name in _DIGESTED
    )
    lines = map("\t".join, zip(*texts, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def read_frozen(path: Path) -> pd.DataFrame:
    """Read a frozen test set and check its content against the digest it carries."""
    if not path.is_file():
        raise MissingData(
            f"{path} does not exist.", next_step="Run `photoqual split` (or `dvc repro split`), or `dvc pull` it."
        )
    table = files.read_table(path)
    if "taken_at" not in table.schema.names:  # written before it held the time
        table = table.append_column(FROZEN_SCHEMA.field("taken_at"), pa.nulls(len(table), pa.timestamp("us", tz="UTC")))
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


def write_frozen(path: Path, frozen: pd.DataFrame, reduced_from: Sequence[str] = ()) -> str:
    """Write a frozen test set with its digest; return the digest. `reduced_from`: digests of the sets that it is what
    is left of.
    """
    digest = frozen_digest(frozen)
    facts = {"digest": digest, **({"reduced_from": json.dumps(list(reduced_from))} if reduced_from else {})}
    table = _table(frozen, FROZEN_SCHEMA)
    with files.atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(facts), temporary, compression="zstd")
    return digest


def reduced_from(path: Path) -> list[str]:
    """Return the digests of the sets that a frozen test set is what is left of, oldest first; [] for a whole one."""
    metadata = pq.read_schema(path).metadata or {}
    return [str(digest) for digest in json.loads(metadata.get(b"reduced_from", b"[]"))]


def forget_frozen(path: Path, forgotten: Forgotten) -> int:
    """Take forgotten photos out of a frozen test set; return how many. What is left has another digest, and names those
    it had: it is worn as much as they were.
    """
    frozen = read_frozen(path)
    going = frozen["photo_id"].isin(forgotten.photos)
    if going.any():
        write_frozen(path, frozen[~going], [*reduced_from(path), frozen_digest(frozen)])
    return int(going.sum())


def write_splits(path: Path, splits: pd.DataFrame) -> None:
    """Write the splits, in the order of `photo_id`."""
    table = _table(splits, SPLITS_SCHEMA)
    with files.atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def _table(photos: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Return `photos`, with or without the time they were taken at, in the order of `photo_id`."""
    timed = photos if "taken_at" in photos else photos.assign(taken_at=None)
    kinds = {field.name: pd.ArrowDtype(field.type) for field in schema if pa.types.is_timestamp(field.type)}
    timed = timed.astype(kinds)
    return pa.Table.from_pandas(timed.sort_values("photo_id"), schema=schema, preserve_index=False)


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
    ids = photos["photo_id"].to_numpy(dtype=object)
    order = np.argsort(ids.astype("S"), kind="stable")
    drawn, first, sizes = np.unique(units[order], return_index=True, return_counts=True)
    hashed = [hashlib.sha256(f"{salt}:{photo}".encode()).digest() for photo in ids[order[first]]]
    order = np.argsort(np.array(hashed, dtype="S32"), kind="stable")
    before = np.cumsum(sizes[order]) - sizes[order]
    return drawn[order][before + sizes[order] / 2 <= share * len(photos)].tolist()


def assert_no_leak(trained: pd.DataFrame, frozen: pd.DataFrame, bits: int) -> None:
    """Raise FrozenTestLeak if a row of `trained` is in `frozen`, shares a group with it, or is a near duplicate of it.

    Both have the columns `photo_id`, `group`, `phash` and, where it is known, `taken_at`. Asserted when splitting, and
    again before training.
    """
    units = _units(bits, trained, frozen)
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
    columns = ["photo_id", "source_key", "group", "phash", "source", "category", "uploaded_at", "taken_at"]
    columns += ["original_width", "original_height", "shard", "row"]
    catalog = catalogs.usable(catalogs.read_catalog(layout.catalog, [*columns, "status"])).drop(columns="status")
    labels = read_labels(layout, ["photo_id", "good", "stars", "weight"]).dropna(subset=["good"])
    photos = labels.merge(catalog, on="photo_id", how="inner").sort_values("photo_id", ignore_index=True)
    return photos.rename(columns={"original_width": "width", "original_height": "height"})


def other_places(layout: Layout, photos: pd.DataFrame) -> pd.DataFrame:
    """Return the places (columns `photo_id` and `group`) where the catalog knows one of `photos` again, such as another
    source: its groups there must not be split apart either.
    """
    places = catalogs.read_catalog(layout.catalog, ["photo_id", "group"]).dropna()
    again = places["photo_id"].duplicated(keep=False)
    return places[again & places["photo_id"].isin(photos["photo_id"])].reset_index(drop=True)


def _units(bits: int, *parts: pd.DataFrame) -> np.ndarray:
    """Return the unit of each row of `parts`, one part after another."""
    rows = [part.reindex(columns=_UNITED_BY) for part in parts]
    whole = {
        name: np.concatenate([row[name].to_numpy(dtype=object, na_value=None) for row in rows])
        for name in _UNITED_BY[:3]
    }
    taken = np.concatenate([instants(row["taken_at"]) for row in rows])
    return split_units(pd.DataFrame({**whole, "taken_at": taken}), bits)


def split(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the split stage: labels + catalog → splits, and the frozen test set when there is none yet."""
    photos, bits = labelled_photos(layout), params.split.near_duplicate_bits
    again = other_places(layout, photos)
    made_now = not layout.frozen_test.is_file()
    if made_now:
        units = _units(bits, photos, again)[: len(photos)]
        in_test = draw_test(photos, units, params.split)
        require_both_classes(photos[in_test], TEST, params.split.test)
        write_frozen(layout.frozen_test, photos.loc[in_test])
    gone = forget_frozen(layout.frozen_test, read_forgotten(layout.forgotten))
    frozen = read_frozen(layout.frozen_test)
    units = _units(bits, photos, frozen, again)[: len(photos) + len(frozen)]
    in_test = photos["photo_id"].isin(frozen["photo_id"]).to_numpy(dtype=bool)
    photos["split"] = assign(photos, units, in_test, frozen, params.split)
    for name in (TRAIN, VALIDATION):
        require_both_classes(photos[photos["split"] == name], name, getattr(params.split, name))
    assert_no_leak(photos[photos["split"].isin([TRAIN, VALIDATION])], frozen, bits)
    write_splits(layout.splits, photos)
    counts = photos["split"].value_counts()
    return {
        "photos": {name: int(counts.get(name, 0)) for name in (TRAIN, VALIDATION, TEST, HELD_OUT)},
        "frozen_photos": len(frozen),
        "frozen_digest": frozen_digest(frozen),
        "frozen": "made now" if made_now else f"kept without {gone} forgotten photo(s)" if gone else "kept",
    }


def require_both_classes(photos: pd.DataFrame, name: str, share: float) -> None:
    good, bad = int((photos["good"] == 1).sum()), int((photos["good"] == 0).sum())
    if good == 0 or bad == 0:
        raise TooFewPhotos(
            f"Split `{name}` ({share:.0%}) would hold {good} good and {bad} bad photos; it needs both.",
            next_step="Add rated photos, choose a wider label rule, or use finer groups (a split never cuts a group).",
        )

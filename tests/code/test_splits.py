"""Splits: whole groups, a frozen test set that stays byte for byte, and no leak, whatever arrives later."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoqual.config import Params
from photoqual.errors import DataError, FrozenTestLeak, TooFewPhotos
from photoqual.labels.rules import label
from photoqual.labels.splits import assert_no_leak, frozen_digest, read_frozen, split
from photoqual.layout import Layout
from photoqual.photos.catalog import write_catalog
from tests.conftest import NOW

Make = Callable[..., pd.DataFrame]
MakeParams = Callable[..., Params]


def rows(groups: int, each: int = 4, start: int = 0) -> list[dict[str, Any]]:
    """Groups of `each` photos, half of them good."""
    return [
        {
            "group": f"trip{group}",
            "photo_id": f"{group * 100 + index:064x}",
            "source_key": f"{group}-{index}",
            "votes_mean": 5.0 if index % 2 else 1.0,
            "phash": f"{int(np.random.default_rng(group * 100 + index).integers(0, 2**63)):016x}",
        }
        for group in range(start, start + groups)
        for index in range(each)
    ]


@pytest.fixture
def prepared(tmp_path: Path, make_catalog: Make, make_params: MakeParams) -> Callable[[list[dict[str, Any]]], Layout]:
    def prepare(catalog_rows: list[dict[str, Any]]) -> Layout:
        layout = Layout(tmp_path)
        write_catalog(layout.catalog, make_catalog(*catalog_rows))
        label(layout, make_params())
        return layout

    return prepare


def read_splits(layout: Layout) -> pd.DataFrame:
    return pq.read_table(layout.splits).to_pandas()


def test_no_group_is_cut_and_shares_are_met(prepared: Callable[..., Layout], make_params: MakeParams) -> None:
    layout = prepared(rows(50))
    summary = split(layout, make_params())
    splits = read_splits(layout)
    assert splits.groupby("group")["split"].nunique().max() == 1
    assert summary["photos"] == {"train": 128, "validation": 32, "test": 40, "held_out": 0}


def test_frozen_set_is_kept_byte_for_byte_while_data_grow(
    prepared: Callable[..., Layout], make_params: MakeParams
) -> None:
    layout = prepared(rows(20))
    first = split(layout, make_params())
    frozen = layout.frozen_test.read_bytes()
    prepared(rows(45, each=6))
    later = split(layout, make_params())
    assert layout.frozen_test.read_bytes() == frozen
    assert (first["frozen"], later["frozen"]) == ("made now", "kept")
    assert later["frozen_digest"] == first["frozen_digest"]
    splits = read_splits(layout)
    frozen_groups = set(read_frozen(layout.frozen_test)["group"])
    newcomers = splits[splits["group"].isin(frozen_groups) & (splits["split"] != "test")]
    assert len(newcomers) == 2 * len(frozen_groups)
    assert set(newcomers["split"]) == {"held_out"}


def test_near_duplicates_of_frozen_photos_are_held_out(
    prepared: Callable[..., Layout], make_params: MakeParams
) -> None:
    layout = prepared(rows(20))
    split(layout, make_params())
    twin_of = read_frozen(layout.frozen_test).iloc[0]
    twin = {
        "group": "elsewhere",
        "photo_id": "d" * 64,
        "source_key": "twin",
        "votes_mean": 5.0,
        "phash": f"{int(twin_of['phash'], 16) ^ 0b101:016x}",
    }
    prepared([*rows(20), twin])
    split(layout, make_params())
    splits = read_splits(layout).set_index("photo_id")
    assert splits.loc["d" * 64, "split"] == "held_out"


def test_same_seed_same_bytes_other_seed_other_split(prepared: Callable[..., Layout], make_params: MakeParams) -> None:
    layout = prepared(rows(30))
    made = {}
    for run, seed in (("a", 1), ("b", 1), ("c", 2)):
        layout.frozen_test.unlink(missing_ok=True)
        split(layout, make_params(**{"split.seed": seed}))
        made[run] = (layout.splits.read_bytes(), layout.frozen_test.read_bytes())
    assert made["a"] == made["b"]
    assert made["a"] != made["c"]


@pytest.mark.parametrize("leak", ["photo", "group", "near duplicate"])
def test_a_leak_is_refused(leak: str) -> None:
    frozen = pd.DataFrame({"photo_id": ["a"], "group": ["trip1"], "phash": ["00000000000000ff"]})
    trained = pd.DataFrame({"photo_id": ["b"], "group": ["trip2"], "phash": ["ff00000000000000"]})
    assert_no_leak(trained, frozen, 3)
    column, value = {
        "photo": ("photo_id", "a"),
        "group": ("group", "trip1"),
        "near duplicate": ("phash", "00000000000000f8"),
    }[leak]
    with pytest.raises(FrozenTestLeak, match="1 photo"):
        assert_no_leak(trained.assign(**{column: [value]}), frozen, 3)


def test_a_frozen_set_that_was_touched_is_refused(prepared: Callable[..., Layout], make_params: MakeParams) -> None:
    layout = prepared(rows(20))
    split(layout, make_params())
    table = pq.read_table(layout.frozen_test)
    flipped = table.set_column(table.schema.get_field_index("good"), "good", pa.array([1] * len(table), pa.int8()))
    pq.write_table(flipped, layout.frozen_test)
    with pytest.raises(DataError, match="changed after it was frozen"):
        split(layout, make_params())


def test_digest_ignores_the_order_of_rows() -> None:
    frame = pd.DataFrame({"photo_id": ["a", "b"], "group": ["g", None], "good": [1, 0], "stars": [5.0, None]})
    assert frozen_digest(frame) == frozen_digest(frame[::-1])
    assert frozen_digest(frame) != frozen_digest(frame.assign(good=[0, 1]))


def test_too_few_photos_name_the_split(prepared: Callable[..., Layout], make_params: MakeParams) -> None:
    layout = prepared(rows(1))
    with pytest.raises(TooFewPhotos, match="Split `test`"):
        split(layout, make_params())
    assert not layout.frozen_test.exists()


def test_a_motif_that_looks_alike_every_day_is_trained_on_and_a_copy_without_a_time_is_not(
    prepared: Callable[..., Layout], make_params: MakeParams
) -> None:
    layout = prepared([{**row, "taken_at": NOW} for row in rows(20)])
    split(layout, make_params())
    frozen = read_frozen(layout.frozen_test)
    alike = {
        "group": "elsewhere",
        "votes_mean": 5.0,
        "phash": str(frozen.iloc[0]["phash"]),
    }
    days = [
        {**alike, "photo_id": "d" * 64, "source_key": "later", "taken_at": NOW + timedelta(days=1), "group": "later"},
        {**alike, "photo_id": "e" * 64, "source_key": "copy", "taken_at": None, "group": "copy"},
    ]
    prepared([*({**row, "taken_at": NOW} for row in rows(20)), days[0]])
    split(layout, make_params())
    assert read_splits(layout).set_index("photo_id").loc["d" * 64, "split"] in ("train", "validation")
    prepared([*({**row, "taken_at": NOW} for row in rows(20)), *days])
    split(layout, make_params())
    splits = read_splits(layout).set_index("photo_id")["split"]
    assert (splits["e" * 64], splits["d" * 64]) == ("held_out", "held_out"), "the copy may be of either day"


def test_a_photo_that_two_sources_know_keeps_the_groups_of_both_together(
    prepared: Callable[..., Layout], make_params: MakeParams
) -> None:
    here = rows(20)
    there = [
        {**row, "source": "zoo", "group": "zoo/all", "source_key": f"zoo-{row['source_key']}"}
        for row in here
        if row["group"] in ("trip3", "trip11", "trip17")
    ]
    layout = prepared([*here, *there])
    split(layout, make_params())
    splits = read_splits(layout)
    assert splits[splits["group"].isin(["trip3", "trip11", "trip17"])]["split"].nunique() == 1
    assert splits["split"].nunique() == 3


def test_a_frozen_set_of_before_it_held_times_is_read(prepared: Callable[..., Layout], make_params: MakeParams) -> None:
    layout = prepared(rows(20))
    split(layout, make_params())
    table = pq.read_table(layout.frozen_test)
    pq.write_table(table.drop_columns(["taken_at"]), layout.frozen_test)
    assert read_frozen(layout.frozen_test)["taken_at"].isna().all()
    assert split(layout, make_params())["frozen"] == "kept"

"""Catalog and shards: equal contents are equal bytes, and what does not fit together is noticed, never guessed."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoqual.config import Params
from photoqual.errors import DataError, MissingData
from photoqual.files import write_json
from photoqual.layout import Layout
from photoqual.photos.catalog import SCHEMA, empty_catalog, read_catalog, usable, write_catalog
from photoqual.photos.parts import LIST, digest
from photoqual.photos.shards import next_shard, orphans, read_photos, write_shard
from photoqual.sources.refresh import refresh
from tests.conftest import NOW, encoded, scene

SHARD = "site/2026-11/00000.parquet"


@pytest.fixture
def stored(tmp_path: Path, make_catalog: Callable[..., pd.DataFrame]) -> tuple[Path, pd.DataFrame]:
    """A folder of photos with a shard of 150 rows (three row groups), and the catalog of it."""
    catalog = make_catalog(*({} for _ in range(150)))
    made = [
        {
            "photo_id": identity,
            "image": {"bytes": f"photo {index}".encode(), "path": f"{identity}.jpg"},
            "width": 60,
            "height": 40,
            "phash": "0" * 16,
            "source": "site",
            "source_key": f"{index:04d}",
            "fetched_at": NOW,
        }
        for index, identity in enumerate(catalog["photo_id"])
    ]
    write_shard(tmp_path / SHARD, made)
    return tmp_path, catalog


def test_photos_are_read_by_their_place(stored: tuple[Path, pd.DataFrame]) -> None:
    photos, catalog = stored
    wanted = catalog[catalog["row"].isin([149, 3, 70])]
    found = list(read_photos(photos, wanted.iloc[::-1]))
    assert found == [(f"{row:064x}", f"photo {row}".encode()) for row in (3, 70, 149)]
    assert list(read_photos(photos, catalog.iloc[:0])) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"photo_id": "f" * 64}, "the catalog says"),
        ({"row": 900}, "the catalog names row 900"),
        ({"shard": "site/2026-11/00009.parquet"}, "is missing"),
    ],
)
def test_a_catalog_that_does_not_fit_its_shards_is_noticed(
    stored: tuple[Path, pd.DataFrame], change: dict[str, object], says: str
) -> None:
    photos, catalog = stored
    with pytest.raises(MissingData, match=says) as problem:
        list(read_photos(photos, catalog.iloc[[5]].assign(**change)))
    assert "dvc" in problem.value.next_step


def test_the_next_shard_has_a_number_that_was_never_used(stored: tuple[Path, pd.DataFrame]) -> None:
    photos, catalog = stored
    (photos / "site/2026-11/notes.parquet").write_bytes(b"")
    assert next_shard(photos, "site", NOW) == "site/2026-11/00001.parquet"
    assert next_shard(photos, "other", NOW) == "other/2026-11/00000.parquet"
    assert next_shard(photos, "site", NOW.replace(month=12)) == "site/2026-12/00000.parquet"
    assert orphans(photos, catalog) == [photos / "site/2026-11/notes.parquet"]


def test_a_shard_tells_other_libraries_which_column_is_the_image(stored: tuple[Path, pd.DataFrame]) -> None:
    metadata = pq.read_schema(stored[0] / SHARD).metadata
    assert b'"image": {"_type": "Image"}' in metadata[b"huggingface"]


def test_equal_catalogs_are_equal_bytes_in_whatever_order(
    tmp_path: Path, make_catalog: Callable[..., pd.DataFrame]
) -> None:
    catalog = make_catalog({}, {"votes_histogram": [1, 2, 3]}, {"title": None, "uploaded_at": None})
    write_catalog(tmp_path / "a", catalog)
    write_catalog(tmp_path / "b", catalog.iloc[::-1])
    write_catalog(tmp_path / "c", read_catalog(tmp_path / "a"))
    assert digest(tmp_path / "a") == digest(tmp_path / "b") == digest(tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_an_empty_catalog_is_written_and_read(tmp_path: Path) -> None:
    write_catalog(tmp_path / "catalog", empty_catalog())
    found = read_catalog(tmp_path / "catalog")
    assert list(found.columns) == SCHEMA.names
    assert len(found) == len(usable(found)) == 0


def test_usable_photos_are_those_in_shards_each_once(make_catalog: Callable[..., pd.DataFrame]) -> None:
    same = {"photo_id": "a" * 64}
    catalog = make_catalog(same, {"status": "truncated"}, {"status": "source_removed"}, same, {})
    assert list(usable(catalog)["source_key"]) == ["0000", "0004"]


def other_columns() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"photo": ["a"]}), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    "data",
    [b"", b"no parquet", b"PAR1" + bytes(9) + b"PAR1", other_columns()],
    ids=["empty", "text", "torn", "other columns"],
)
def test_a_broken_catalog_is_named_and_left_alone(
    tmp_path: Path, make_params: Callable[..., Params], data: bytes
) -> None:
    layout = Layout(tmp_path)
    part = layout.catalog / f"{hashlib.sha256(data).hexdigest()}.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    write_json(layout.catalog / LIST, {"parts": [part.name]})
    layout.photos.joinpath("trips").mkdir(parents=True)
    shard = layout.photos / "trips/00000.parquet"
    shard.write_bytes(encoded(scene(1)))
    with pytest.raises(DataError, match=r"catalog") as problem:
        refresh(layout, make_params(sources={"trips": {"kind": "folders", "path": "."}}))
    assert "dvc checkout" in problem.value.next_step
    assert part.read_bytes() == data
    assert shard.exists()


def test_without_a_catalog_the_next_step_is_a_refresh(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="does not exist") as problem:
        read_catalog(tmp_path / "catalog")
    assert "photoqual refresh" in problem.value.next_step

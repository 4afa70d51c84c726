"""The history of votes: a row whenever a refresh finds other votes, none twice, whatever interrupts it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photoqual.config import Params
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import journal
from photoqual.photos.catalog import read_catalog
from photoqual.photos.history import read_history, write_history
from photoqual.sources.refresh import refresh
from tests.conftest import NOW, encoded, scene

RATED = {"rated": {"kind": "votes", "path": "rated", "csv": "votes.csv"}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    for number in (1, 2, 3):
        path = tmp_path / f"rated/{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(scene(number)))
    return Layout(tmp_path)


@pytest.fixture
def vote(layout: Layout, make_params: Callable[..., Params]) -> Callable[..., None]:
    """Return a function that refreshes with the votes given: mean and number by photo."""

    def vote(**votes: tuple[float, int]) -> None:
        lines = ["image,mean,votes", *(f"{name[1:]}.jpg,{mean},{count}" for name, (mean, count) in votes.items())]
        (layout.root / "votes.csv").write_text("\n".join(lines) + "\n")
        refresh(layout, make_params(sources=RATED, **{"photos.max_side": 64}))

    return vote


def told(layout: Layout) -> list[tuple[str, Any, Any]]:
    history = read_history(layout.votes)
    assert list(history.columns) == ["source", "source_key", "checked_at", "votes_count", "votes_mean"]
    assert history["checked_at"].notna().all()
    columns = history[["source_key", "votes_count", "votes_mean"]]
    return [tuple(row) for row in columns.astype(object).where(columns.notna(), None).itertuples(index=False)]


def test_each_change_of_votes_is_a_row(layout: Layout, vote: Callable[..., None]) -> None:
    assert told(layout) == []
    vote(_1=(4.0, 2), _2=(3.0, 5))
    vote(_1=(4.0, 2), _2=(3.0, 5))
    files = {path: path.read_bytes() for path in layout.votes.rglob("*.parquet")}
    vote(_1=(4.5, 4), _2=(3.0, 5), _3=(1.0, 1))
    vote(_1=(4.5, 5), _2=(3.0, 5), _3=(1.0, 1))
    assert told(layout) == [
        ("1.jpg", 2, 4.0),
        ("1.jpg", 4, 4.5),
        ("1.jpg", 5, 4.5),
        ("2.jpg", 5, 3.0),
        ("3.jpg", 1, 1.0),
    ]
    months = {path.parent.relative_to(layout.votes).as_posix() for path in layout.votes.rglob("*.parquet")}
    assert months == {f"rated/{read_history(layout.votes)['checked_at'].max():%Y-%m}"}
    assert sorted(path.name for path in layout.votes.rglob("*.parquet")) == [
        f"{number:05d}.parquet" for number in range(3)
    ]
    assert {path: path.read_bytes() for path in files} == files


def test_a_source_without_votes_leaves_an_empty_folder(layout: Layout, make_params: Callable[..., Params]) -> None:
    refresh(layout, make_params(sources={"rated": {"kind": "folders", "path": ".", "good": ["rated"]}}))
    assert list(layout.votes.iterdir()) == []


@pytest.mark.parametrize("at", ["history", "catalog", "the end"])
def test_a_refresh_that_is_interrupted_while_it_ends_doubles_nothing(
    layout: Layout, vote: Callable[..., None], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    vote(_1=(4.0, 2), _2=(3.0, 5))

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    steps = {
        "history": (journal.history, "write_history"),
        "catalog": (catalogs, "write_rows"),
        "the end": (journal.shutil, "rmtree"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*steps[at], killed)
        with pytest.raises(KeyboardInterrupt):
            vote(_1=(4.5, 3), _2=(3.0, 5))
    vote(_1=(4.5, 3), _2=(3.0, 5))
    vote(_1=(5.0, 4), _2=(3.0, 5))
    assert told(layout) == [("1.jpg", 2, 4.0), ("1.jpg", 3, 4.5), ("1.jpg", 4, 5.0), ("2.jpg", 5, 3.0)]
    assert sum(pq.read_metadata(path).num_rows for path in layout.votes.rglob("*.parquet")) == 4
    assert not journal.place(layout).exists()


def test_what_was_kept_counts_only_beside_the_catalog_it_builds_on(
    layout: Layout, vote: Callable[..., None], make_catalog: Callable[..., pd.DataFrame]
) -> None:
    vote(_1=(4.0, 2), _2=(3.0, 5))
    row = {"source": "rated", "source_key": "9.jpg", "shard": None, "row": None, "status": "broken"}
    rows = pa.Table.from_pandas(make_catalog(row), schema=catalogs.SCHEMA, preserve_index=False)
    then = read_catalog(layout.catalog)
    for change, kept in (("nothing", True), ("catalog", False), ("shard", False)):
        catalogs.write_catalog(layout.catalog, then)
        named = make_catalog({**row, "shard": "rated/gone.parquet"}) if change == "shard" else None
        some = rows if named is None else pa.Table.from_pandas(named, schema=catalogs.SCHEMA, preserve_index=False)
        journal.Journal(layout, NOW).add(some)
        if change == "catalog":
            catalogs.write_catalog(layout.catalog, read_catalog(layout.catalog).iloc[:1])
        assert journal.fold(layout) == kept
        assert ("9.jpg" in set(read_catalog(layout.catalog)["source_key"])) == kept
        assert not journal.place(layout).exists()


def test_history_that_is_written_again_stays_one_file(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "source": ["b", "a", "b"],
            "source_key": list("xyz"),
            "votes_count": [1, 2, None],
            "votes_mean": [1.0, 2.0, None],
        }
    )
    for at in (NOW, NOW, NOW + timedelta(seconds=1), NOW + timedelta(days=31)):
        write_history(tmp_path, rows, at)
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet"))
    assert files == [
        f"{source}/{name}.parquet"
        for source in ("a", "b")
        for name in ("2026-11/00000", "2026-11/00001", "2026-12/00000")
    ]
    assert len(read_history(tmp_path)) == 3, "equal votes at other times say nothing new"

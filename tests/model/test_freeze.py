"""The next frozen test set, drawn beside a real registry: no photo that any registered model knows."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from photoqual.config import Params
from photoqual.errors import TooFewPhotos
from photoqual.evaluation.evaluate import evaluate
from photoqual.labels.rules import label
from photoqual.labels.splits import frozen_digest, read_frozen, split
from photoqual.layout import Layout
from photoqual.photos.catalog import write_catalog
from photoqual.registry.freeze import freeze_next
from photoqual.registry.history import events, wear
from photoqual.registry.promote import promote
from photoqual.registry.register import register
from tests.model.conftest import MakeParams
from tests.model.registered import BLUE, RED, coloured_project, tiny_model, write_lock

PHOTOS, SEEN = 200, 120
"""Photos of the project; the first SEEN of them were there when the first model was trained."""


@pytest.fixture
def grown(
    tmp_path: Path, make_catalog: Callable[..., pd.DataFrame], make_params: MakeParams, monkeypatch: pytest.MonkeyPatch
) -> tuple[Layout, Params]:
    """A project whose champion was trained on the first photos; the later ones came after that."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    params = make_params(**{"evaluate.grid_photos": 1})
    layout = coloured_project(tmp_path / "project", photos=PHOTOS)
    whole = read_frozen(layout.frozen_test).sort_values("row", ignore_index=True)
    rows = [
        {
            "photo_id": photo.photo_id,
            "source_key": f"{place:03d}",
            "group": photo.group,
            "phash": "",
            "votes_mean": 5.0 if photo.good else 1.0,
            "shard": photo.shard,
            "row": photo.row,
            "original_width": 48,
            "original_height": 32,
        }
        for place, photo in enumerate(whole.itertuples())
    ]
    layout.frozen_test.unlink()
    write_catalog(layout.catalog, make_catalog(*rows[:SEEN]))
    label(layout, params)
    split(layout, params)
    write_lock(layout)
    splits = pq.read_table(layout.splits).to_pandas()
    trained = splits.loc[splits["split"].isin(["train", "validation"]), "photo_id"].tolist()
    tiny_model(layout.challenger, RED, trained_on=trained)
    evaluate(layout, params)
    register(layout, params, revision="a" * 40)
    assert promote(layout, params)["decision"] == "promoted"
    write_catalog(layout.catalog, make_catalog(*rows))
    label(layout, params)
    return layout, params


def test_the_next_set_holds_only_photos_that_no_model_knows(grown: tuple[Layout, Params]) -> None:
    layout, params = grown
    before, trained = read_frozen(layout.frozen_test), pd.read_parquet(layout.challenger / "trained_on.parquet")
    done = freeze_next(layout, params, min_photos=20)
    after = read_frozen(layout.frozen_test)
    assert len(after) == done["photos"] == 40
    assert not set(after["photo_id"]) & set(trained["photo_id"])
    assert not set(after["photo_id"]) & set(before["photo_id"])
    assert done["before"] == frozen_digest(before)
    assert done["frozen_test_digest"] == frozen_digest(after)
    assert done["split"]["frozen"] == "kept"
    splits = pq.read_table(layout.splits).to_pandas()
    assert set(splits.loc[splits["split"] == "test", "photo_id"]) == set(after["photo_id"])
    assert set(splits.loc[splits["split"] == "train", "photo_id"]) & set(before["photo_id"])
    assert 0.5 < done["champion_auc_low"] < done["champion_auc"] <= 1
    (event,) = (event for event in events(layout.root) if event["event"] == "frozen")
    assert (event["version"], event["facts"]["photos"]) == ("1", 40)

    tiny_model(layout.challenger, BLUE)
    evaluate(layout, params)
    write_lock(layout)
    register(layout, params, revision="b" * 40)
    assert promote(layout, params)["numbers"]["look"] == 1
    assert [entry["looks"] for entry in wear(layout.root)] == [1, 1]


def test_photos_of_retired_sets_do_not_come_back(grown: tuple[Layout, Params]) -> None:
    layout, params = grown
    before = set(read_frozen(layout.frozen_test)["photo_id"])
    first = freeze_next(layout, params, min_photos=10)
    second = set(read_frozen(layout.frozen_test)["photo_id"])
    again = freeze_next(layout, params, min_photos=10)
    assert again["frozen_test_digest"] == first["frozen_test_digest"]
    assert set(read_frozen(layout.frozen_test)["photo_id"]) == second
    assert [event["event"] for event in events(layout.root)].count("frozen") == 1
    tiny_model(layout.challenger, BLUE)
    evaluate(layout, params)
    write_lock(layout)
    register(layout, params, revision="b" * 40)
    promote(layout, params)
    freeze_next(layout, params, min_photos=10)
    third = set(read_frozen(layout.frozen_test)["photo_id"])
    assert not third & second
    assert not third & before


def test_a_set_that_would_be_too_small_is_not_started(grown: tuple[Layout, Params]) -> None:
    layout, params = grown
    before = layout.frozen_test.read_bytes()
    with pytest.raises(TooFewPhotos, match="40 labelled photos are free") as caught:
        freeze_next(layout, params)
    assert "Refresh first" in caught.value.next_step
    assert layout.frozen_test.read_bytes() == before
    assert [event["event"] for event in events(layout.root)] == ["promoted", "judged"]


def test_without_the_photos_the_next_promotion_judges_the_champion(grown: tuple[Layout, Params]) -> None:
    layout, params = grown
    layout.photos.rename(layout.root / "elsewhere")
    done = freeze_next(layout, params, min_photos=20)
    assert "champion_auc" not in done
    assert "next promotion" in done["champion_problem"]

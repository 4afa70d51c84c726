"""Label rules, by tables of votes and what they become."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from photoqual.config import Params
from photoqual.errors import TooFewPhotos
from photoqual.labels.rules import label, label_photos, read_labels, stars
from photoqual.layout import Layout
from photoqual.photos.catalog import write_catalog

Make = Callable[..., pd.DataFrame]
MakeParams = Callable[..., Params]

EXTREMES = [(5.0, 1), (4.5, 1), (4.49, None), (3.0, None), (2.5, None), (2.49, 0), (2.0, 0), (1.0, 0)]


@pytest.mark.parametrize(("mean", "good"), EXTREMES)
def test_extremes_takes_five_stars_against_one_and_two(
    make_catalog: Make, make_params: MakeParams, mean: float, good: int | None
) -> None:
    labels, _ = label_photos(make_catalog({"votes_mean": mean}), make_params().labels)
    assert (None if pd.isna(labels["good"][0]) else int(labels["good"][0])) == good


@pytest.mark.parametrize(
    ("mean", "low", "high", "expected"), [(4.0, 1, 7, 3.0), (7.0, 1, 7, 5.0), (0.0, 0, 10, 1.0), (3.0, 1, 5, 3.0)]
)
def test_votes_of_any_scale_become_stars(
    make_catalog: Make, mean: float, low: float, high: float, expected: float
) -> None:
    rows = make_catalog({"votes_mean": mean, "rating_min": float(low), "rating_max": float(high)})
    assert stars(rows)[0] == pytest.approx(expected)


def test_threshold_leaves_the_middle_out(make_catalog: Make, make_params: MakeParams) -> None:
    params = make_params(**{"labels.rule": "threshold", "labels.good_at_least": 4.0, "labels.bad_at_most": 2.0}).labels
    labels, left_out = label_photos(make_catalog(*({"votes_mean": mean} for mean in (4.0, 3.9, 2.1, 2.0))), params)
    assert labels["good"].fillna(-1).tolist() == [1, -1, -1, 0]
    assert left_out == {"middle_or_unrated": 2}


def test_folders_names_the_defect_and_good_wins(make_catalog: Make, make_params: MakeParams) -> None:
    rows = make_catalog(
        {"label_hint": "bad:motion_blur"},
        {"label_hint": "good", "photo_id": "f" * 64},
        {"label_hint": "bad", "photo_id": "f" * 64},
        {"label_hint": None, "photo_id": "e" * 64},
    )
    labels, _ = label_photos(rows, make_params(**{"labels.rule": "folders"}).labels)
    by_id = labels.set_index("photo_id")
    assert int(by_id.loc["f" * 64, "good"]) == 1
    assert by_id.loc[f"{0:064x}", "defects"] == ["motion_blur"]
    assert pd.isna(by_id.loc["e" * 64, "good"])


def test_what_is_left_out_is_counted_once(make_catalog: Make, make_params: MakeParams) -> None:
    rows = make_catalog(
        {"votes_mean": 5.0, "category": "indoor", "votes_count": 0},
        {"votes_mean": None, "votes_count": 0},
        {"status": "truncated", "photo_id": None, "shard": None, "row": None},
        {"votes_mean": 5.0},
    )
    labels, left_out = label_photos(rows, make_params().labels)
    assert len(labels) == 1
    assert left_out == {"quarantined": 1, "excluded_category": 1, "too_few_votes": 1}


def test_a_photo_on_two_sources_is_judged_by_all_its_votes(make_catalog: Make, make_params: MakeParams) -> None:
    shared = {"photo_id": "a" * 64}
    rows = make_catalog(
        {**shared, "votes_mean": 5.0, "votes_count": 30},
        {**shared, "source": "other", "votes_mean": 1.0, "votes_count": 10},
    )
    labels, _ = label_photos(rows, make_params().labels)
    assert labels["stars"].tolist() == [4.0]
    assert len(labels) == 1


def test_the_stage_writes_equal_bytes_for_equal_catalogs(
    tmp_path: Path, make_catalog: Make, make_params: MakeParams
) -> None:
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, make_catalog(*({"votes_mean": mean} for mean in (5.0, 1.0, 3.0))))
    assert label(layout, make_params()) == {
        "rule": "extremes",
        "good": 1,
        "bad": 1,
        "left_out": {"middle_or_unrated": 1},
    }
    first = layout.labels.read_bytes()
    label(layout, make_params())
    assert layout.labels.read_bytes() == first
    assert read_labels(layout)["good"].fillna(-1).tolist() == [1, 0, -1]


def test_a_rule_that_labels_nothing_says_which_one_would(
    tmp_path: Path, make_catalog: Make, make_params: MakeParams
) -> None:
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, make_catalog({"label_hint": "good", "votes_count": None, "votes_mean": None}))
    with pytest.raises(TooFewPhotos, match="folder sources want rule `folders`"):
        label(layout, make_params())
    assert not layout.labels.exists()

"""Label rules, by tables of votes and what they become."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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


def labelled(rows: pd.DataFrame, make_params: MakeParams, **labels: Any) -> pd.DataFrame:
    """Return the labels of `rows` under params with changes in the section `labels`."""
    return label_photos(rows, make_params(**{f"labels.{name}": value for name, value in labels.items()}).labels)[0]


def goods(labels: pd.DataFrame) -> list[int | None]:
    return [None if pd.isna(good) else int(good) for good in labels["good"]]


def voted(mean: float, low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"votes_mean": mean, "rating_min": low, "rating_max": high, **more}


@pytest.mark.parametrize(
    ("levels", "means", "scale", "classes", "good"),
    [
        (4, [0, 1, 1.5, 2, 3], (0.0, 3.0), [1, 2, 3, 3, 4], [0, 0, 1, 1, 1]),
        (5, [1, 1.49, 3.5, 4, 5], (1.0, 5.0), [1, 1, 4, 4, 5], [0, 0, 1, 1, 1]),
        (2, [1, 5.49, 5.5, 10], (1.0, 10.0), [1, 1, 2, 2], [0, 0, 1, 1]),
    ],
)
def test_ordinal_gives_classes_and_leaves_none_out(
    make_catalog: Make,
    make_params: MakeParams,
    levels: int,
    means: list[float],
    scale: tuple[float, float],
    classes: list[int],
    good: list[int],
) -> None:
    rows = make_catalog(*(voted(mean, *scale) for mean in means))
    labels = labelled(rows, make_params, rule="ordinal", ordinal_levels=levels, good_at_least=3.6)
    assert labels["ordinal"].tolist() == classes
    assert goods(labels) == good


def test_distribution_takes_the_mean_of_the_histogram_and_needs_one(
    make_catalog: Make, make_params: MakeParams
) -> None:
    ten = (1.0, 10.0)
    rows = make_catalog(
        voted(5.5, *ten, votes_histogram=[0] * 9 + [4]),
        voted(9.0, *ten, votes_histogram=[3, 1] + [0] * 8),
        voted(9.0, *ten, votes_histogram=None),
        voted(9.0, *ten, votes_histogram=[0] * 10),
        voted(9.0, *ten, votes_histogram=[5, -1] + [0] * 8),
        voted(9.0, *ten, votes_histogram=[5, None] + [0] * 8),
        voted(9.0, *ten, votes_histogram=[7]),
        voted(3.0, 1.0, 3.0, votes_histogram=[0, 1, 1]),
    )
    labels = labelled(rows, make_params, rule="distribution", good_at_least=3.5)
    assert goods(labels) == [1, 0, None, None, None, None, None, 1]
    shares = labels["vote_distribution"].tolist()
    assert shares[:2] == [[0] * 9 + [1], [0.75, 0.25] + [0] * 8]
    assert shares[7] == [0, 0.5, 0.5]
    assert [pd.isna(share) for share in shares[2:7]] == [True] * 5


def test_histograms_of_one_photo_add_up_where_they_have_as_many_grades(
    make_catalog: Make, make_params: MakeParams
) -> None:
    same, more = {"photo_id": "a" * 64}, {"votes_histogram": [0, 0, 1]}
    rows = make_catalog(
        {**same, "votes_histogram": [1, 0, 0, 0, 3]},
        {**same, **more, "source": "b"},
        {**same, "votes_histogram": [0, 0, 0, 0, 4], "source": "c"},
        {**more, "photo_id": "b" * 64},
    )
    labels = labelled(rows, make_params, rule="distribution", good_at_least=3.5)
    assert labels["vote_distribution"].tolist() == [[0.125, 0, 0, 0, 0.875], [0, 0, 1]]


def test_defects_are_many_and_win_over_good(make_catalog: Make, make_params: MakeParams) -> None:
    hints = {"a": ["bad:noise", "good", "bad:blur", "bad:noise"], "b": ["good", "good"], "c": ["bad"], "d": [None]}
    rows = make_catalog(
        *({"photo_id": photo * 64, "label_hint": hint, "votes_count": None} for photo in hints for hint in hints[photo])
    )
    labels = labelled(rows, make_params, rule="defects")
    assert goods(labels) == [0, 1, 0, None]
    assert labels["defects"].tolist() == [["blur", "noise"], [], [], []]
    by_folder = labelled(rows, make_params, rule="folders")
    assert goods(by_folder) == [1, 1, 0, None]
    assert by_folder["defects"].tolist() == [[], [], [], []]


def test_few_votes_are_drawn_towards_the_mean_of_their_source(make_catalog: Make, make_params: MakeParams) -> None:
    rows = make_catalog(
        {"votes_mean": 5.0, "votes_count": 1},
        {"votes_mean": 2.0, "votes_count": 9},
        {"votes_mean": 10.0, "votes_count": 5, "source": "ten", "rating_max": 10.0},
    )
    assert labelled(rows, make_params)["stars"].tolist() == [5.0, 2.0, 5.0]
    labels = labelled(rows, make_params, prior_votes=4)
    prior = (5 * 1 + 2 * 9) / 10
    expected = [(4 * prior + 5) / 5, (4 * prior + 2 * 9) / 13, 5.0]
    np.testing.assert_allclose(labels["stars"], expected)
    assert goods(labels) == [None, 0, 1]
    assert labels["vote_mean"].tolist() == [5.0, 2.0, 10.0]


def test_a_drawn_histogram_has_the_drawn_mean(make_catalog: Make, make_params: MakeParams) -> None:
    histograms = [[0, 0, 0, 0, 1], [3, 3, 3, 0, 0], [0, 2, 0, 0, 0]]
    rows = make_catalog(
        *(
            {
                "votes_histogram": votes,
                "votes_count": sum(votes),
                "votes_mean": float(np.dot(votes, range(1, 6)) / sum(votes)),
            }
            for votes in histograms
        )
    )
    labels = labelled(rows, make_params, rule="distribution", prior_votes=3)
    shares = np.array(labels["vote_distribution"].tolist())
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares @ np.arange(1, 6), labels["stars"])
    np.testing.assert_allclose(shares[0], (3 * np.array([3, 5, 3, 0, 1]) / 12 + histograms[0]) / 4)


def test_weights_grow_with_votes_and_fall_with_their_spread(make_catalog: Make, make_params: MakeParams) -> None:
    rows = make_catalog(
        *(
            {"votes_mean": mean, "votes_count": votes, "votes_spread": spread}
            for mean, votes, spread in [(5.0, 1, 0.0), (1.0, 4, 1.0), (5.0, 100, 1.0), (1.0, 4, 2.0), (1.0, 4, None)]
        )
    )
    weights = labelled(rows, make_params, weight="votes")["weight"].to_numpy()
    assert weights[0] < weights[1] < weights[2]
    assert weights[3] < weights[4] < weights[1]
    typical, between = (1 + 1 + 4) / 3, np.var([5, 1, 5, 1, 1])
    single = np.array([typical, (3 * 1 + typical) / 4, (99 + typical) / 100, (3 * 4 + typical) / 4, typical])
    expected = between / (between + single / np.array([1, 4, 100, 4, 4]))
    np.testing.assert_allclose(weights, expected / expected.mean())
    assert labelled(rows, make_params)["weight"].tolist() == [1.0] * 5


def test_a_histogram_tells_the_spread_that_the_source_does_not(make_catalog: Make, make_params: MakeParams) -> None:
    rows = [
        {"votes_mean": 5.0, "votes_count": 4, "votes_histogram": [2, 0, 0, 0, 2]},
        {"votes_mean": 1.0, "votes_count": 4},
    ]
    told = [{"votes_mean": 5.0, "votes_count": 4, "votes_spread": 2.0}, rows[1]]
    by_histogram, by_spread = (labelled(make_catalog(*given), make_params, weight="votes") for given in (rows, told))
    np.testing.assert_allclose(by_histogram["weight"], by_spread["weight"])


@pytest.mark.parametrize("weight", ["none", "votes"])
def test_balanced_sources_count_alike(make_catalog: Make, make_params: MakeParams, weight: str) -> None:
    rows = make_catalog(
        *({"votes_mean": 5.0, "votes_count": 1 + number, "source": "large"} for number in range(6)),
        {"votes_mean": 3.0, "source": "large"},
        *({"votes_mean": 1.0, "source": "small"} for _ in range(2)),
        {"votes_mean": 3.0, "source": "middle"},
    )
    labels = labelled(rows, make_params, balance_sources=True, weight=weight)
    counted = labels["weight"][labels["good"].notna()].to_numpy()
    assert counted[:6].sum() == pytest.approx(counted[6:].sum())
    assert counted.mean() == pytest.approx(1)
    assert np.isfinite(labels["weight"]).all()


def test_votes_of_several_sources_count_together(make_catalog: Make, make_params: MakeParams) -> None:
    same = {"photo_id": "a" * 64, "votes_count": 1}
    rows = make_catalog({**same, "votes_mean": 5.0}, {**same, "votes_mean": 4.0, "source": "b"}, {"votes_count": 1})
    labels, left_out = label_photos(rows, make_params(**{"labels.min_votes": 2, "labels.rule": "threshold"}).labels)
    assert labels["stars"].tolist() == [4.5]
    assert left_out == {"too_few_votes": 1, "middle_or_unrated": 1}


def test_addresses_without_a_photo_are_no_quarantined_photos(make_catalog: Make, make_params: MakeParams) -> None:
    rows = make_catalog({"votes_mean": 5.0}, {"status": "page:no_rating", "photo_id": None})
    assert label_photos(rows, make_params().labels)[1] == {}


@pytest.mark.parametrize("rule", ["extremes", "threshold", "ordinal", "distribution", "folders", "defects"])
def test_every_rule_is_a_pure_function_of_the_rows_and_fits_the_table(
    tmp_path: Path, make_catalog: Make, make_params: MakeParams, rule: str
) -> None:
    draw = np.random.default_rng(3)
    rows = make_catalog(
        *(
            {
                "photo_id": f"{int(draw.integers(0, 60)):064x}",
                "source": str(draw.choice(["a", "b"])),
                "votes_mean": float(draw.uniform(1, 5)),
                "votes_count": int(draw.integers(0, 9)),
                "votes_histogram": draw.integers(0, 4, 5).tolist() if draw.random() < 0.8 else None,
                "label_hint": [None, "good", "bad", "bad:dark"][int(draw.integers(0, 4))],
            }
            for _ in range(90)
        )
    )
    options = {"rule": rule, "prior_votes": 2, "weight": "votes", "balance_sources": True, "good_at_least": 3.5}
    params = make_params(**{f"labels.{name}": value for name, value in options.items()})
    layout = Layout(tmp_path)
    write_catalog(layout.catalog, rows)
    label(layout, params)
    once, shuffled = layout.labels.read_bytes(), rows.sample(frac=1, random_state=1)
    write_catalog(layout.catalog, shuffled)
    label(layout, params)
    assert layout.labels.read_bytes() == once
    labels = read_labels(layout)
    assert labels["photo_id"].is_unique
    assert labels["photo_id"].is_monotonic_increasing
    assert labels["weight"][labels["good"].notna()].mean() == pytest.approx(1)
    assert read_labels(layout, ["photo_id", "good"]).columns.tolist() == ["photo_id", "good"]


@pytest.mark.parametrize("rule", ["extremes", "distribution", "defects"])
def test_nothing_to_label_is_no_crash(make_catalog: Make, make_params: MakeParams, rule: str) -> None:
    for rows in (make_catalog(), make_catalog({"status": "truncated", "photo_id": None})):
        labels = labelled(rows, make_params, rule=rule, weight="votes", balance_sources=True, prior_votes=1)
        assert len(labels) == 0

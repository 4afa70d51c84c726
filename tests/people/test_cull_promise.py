"""The promise of a first pass: closed forms, a simulation of galleries, and when it is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photoqual.evaluation import evaluate
from photoqual.layout import Layout
from photoqual.rating.cull.evidence import truth_from, truth_of
from photoqual.rating.cull.promise import Promise, Truth, promise, top_scores
from photoqual.registry.store import MODEL_NAME, connected, ensure_model, experiment_id
from tests.model.registered import RED, tiny_folder


def truth(worth: np.ndarray, scores: np.ndarray, groups: object = None) -> Truth:
    alone = np.full(len(worth), None, dtype=object)
    return Truth(worth, alone if groups is None else np.asarray(groups, dtype=object), scores)


def ranked(count: int) -> Truth:
    """Return a frozen test set whose photo k is worth k and scores k / count."""
    return truth(np.arange(count, dtype=float), np.arange(count) / count)


@pytest.mark.parametrize(
    ("frozen", "photos", "stay", "holds"),
    [
        (380, 20, 1.0, True),  # one best photo, 19 to tell by: 19 / 20 = 95 %
        (360, 20, 1.0, False),
        (3800, 200, 1.0, True),  # all of 10 stay with 190 / 200
        (3780, 200, 1.0, False),
        (3800, 200, 0.8, True),
    ],
)
def test_with_none_lost_all_of_the_best_stay_with_k_of_k_plus_m(
    frozen: int, photos: int, stay: float, holds: bool
) -> None:
    found = promise(ranked(frozen), photos, top=0.05, stay=stay, confidence=0.95)
    assert isinstance(found, Promise) == holds
    if isinstance(found, Promise) and stay == 1.0:
        best = photos // 20
        assert found.confidence == pytest.approx(found.top / (found.top + best))
        assert (found.lost, found.best, found.stay) == (0, best, best)
    if isinstance(found, str):
        assert f"{19 * photos // 20} groups" in found


def test_what_is_promised_holds_in_simulated_galleries_and_drops_what_it_can() -> None:
    draw = np.random.default_rng(5)
    held, dropped = [], []
    for _ in range(400):
        worth = draw.normal(size=5000)
        scores = 1 / (1 + np.exp(-(worth + draw.normal(size=5000))))
        found = promise(truth(worth[:4000], scores[:4000]), 1000, top=0.05, stay=0.9, confidence=0.9)
        assert isinstance(found, Promise)
        gallery, seen = worth[4000:], scores[4000:]
        best = np.argsort(gallery)[-found.best :]
        held.append((seen[best] >= found.threshold).sum() >= found.stay)
        dropped.append((seen < found.threshold).mean())
    assert 0.9 - 3 * np.sqrt(0.09 / 400) <= np.mean(held) <= 0.97
    assert np.mean(dropped) > 0.5


def test_a_score_that_was_rounded_is_never_under_the_threshold_it_reached() -> None:
    scores = np.linspace(0.12345678, 0.99999, 400)
    found = promise(truth(np.ones(400), scores), 100, top=1.0, stay=0.9, confidence=0.95)
    assert isinstance(found, Promise)
    assert all(round(float(score), 4) >= found.threshold for score in scores if score >= found.threshold)
    assert round(float(scores[found.lost]), 4) >= found.threshold


def test_groups_count_once_with_their_lowest_score() -> None:
    worth = np.array([1.0, 5, 5, 5, 5, 1])
    scores = np.array([0.1, 0.9, 0.2, 0.7, 0.6, 0.8])
    found = top_scores(truth(worth, scores, ["g", "g", "g", None, None, "h"]), 0.5)
    assert not isinstance(found, str)
    assert found.tolist() == [0.2, 0.6, 0.7]


def test_photos_that_are_only_good_or_bad_cannot_tell_the_best_few() -> None:
    good = truth(np.repeat([0.0, 1.0], 500), np.linspace(0, 1, 1000))
    refused = promise(good, 100, top=0.05, stay=0.9, confidence=0.95)
    assert isinstance(refused, str)
    assert "50% of it share the highest" in refused
    assert isinstance(promise(good, 100, top=0.5, stay=0.9, confidence=0.95), Promise)


def rows(stars: float | None = None) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "photo_id": [f"{at:064x}" for at in range(400)],
            "good": np.arange(400) % 2,
            "group": ["g", *[None] * 399],
            "score": np.linspace(0, 1, 400),
            "label": "good",
            "stars": np.linspace(1, 5, 400) if stars is None else stars,
        }
    )


def test_stars_tell_what_a_photo_is_worth_where_all_have_them() -> None:
    assert truth_from(rows()).worth[-1] == 5
    assert set(truth_from(rows(float("nan"))).worth) == {0, 1}
    assert list(truth_from(rows()).groups[:2]) == ["g", None]


def test_the_evaluation_of_this_very_model_is_found_here_and_in_the_registry(tmp_path: Path) -> None:
    layout, folder = Layout(tmp_path), tiny_folder(tmp_path / "model", RED)
    digest = evaluate.model_digest(folder)
    assert "no evaluation" in str(truth_of("models:/photoqual-anna@champion", folder, root=tmp_path))
    assert "cannot be read" in str(truth_of("models:/photoqual/1", folder, root=tmp_path))
    evaluate._write_predictions(layout.predictions, rows(), "frozen", "another model")
    assert "no evaluation" in str(truth_of(str(folder), folder, root=tmp_path))
    evaluate._write_predictions(layout.predictions, rows(), "frozen", digest)
    assert isinstance(truth_of(str(folder), folder, root=tmp_path), Truth)
    with connected(tmp_path, create=True) as client:
        import mlflow

        with mlflow.start_run(experiment_id=experiment_id(client, tmp_path)) as run:
            mlflow.log_artifact(str(layout.predictions), "evaluation")
        ensure_model(client, MODEL_NAME, "for a test")
        client.create_model_version(MODEL_NAME, str(folder), run.info.run_id)
    layout.predictions.unlink()
    found = truth_of("models:/photoqual/1", folder, root=tmp_path)
    assert isinstance(found, Truth)
    assert len(found.scores) == 400

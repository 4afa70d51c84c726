"""The evaluate stage on a frozen test set of coloured photos, with a model whose answers are known beforehand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from photoqual.config import Params
from photoqual.errors import DataError, MissingData, ModelError
from photoqual.evaluation.evaluate import DIGEST, evaluate, read_predictions
from photoqual.evaluation.scoring import score_photos
from photoqual.labels.rules import SCHEMA as LABELS
from photoqual.labels.splits import frozen_digest, read_frozen, write_frozen
from photoqual.layout import Layout
from photoqual.models.info import ONNX
from photoqual.models.scorer import Scorer
from tests.model.registered import RED, coloured_project, tiny_folder, tiny_onnx

MakeParams = Callable[..., Params]


@pytest.fixture
def project(tmp_path: Path) -> Layout:
    layout = coloured_project(tmp_path, photos=60, per_group=2)
    tiny_folder(layout.challenger, RED)
    return layout


def test_scores_are_those_of_the_formula_in_the_order_of_the_rows(project: Layout) -> None:
    rows = read_frozen(project.frozen_test).sample(frac=1, random_state=1)
    seen: dict[str, np.ndarray] = {}
    scores = score_photos(project.photos, rows, Scorer.load(project.challenger), observe=seen.__setitem__)
    means = np.array([seen[name].astype(float).mean(axis=(0, 1)) for name in rows["photo_id"]])
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(6.5 - means @ np.array(RED))), atol=1e-5)


def test_evaluate_writes_all_that_dvc_yaml_names(project: Layout, make_params: MakeParams) -> None:
    summary = evaluate(project, make_params())
    frozen = read_frozen(project.frozen_test)
    predictions, metadata = read_predictions(project.predictions)
    found = json.loads(project.metrics.read_text())
    assert metadata[DIGEST] == summary[DIGEST] == frozen_digest(frozen)
    assert predictions["photo_id"].tolist() == frozen["photo_id"].tolist()
    assert found["auc"] == pytest.approx(roc_auc_score(predictions["good"], predictions["score"]))
    assert 0.5 < found["auc_low"] < found["auc"] < found["auc_high"] <= 1
    assert found["photos"] == 60 == sum(found[name] for name in ("true_good", "false_good", "true_bad", "false_bad"))
    assert ((predictions["label"] == "good") == (predictions["score"] >= 0.5)).all()
    assert all(isinstance(value, int | float) for value in found.values())
    roc = pd.read_csv(project.evaluation / "roc.csv")
    assert np.trapezoid(roc["true_positive_rate"], roc["false_positive_rate"]) == pytest.approx(found["auc"])
    assert np.isfinite(roc.to_numpy()).all()
    assert list(pd.read_csv(project.evaluation / "precision_recall.csv")) == ["recall", "precision", "threshold"]
    plots = sorted(path.name for path in (project.evaluation / "plots").iterdir())
    assert plots == [
        "confusion.png",
        "gallery_reduction.png",
        "grid_best.png",
        "grid_worst.png",
        "precision_recall.png",
        "rgb_histograms.png",
        "roc.png",
        "scores.png",
    ]
    assert not list(project.evaluation.glob(".*tmp*"))


def test_measures_that_cannot_be_computed_are_left_out_with_the_reason(
    project: Layout, make_params: MakeParams
) -> None:
    summary = evaluate(project, make_params())
    found, unknown = json.loads(project.metrics.read_text()), summary["not_computable"]
    assert unknown["vote_distance"] == "no photo has a vote distribution"
    assert unknown["precision_at_100"] == "there are 60 photos"
    assert not set(unknown) & set(found)
    assert {**found, "not_computable": unknown, DIGEST: summary[DIGEST]} == summary
    predictions, _ = read_predictions(project.predictions)
    assert found["keeper_groups"] == 30
    best = predictions.sort_values("score").groupby("group")["good"].last()
    assert found["keeper_accuracy"] == pytest.approx(best.mean())
    assert found["pearson"] == pytest.approx(np.corrcoef(predictions["good"], predictions["score"])[0, 1])
    assert found["gallery_reduction_low"] <= found["gallery_reduction"] <= found["gallery_reduction_high"]


def test_every_measure_is_explained(project: Layout, make_params: MakeParams, project_root: Path) -> None:
    summary = evaluate(project, make_params())
    page = (project_root / "docs/how-to/measures.md").read_text()
    names = {*json.loads(project.metrics.read_text()), *summary["not_computable"]}
    assert [name for name in names if f"`{name}`" not in page] == []


def test_pace_and_share_come_from_params(project: Layout, make_params: MakeParams) -> None:
    def measured(**changes: float) -> tuple[float, float]:
        evaluate(project, make_params(**{f"evaluate.{name}": value for name, value in changes.items()}))
        found = json.loads(project.metrics.read_text())
        return found["gallery_reduction"], found["hours_saved_per_1000"]

    reduction, hours = measured(keep_share=0.8, seconds_per_photo=3.6)
    assert hours == pytest.approx(reduction)
    assert measured(keep_share=0.8, seconds_per_photo=7.2) == pytest.approx((reduction, 2 * hours))
    assert measured(keep_share=1.0)[0] < reduction


def test_vote_distributions_come_from_the_labels(project: Layout, make_params: MakeParams) -> None:
    photos = read_frozen(project.frozen_test)["photo_id"]
    rows = pd.DataFrame(dict.fromkeys(LABELS.names), index=range(41))
    rows["photo_id"] = [*photos[:40], "f" * 64]
    rows["defects"] = [[]] * 41
    rows["vote_distribution"] = [[1.0, 0, 0, 0, 0]] * 39 + [None, [0, 0, 0, 0, 1.0]]
    pq.write_table(pa.Table.from_pandas(rows, schema=LABELS, preserve_index=False), project.labels)
    evaluate(project, make_params())
    found = json.loads(project.metrics.read_text())
    predictions, _ = read_predictions(project.predictions)
    assert found["photos_with_distribution"] == 39
    assert found["vote_distance"] == pytest.approx(4 * predictions["score"][:39].mean())
    assert (found["vote_distance_constant"], found["vote_distance_attainable"]) == (0, 0)


def test_wrong_labels_have_a_red_frame_and_right_ones_none(project: Layout, make_params: MakeParams) -> None:
    def red_pixels(bias: float) -> int:
        tiny_onnx(project.challenger, RED, bias)
        evaluate(project, make_params())
        pixels = np.asarray(Image.open(project.evaluation / "plots/grid_best.png").convert("RGB")).astype(int)
        return int((np.abs(pixels - (204, 0, 0)).sum(axis=2) < 8).sum())

    predictions = evaluate(project, make_params())
    assert predictions["auc"] < 1  # the best-rated are good; a bias so low that all are labelled bad makes them wrong
    assert red_pixels(-20) > 20_000 > 2 * red_pixels(-6.5)


def test_the_same_again_writes_the_same(project: Layout, make_params: MakeParams) -> None:
    names = ["metrics.json", "roc.csv", "precision_recall.csv", "predictions.parquet", "plots/grid_best.png"]
    evaluate(project, make_params())
    first = [(project.evaluation / name).read_bytes() for name in names]
    evaluate(project, make_params())
    assert first == [(project.evaluation / name).read_bytes() for name in names]


def test_a_model_that_gives_no_number_is_refused_and_nothing_is_written(
    project: Layout, make_params: MakeParams
) -> None:
    tiny_onnx(project.challenger, (float("nan"), 0, 0), 0)
    with pytest.raises(DataError, match="gives no number for 60 of 60"):
        evaluate(project, make_params())
    assert not project.evaluation.exists()


def test_one_class_only_is_refused(project: Layout, make_params: MakeParams) -> None:
    frozen = read_frozen(project.frozen_test)
    write_frozen(project.frozen_test, frozen[frozen["good"] == 1])
    with pytest.raises(DataError, match="one class only"):
        evaluate(project, make_params())


def test_what_is_missing_is_named(project: Layout, make_params: MakeParams) -> None:
    (project.challenger / ONNX).unlink()
    with pytest.raises(ModelError, match=r"model\.onnx does not exist"):
        evaluate(project, make_params())
    tiny_onnx(project.challenger, RED, -6.5)
    shutil.rmtree(project.photos)
    with pytest.raises(MissingData, match="dvc pull"):
        evaluate(project, make_params())
    project.frozen_test.unlink()
    with pytest.raises(MissingData, match="photoqual split"):
        evaluate(project, make_params())
    with pytest.raises(MissingData, match="photoqual evaluate"):
        read_predictions(project.predictions)

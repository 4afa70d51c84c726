"""Models of known weights on frozen photos and on changed versions of them: what they do is what the numbers say."""

import io
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from PIL import Image

from photoqual.config import GuardrailParams, PhotosParams
from photoqual.defects import filters
from photoqual.errors import MissingData
from photoqual.evaluation import behaviour, checks
from photoqual.evaluation.behaviour import Observation, observe
from photoqual.evaluation.guardrails import Guardrail, judge
from photoqual.evaluation.scoring import score_photos
from photoqual.evaluation.slices import slices
from photoqual.labels.splits import read_frozen
from photoqual.layout import Layout
from photoqual.models.gate import fit_gate
from photoqual.models.info import ONNX, read_info, write_info
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import model_input, working_copy
from photoqual.photos.measures import measure
from photoqual.photos.shards import read_photos, write_shard
from tests.conftest import NOW, encoded, scene
from tests.model.registered import GREEN, RED, coloured_project, side_folder, tiny_folder

PARAMS = GuardrailParams(check_photos=10)
DARK = (-0.05, -0.05, -0.05)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return coloured_project(tmp_path_factory.mktemp("coloured"), photos=60)


@pytest.fixture
def frozen(layout: Layout) -> pd.DataFrame:
    return read_frozen(layout.frozen_test)


def seen(layout: Layout, frozen: pd.DataFrame, *scorers: Scorer, params: GuardrailParams = PARAMS) -> Observation:
    return observe(layout.photos, frozen, scorers, params)


def judged(layout: Layout, frozen: pd.DataFrame, scorer: Scorer) -> dict[str, Guardrail]:
    found = seen(layout, frozen, scorer)
    model = found.models[0]
    rails = judge(
        frozen["good"].to_numpy(),
        frozen["group"].to_numpy(dtype=object),
        model.scores,
        None,
        model.behaviour,
        None,
        slices(frozen, found.brightness),
        PARAMS,
        0.95,
    )
    return {rail.name: rail for rail in rails}


def of_width(folder: Path, width: int) -> Scorer:
    """Return the model in `folder` with another width of its input."""
    write_info(folder, read_info(folder).model_copy(update={"image_width": width}))
    return Scorer.load(folder)


def structured(root: Path) -> tuple[Path, pd.DataFrame]:
    """Write a shard of four good photos with structure, larger than a model's input; return its folder and the rows."""
    copies = [working_copy(encoded(scene(seed, (320, 240)), "PNG"), PhotosParams()) for seed in range(4)]
    shard = "made/2026-11/00000.parquet"
    stored = [
        {
            "photo_id": f"{index:064x}",
            "phash": "",
            "width": copy.width,
            "height": copy.height,
            "image": {"bytes": copy.jpeg, "path": None},
            "source": "made",
            "source_key": str(index),
            "fetched_at": NOW,
        }
        for index, copy in enumerate(copies)
    ]
    write_shard(root / shard, stored)
    rows = [{"photo_id": row["photo_id"], "good": 1, "shard": shard, "row": index} for index, row in enumerate(stored)]
    return root, pd.DataFrame(rows)


def test_scores_are_those_of_a_run_alone_whatever_the_widths(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path
) -> None:
    scorers = [Scorer.load(tiny_folder(tmp_path / "a", RED)), of_width(tiny_folder(tmp_path / "b", GREEN), 96)]
    for scorer, model in zip(scorers, seen(layout, frozen, *scorers).models, strict=True):
        assert np.array_equal(model.scores, score_photos(layout.photos, frozen, scorer))
        assert model.problem is None
        distance = np.abs(model.scores - scorer.info.threshold)
        assert np.array_equal(model.behaviour.sure, distance >= 0.25)
        assert model.behaviour.model_bytes == (scorer.folder / ONNX).stat().st_size
        assert model.behaviour.photos_per_second > 1


def test_photos_that_the_gate_does_not_know_are_never_sure(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviour, "_MEGABYTES", 0.02)  # several flushes
    folder = side_folder(tmp_path)
    open_to_all = seen(layout, frozen, Scorer.load(folder)).models[0]
    assert open_to_all.behaviour.sure.all(), "48 px of 1,000 lie far from the threshold"
    jpegs = dict(read_photos(layout.photos, frozen))
    photos = [np.asarray(Image.open(io.BytesIO(jpegs[name])).convert("RGB")) for name in frozen["photo_id"]]
    colours = Scorer.load(folder).answers_of(photos, ("features",))["features"]
    alike = colours.mean(axis=0) + 0.4 * (colours - colours.mean(axis=0))
    fit_gate(alike[:40], alike[40:]).save(folder)
    scorer = Scorer.load(folder)
    assert scorer.gate is not None
    unfamiliar = scorer.gate.unfamiliar(colours)
    assert 0 < unfamiliar.sum() < len(unfamiliar)
    gated = seen(layout, frozen, scorer).models[0]
    assert np.array_equal(gated.behaviour.sure, ~unfamiliar)
    assert np.array_equal(gated.scores, open_to_all.scores)
    assert gated.problem is None


def test_little_memory_gives_the_same_numbers(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = Scorer.load(tiny_folder(tmp_path, RED))
    ample = seen(layout, frozen, scorer).models[0]
    monkeypatch.setattr(behaviour, "_MEGABYTES", 0.02)
    scarce = seen(layout, frozen, scorer).models[0]
    assert np.array_equal(ample.scores, scarce.scores)
    for name, changes in ample.behaviour.changes.items():
        assert np.allclose(changes, scarce.behaviour.changes[name], atol=1e-6)


def test_checks_are_made_on_good_photos_only_and_on_no_more_than_asked(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path
) -> None:
    scorer = Scorer.load(tiny_folder(tmp_path, RED))
    found = seen(layout, frozen, scorer)
    good = set(frozen.loc[frozen["good"] == 1, "photo_id"])
    assert len(found.checked) == 10
    assert set(found.checked) < good
    assert set(found.models[0].behaviour.changes) == set(checks.DAMAGES) | set(checks.HARMLESS)
    assert {len(changes) for changes in found.models[0].behaviour.changes.values()} == {10}
    assert set(seen(layout, frozen, scorer, params=GuardrailParams()).checked) == good
    assert seen(layout, frozen.sample(frac=1, random_state=1), scorer).checked != ()
    assert set(seen(layout, frozen.sample(frac=1, random_state=1), scorer).checked) == set(found.checked)


def test_a_change_is_made_on_the_working_copy_before_it_is_scaled(tmp_path: Path) -> None:
    photos, rows = structured(tmp_path / "photos")
    scorer = Scorer.load(tiny_folder(tmp_path / "model", (0.02, 0.02, 0.02), -6))
    found = observe(photos, rows, [scorer], GuardrailParams())
    for photo_id, jpeg in read_photos(photos, rows):
        place = found.checked.index(photo_id)
        copy = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        assert copy.shape == (240, 320, 3)
        assert found.brightness[place] == pytest.approx(measure(copy)["brightness"], abs=0.6)
        inputs = [model_input(Image.fromarray(pixels), 48) for pixels in (copy, filters.expose(copy, checks.STOPS))]
        before, after = scorer.score(inputs)
        assert found.models[0].behaviour.changes["darkened"][place] == pytest.approx(after - before, abs=1e-6)


def test_a_model_of_mean_colour_does_what_its_weights_say(layout: Layout, frozen: pd.DataFrame, tmp_path: Path) -> None:
    changes = seen(layout, frozen, Scorer.load(tiny_folder(tmp_path, RED))).models[0].behaviour.changes
    assert (changes["darkened"] < -0.3).all()
    assert (changes["black"] < changes["darkened"]).all()
    assert np.abs(changes["flipped"]).max() < 1e-5
    assert np.abs(changes["cropped"]).max() < 0.02


def test_a_model_that_rewards_darkness_is_caught(layout: Layout, frozen: pd.DataFrame, tmp_path: Path) -> None:
    sane = judged(layout, frozen, Scorer.load(tiny_folder(tmp_path / "sane", RED)))
    odd = judged(layout, frozen, Scorer.load(tiny_folder(tmp_path / "odd", DARK, 18)))
    for name in ("damage darkened", "damage black"):
        assert (sane[name].outcome, sane[name].value) == ("holds", 0)
        assert (odd[name].outcome, odd[name].value) == ("broken", 1)


def test_a_model_that_depends_on_the_side_is_caught(tmp_path: Path) -> None:
    photos, rows = structured(tmp_path / "photos")
    folder = tiny_folder(tmp_path / "model", RED)
    nodes = [
        helper.make_node("Constant", [], ["from"], value_ints=[0]),
        helper.make_node("Constant", [], ["to"], value_ints=[8]),
        helper.make_node("Constant", [], ["axis"], value_ints=[2]),
        helper.make_node("Slice", ["pixels", "from", "to", "axis"], ["left"]),
        helper.make_node("ReduceMean", ["left"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Constant", [], ["scale"], value_float=0.02),
        helper.make_node("Mul", ["mean", "scale"], ["score"]),
    ]
    save_graph(folder, nodes, "h")
    found = observe(photos, rows, [Scorer.load(folder)], GuardrailParams())
    assert np.abs(found.models[0].behaviour.changes["flipped"]).max() > 0.4


def save_graph(folder: Path, nodes: list[onnx.NodeProto], height: str | int) -> None:
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", height, "w", 3])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "odd", [pixels], [score])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), folder / ONNX)


def test_a_model_without_numbers_leaves_the_other_its_evidence(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path
) -> None:
    broken = Scorer.load(tiny_folder(tmp_path / "nan", (float("nan"), 0.0, 0.0)))
    sane = Scorer.load(tiny_folder(tmp_path / "sane", RED))
    first, second = seen(layout, frozen, broken, sane).models
    assert first.problem is not None
    assert "gives no number for 60 of 60 photos" in first.problem
    assert not first.behaviour.sure.any()
    assert second.problem is None
    assert np.array_equal(second.scores, seen(layout, frozen, sane).models[0].scores)


def test_a_model_that_cannot_be_run_is_a_problem_of_its_own(
    layout: Layout, frozen: pd.DataFrame, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "odd", RED)
    save_graph(folder, [helper.make_node("ReduceMean", ["pixels"], ["score"], axes=[1, 2, 3], keepdims=1)], 7)
    odd, sane = seen(layout, frozen, Scorer.load(folder), Scorer.load(tiny_folder(tmp_path / "sane", RED))).models
    assert odd.problem is not None
    assert "cannot be run" in odd.problem
    assert np.isnan(odd.scores).all()
    assert np.isnan(odd.behaviour.photos_per_second)
    assert sane.problem is None
    assert np.isfinite(sane.scores).all()


def test_a_larger_input_is_slower(layout: Layout, frozen: pd.DataFrame, tmp_path: Path) -> None:
    scorers = [of_width(tiny_folder(tmp_path / name, RED), width) for name, width in (("a", 48), ("b", 384))]
    small, large = (model.behaviour.photos_per_second for model in seen(layout, frozen, *scorers).models)
    assert small > 3 * large


def test_a_photo_that_is_in_no_shard_is_an_error(layout: Layout, frozen: pd.DataFrame, tmp_path: Path) -> None:
    scorer = Scorer.load(tiny_folder(tmp_path, RED))
    frozen.loc[3, "shard"] = None
    with pytest.raises(MissingData, match="1 of 60 photos are not in any shard") as caught:
        seen(layout, frozen, scorer)
    assert "dvc checkout" in caught.value.next_step

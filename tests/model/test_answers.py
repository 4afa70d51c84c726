"""From a network with several heads to an answer: calibration as Keras layers, files that agree, outputs by name, the
gate's word, and folders of an earlier version.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from photoqual.config import ModelParams
from photoqual.errors import ModelError
from photoqual.models.agreement import disagreement
from photoqual.models.answer import answers
from photoqual.models.gate import GATE, fit_gate
from photoqual.models.heads import Answers
from photoqual.models.info import AGREEMENT, INFO, KERAS, ModelInfo, write_info
from photoqual.models.keras_files import load_keras, quiet_keras, save_keras_and_onnx
from photoqual.models.network import build, rating_model
from photoqual.models.scorer import Scorer
from photoqual.rating.rater import rate_pixels
from photoqual.rating.reasons import UNFAMILIAR
from photoqual.training.calibrate import KINDS, SIGMOID, Curve, fit
from tests.model.registered import RED, tiny_folder

DEFECTS = ("motion_blur", "noise")


def curve_of(kind: str, photos: int = 600) -> Curve:
    draw = np.random.default_rng(3)
    good = (draw.random(photos) < 0.5).astype(int)
    return fit(kind, good, (draw.normal(size=photos) + 2 * good - 1) * 4)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Bright and dark photos of two shapes, by turns."""
    draw = np.random.default_rng(1)
    shapes = [(48, 64, 3), (64, 48, 3)]
    return [draw.integers(110 * (i % 2), 130 + 120 * (i % 2), shapes[i % 3 % 2], dtype=np.uint8) for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: list[np.ndarray]) -> Path:
    """A model with heads for quality, votes and defects on the pixels of a thumbnail, with a gate. Bright photos are
    good, dark ones blurred.
    """
    folder = tmp_path_factory.mktemp("model")
    params = ModelParams(kind="logistic", head="several", heads=["binary", "distribution", "defects"])
    network = build(params, Answers(defects=DEFECTS), 7)
    size = network.body.model.output_shape[-1]
    network.top.get_layer("binary").set_weights([np.full((size, 1), 8 / size), np.zeros(1)])
    network.top.get_layer("defects").set_weights([np.full((size, 2), 8 / size) * [-1, 0], np.array([0.0, -2.0])])
    model, outputs = rating_model(network, Curve("platt", 1.5, 0.25).layers)
    save_keras_and_onnx(model, folder)
    info = ModelInfo(
        kind="logistic",
        head="several",
        image_width=64,
        threshold=0.5,
        sure_margin=0.0,
        parameters=1,
        train_photos=1,
        validation_photos=1,
        best_epoch=1,
        validation_auc=0.5,
        seed=7,
        good_ranges={"brightness": (100.0, 250.0)},
        outputs=outputs,
        defects=DEFECTS,
    )
    write_info(folder, info)
    features = Scorer.load(folder).answers_of(photos, ["features"])["features"]
    fit_gate(features[:20], features[20:]).save(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_layers_do_what_apply_does_in_keras_safe_mode_and_in_onnx(tmp_path: Path, kind: str) -> None:
    import onnxruntime

    keras = quiet_keras()
    curve = curve_of(kind)
    assert bool(curve.knots) == (kind == "isotonic")
    pixels = keras.Input((None, None, 3))
    evidence = keras.layers.GlobalAveragePooling2D()(pixels)[:, :1]
    save_keras_and_onnx(keras.Model(pixels, curve.layers(evidence)), tmp_path)
    places = np.concatenate([np.linspace(-25, 25, 400), [place for place, _ in curve.knots]])
    values = np.tile(places.astype(np.float32)[:, None, None, None], (1, 2, 2, 3))
    expected = curve.apply(places.astype(np.float32).astype(float))
    model = load_keras(tmp_path / KERAS)
    assert model.get_layer(SIGMOID).get_weights()[0] == pytest.approx(curve.slope)
    np.testing.assert_allclose(np.asarray(model(values)).ravel(), expected, atol=1e-5)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    given = session.run(None, {session.get_inputs()[0].name: values})[0].ravel()
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert (np.diff(given[np.argsort(places)]) >= 0).all()


def test_outputs_by_name_are_those_of_keras_in_the_order_of_the_photos(folder: Path, photos: list[np.ndarray]) -> None:
    scorer = Scorer.load(folder)
    assert scorer.info.outputs == ("score", "distribution", "defects", "features")
    found = scorer.answers_of(photos)
    assert {name: values.shape for name, values in found.items()} == {
        "score": (40, 1),
        "distribution": (40, 5),
        "defects": (40, 2),
        "features": (40, 32 * 48 * 3),
    }
    np.testing.assert_array_equal(scorer.score(photos), found["score"].ravel())
    model = load_keras(folder / KERAS)
    for index in (0, 1, 5):
        given = model(photos[index][None].astype(np.float32))
        for name, output in zip(scorer.info.outputs, given, strict=True):
            np.testing.assert_allclose(found[name][index], np.asarray(output).ravel(), atol=1e-4)
    assert disagreement(folder, photos[:6]) <= AGREEMENT
    assert scorer.score([]).shape == (0,)


def test_disagreement_sees_every_output(folder: Path, photos: list[np.ndarray], tmp_path: Path) -> None:
    network = build(ModelParams(kind="logistic", head="several", heads=["binary", "defects"]), Answers(DEFECTS), 7)
    model, outputs = rating_model(network, Curve("platt").layers)
    save_keras_and_onnx(model, tmp_path)
    info = Scorer.load(folder).info.model_copy(update={"outputs": outputs})
    write_info(tmp_path, info)
    assert disagreement(tmp_path, photos[:2]) <= AGREEMENT
    network.top.get_layer("defects").set_weights([np.zeros((4608, 2)), np.array([0.0, 0.4])])
    model.save(tmp_path / KERAS)
    assert disagreement(tmp_path, photos[:2]) == pytest.approx(1 / (1 + np.exp(-0.4)) - 0.5, abs=1e-3)


def test_defects_come_first_among_the_reasons_and_unfamiliar_photos_are_never_sure(
    folder: Path, photos: list[np.ndarray]
) -> None:
    halves = np.zeros((48, 64, 3), np.uint8)
    halves[:24] = 255
    names = ["dark", "bright", "odd"]
    dark, bright, odd = rate_pixels(Scorer.load(folder), [photos[20], photos[21], halves], names, "m")
    assert (dark.familiar, dark.sure, bright.familiar, bright.sure) == (True, True, True, True)
    assert set(dark.defects) == set(bright.defects) == set(DEFECTS)
    assert dark.defects["motion_blur"] > 0.5 > bright.defects["motion_blur"]
    assert dark.reasons[0] == f"motion blur: {dark.defects['motion_blur']:.2f}"
    assert dark.reasons[1].startswith("darker than most good photos")
    assert bright.reasons == []
    assert (odd.familiar, odd.sure) == (False, False)
    assert odd.reasons[0] == UNFAMILIAR


def test_without_a_gate_features_are_not_asked_for_and_nothing_is_unfamiliar(
    folder: Path, photos: list[np.ndarray], tmp_path: Path
) -> None:
    for name in (INFO, "model.onnx"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    scorer = Scorer.load(tmp_path)
    assert set(scorer.answers_of(photos[:1])) == {"score", "distribution", "defects"}
    assert [said.familiar for said in answers(scorer, photos[:2])] == [None, None]
    assert [said.score for said in answers(scorer, photos[:2])] == scorer.score(photos[:2]).tolist()


def test_a_folder_of_the_first_version_still_rates(tmp_path: Path, photos: list[np.ndarray]) -> None:
    tiny_folder(tmp_path, RED)
    values = json.loads((tmp_path / INFO).read_text())
    for name in ("outputs", "defects", "backbone", "calibration"):
        del values[name]
    (tmp_path / INFO).write_text(json.dumps(values))
    rating = rate_pixels(Scorer.load(tmp_path), photos[:1], ["a"], "m")[0]
    assert rating.score == pytest.approx(1 / (1 + np.exp(6.5 - 0.05 * photos[0][..., 0].mean())), abs=1e-3)
    assert (rating.familiar, rating.defects) == (None, {})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda values: values.update(outputs=["score"]), "another signature"),
        (lambda values: values.update(outputs=["score", "defects", "distribution", "features"]), "another signature"),
        (lambda values: values.update(outputs=["defects", "distribution", "score", "features"]), "another signature"),
        (lambda values: values.update(defects=["motion_blur"]), "another signature"),
        (lambda values: values.update(outputs=["score", "distribution", "defects", "more"]), "is for 4608 features"),
    ],
)
def test_a_model_that_does_not_give_what_it_names_is_refused(
    folder: Path, tmp_path: Path, spoil: Callable[[dict[str, object]], None], said: str
) -> None:
    for name in (INFO, "model.onnx", GATE):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    values = json.loads((tmp_path / INFO).read_text())
    spoil(values)
    (tmp_path / INFO).write_text(json.dumps(values))
    with pytest.raises(ModelError, match=said):
        Scorer.load(tmp_path)


def test_the_served_model_answers_alike(folder: Path, photos: list[np.ndarray]) -> None:
    from types import SimpleNamespace

    from photoqual.registry.served_model import OUTPUTS, PhotoRater
    from tests.conftest import encoded, scene

    rater = PhotoRater()
    rater.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    jpeg = encoded(scene(3, (64, 48)), "PNG")
    table = rater.predict(None, pd.DataFrame({"photo": [jpeg, b"no photo"]}))
    assert tuple(table.columns) == OUTPUTS
    records = json.loads(json.dumps(table.to_dict(orient="records"), allow_nan=False))
    assert set(json.loads(records[0]["defects"])) == set(DEFECTS)
    assert records[0]["familiar"] in (True, False)
    assert (records[1]["score"], records[1]["skipped"], records[1]["defects"]) == (None, "not_an_image", "{}")

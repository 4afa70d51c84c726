"""Backbones: right weights and scaling, features of any picture size, blocks that freeze, files that agree."""

import random
import re
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from photoqual.config import BackboneParams
from photoqual.errors import ConfigError, ModelError
from photoqual.models.backbones import applications, efficientnet_lite, keras_weights
from photoqual.models.backbones.build import block_count, build
from photoqual.models.backbones.parts import Parts
from photoqual.models.backbones.torch_weights import read_state_dict
from photoqual.models.keras_files import load_keras, quiet_keras, save_keras_and_onnx
from tests.torch_files import state_dict_file

LITE = tuple(efficientnet_lite.VARIANTS)
NAMES = (*LITE, *applications.APPLICATIONS)
SIZES = ((64, 96), (48, 32), (1, 200))
LEVEL_FEATURES = {
    "efficientnet_lite0": 20544,
    "efficientnet_lite2": 27936,
    "vgg16": 3968,
    "resnet50": 30336,
    "inception_v3": 20224,
    "efficientnet_b0": 20544,
    "xception": 20144,
}


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (2, height, width, 3)).astype(np.float32)


def params(name: str, **options: Any) -> BackboneParams:
    return BackboneParams(**{"name": name, "weights": "none", "pooling": "last", **options})


@cache
def parts_of(name: str) -> Parts:
    """One network for all tests that only look at what is trainable."""
    return (efficientnet_lite if name in LITE else applications).parts(name)


def assert_close(features: Any, expected: Any) -> None:
    """Within 1e-4 of the largest feature: the random weights of some networks give very small ones."""
    features, expected = np.asarray(features), np.asarray(expected)
    assert features.shape == expected.shape
    assert np.abs(features - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", LITE)
def test_lite_knows_a_cat_and_a_cup_of_coffee(name: str) -> None:
    network = efficientnet_lite.parts(name, include_top=True).network
    efficientnet_lite.load_weights(network, efficientnet_lite.package_file(name))
    egyptian_cat, espresso = 285, 967
    for photo, expected in ((data.chelsea(), egyptian_cat), (data.coffee(), espresso)):
        small = np.asarray(Image.fromarray(photo).resize((240, 240), Image.Resampling.BICUBIC), dtype=np.float32)
        assert int(np.argmax(network(small[None], training=False))) == expected


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("efficientnet_lite0", "levels"),
        ("efficientnet_lite2", "last"),
        ("vgg16", "levels"),
        ("resnet50", "last"),
        ("inception_v3", "last"),
        ("efficientnet_b0", "levels"),
        ("xception", "last"),
    ],
)
def test_saved_and_exported_they_give_the_same_features_at_any_size(tmp_path: Path, name: str, pooling: str) -> None:
    import onnxruntime

    body = build(params(name, pooling=pooling), seed=1)
    assert body.name == name
    expected = [np.asarray(body(pixels(*size))) for size in SIZES]
    save_keras_and_onnx(body, tmp_path)
    loaded = load_keras(tmp_path / "model.keras")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for size, features in zip(SIZES, expected, strict=True):
        assert np.isfinite(features).all()
        assert np.ptp(features, axis=0).max() > 0
        assert_close(loaded(pixels(*size)), features)
        assert_close(session.run(None, {session.get_inputs()[0].name: pixels(*size)})[0], features)


def test_the_largest_is_built_and_gives_features() -> None:
    parts = parts_of("efficientnet_b7")
    body = quiet_keras().Model(parts.network.inputs[0], parts.averages())
    assert body.count_params() == 64_097_687 - 7  # keras.applications without the statistics of its own scaling
    for size in SIZES[1:]:
        features = np.asarray(body(pixels(*size)))
        assert features.shape == (2, 2560)
        assert np.isfinite(features).all()


@pytest.mark.parametrize("name", LEVEL_FEATURES)
def test_levels_are_the_statistics_of_the_activations(name: str) -> None:
    keras = quiet_keras()
    parts = parts_of(name)
    body = keras.Model(parts.network.inputs[0], parts.statistics())
    assert body.output_shape == (None, LEVEL_FEATURES[name])
    levels = keras.Model(parts.network.inputs[0], [parts.network.get_layer(level).output for level in parts.levels])
    seen = pixels(96, 64)
    activations = [np.asarray(level, dtype=np.float64) for level in levels(seen)]
    sides = [level.shape[1] for level in activations]
    assert sides == sorted(sides, reverse=True)
    expected = [
        statistic
        for level in activations
        for statistic in (
            level.mean(axis=(1, 2)),
            np.sqrt(np.maximum((level**2).mean(axis=(1, 2)) - level.mean(axis=(1, 2)) ** 2, 0) + 1e-6),
        )
    ]
    assert_close(body(seen), np.concatenate(expected, axis=-1))


def scaled_by_keras(name: str, seen: np.ndarray) -> np.ndarray:
    module = {"vgg16": "vgg16", "resnet50": "resnet50", "inception_v3": "inception_v3", "xception": "xception"}[name]
    return getattr(quiet_keras().applications, module).preprocess_input(seen.copy())


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "inception_v3", "xception"])
def test_pixels_are_scaled_as_the_weights_expect(name: str) -> None:
    keras = quiet_keras()
    ours = parts_of(name).network
    theirs = getattr(keras.applications, applications.APPLICATIONS[name].keras_name)(include_top=False, weights=None)
    theirs.set_weights(ours.get_weights())
    seen = pixels(107, 91)
    assert_close(ours(seen), theirs(scaled_by_keras(name, seen)))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as Keras publishes it for EfficientNetB0, with random weights: deviations where it says variance."""
    keras = quiet_keras()
    keras.utils.set_random_seed(3)
    network = keras.applications.EfficientNetB0(include_top=False, weights=None)
    [scaling] = [layer for layer in network.layers if isinstance(layer, keras.layers.Normalization)]
    scaling.set_weights([np.array(applications.MEAN_RGB), np.array(applications.DEVIATION_RGB), np.array(0)])
    path = tmp_path_factory.mktemp("published") / "efficientnetb0_notop.weights.h5"
    network.save_weights(path)
    return path


@pytest.fixture
def downloads(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Keras downloads is this file."""
    quiet_keras()
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(published))


@pytest.mark.usefixtures("downloads")
def test_imagenet_weights_give_what_keras_gives(published: Path) -> None:
    theirs = quiet_keras().applications.EfficientNetB0(include_top=False, weights="imagenet", pooling="avg")
    seen = pixels(64, 64)
    for weights in ("imagenet", str(published)):
        assert_close(build(params("efficientnet_b0", weights=weights), seed=1)(seen), theirs(seen))


def test_without_a_network_imagenet_weights_ask_for_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quiet_keras()
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    with pytest.raises(ModelError, match=r"vgg16 could not be downloaded.*name a weights file"):
        build(params("vgg16", weights="imagenet"), seed=1)


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras"])
def test_files_of_keras_are_loaded(tmp_path: Path, published: Path, suffix: str) -> None:
    network = quiet_keras().applications.EfficientNetB0(include_top=False, weights=None)
    network.load_weights(published)
    path = tmp_path / f"weights{suffix}"
    (network.save_weights if suffix == ".weights.h5" else network.save)(path)
    ours = applications.parts("efficientnet_b0").network
    applications.load_file(ours, "efficientnet_b0", path)
    for name in ("stem_conv", "block4b_dwconv", "top_bn"):
        for one, other in zip(ours.get_layer(name).weights, network.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(one, other)


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("name", "suffix", "change", "reason"),
    [
        ("efficientnet_b0", ".weights.h5", truncated, "truncated"),
        ("efficientnet_b0", ".h5", lambda _: b"no weights", "signature not found"),
        ("efficientnet_b0", ".keras", lambda _: b"PK\x03\x04", "signature not found"),
        ("efficientnet_b0", ".pth", bytes, r"ends in \.weights\.h5, \.h5, \.keras"),
        ("xception", ".weights.h5", bytes, "it holds .* arrays and xception has"),
        ("vgg16", ".weights.h5", None, r"nowhere\.weights\.h5 does not exist"),
        ("efficientnet_lite0", ".pth", bytes, "is not a state dict"),
        ("efficientnet_lite0", ".pth", None, r"nowhere\.pth cannot be read"),
    ],
)
def test_files_that_do_not_hold_the_weights_are_refused(
    tmp_path: Path, published: Path, name: str, suffix: str, change: Any, reason: str
) -> None:
    path = tmp_path / f"nowhere{suffix}"
    if change is not None:
        path.write_bytes(change(published.read_bytes()))
    with pytest.raises(ModelError, match=reason) as caught:
        build(params(name, weights=str(path)), seed=1)
    assert caught.value.next_step


def small_network() -> Any:
    keras = quiet_keras()
    return keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="conv")], name="small")


def test_an_archive_that_unpacks_to_far_more_than_the_network_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("model.weights.h5", "w") as member:
        for _ in range(60):
            member.write(bytes(1_000_000))
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"takes 60 MB of memory, and 16 MB are allowed"):
            keras_weights.load_weights(small_network(), path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_an_array_of_a_vast_declared_shape_is_refused_unread(tmp_path: Path) -> None:
    import h5py  # type: ignore[import-untyped]

    network, path = small_network(), tmp_path / "vast.weights.h5"
    network.save_weights(path)
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(lambda name: names.append(name) if isinstance(file[name], h5py.Dataset) else None)
        del file[names[0]]
        file.create_dataset(names[0], shape=(10**9,), dtype="float32", chunks=(1024,))
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"takes 4,000 MB of memory"):
        keras_weights.load_weights(network, path)


def test_an_archive_with_the_moments_of_an_optimizer_is_loaded(tmp_path: Path) -> None:
    keras = quiet_keras()
    trained, fresh = small_network(), small_network()
    trained.compile(keras.optimizers.Adam(), "mse")
    trained.fit(np.ones((2, 8, 8, 3)), np.ones((2, 6, 6, 4)), verbose=0)
    trained.save(tmp_path / "trained.keras")
    keras_weights.load_weights(fresh, tmp_path / "trained.keras")
    np.testing.assert_array_equal(fresh.get_layer("conv").kernel, trained.get_layer("conv").kernel)


def test_as_many_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    keras = quiet_keras()
    wide = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(5, 3)])
    narrow = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)])
    wide.save_weights(tmp_path / "wide.weights.h5")
    with pytest.raises(ModelError, match="does not hold the weights of"):
        keras_weights.load_weights(narrow, tmp_path / "wide.weights.h5")


def test_lite_weights_of_another_network_name_the_first_tensor_that_differs(tmp_path: Path) -> None:
    other = str(efficientnet_lite.package_file("efficientnet_lite2"))
    with pytest.raises(ModelError, match=r"_blocks\.3\._depthwise_conv\.weight has shape \(144, 1, 3, 3\) where"):
        build(params("efficientnet_lite0", weights=other), seed=1)
    tensors = read_state_dict(efficientnet_lite.package_file("efficientnet_lite0"))
    whole = tensors["_bn0.bias"].astype(np.int64)
    endless = np.full_like(tensors["_bn0.bias"], np.nan)
    for change, reason in (
        ({"_bn0.bias": whole}, r"_bn0\.bias is of int64"),
        ({"_bn0.bias": endless}, r"_bn0\.bias holds numbers that are not finite"),
        ({"_extra.weight": endless}, r"_extra\.weight has no place"),
    ):
        path = tmp_path / "changed.pth"
        path.write_bytes(state_dict_file(tensors | change))
        with pytest.raises(ModelError, match=reason):
            build(params("efficientnet_lite0", weights=str(path)), seed=1)
    path.write_bytes(state_dict_file({name: tensors[name] for name in tensors if name != "_conv_head.weight"}))
    with pytest.raises(ModelError, match=r"_conv_head\.weight is missing"):
        build(params("efficientnet_lite0", weights=str(path)), seed=1)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = efficientnet_lite.VARIANTS["efficientnet_lite0"]._replace(package="efficientnet_lite9_pytorch_model")
    monkeypatch.setitem(efficientnet_lite.VARIANTS, "efficientnet_lite0", missing)
    with pytest.raises(ModelError, match=r"efficientnet-lite9-pytorch-model.*photoqual\[backbones\]"):
        build(BackboneParams(name="efficientnet_lite0", weights="imagenet"), seed=1)


@pytest.mark.parametrize(
    ("name", "blocks", "trained"),
    [
        ("efficientnet_lite0", 2, r"block1[45]_|head_"),
        ("efficientnet_lite2", 1, r"block20_|head_"),
        ("vgg16", 2, r"block[45]_"),
        ("vgg16", 5, r"block\d_"),
        ("resnet50", 3, r"conv5_"),
        ("resnet50", 4, r"conv5_|conv4_block6_"),
        ("resnet50", 16, r"conv[2-5]_"),
        ("efficientnet_b0", 1, r"block7a_|top_"),
        ("efficientnet_b0", 5, r"block6[a-d]_|block7a_|top_"),
        ("efficientnet_b7", 4, r"block7[a-d]_|top_"),
        ("xception", 1, r"block14_"),
        ("xception", 2, r"block1[34]_|conv2d|batch_normalization"),
    ],
)
def test_the_last_blocks_are_trained(name: str, blocks: int, trained: str) -> None:
    parts = parts_of(name)
    parts.freeze(blocks)
    for layer in parts.network.layers:
        if layer.weights and not re.match(r"conv2d|batch_normalization", layer.name):
            assert layer.trainable == bool(re.match(trained, layer.name)), layer.name


@pytest.mark.parametrize(
    ("name", "blocks", "convolutions"),
    [
        *(("inception_v3", blocks, count) for blocks, count in ((0, 0), (1, 9), (2, 18), (3, 24), (7, 64), (11, 89))),
        *(("xception", blocks, count) for blocks, count in ((1, 2), (2, 5), (3, 8), (14, 40))),
    ],
)
def test_blocks_without_names_are_counted_too(name: str, blocks: int, convolutions: int) -> None:
    """Convolutions as the architectures publish them: the blocks' branches in Inception, shortcuts in Xception."""
    parts = parts_of(name)
    parts.freeze(blocks)
    assert sum("Conv2D" in type(layer).__name__ and layer.trainable for layer in parts.network.layers) == convolutions


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_as_many_as_the_params_may_name(name: str) -> None:
    parts = parts_of(name)
    assert len(parts.blocks) == block_count(name)
    parts.freeze(0)
    assert parts.network.trainable_weights == []
    with pytest.raises(ConfigError, match=f"has {block_count(name)} blocks"):
        build(params(name, trainable_blocks=block_count(name) + 1), seed=1)


def test_what_is_frozen_computes_the_same_in_training() -> None:
    seen = pixels(64, 64)
    frozen = build(params("efficientnet_b0", trainable_blocks=0), seed=1)
    np.testing.assert_array_equal(frozen(seen, training=True), frozen(seen, training=False))
    whole = build(params("efficientnet_b0", trainable_blocks="all"), seed=1)
    moving = np.asarray(whole.get_layer("stem_bn").moving_mean).copy()
    whole(seen, training=True)
    assert len(whole.trainable_weights) == 211
    assert np.abs(np.asarray(whole.get_layer("stem_bn").moving_mean) - moving).max() > 0


def test_training_moves_the_last_blocks_alone() -> None:
    keras = quiet_keras()
    body = build(params("efficientnet_lite0", trainable_blocks=1), seed=1)
    before = {weight.path: np.asarray(weight).copy() for weight in body.weights}
    model = keras.Sequential([body, keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    model.train_on_batch(pixels(64, 64), np.ones((2, 1)))
    moved = {weight.path for weight in body.weights if not np.array_equal(before[weight.path], weight)}
    assert moved
    assert all(re.search(r"block15_|head_", path) for path in moved)


@pytest.fixture
def mixed_precision() -> Iterator[None]:
    keras = quiet_keras()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.usefixtures("mixed_precision")
@pytest.mark.parametrize(("name", "pooling"), [("efficientnet_lite0", "last"), ("vgg16", "levels")])
def test_features_are_float32_in_mixed_precision(name: str, pooling: str) -> None:
    body = build(params(name, pooling=pooling), seed=1)
    assert body.get_layer({"vgg16": "block5_conv3"}.get(name, "head_conv")).compute_dtype == "bfloat16"
    features = np.asarray(body(pixels(64, 48)))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_b0", "vgg16"])
def test_weights_come_from_the_seed_alone(name: str) -> None:
    random.seed(5)
    first, again, other = (build(params(name), seed=seed).get_weights() for seed in (1, 1, 2))
    drawn = random.random()
    random.seed(5)
    assert random.random() == drawn
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])

"""The starter: its graph is the Keras network, it is made once, damage lowers its score, and it says that it rates."""

import json
import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoqual.defects.damage import damage
from photoqual.errors import DataError, ModelError, NoChampion
from photoqual.evaluation.metrics import auc
from photoqual.models.backbones import efficientnet_lite
from photoqual.models.info import INFO, read_info
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import model_input, model_size
from photoqual.starter import model as starter
from photoqual.starter.fit import cross_validated, fit, span_of
from photoqual.starter.graph import BACKBONE
from photoqual.starter.head import FILE, Head, evidence
from photoqual.starter.photos import photos
from photoqual.starter.qt_resources import resources
from photoqual.starter.train import SEED, STRENGTH, Extractor, make_photos, train
from photoqual.starter.variants import KINDS, variants
from tests.conftest import encoded, scene

BASES = tuple(islice(photos(Path("no gcompris")), 6))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(cache: Path) -> Path:
    """The starter's folder, in a cache of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        return starter.starter_folder()


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor()


def test_the_features_are_those_of_the_keras_network(extractor: Extractor) -> None:
    parts = efficientnet_lite.parts(BACKBONE)
    efficientnet_lite.load_weights(parts.network, efficientnet_lite.package_file(BACKBONE))
    import keras

    twin = keras.Model(parts.network.input, parts.statistics())
    noise = np.random.default_rng(0).integers(0, 256, (33, 250, 3), dtype=np.uint8)
    for pixels in (model_input(BASES[0].image, 320), noise, np.asarray(scene(1, (187, 288)))):
        expected = np.asarray(twin(pixels[None].astype(np.float32)))
        found = extractor.features([pixels])
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
        assert np.median(np.abs(found - expected) / (np.abs(expected) + 1e-3)) < 1e-4


def test_the_model_answers_as_its_head_does_on_the_features(folder: Path, extractor: Extractor) -> None:
    scorer, head = Scorer.load(folder), Head.load()
    inputs = [model_input(base.image, scorer.info.image_width, enlarge=False) for base in BASES[:2]]
    logits = head.logits(extractor.features(inputs))
    said = scorer.answers_of(inputs, scorer.info.outputs)
    good = 1 / (1 + np.exp(-(evidence(logits) * head.slope + head.shift)))
    np.testing.assert_allclose(said["score"][:, 0], good, atol=2e-3)
    np.testing.assert_allclose(said["defects"], 1 / (1 + np.exp(-logits)), atol=2e-3)
    assert said["features"].shape == (2, len(head.mean))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((288, 187), (288, 192)), ((640, 640), (640, 640)), ((4000, 3000), (640, 480)), ((20, 9), (32, 32))],
)
def test_small_photos_are_rated_as_they_are(size: tuple[int, int], expected: tuple[int, int]) -> None:
    info = read_info(FILE.parent)
    assert model_size(*size, info.image_width, enlarge=info.enlarge) == expected


def test_what_is_shipped_is_small_and_fits_together() -> None:
    info, head = read_info(FILE.parent), Head.load()
    assert FILE.stat().st_size + FILE.with_name(INFO).stat().st_size < 1_000_000
    assert info.defects == KINDS
    assert len(head.bias) == len(KINDS)
    assert info.sure_margin is not None
    assert head.slope > 0


def test_every_kind_of_damage_lowers_the_score_and_is_named(folder: Path) -> None:
    scorer = Scorer.load(folder)
    inputs, truth, of_kind = [], [], []
    for index, base in enumerate(BASES):
        pixels = model_input(base.image, scorer.info.image_width, enlarge=False)
        inputs.append(pixels)
        truth.append(-1)
        for kind, name in enumerate(KINDS):
            inputs.append(damage(pixels, name, 2.5, np.random.default_rng((index, kind))))
            truth.append(kind)
    said, of_kind = scorer.answers_of(inputs), np.array(truth)
    assert auc(of_kind < 0, said["score"][:, 0]) > 0.95
    for kind in range(len(KINDS)):
        assert auc(of_kind == kind, said["defects"][:, kind]) > 0.9, KINDS[kind]


def test_the_folder_is_made_once_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: starter.starter_folder(), range(2)))
    first = (made[0] / "model.onnx").stat()
    assert made[0] == made[1] == starter.starter_folder()
    assert (made[0] / "model.onnx").stat().st_ino == first.st_ino
    assert [path.name for path in made[0].parent.iterdir()] == [made[0].name], "nothing is left beside it"


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="Set XDG_CACHE_HOME"):
        starter.starter_folder()


def test_without_its_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = efficientnet_lite.VARIANTS[BACKBONE]._replace(package="no_such_package")
    monkeypatch.setitem(efficientnet_lite.VARIANTS, BACKBONE, missing)
    with pytest.raises(ModelError, match="extra `starter`"):
        starter.resolve("starter")


def test_a_champion_that_is_asked_for_by_name_is_not_replaced(
    cache: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    assert starter.resolve(None) == ("starter", folder)
    with pytest.raises(NoChampion):
        starter.resolve("models:/photoqual@champion")


@pytest.mark.parametrize(("options", "told"), [([], True), (["--model", "starter"], False)])
def test_the_command_says_that_the_starter_rates(
    cache: Path, folder: Path, tmp_path: Path, options: list[str], told: bool
) -> None:
    (tmp_path / "good.jpg").write_bytes(encoded(BASES[0].image, quality=90))
    (tmp_path / "dark.jpg").write_bytes(encoded(Image.eval(BASES[0].image, lambda level: level // 6), quality=90))
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    code = (
        "import sys, atexit\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'mlflow', 'sklearn', 'onnx'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from photoqual.cli import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "rate", ".", "--format", "json", *options],
        cwd=tmp_path,
        env={**environment, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    ratings = {Path(rating["photo"]).name: rating for rating in map(json.loads, run.stdout.splitlines())}
    assert {rating["model"] for rating in ratings.values()} == {"starter"}
    assert ratings["good.jpg"]["score"] > ratings["dark.jpg"]["score"]
    assert sum("the starter rates" in line for line in run.stderr.splitlines()) == int(told)
    assert run.stderr.splitlines()[-1] == "[]", "nothing heavy was loaded"


def test_variants_are_the_same_for_the_same_seed_and_have_what_they_say() -> None:
    made, again = (list(variants(BASES[0].image, 2, 18, np.random.default_rng(5))) for _ in range(2))
    assert [variant.kinds for variant in made[:2]] == [(), ()]
    assert {variant.kinds[0] for variant in made[2:]} == set(KINDS)
    assert all(0 < max(variant.pixels.shape) <= 640 for variant in made)
    for one, other in zip(made, again, strict=True):
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_head_is_trained_saved_and_loaded(tmp_path: Path, extractor: Extractor) -> None:
    made, measures = make_photos(BASES, 6, 18, 96, extractor)
    assert (made.good.sum(), len(measures), len(set(made.groups))) == (36, 36, 6)
    figures = train(made, measures, 96, tmp_path)
    assert figures["photos"] == 144
    assert figures["auc"] > 0.6, "better than chance on base photographs that were held out"
    head = Head.load(tmp_path / FILE.name)
    assert read_info(tmp_path).validation_auc == figures["auc"]
    span = span_of(made.features)
    exact, _ = fit(span, made, STRENGTH, cross_validated(span, made, STRENGTH, SEED))
    np.testing.assert_allclose(head.logits(made.features), exact.logits(made.features), atol=0.05)
    assert auc(made.good, evidence(head.logits(made.features))) > 0.9, "on what it was trained on"


def test_a_damaged_head_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "head.npz").write_bytes(FILE.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be read"):
        Head.load(tmp_path / "head.npz")


def qt_collection(form: int, *, compressed: bool = False) -> bytes:
    """Return a collection of format `form` that holds folder `a` with file `b.txt`."""
    content = b"what is in it" * 9
    stored = struct.pack(">I", len(content)) + zlib.compress(content) if compressed else content
    names = b"".join(struct.pack(">HI", len(name), 0) + name.encode("utf-16-be") for name in ("a", "b.txt"))
    rest = b"" if form == 1 else bytes(8)
    tree = struct.pack(">IHII", 0, 2, 1, 1) + rest + struct.pack(">IHII", 0, 2, 1, 2) + rest
    tree += struct.pack(">IHHHI", 8, int(compressed), 0, 0, 0) + rest
    data = struct.pack(">I", len(stored)) + stored
    begin = 24 if form == 3 else 20
    parts = (begin, begin + len(tree), begin + len(tree) + len(data))
    return struct.pack(">4s4I", b"qres", form, *parts) + bytes(begin - 20) + tree + data + names


@pytest.mark.parametrize("form", [1, 2, 3])
@pytest.mark.parametrize("compressed", [False, True])
def test_qt_collections_are_read(tmp_path: Path, form: int, compressed: bool) -> None:
    (tmp_path / "x.rcc").write_bytes(qt_collection(form, compressed=compressed))
    assert list(resources(tmp_path / "x.rcc")) == [("/a/b.txt", b"what is in it" * 9)]


@pytest.mark.parametrize("damaged", [b"", b"qres", b"no collection at all, but long", qt_collection(3)[:40]])
def test_a_damaged_qt_collection_is_a_clear_error(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "x.rcc").write_bytes(damaged)
    with pytest.raises(DataError, match="not a Qt resource collection"):
        list(resources(tmp_path / "x.rcc"))

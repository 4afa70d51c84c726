"""`photoqual explain`: where a score comes from, rated photos like it, the deep dream; three levels, one page."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.errors import ConfigError, DataError
from photoqual.layout import Layout
from photoqual.models.dream import BOUND
from photoqual.models.info import ONNX, read_info, write_info
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos import catalog as catalogs
from photoqual.photos.fingerprints import photo_id
from photoqual.rating.explain import command, everything, rated
from photoqual.rating.explain.dreams import change, dream_of
from photoqual.rating.explain.heat import heat_map, overlay
from photoqual.rating.explain.page import explain_page
from photoqual.sources._demo_photos import DemoPhoto, render
from tests.conftest import encoded, scene
from tests.long import times
from tests.model.registered import RED, side_folder, tiny_folder, tiny_model
from tests.people.voted import voted_workspace

RATED = 12


def red_folder(folder: Path) -> Path:
    """Write a model whose score grows with how much of a photo is clearly red; its defect `redness` is the opposite."""
    tiny_folder(folder, RED)
    nodes = [
        helper.make_node("MatMul", ["pixels", "weights"], ["red"]),
        helper.make_node("Sub", ["red", "least"], ["above"]),
        helper.make_node("Relu", ["above"], ["redness"]),
        helper.make_node("ReduceMean", ["redness"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Add", ["mean", "bias"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
        helper.make_node("Neg", ["logit"], ["opposite"]),
        helper.make_node("Sigmoid", ["opposite"], ["defects"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([[1], [-1], [0]], np.float32), "weights"),
        numpy_helper.from_array(np.float32(60), "least"),
        numpy_helper.from_array(np.float32(-2), "bias"),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", "h", "w", 3])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in ("score", "defects")]
    graph = helper.make_graph(nodes, "red", [pixels], given, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9), folder / ONNX)
    info = read_info(folder).model_copy(update={"outputs": ("score", "defects"), "defects": ("redness",)})
    write_info(folder, info)
    return folder


@pytest.fixture(scope="module")
def red_model(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer.load(red_folder(tmp_path_factory.mktemp("red")))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, list[DemoPhoto]]:
    return voted_workspace(tmp_path_factory.mktemp("workspace"), RATED)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose features are the mean colour."""
    return side_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/photoqual/rated"


def with_a_red_square(row: int, column: int) -> np.ndarray:
    """Return grey pixels, 120 high and 180 wide, with a square of 30 px at that place of a grid of 4 by 6."""
    pixels = np.full((120, 180, 3), 100, np.uint8)
    pixels[30 * row : 30 * row + 30, 30 * column : 30 * column + 30] = (230, 60, 60)
    return pixels


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 4), (3, 2), (3, 5)])
def test_the_map_is_hot_where_the_answer_comes_from(red_model: Scorer, row: int, column: int) -> None:
    pixels = with_a_red_square(row, column)
    heat = heat_map(red_model, pixels)
    assert heat.noticeable
    assert heat.grid.size <= 96
    assert heat.value == pytest.approx(float(red_model.score([pixels])[0]))
    hottest = np.unravel_index(np.argmax(heat.effect), heat.effect.shape)
    assert tuple(int(place) // 30 for place in hottest) == (row, column)
    inside = np.zeros(heat.effect.shape, bool)
    inside[30 * row : 30 * row + 30, 30 * column : 30 * column + 30] = True
    assert heat.effect[inside].mean() > 10 * np.abs(heat.effect[~inside]).mean()

    defect = heat_map(red_model, pixels, "redness")
    assert np.allclose(defect.effect, -heat.effect, atol=1e-3)
    coloured = overlay(pixels, heat)
    assert coloured.shape == pixels.shape
    assert coloured[hottest][2] > coloured[hottest][0] + 60, "what speaks for the photo is blue"
    assert np.array_equal(overlay(pixels, defect), coloured), "what the lack of a defect gives speaks for it, too"


def test_a_plain_photo_has_no_part_that_matters_and_an_unknown_defect_is_refused(red_model: Scorer) -> None:
    plain = np.full((48, 64, 3), 90, np.uint8)
    assert not heat_map(red_model, plain).noticeable
    with pytest.raises(ConfigError, match=r"does not tell the defect 'noise'\. Ask for one of score, redness"):
        heat_map(red_model, plain, "noise")


@pytest.mark.parametrize(("size", "passes"), [((32, 32), 96), ((640, 32), 96), ((32, 640), 10), ((48, 80), 1)])
def test_any_shape_is_covered_within_the_passes(red_model: Scorer, size: tuple[int, int], passes: int) -> None:
    pixels = np.asarray(scene(3, size))
    heat = heat_map(red_model, pixels, passes=passes)
    assert heat.effect.shape == pixels.shape[:2]
    assert 1 <= heat.grid.size <= passes
    assert np.isfinite(heat.effect).all()


def colour_of(jpeg: bytes, scorer: Scorer) -> np.ndarray:
    return input_of(jpeg, scorer.info).reshape(-1, 3).mean(axis=0)


def test_rated_photos_most_alike_come_first_with_how_people_voted(
    workspace: tuple[Layout, list[DemoPhoto]], model: Path, cache: Path
) -> None:
    layout, photos = workspace
    scorer, data = Scorer.load(model), render(workspace[1][3])
    looked = input_of(Image.open(io.BytesIO(data)).convert("RGB"), scorer.info)
    found = rated.neighbours(scorer, looked, photo_id(data), layout, k=4)
    assert (found.among, found.rated) == (RATED, RATED)
    assert found.itself is not None
    assert found.itself.title == photos[3].title
    rows = catalogs.read_catalog(layout.catalog).set_index("photo_id")
    colours = {name: colour_of(jpeg, scorer) for name, jpeg in rated.read_photos(layout.photos, rows.reset_index())}
    here = looked.reshape(-1, 3).mean(axis=0)

    def cosine(colour: np.ndarray) -> float:
        return float(colour @ here / np.linalg.norm(colour) / np.linalg.norm(here))

    expected = sorted((name for name in colours if name != photo_id(data)), key=lambda name: -cosine(colours[name]))
    cosines = [cosine(colours[one.voted.photo_id]) for one in found.alike]
    assert cosines == pytest.approx([cosine(colours[name]) for name in expected[:4]], abs=2e-3)
    assert [one.cosine for one in found.alike] == pytest.approx(cosines, abs=2e-3)
    for one in found.alike:
        row = rows.loc[one.voted.photo_id]
        assert one.voted.title == row["title"]
        if one.voted.votes:
            assert sum(one.voted.histogram) == one.voted.votes == row["votes_count"]
            assert one.voted.stars == pytest.approx(row["votes_mean"])
        assert one.jpeg.startswith(b"\xff\xd8")


def test_vectors_are_kept_and_go_when_the_photo_goes(
    workspace: tuple[Layout, list[DemoPhoto]], model: Path, cache: Path, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "project")
    layout.root.mkdir()
    (layout.root / "data").mkdir()
    layout.photos.symlink_to(workspace[0].photos)
    catalogs.write_catalog(layout.catalog, catalogs.read_catalog(workspace[0].catalog))
    scorer, computed = Scorer.load(model), list[int]()

    def progress(photos: Iterator[tuple[str, bytes]], count: int) -> Iterator[tuple[str, bytes]]:
        computed.append(count)
        yield from photos

    def ask() -> rated.Neighbours:
        return rated.neighbours(scorer, input_of(scene(1), scorer.info), "", layout, k=50, progress=progress)  # type: ignore[arg-type]

    assert len(ask().alike) == RATED - 1, "without labels, the photo without votes is no rated one"
    ask()
    assert computed == [RATED - 1]
    catalog = catalogs.read_catalog(layout.catalog)
    gone = catalog.iloc[0]["photo_id"]
    catalogs.write_catalog(layout.catalog, catalog.iloc[1:])
    assert gone not in {one.voted.photo_id for one in ask().alike}
    (kept,) = cache.glob("*.npz")
    with np.load(kept) as file:
        assert gone not in set(file["ids"])
        assert len(file["ids"]) == RATED - 2
    kept.write_bytes(b"damaged")
    assert len(ask().alike) == RATED - 2
    assert computed == [RATED - 1, RATED - 2]


def test_a_dream_moves_the_score_both_ways_and_no_pixel_too_far(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model", (0.02, 0.0, -0.02), bias=0.0)
    scorer = Scorer.load(folder)
    pixels = input_of(scene(4), scorer.info)
    dream = dream_of(folder, pixels)
    before, better, worse = scorer.score([pixels, dream.better, dream.worse])
    assert worse < before - 0.1
    assert better > before + 0.1
    assert (dream.score, dream.better_score, dream.worse_score) == pytest.approx((before, better, worse), abs=1e-4)
    for image in (dream.better, dream.worse):
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - pixels).max() <= BOUND
    moved = change(pixels, dream.better).astype(int).reshape(-1, 3).mean(axis=0) - 128
    assert moved[0] > 5, "more red"
    assert moved[2] < -5, "less blue"
    assert abs(moved[1]) < 2, "green does not matter to this model"


def test_a_model_without_a_keras_file_says_that_it_cannot_dream(model: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot dream: it has no model.keras.*models:/photoqual@champion"):
        dream_of(model, np.zeros((32, 32, 3), np.uint8))


@pytest.mark.skipif(not times(0, 1), reason="loads TensorFlow once more: in `make test-long`")
def test_a_damaged_keras_file_is_told_as_such(tmp_path: Path, model: Path, cache: Path) -> None:
    folder = side_folder(tmp_path / "model")
    (folder / "model.keras").write_bytes(b"no model")
    looked = everything.look(_photo(tmp_path, scene(3)), Scorer.load(folder), "m")
    told = everything.gather(looked, Scorer.load(folder), Layout(tmp_path))
    assert "The dream failed" in told.untold["dream"]
    assert "Traceback" not in told.untold["dream"]


def _photo(folder: Path, image: Image.Image, name: str = "photo.jpg") -> Path:
    path = folder / name
    path.write_bytes(encoded(image))
    return path


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `photoqual explain` with options and gives exit code, output and errors."""

    def run(*options: str | Path) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["explain", *map(str, options)])
        told = str(result.exception) if result.exception and not isinstance(result.exception, SystemExit) else ""
        return getattr(result.exception, "exit_code", result.exit_code), result.stdout, told + result.stderr

    return run


def test_three_levels(
    ask: Callable[..., tuple[int, str, str]],
    workspace: tuple[Layout, list[DemoPhoto]],
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo = _photo(tmp_path, scene(5, (300, 200)), "a<b>&c.jpg")
    code, said, _ = ask(photo, "--model", model, "--level", "sentence")
    assert (code, said) == (0, "1 of 5 stars, bad (score 0.05, sure).\n")
    code, said, _ = ask(photo, "--model", model)
    assert code == 0
    assert all(word in said for word in ("score", "how sure", "against", "brightness", str(model)[:20]))
    code, said, _ = ask(photo, "--model", model, "--json")
    assert json.loads(said)["sentence"] == "1 of 5 stars, bad (score 0.05, sure)."

    monkeypatch.chdir(workspace[0].root)
    page = tmp_path / "why.html"
    code, said, told = ask(photo, "--model", model, "--out", page, "--json")
    assert (code, told.strip()) == (0, f"written to {page}")
    values = json.loads(said)
    assert len(values["rated"]["alike"]) == 8
    assert "cannot dream" in values["untold"]["dream"]
    html = page.read_text()
    assert html.count("data:image/jpeg") == 1 + 1 + 8
    assert "a&lt;b&gt;&amp;c.jpg" in html
    assert "a<b>" not in html
    assert "cannot dream" in html
    assert str(tmp_path) not in html
    assert 'src="http' not in html


def test_what_there_is_no_catalog_for_is_left_out_with_the_reason(tmp_path: Path, model: Path, cache: Path) -> None:
    scorer = Scorer.load(model)
    looked = everything.look(_photo(tmp_path, scene(3)), scorer, "m")
    told = everything.gather(looked, scorer, Layout(tmp_path), dream=False)
    assert "does not exist. Run `photoqual refresh`" in told.untold["rated"]
    assert told.untold["dream"] == "It was left out."
    assert "does not exist. Run `photoqual refresh`" in explain_page(told, scorer.info)
    plain = Scorer.load(tiny_folder(tmp_path / "plain", RED))
    told = everything.gather(everything.look(tmp_path / "photo.jpg", plain, "m"), plain, Layout(tmp_path), dream=False)
    assert "gives no features" in told.untold["rated"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("{photo}", "--level", "everything"), 2, "Everything is a page. Name it with --out"),
        (("{photo}", "--level", "panel", "--out", "{folder}/a.html"), 2, "not for a panel"),
        (("{photo}", "--out", "{folder}/nowhere/a.html"), 2, "cannot be written"),
        (("{photo}", "--out", "{folder}"), 2, "cannot be written"),
        (("{photo}", "--of", "noise", "--json", "--level", "everything"), 2, "does not tell the defect 'noise'"),
        (("{folder}/missing.jpg",), 1, "cannot be rated"),
        (("{folder}",), 1, "cannot be rated"),
        (("{folder}/letter.jpg",), 1, "No decoder knows this file"),
        (("{folder}/empty.jpg",), 1, "The file is empty"),
        (("{photo}", "--model", "{folder}"), 1, "is not a model folder"),
    ],
)
def test_bad_input_says_what_to_do(
    ask: Callable[..., tuple[int, str, str]],
    model: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    photo = _photo(tmp_path, scene(1))
    (tmp_path / "letter.jpg").write_text("not a photo")
    (tmp_path / "empty.jpg").touch()
    given = [option.format(photo=photo, folder=tmp_path) for option in options]
    chosen = () if "--model" in given else ("--model", model)
    found, _, told = ask(*given, *chosen)
    assert (found, message in told) == (code, True), told


def test_a_name_that_is_not_utf8_is_shown_safely(tmp_path: Path, model: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    told = command.explain(_photo(tmp_path, scene(1), name), level=command.SENTENCE, model=str(model))
    assert told["photo"].endswith("caf\ufffd.jpg")
    with pytest.raises(DataError, match="caf\ufffd\\.jpg cannot be rated"):
        command.explain(tmp_path / os.fsdecode(b"no-caf\xe9.jpg"), level=command.SENTENCE, model=str(model))


def test_explaining_loads_no_tensorflow(tmp_path: Path, model: Path) -> None:
    photo = _photo(tmp_path, scene(1))
    code = (
        "import sys; from photoqual.cli import app\n"
        f"app(['explain', {str(photo)!r}, '--model', {str(model)!r}, '--out', {str(tmp_path / 'a.html')!r}],"
        " standalone_mode=False)\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('tensorflow', 'keras', 'mlflow', 'cv2')])"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "a.html").is_file()


def test_of_a_photo_on_two_sources_the_votes_count(workspace: tuple[Layout, list[DemoPhoto]], tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    catalog = catalogs.read_catalog(workspace[0].catalog)
    other = catalog.assign(source="archive", votes_count=pd.NA, votes_mean=pd.NA).astype(catalog.dtypes)
    catalogs.write_catalog(layout.catalog, pd.concat([other, catalog]))
    rows, count = rated.rated_photos(layout)
    whole, whole_count = rated.rated_photos(workspace[0])
    voted = whole[whole["votes"] > 0]
    assert list(rows["photo_id"]) == list(voted["photo_id"])
    assert count == len(voted) == whole_count - 1


def test_a_workspace_without_a_rated_photo_has_no_neighbours(model: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    catalogs.write_catalog(layout.catalog, catalogs.empty_catalog())
    found = rated.neighbours(Scorer.load(model), np.zeros((32, 32, 3), np.uint8), "a" * 64, layout)
    assert (found.alike, found.among, found.rated) == ([], 0, 0)

"""Taste: a person's ratings make a model of their own where they differ from the champion, and nothing where not."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from photoqual.cli import app
from photoqual.config import ModelParams
from photoqual.errors import ConfigError, DataError, MissingData, ModelError, NoChampion, PhotoqualError, TooFewPhotos
from photoqual.evaluation.metrics import auc
from photoqual.models import heads, network
from photoqual.models.gate import GATE, fit_gate
from photoqual.models.info import KERAS, TRAINED_ON, ModelInfo, write_info
from photoqual.models.keras_files import load_keras, save_keras_and_onnx
from photoqual.models.scorer import Scorer
from photoqual.photos.fingerprints import photo_id
from photoqual.registry.fetch import fetch_model
from photoqual.registry.store import connected
from photoqual.taste.learn import learn_taste
from photoqual.taste.ratings import Rated, read_ratings
from photoqual.training import calibrate
from tests.conftest import encoded, scene
from tests.model.registered import tiny_folder

WIDTH = 48
Likes = Callable[[np.ndarray, np.random.Generator], float]
"""How much a person likes a photo of that mean colour (3,), 0 to 255."""


def bright(colour: np.ndarray, draw: np.random.Generator) -> float:
    return float(colour.mean())


def blue(colour: np.ndarray, draw: np.random.Generator) -> float:
    return float(colour[2] - colour[0])


def anything(colour: np.ndarray, draw: np.random.Generator) -> float:
    return float(draw.random())


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole model folder: logistic regression on thumbnails that likes bright photos."""
    made = network.build(ModelParams(kind="logistic", image_width=WIDTH), heads.Answers(), 7)
    size = made.body.model.output_shape[-1]
    made.top.get_layer(heads.BINARY).set_weights([np.full((size, 1), 12 / size, np.float32), np.zeros(1, np.float32)])
    model, outputs = network.rating_model(made, calibrate.Curve("platt").layers)
    folder = tmp_path_factory.mktemp("champion")
    save_keras_and_onnx(model, folder)
    info = ModelInfo(
        kind="logistic",
        head="binary",
        image_width=WIDTH,
        threshold=0.5,
        sure_margin=0.25,
        parameters=size + 1,
        train_photos=1,
        validation_photos=1,
        best_epoch=1,
        validation_auc=0.9,
        seed=7,
        good_ranges={},
        outputs=outputs,
    )
    write_info(folder, info)
    pd.DataFrame({"photo_id": ["0" * 64]}).to_parquet(folder / TRAINED_ON, index=False)
    features = np.random.default_rng(0).normal(0, 0.5, (60, size)).astype(np.float32)
    fit_gate(features[:40], features[40:]).save(folder)
    return folder


def take_photos(folder: Path, count: int, seed: int = 0) -> list[tuple[Path, np.ndarray]]:
    """Write `count` photos of random tint and brightness; return each with its mean colour (3,)."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    taken = []
    for index in range(count):
        pixels = np.asarray(scene(10_000 * seed + index, (48, 32)), float) * draw.uniform(0.6, 1.4, 3)
        pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        path = folder / f"{index:03d}.png"
        path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))
        taken.append((path, pixels.mean(axis=(0, 1))))
    return taken


def rate(folder: Path, likes: Likes, count: int = 40, seed: int = 0) -> Path:
    """Write `count` photos and the table of a person who gives one to five stars by `likes`, none of them three."""
    taken = take_photos(folder, count, seed)
    draw = np.random.default_rng(seed + 1)
    places = np.argsort(np.argsort([likes(colour, draw) for _, colour in taken])) / count
    with (folder / "ratings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["photo", "stars"])
        writer.writerows(
            [path.name, (1, 2, 4, 5)[int(4 * place)]] for (path, _), place in zip(taken, places, strict=True)
        )
    return folder / "ratings.csv"


@pytest.fixture
def here(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with an empty registry and a cache of its own."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    (tmp_path / "here/mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def auc_on_fresh(model: Path, likes: Likes, folder: Path) -> float:
    """Return the AUC of `model` on photos that nobody has rated before."""
    from photoqual.photos.decode import model_input

    taken = take_photos(folder, 60, seed=9)
    scores = Scorer.load(model).score([model_input(Image.open(path).convert("RGB"), WIDTH) for path, _ in taken])
    liked = np.array([likes(colour, np.random.default_rng(0)) for _, colour in taken])
    return auc((liked > np.median(liked)).astype(int), scores)


def test_a_taste_of_its_own_is_registered_and_rates_better_with_every_shorthand(champion: Path, here: Path) -> None:
    ratings = rate(here / "rated", blue)
    found = learn_taste(ratings, profile="anna", model=str(champion), out=here / "anna")
    assert (found["kept"], found["version"], found["created"]) == ("head", "1", True)
    assert found["auc"] > 0.8 > found["auc_champion"]
    before, after = (auc_on_fresh(model, blue, here / "fresh") for model in (champion, here / "anna"))
    assert after > max(0.9, before + 0.2)

    folder = fetch_model("models:/photoqual-anna@champion")
    trained_on = set(pd.read_parquet(folder / TRAINED_ON)["photo_id"])
    assert trained_on == {"0" * 64, *(photo_id(path.read_bytes()) for path in (here / "rated").glob("*.png"))}
    assert (folder / GATE).read_bytes() == (champion / GATE).read_bytes()
    assert Scorer.load(folder).info.outputs == Scorer.load(champion).info.outputs
    assert found["keras_onnx_difference"] < 1e-4
    assert load_keras(folder / KERAS).output_shape == load_keras(champion / KERAS).output_shape

    told = [
        CliRunner().invoke(app, ["rate", str(here / "fresh"), "--format", "csv", *chosen]).stdout
        for chosen in (["--profile", "anna"], ["--model", "models:/photoqual-anna/1"], ["--model", str(here / "anna")])
    ]
    rows = [[(row["photo"], row["score"]) for row in csv.DictReader(text.splitlines())] for text in told]
    assert len(rows[0]) == 60
    assert rows[0] == rows[1] == rows[2]

    again = learn_taste(ratings, profile="anna", model=str(champion))
    assert (again["version"], again["created"]) == ("1", False)
    more = learn_taste(rate(here / "rated", blue, 60), profile="anna", model=str(champion))
    assert (more["version"], more["created"]) == ("2", True)
    with connected() as client:
        version = client.get_model_version_by_alias("photoqual-anna", "champion")
        stored = json.dumps(version.tags) + version.description
        assert str(version.version) == "2"
        assert version.tags["ratings"] == "60"
        assert not client.search_registered_models("name = 'photoqual'")
        assert version.tags["base"] == champion.name
    assert ".png" not in stored
    shared = stored + (folder / "taste.json").read_text()
    assert str(champion.parent) not in shared
    assert json.loads((folder / "taste.json").read_text())["base"] == champion.name


@pytest.mark.parametrize("likes", [bright, anything])
def test_without_a_taste_of_its_own_nothing_is_registered(champion: Path, here: Path, likes: Likes) -> None:
    found = learn_taste(rate(here / "rated", likes), profile="ben", model=str(champion), out=here / "ben")
    assert found["kept"] is None
    assert found["reason"].startswith("No gain beyond chance. AUC")
    assert not (here / "ben").exists()
    with connected() as client:
        assert not client.search_registered_models("name = 'photoqual-ben'")
    with pytest.raises(NoChampion, match="photoqual taste RATINGS --profile ben"):
        fetch_model("models:/photoqual-ben@champion")


def test_a_strict_person_gets_the_champion_with_another_boundary(champion: Path, here: Path) -> None:
    taken = take_photos(here / "rated", 80)
    limit = np.quantile([colour.mean() for _, colour in taken], 0.75)
    rows = "".join(f"{path.name};{int(colour.mean() > limit)}\n" for path, colour in taken)
    (here / "rated/ratings.csv").write_text("photo;good\n" + rows)
    found = learn_taste(
        here / "rated/ratings.csv", profile="strict", model=str(champion), out=here / "new", dry_run=True
    )
    assert found["kept"] == "calibration"
    assert found["version"] is None
    old, new = Scorer.load(champion), Scorer.load(here / "new")
    photos = [np.asarray(scene(500 + index, (48, 32)), np.uint8) for index in range(20)]
    assert (np.argsort(old.score(photos)) == np.argsort(new.score(photos))).all()
    assert (new.score(photos) >= 0.5).sum() < (old.score(photos) >= 0.5).sum()


def test_the_verb_prints_what_it_found_and_what_it_skipped(champion: Path, here: Path) -> None:
    table = rate(here / "rated", bright)
    (here / "rated/letter.jpg").write_text("not a photo")
    copied = (here / "rated/000.png").read_bytes()
    (here / "rated/copy.png").write_bytes(copied)
    table.write_text(table.read_text() + "letter.jpg,5\nmissing.jpg,1\n001.png,0\ncopy.png,3\n")
    done = CliRunner().invoke(app, ["taste", str(table), "--profile", "ben", "--model", str(champion), "--dry-run"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["skipped"] == {"unrated": 1, "not_an_image": 1, "not_found": 1, "rated_again": 1}
    assert (found["ratings"], found["good"] + found["bad"], found["kept"]) == (40, 39, None)
    assert done.stderr.count("skipped ") == 4


def test_folders_and_groups(tmp_path: Path) -> None:
    for name in ("good/a.jpg", "good/trip/b.png", "bad/c.jpg", "bad/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    read = read_ratings(tmp_path)
    assert {(item.path.name, item.target) for item in read if isinstance(item, Rated)} == {
        ("a.jpg", 1.0),
        ("b.png", 1.0),
        ("c.jpg", -1.0),
    }
    assert [item.reason for item in read if not isinstance(item, Rated)] == ["not_an_image_file"]
    (tmp_path / "r.csv").write_text("\ufeffPhoto;Stars;Group\nx.jpg;3.5;day1\ny.jpg;-1;\n", encoding="utf-8")
    assert read_ratings(tmp_path / "r.csv") == [
        Rated(tmp_path / "x.jpg", 0.25, "day1"),
        Rated(tmp_path / "y.jpg", -1.0, None),
    ]


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "r.csv").write_text("photo,stars\n~old.jpg,4\n~/new.jpg,2\n~,1\n~nobody/x.jpg,5\n")
    assert [item.path for item in read_ratings(tmp_path / "r.csv") if isinstance(item, Rated)] == [
        tmp_path / "~old.jpg",
        tmp_path / "home/new.jpg",
        tmp_path / "~",
        tmp_path / "~nobody/x.jpg",
    ]


def table_of(text: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "ratings.csv").write_text(text)
        return folder / "ratings.csv"

    return write


def starred(stars: list[int], group: str = "") -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        taken = take_photos(folder, len(stars))
        rows = "".join(f"{path.name},{star},{group}\n" for (path, _), star in zip(taken, stars, strict=True))
        (folder / "ratings.csv").write_text("photo,stars,group\n" + rows)
        return folder / "ratings.csv"

    return write


GONE = "".join(f"gone{index}.jpg,{1 + 4 * (index % 2)}\n" for index in range(30))


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda folder: folder / "none.csv", MissingData, "does not exist"),
        (lambda folder: folder, DataError, "no folder good and no folder bad"),
        (table_of("name,stars\na.jpg,3\n"), DataError, "has the columns name, stars"),
        (table_of("photo,value\na.jpg,3\n"), DataError, "has the columns photo, value"),
        (table_of(""), DataError, "has the columns (none)"),
        (table_of("photo,stars\na.jpg,6\n"), DataError, "line 2: stars is '6'"),
        (table_of("photo,stars\na.jpg,great\n"), DataError, "line 2: stars is 'great'"),
        (table_of("photo,good\na.jpg,2\n"), DataError, "line 2: good is '2'"),
        (table_of("photo,stars\n,3\n"), DataError, "line 2, names no photo"),
        (table_of('photo,stars\n"a.jpg,3\n'), DataError, "not valid CSV"),
        (starred([1, 5] * 9 + [1]), TooFewPhotos, "There are 19 good or bad ratings"),
        (starred([1, 5] * 9 + [3] * 10), TooFewPhotos, "18 good or bad ratings (10 in the middle"),
        (starred([5] * 25), TooFewPhotos, "All 25 ratings"),
        (starred([5] * 23 + [1] * 2), TooFewPhotos, "The 2 bad ratings"),
        (starred([1, 5] * 15, "one day"), TooFewPhotos, "of 1 groups of photos"),
        (table_of("photo,stars\n" + GONE), TooFewPhotos, "None of the 30 rated photos can be read"),
    ],
)
def test_ratings_that_cannot_be_used_are_clear_errors(
    champion: Path, here: Path, make: Callable[[Path], Path], error: type[PhotoqualError], said: str
) -> None:
    with pytest.raises(error) as raised:
        learn_taste(make(here), profile="anna", model=str(champion))
    assert said in str(raised.value)
    assert raised.value.next_step


def test_a_wrong_name_model_or_place_is_a_clear_error(champion: Path, here: Path) -> None:
    ratings = rate(here / "rated", blue, 24)
    for name in ("journal", "Anna", "../x", "", "a" * 41):
        with pytest.raises(ConfigError, match="name of a profile"):
            learn_taste(ratings, profile=name, model=str(champion))
    with pytest.raises(ConfigError, match="exists already"):
        learn_taste(ratings, profile="anna", model=str(champion), out=here)
    with pytest.raises(NoChampion):
        learn_taste(ratings, profile="anna")
    tiny = tiny_folder(here / "tiny", (0.1, 0, 0))
    with pytest.raises(ModelError, match=r"has no model\.keras"):
        learn_taste(ratings, profile="anna", model=str(tiny))
    (tiny / KERAS).write_bytes((champion / KERAS).read_bytes())
    with pytest.raises(ModelError, match="gives no features"):
        learn_taste(ratings, profile="anna", model=str(tiny))
    with pytest.raises(ConfigError, match="name of a profile"):
        fetch_model("models:/photoqual-journal@champion")
    both = CliRunner().invoke(app, ["rate", "x", "--profile", "anna", "--model", "y"])
    assert isinstance(both.exception, ConfigError)

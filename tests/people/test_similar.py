"""Photos like one photo: the space, the index, and the folder that it is kept in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from photoqual.errors import ConfigError, DataError
from photoqual.models.scorer import Scorer
from photoqual.rating.found import Skipped
from photoqual.rating.similar.command import find_similar, show
from photoqual.rating.similar.index import FEW, Index
from photoqual.rating.similar.space import PROJECTED, Space, nearest
from photoqual.rating.similar.store import State, Store, opened
from photoqual.rating.similar.update import Updated, update
from photoqual.starter.head import Head
from photoqual.starter.model import starter_folder
from tests.conftest import PROJECT, encoded, scene
from tests.long import times
from tests.model.registered import RED, side_folder, tiny_folder
from tests.people.cameras import frame, photographs, save
from tests.people.test_cull_moves import checked


def directions(count: int, dims: int, seed: int = 0) -> np.ndarray:
    """Return unit vectors in clusters."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(40, dims))
    found = centres[draw.integers(0, 40, count)] + draw.normal(size=(count, dims))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_nearest_compares_all() -> None:
    vectors = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    rows, distances = nearest(vectors, np.array([[0.6, 0.8, 0]], np.float32), 3)
    assert rows[0, 0] == 1
    assert set(rows[0, 1:]) == {0, 3}
    assert distances[0] == pytest.approx([0.2, 0.4, 0.4])
    assert nearest(vectors, vectors, 9)[0].shape == (4, 4)
    assert nearest(vectors[:0], vectors, 2)[0].shape == (4, 0)


def test_an_index_finds_what_comparing_all_finds_and_forgets_what_is_removed(tmp_path: Path) -> None:
    vectors, queries = directions(FEW + 1500, 48), directions(100, 48, seed=1)
    index = Index(48)
    index.add(np.arange(len(vectors)) + 7, vectors)
    keys, distances = index.search(queries, 10)
    rows, exact = nearest(vectors, queries, 10)
    found = np.mean([len(set(a - 7) & set(b)) / 10 for a, b in zip(keys.astype(int), rows, strict=True)])
    assert found >= 0.97
    assert np.median(np.abs(distances[:, 0] - exact[:, 0])) < 0.001
    index.save(tmp_path / "kept")
    again = Index.load(tmp_path / "kept", 48)
    assert (again.search(queries, 10)[0] == keys).mean() > 0.99
    again.remove(keys[0])
    assert not set(again.search(queries[:1], 10)[0][0]) & set(keys[0])
    assert len(again) == len(vectors) - 10
    few = Index(48)
    few.add([3], vectors[:1])
    assert few.search(vectors[:2], 5)[0].tolist() == [[3], [3]]
    assert Index(48).search(vectors[:2], 5)[0].shape == (2, 0)
    whole = (tmp_path / "kept").read_bytes()
    (tmp_path / "kept").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="no index"):
        Index.load(tmp_path / "kept", 48)
    (tmp_path / "kept").write_bytes(whole)
    with pytest.raises(DataError, match="dimensions"):
        Index.load(tmp_path / "kept", 47)


def test_features_are_standardised_and_many_are_projected() -> None:
    draw = np.random.default_rng(2)
    features = draw.normal(5, 1, (60, 8)).astype(np.float32)
    raw, centred = Space().place(features), Space(np.full(8, 5, np.float32), np.ones(8, np.float32)).place(features)
    assert np.allclose(np.linalg.norm(centred, axis=1), 1, atol=1e-5)
    assert (raw @ raw.T).min() > 0.8
    assert abs(np.median(centred @ centred.T)) < 0.2
    many = draw.normal(size=(40, 5000)).astype(np.float32)
    placed = Space().place(many)
    assert placed.shape == (40, PROJECTED)
    true = many @ many.T / np.outer(np.linalg.norm(many, axis=1), np.linalg.norm(many, axis=1))
    assert np.abs(placed @ placed.T - true).max() < 5 / np.sqrt(PROJECTED)
    assert not np.isnan(Space().place(np.full((1, 8), np.nan, np.float32))).any()
    assert Space().digest != Space(np.zeros(8, np.float32), np.ones(8, np.float32)).digest


def test_the_starter_tells_what_is_usual_and_a_model_without_features_is_refused(tmp_path: Path) -> None:
    assert Space.of(Scorer.load(starter_folder())).centred
    assert len(Head.load().mean) > PROJECTED
    with pytest.raises(ConfigError, match="no features"):
        Space.of(Scorer.load(tiny_folder(tmp_path / "model", RED)))


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """A folder with photos in it and below, one of which is broken."""
    folder = tmp_path / "gallery"
    (folder / "trip").mkdir(parents=True)
    for at in range(5):
        (folder / ("trip" if at > 2 else "") / f"{at}.png").write_bytes(encoded(scene(at), "PNG"))
    (folder / "broken.jpg").write_bytes(encoded(scene(9))[:500])
    return folder


def updated(home: Path, model: Path, gallery: Path) -> tuple[Updated, dict[str, State]]:
    with opened(home, meaning="m") as store:
        done = update(store, Scorer.load(model), [gallery], model="m", progress=lambda photos: photos)
        return done, store.states()


def test_only_new_and_changed_photos_are_looked_at_and_those_that_are_gone_leave(tmp_path: Path, gallery: Path) -> None:
    model, home = side_folder(tmp_path / "model"), tmp_path / "index"
    done, states = updated(home, model, gallery)
    assert (done.added, done.removed, [skip.reason for skip in done.skipped]) == (5, 0, ["truncated"])
    assert sorted(Path(path).name for path in states) == [f"{at}.png" for at in range(5)]
    (gallery / "0.png").write_bytes(encoded(scene(50), "PNG"))
    (gallery / "new.png").write_bytes(encoded(scene(51), "PNG"))
    (gallery / "1.png").unlink()
    (gallery / "2.png").write_text("broken by now")
    done, states = updated(home, model, gallery)
    assert (done.added, done.removed) == (2, 1)
    assert sorted(Path(path).name for path in states) == ["0.png", "3.png", "4.png", "new.png"]
    gallery.rename(tmp_path / "unplugged")
    done, states = updated(home, model, gallery)
    assert (done.added, done.removed, len(states)) == (0, 0, 4)
    assert [skip.reason for skip in done.skipped] == ["not_found"]


def test_a_kill_at_any_instant_leaves_an_index_that_can_be_used(tmp_path: Path) -> None:
    assert checked("index", tmp_path / "index", tmp_path, times(3, 1)) > 3


def test_an_index_that_is_damaged_is_made_again_and_one_of_another_model_refused(tmp_path: Path) -> None:
    vectors = np.eye(8, dtype=np.float32)

    def fill(store: Store) -> list[str]:
        store.put([(State(f"/{at}", 1, 1), vectors[at]) for at in range(8)])
        keys, _ = store.index(8).search(vectors, 1)
        return [store.paths(row)[int(row[0])] for row in keys]

    with opened(tmp_path, meaning="m") as store:
        assert fill(store) == [f"/{at}" for at in range(8)]
    (graph,) = tmp_path.glob("*.usearch")
    graph.write_bytes(graph.read_bytes()[:100])
    with opened(tmp_path, meaning="m") as store:
        assert len(store.index(8)) == 8
    with pytest.raises(DataError, match="another model"), opened(tmp_path, meaning="other"):
        pass
    (tmp_path / "photos.sqlite").write_text("no database" * 500)
    with pytest.raises(DataError, match="delete the folder"), opened(tmp_path, meaning="m"):
        pass
    (tmp_path / "photos.sqlite").unlink()
    with opened(tmp_path, meaning="m") as store:
        store.put([(State("/only", 1, 1), vectors[0])])
        assert len(store.index(8)) == 1
    assert len(list(tmp_path.glob("*.usearch"))) == 1


def test_two_processes_share_an_index_and_look_at_each_photo_once(tmp_path: Path, gallery: Path) -> None:
    model = side_folder(tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from photoqual.rating.similar.command import find_similar;"
        "print(find_similar(Path(sys.argv[1]), folders=[Path(sys.argv[2])], index=Path(sys.argv[3]),"
        "model=sys.argv[4], k=3)[1].added)"
    )
    command = [sys.executable, "-c", code, gallery / "0.png", gallery, tmp_path / "index", model]
    both = [subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(int(process.communicate(timeout=300)[0]) for process in both) == [0, 5]


def test_similar_finds_other_views_of_the_same_thing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    for name in ("chelsea", "coffee", "Rome, Italy", "flower"):
        photo = photographs()[name].copy()
        photo.thumbnail((280, 280))
        for at in range(2):
            save(frame(photo, 0.06 * at, 0.05 * at, 0.9, 0.9), folder / f"{name}{at}.jpg")
    options = {"index": tmp_path / "index", "model": "starter"}
    found, done = find_similar(folder / "coffee0.jpg", folders=[folder], k=3, **options)  # type: ignore[arg-type]
    assert (Path(found[0].photo).name, len(found), done.added) == ("coffee1.jpg", 3, 8)
    assert found[0].similarity > 0.6 > found[1].similarity
    outside = save(photographs()["chelsea"].resize((280, 190)), tmp_path / "outside.jpg")
    found, done = find_similar(outside, folders=[], k=2, **options)  # type: ignore[arg-type]
    assert {Path(one.photo).name for one in found} == {"chelsea0.jpg", "chelsea1.jpg"}
    assert (done.added, done.removed) == (0, 0)
    done.skipped.append(Skipped("x\x1b[2J", "broken", "It is broken."))
    show(found, done, "json")
    told = capsys.readouterr()
    assert [json.loads(line)["photo"] for line in told.out.splitlines()] == [one.photo for one in found]
    assert "0 taken in, 0 gone, 1 skipped" in told.err
    show(found, done, "table")
    assert "chelsea0.jpg" in capsys.readouterr().out


def test_what_cannot_be_used_is_said(tmp_path: Path, gallery: Path) -> None:
    model, options = str(side_folder(tmp_path / "model")), {"folders": [], "index": tmp_path / "i", "k": 3}
    for photo, folders, message in (
        (tmp_path / "none.jpg", [], "no photo"),
        (gallery / "0.png", [tmp_path / "nowhere"], "not a folder"),
        (gallery / "0.png", [], "no index"),
        (gallery / "broken.jpg", [gallery], "cannot be used"),
    ):
        with pytest.raises((ConfigError, DataError), match=message):
            find_similar(photo, **{**options, "folders": folders, "model": model})  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be kept"):
        find_similar(gallery / "0.png", folders=[gallery], index=tmp_path / "file", model=model, k=1)


def test_without_its_extra_the_command_says_what_to_install(gallery: Path) -> None:
    code = "import sys; sys.modules['usearch'] = None; from photoqual.cli import main; main()"
    command = [sys.executable, "-c", code, "similar", str(gallery / "0.png"), "--model", "starter"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT, env={**os.environ, "COLUMNS": "200"}
    )
    assert done.returncode == 2
    assert "extra `similar`" in done.stderr


def test_only_the_folders_asked_for_answer(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "other")]
    for at, folder in enumerate(folders):
        for number in range(3):
            (folder / f"{number}.png").parent.mkdir(exist_ok=True)
            (folder / f"{number}.png").write_bytes(encoded(scene(10 * at + number), "PNG"))
    options = {"index": tmp_path / "index", "model": str(side_folder(tmp_path / "model")), "k": 5}
    find_similar(folders[0] / "0.png", folders=folders, **options)  # type: ignore[arg-type]
    for folder in folders:
        found, _ = find_similar(folders[0] / "0.png", folders=[folder], **options)  # type: ignore[arg-type]
        assert {Path(one.photo).parent for one in found} == {folder}
    found, _ = find_similar(folders[0] / "0.png", folders=[], **options)  # type: ignore[arg-type]
    assert len(found) == 5

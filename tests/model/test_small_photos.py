"""A model that rates small photos as they are does so wherever it is used: rating, serving, evaluation, watch, taste."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from photoqual.config import GuardrailParams
from photoqual.evaluation.behaviour import observe
from photoqual.evaluation.scoring import score_photos
from photoqual.labels.splits import read_frozen
from photoqual.layout import Layout
from photoqual.models.heads import FEATURES
from photoqual.models.info import read_info, write_info
from photoqual.models.scorer import Scorer, input_of
from photoqual.photos.decode import model_input
from photoqual.photos.shards import read_photos
from photoqual.rating.rater import Rating, rate
from photoqual.registry import register as registering
from photoqual.registry.served_model import PhotoRater
from photoqual.taste.ratings import Rated
from photoqual.taste.seen import look
from tests.model.registered import coloured_project, side_folder, tiny_model

WIDTH, PHOTO = 192, (48, 32)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return coloured_project(tmp_path_factory.mktemp("coloured"), photos=6)


@pytest.fixture(params=[True, False], ids=["enlarged", "as they are"])
def scorer(request: pytest.FixtureRequest, tmp_path: Path) -> Scorer:
    """A model whose score tells the width at which it sees a photo: one per 1,000 px."""
    folder = side_folder(tmp_path / "model")
    info = read_info(folder).model_copy(update={"image_width": WIDTH, "enlarge": request.param})
    write_info(folder, info)
    return Scorer.load(folder)


def test_every_user_of_a_model_shows_it_a_photo_at_one_size(layout: Layout, scorer: Scorer, tmp_path: Path) -> None:
    frozen = read_frozen(layout.frozen_test)
    jpegs = dict(read_photos(layout.photos, frozen))
    paths = [tmp_path / f"{index}.jpg" for index in range(len(jpegs))]
    for path, jpeg in zip(paths, jpegs.values(), strict=True):
        path.write_bytes(jpeg)
    served = PhotoRater()
    served._scorer = scorer
    seen, skipped = look([Rated(path, 1.0) for path in paths], scorer)
    assert seen is not None
    assert not skipped
    inputs = [input_of(jpeg, scorer.info) for jpeg in jpegs.values()]
    opened = [input_of(Image.open(io.BytesIO(jpeg)).convert("RGB"), scorer.info) for jpeg in jpegs.values()]
    told = {
        "rating": [item.score for item in rate(scorer, paths, "it") if isinstance(item, Rating)],
        "serving": served.predict(None, pd.DataFrame({"photo": list(jpegs.values())}))["score"].tolist(),
        "evaluation": score_photos(layout.photos, frozen, scorer).tolist(),
        "guardrails": observe(layout.photos, frozen, [scorer], GuardrailParams(check_photos=2)).models[0].scores,
        "taste": seen.scores,
        "stored": scorer.score(inputs),
        "opened": scorer.score(opened),
    }
    width = WIDTH if scorer.info.enlarge else PHOTO[0]
    for user, scores in told.items():
        assert scores == pytest.approx([width / 1000] * len(jpegs), abs=1e-4), user
    assert {pixels.shape[1] for pixels in seen.samples} == {width}


def test_models_of_one_width_that_see_small_photos_in_their_own_way(layout: Layout, tmp_path: Path) -> None:
    scorers = []
    for enlarge in (True, False):
        folder = side_folder(tmp_path / str(enlarge))
        write_info(folder, read_info(folder).model_copy(update={"image_width": WIDTH, "enlarge": enlarge}))
        scorers.append(Scorer.load(folder))
    frozen = read_frozen(layout.frozen_test)
    found = observe(layout.photos, frozen, scorers, GuardrailParams(check_photos=2)).models
    assert [set(np.round(model.scores, 3)) for model in found] == [{WIDTH / 1000}, {PHOTO[0] / 1000}]


def test_registering_compares_the_two_files_at_the_size_of_the_model(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []

    def noted(folder: Path, photos: list[np.ndarray]) -> float:
        shapes.extend(photo.shape for photo in photos)
        return 0.0

    monkeypatch.setattr("photoqual.models.agreement.disagreement", noted)
    tiny_model(tmp_path / "challenger", (0.05, 0.0, 0.0))
    info = read_info(tmp_path / "challenger").model_copy(update={"image_width": WIDTH, "enlarge": False})
    registering._agreed(layout, read_frozen(layout.frozen_test), info)
    assert set(shapes) == {(PHOTO[1], PHOTO[0], 3)}


def test_a_large_photo_is_seen_alike_either_way(scorer: Scorer) -> None:
    photo = Image.new("RGB", (400, 300))
    assert input_of(photo, scorer.info).shape == model_input(photo, WIDTH).shape
    assert FEATURES in scorer.info.outputs

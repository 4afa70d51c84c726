"""One shot in several files, one photo in several folders, photos of others: through the source, the refresh, the label."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from photoqual.config import FoldersSource, Params, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.labels.rules import label, read_labels
from photoqual.layout import Layout
from photoqual.photos.catalog import read_catalog, usable
from photoqual.photos.duplicates import split_units
from photoqual.sources.folders import Folders
from photoqual.sources.records import Fetched, Record
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.data.camera_files import dng, heic


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def harvest(root: Path, **options: Any) -> tuple[dict[str, Record], Counter[str]]:
    config = FoldersSource(**{"path": "photos", **options})
    events = list(Folders(config, PhotosParams(), root).harvest({}))
    found = [event.record for event in events if isinstance(event, Fetched)]
    assert len({record.source_key for record in found}) == len(found), "a photo came twice"
    return {record.source_key: record for record in found}, Counter(
        event.reason for event in events if not isinstance(event, Fetched)
    )


SHOTS = {
    "good/IMG_1.CR2": "good/IMG_1",
    "good/IMG_1.JPG": "good/IMG_1",
    "good/IMG_1-2.JPG": None,
    "good/IMG_10.JPG": None,
    "good/IMG_1.edit.jpg": None,
    "good/deep/IMG_1.JPG": None,
    "bad/IMG_1.HEIC": None,
    "bad/IMG_2.HEIC": "bad/IMG_2",
    "bad/IMG_2.JPG": "bad/IMG_2",
    "bad/tripA_3.nef": "tripA",
    "bad/tripA_3.jpg": "tripA",
}


def test_files_of_one_name_in_one_folder_are_one_shot(tmp_path: Path) -> None:
    for key in SHOTS:
        put(tmp_path / "photos" / key, b"x")
    for beside in ("good/IMG_1.DOP", "good/IMG_1.xmp", "bad/IMG_2.MOV"):
        put(tmp_path / "photos" / beside, b"x")
    found, passed = harvest(tmp_path, group_pattern="trip.")
    assert {key: record.group for key, record in found.items()} == SHOTS
    assert passed == {"not_an_image_file": 3}


def test_the_group_of_one_file_of_a_shot_is_that_of_all(tmp_path: Path) -> None:
    for key in ("good/IMG_1.CR2", "good/IMG_1.JPG"):
        put(tmp_path / "photos" / key, b"x")
    (tmp_path / "groups.csv").write_text("filename,group\nIMG_1.JPG,harbour\n")
    found, _ = harvest(tmp_path, groups_csv="groups.csv")
    assert {record.group for record in found.values()} == {"harbour"}


def test_all_photos_of_others_are_good_and_keep_apart(tmp_path: Path) -> None:
    for key in ("photos/good/1.jpg", "photos/bad/2.jpg", "photos/lent/bad/3.jpg", "friends/1.jpg", "friends/bad/4.jpg"):
        put(tmp_path / key, b"x")
    put(tmp_path / "secret.jpg", b"x")
    (tmp_path / "friends/link.jpg").symlink_to(tmp_path / "secret.jpg")
    found, passed = harvest(tmp_path, also_good=["friends/", "photos/lent"], group_pattern=r"[34]")
    assert {key: (record.label_hint, record.group) for key, record in found.items()} == {
        "good/1.jpg": ("good", None),
        "bad/2.jpg": ("bad", None),
        "also_good:photos/lent/bad/3.jpg": ("good", "3"),
        "also_good:friends/1.jpg": ("good", None),
        "also_good:friends/bad/4.jpg": ("good", "4"),
    }
    assert passed == {"leaves_folder": 1}


@pytest.mark.parametrize(
    ("also_good", "error", "says"),
    [
        (["missing"], SourceError, "missing is not a folder.*`also_good`"),
        (["friends", "./friends"], ConfigError, "friends twice"),
        (["photos"], ConfigError, "photos twice"),
    ],
)
def test_folders_of_others_that_cannot_be_meant_are_refused(
    tmp_path: Path, also_good: list[str], error: type[Exception], says: str
) -> None:
    put(tmp_path / "photos/good/1.jpg", b"x")
    put(tmp_path / "friends/1.jpg", b"x")
    with pytest.raises(error, match=says):
        harvest(tmp_path, also_good=also_good)


def labelled(tmp_path: Path, params: Params) -> tuple[pd.DataFrame, dict[str, list[Any]], dict[str, Any]]:
    """Return the catalog by key, each photo's labels, and the refresh's summary of source `trips`."""
    layout = Layout(tmp_path / "work")
    summary = refresh(layout, params)["sources"]["trips"]
    label(layout, params)
    labels = read_labels(layout).groupby("photo_id")["good"].agg(list).to_dict()
    return read_catalog(layout.catalog).set_index("source_key"), labels, summary


def test_the_same_photo_in_good_and_bad_counts_as_good_and_once(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    same, other = encoded(scene(1)), encoded(scene(2))
    for key in ("good/1.jpg", "bad/1.jpg", "bad/deep/copy.jpg", "friends/again.jpg"):
        put(tmp_path / "photos" / key, same)
    put(tmp_path / "photos/bad/2.jpg", other)
    os.link(tmp_path / "photos/bad/2.jpg", tmp_path / "photos/bad/2 again.jpg")
    put(tmp_path / "lent/2.jpg", encoded(scene(3)))
    put(tmp_path / "photos/bad/3.jpg", encoded(scene(3)))
    sources = {
        "trips": {
            "kind": "folders",
            "path": str(tmp_path / "photos"),
            "bad": ["bad"],
            "also_good": [str(tmp_path / "lent")],
        }
    }
    params = make_params(sources=sources, **{"labels.rule": "folders"})
    catalog, labels, summary = labelled(tmp_path, params)
    ids = catalog["photo_id"]
    assert ids["good/1.jpg"] == ids["bad/1.jpg"] == ids["bad/deep/copy.jpg"]
    assert labels == {ids["good/1.jpg"]: [1], ids["bad/2.jpg"]: [0], ids["bad/3.jpg"]: [1]}
    assert (summary["new"], summary["same_photo_again"], summary["skipped"]) == (7, 4, {"folder_without_label": 1})
    assert len(usable(catalog.reset_index())) == 3
    assert catalog[["shard", "row"]].drop_duplicates().shape == (3, 2)

    (tmp_path / "photos/good/1.jpg").unlink()
    put(tmp_path / "photos/good/2.jpg", other)
    _, labels, _ = labelled(tmp_path, params)
    assert labels[ids["bad/2.jpg"]] == [1]


def test_near_duplicates_keep_their_own_judgement_and_stay_together(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    """A sharp photo and the same one blurred have one hash; which of them is good is what is to be learned."""
    sharp = scene(5, (320, 240))
    put(tmp_path / "photos/good/1.jpg", encoded(sharp, quality=95))
    put(tmp_path / "photos/bad/1 saved again.jpg", encoded(sharp.resize((300, 225)), quality=60))
    put(tmp_path / "photos/bad/2.jpg", encoded(scene(6, (320, 240))))
    sources = {"trips": {"kind": "folders", "path": str(tmp_path / "photos")}}
    catalog, labels, _ = labelled(tmp_path, make_params(sources=sources, **{"labels.rule": "folders"}))
    assert {key: labels[photo] for key, photo in catalog["photo_id"].items()} == {
        "good/1.jpg": [1],
        "bad/1 saved again.jpg": [0],
        "bad/2.jpg": [0],
    }
    units = dict(zip(catalog.index, split_units(catalog.reset_index()), strict=True))
    assert units["good/1.jpg"] == units["bad/1 saved again.jpg"] != units["bad/2.jpg"]


def test_raw_heic_and_jpeg_of_a_shot_come_in_as_one_unit(tmp_path: Path, make_params: Callable[..., Params]) -> None:
    image = scene(7, (160, 120))
    put(tmp_path / "photos/good/IMG_1.DNG", dng(image))
    put(tmp_path / "photos/good/IMG_1.JPG", encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    put(tmp_path / "photos/bad/IMG_2.HEIC", heic(scene(8, (160, 120))))
    put(tmp_path / "photos/bad/IMG_3.NEF", b"no RAW file")
    sources = {"trips": {"kind": "folders", "path": str(tmp_path / "photos")}}
    catalog, _, summary = labelled(tmp_path, make_params(sources=sources, **{"labels.rule": "folders"}))
    assert (summary["new"], summary["quarantined"]) == (3, {"not_an_image": 1})
    assert catalog["status"].to_dict() == {
        "bad/IMG_2.HEIC": "ok",
        "bad/IMG_3.NEF": "not_an_image",
        "good/IMG_1.DNG": "ok",
        "good/IMG_1.JPG": "ok",
    }
    usable_rows = usable(catalog.reset_index())
    assert usable_rows[["original_width", "original_height"]].drop_duplicates().to_numpy().tolist() == [[160, 120]]
    units = dict(zip(usable_rows["source_key"], split_units(usable_rows), strict=True))
    assert units["good/IMG_1.DNG"] == units["good/IMG_1.JPG"] != units["bad/IMG_2.HEIC"]

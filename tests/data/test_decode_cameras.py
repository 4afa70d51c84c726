"""HEIC and camera RAW: decoded where their decoders are installed, told from TIFF and AVIF, refused by name where not."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoqual.config import FoldersSource, Params, PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.layout import Layout
from photoqual.photos import formats, raw
from photoqual.photos.catalog import read_catalog, write_catalog
from photoqual.photos.decode import open_photo, taken_at, working_copy
from photoqual.sources.folders import Folders
from photoqual.sources.records import Fetched, Skipped
from photoqual.sources.refresh import refresh
from tests.conftest import encoded, scene
from tests.data.camera_files import dng, heic

LIMITS = PhotosParams(max_side=64, max_megapixels=1.0, max_megabytes=2.0)
RED, BLUE, GREEN = (200, 30, 40), (20, 40, 190), (40, 160, 60)


def halves(size: tuple[int, int] = (96, 64), left: tuple[int, int, int] = RED) -> Image.Image:
    """Return a picture of two colours, side by side."""
    image = Image.new("RGB", size, left)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return image


def colours(image: Image.Image) -> np.ndarray:
    """Return the colours near the four corners: top left, top right, bottom left, bottom right."""
    pixels = np.asarray(image, dtype=float)
    high, wide = pixels.shape[0] // 5, pixels.shape[1] // 5
    return np.stack([pixels[y, x] for y in (high, -high) for x in (wide, -wide)])


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """Return what a camera stores so that a viewer that obeys `orientation` shows `upright`."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    return upright.transpose(Image.Transpose(back[orientation])) if orientation in back else upright


@pytest.fixture
def without_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither package is there, as far as the check tells."""
    monkeypatch.setattr(formats, "_installed", lambda package: False)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "make",
    [
        lambda image, orientation: dng(image, orientation=orientation),
        lambda image, orientation: dng(image, orientation=orientation, preview=encoded(image, quality=95)),
        lambda image, orientation: heic(image, quality=95, exif=with_orientation(orientation)),
        lambda image, orientation: encoded(image, quality=95, exif=with_orientation(orientation)),
        lambda image, orientation: encoded(image, "TIFF", exif=with_orientation(orientation)),
    ],
    ids=["sensor", "preview", "HEIC", "JPEG", "TIFF"],
)
def test_every_orientation_comes_out_upright(make: Callable[[Image.Image, int], bytes], orientation: int) -> None:
    upright = halves()
    upright.paste(GREEN, (0, 40, 30, 64))
    image, size = open_photo(make(stored(upright, orientation), orientation), LIMITS)
    assert (image.mode, image.size, size) == ("RGB", (64, 43), (96, 64))
    assert np.abs(colours(image) - [RED, BLUE, GREEN, BLUE]).max() < 45


def with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize(
    ("preview", "expected"),
    [
        (encoded(halves((96, 64), GREEN), quality=95), GREEN),
        (encoded(halves((64, 43), GREEN), quality=95), GREEN),
        (encoded(halves((48, 32), GREEN), quality=95), RED),
        (encoded(halves((96, 96), GREEN), quality=95), RED),
        (encoded(halves((96, 64), GREEN), quality=95)[:500], RED),
        (b"\xff\xd8" + encoded(halves(), quality=95)[2:60] + bytes(900), RED),
    ],
    ids=["whole", "large enough", "too small", "other shape", "truncated", "broken"],
)
def test_the_cameras_preview_is_taken_where_it_is_large_enough_and_whole(
    preview: bytes, expected: tuple[int, int, int]
) -> None:
    image, size = open_photo(dng(halves(), preview=preview), LIMITS)
    assert (image.size, size) == ((64, 43), (96, 64))
    assert np.abs(colours(image)[0] - expected).max() < 40


@pytest.mark.parametrize(("size", "expected"), [((400, 300), (64, 48)), ((300, 400), (48, 64)), ((40, 30), (40, 30))])
def test_sensor_data_is_developed_at_half_size_where_that_suffices(
    size: tuple[int, int], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, int]] = []
    develop = raw.develop

    def watched(opened: raw.Raw, max_side: int) -> Image.Image:
        made.append(develop(opened, max_side).size)
        return develop(opened, max_side)

    monkeypatch.setattr(raw, "develop", watched)
    copy = working_copy(dng(halves(size)), LIMITS)
    assert (copy.width, copy.height, copy.original_width, copy.original_height) == (*expected, *size)
    assert made == [(size[0] // 2, size[1] // 2) if max(size) > 128 else size]


def test_exposure_stays_as_it_was_shot() -> None:
    bright, dark = (
        colours(open_photo(dng(Image.new("RGB", (96, 64), (level,) * 3)), LIMITS)[0])[0] for level in (180, 60)
    )
    assert np.abs(bright - 180).max() < 3
    assert np.abs(dark - 60).max() < 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (dng(halves(), claims=(40_000, 30_000)), "too_many_pixels"),
        (dng(halves(), claims=(1200, 900)), "too_many_pixels"),
        (dng(halves(), claims=(900, 900)), "broken"),
        (dng(halves(), claims=(0, 64)), None),
        (dng(halves())[:4000], None),
        (b"FUJIFILMCCD-RAW " + bytes(500), None),
        (b"IIRO" + bytes(500), None),
        (heic(halves((1200, 900))), "too_many_pixels"),
        (heic(scene(1, (300, 200)))[:900], None),
        (b"\0\0\0\x18ftypheic" + bytes(500), None),
    ],
)
def test_what_claims_too_much_or_is_broken_has_its_reason(data: bytes, reason: str | None) -> None:
    with pytest.raises(UnreadablePhoto) as problem:
        open_photo(data, LIMITS)
    assert problem.value.reason in ({reason} if reason else {"broken", "truncated", "not_an_image"})


def test_a_heic_that_claims_a_small_size_takes_no_more_memory_than_that_of_a_large_one() -> None:
    data = heic(scene(1, (1200, 900)))
    place = data.index(b"ispe") + 8
    assert struct.unpack(">II", data[place : place + 8]) >= (1200, 900)
    small = data[:place] + struct.pack(">II", 64, 48) + data[place + 8 :]
    with pytest.raises(UnreadablePhoto):
        open_photo(small, LIMITS)


@pytest.mark.parametrize(
    ("data", "decoder"),
    [
        (dng(halves()), "raw"),
        (encoded(halves(), "TIFF"), None),
        (encoded(halves(), "TIFF", compression="tiff_lzw"), None),
        (encoded(halves(), "TIFF", compression="jpeg"), None),
        (encoded(halves(), "AVIF"), None),
        (encoded(halves()), None),
        (heic(halves()), "heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", None),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "heic"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "raw"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(90), "raw"),
        (b"II*\0\x08\0\0\0\x01\0\x4a\x01\x04\0\xff\xff\xff\xff\x08\0\0\0\x08\0\0\0", None),
        (b"MM\0*\0\0\0\x08\xff\xff" + bytes(9), None),
        (b"II*\0", None),
        (b"", None),
    ],
)
def test_what_a_photo_needs_is_told_from_its_first_bytes(data: bytes, decoder: str | None) -> None:
    assert formats.decoder_for(data) == decoder


@pytest.mark.parametrize("make", [dng, heic])
def test_when_it_was_taken_is_read(make: Callable[..., bytes]) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:05:07 08:09:10"
    data = dng(halves(), taken="2024:05:07 08:09:10") if make is dng else heic(halves(), exif=exif.tobytes())
    assert taken_at(data) == datetime(2024, 5, 7, 8, 9, 10, tzinfo=UTC)
    assert taken_at(make(halves())) is None
    assert taken_at(data[:40]) is None


@pytest.mark.usefixtures("without_decoders")
@pytest.mark.parametrize(
    ("data", "reason"), [(dng(halves()), "raw_decoder_missing"), (heic(halves()), "heic_decoder_missing")]
)
def test_without_its_decoder_a_photo_is_refused_with_what_to_install(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePhoto, match=r"photoqual\[raw\]") as problem:
        open_photo(data, LIMITS)
    assert problem.value.reason == reason


def test_files_whose_decoder_is_missing_are_passed_over_until_it_is_there(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "good").mkdir()
    for name, data in (("1.DNG", dng(halves())), ("2.heic", heic(halves())), ("3.jpg", encoded(halves()))):
        (tmp_path / "good" / name).write_bytes(data)
    source = Folders(FoldersSource(path=str(tmp_path)), LIMITS, tmp_path)
    assert [event.record.source_key for event in source.harvest({}) if isinstance(event, Fetched)] == [
        "good/1.DNG",
        "good/2.heic",
        "good/3.jpg",
    ]
    request.getfixturevalue("without_decoders")
    events = list(source.harvest({}))
    assert {event.reason: "photoqual[raw]" in event.where for event in events if isinstance(event, Skipped)} == {
        "raw_decoder_missing": True,
        "heic_decoder_missing": True,
    }
    assert [event.record.source_key for event in events if isinstance(event, Fetched)] == ["good/3.jpg"]


def test_a_photo_that_was_refused_for_want_of_a_decoder_comes_in_once_it_is_installed(
    tmp_path: Path, make_params: Callable[..., Params]
) -> None:
    (tmp_path / "photos/good").mkdir(parents=True)
    for number, data in enumerate((heic(halves()), encoded(halves()), b"no photo")):
        (tmp_path / f"photos/good/{number}.jpg").write_bytes(data)  # phones name HEIC so as well
    layout = Layout(tmp_path / "work")
    params = make_params(sources={"trips": {"kind": "folders", "path": str(tmp_path / "photos")}})
    refresh(layout, params)
    catalog = read_catalog(layout.catalog)
    assert catalog["status"].tolist() == ["ok", "ok", "not_an_image"]
    catalog.loc[0, ["status", "shard", "row", "phash"]] = ["heic_decoder_missing", None, None, None]
    write_catalog(layout.catalog, catalog)
    refresh(layout, params)
    assert read_catalog(layout.catalog)["status"].tolist() == ["ok", "ok", "not_an_image"]

"""What a photo says of itself: how it was held, its colours, broken metadata, and what decoding leaves behind."""

import struct
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from photoqual.config import PhotosParams
from photoqual.photos.decode import open_photo, taken_at, working_copy
from tests.conftest import encoded, scene

PARAMS = PhotosParams(max_side=64)
SIZE = (48, 32)
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
CORNERS = Image.new("RGB", SIZE, BLACK)
CORNERS.paste(RED, (0, 0, 24, 16))
CORNERS.paste(GREEN, (24, 0, 48, 16))
CORNERS.paste(BLUE, (0, 16, 24, 32))
AS_HELD = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera that is held in this orientation makes of an upright picture."""


def held(orientation: int, kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = CORNERS.transpose(AS_HELD[orientation]) if orientation in AS_HELD else CORNERS
    return encoded(stored, kind, exif=exif, **({"quality": 95, "subsampling": 0} if kind == "JPEG" else {}))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_photo_of_any_format_is_shown_upright_and_its_size_told_so(orientation: int, kind: str) -> None:
    image, original = open_photo(held(orientation, kind), PARAMS)
    assert image.size == SIZE
    assert original == SIZE
    found = np.asarray(image)[[8, 8, 24, 24], [12, 36, 12, 36]].astype(int)
    assert np.abs(found - [RED, GREEN, BLUE, BLACK]).max() < 40


def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped() -> bytes:
    """A profile whose red is what sRGB calls green, and the other way round."""
    return srgb().replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("profile", "shown"), [(srgb(), RED), (swapped(), GREEN)], ids=["sRGB", "swapped"])
def test_colours_are_those_of_the_embedded_profile(profile: bytes, shown: tuple[int, int, int], kind: str) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(kind, {})
    image, _ = open_photo(encoded(Image.new("RGB", SIZE, RED), kind, icc_profile=profile, **options), PARAMS)
    assert np.abs(np.asarray(image).astype(int) - shown).max() <= 4


@pytest.mark.parametrize(
    "exif",
    [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\xff\xff\xff\xff" * 9],
    ids=["empty", "garbage", "points nowhere", "more than there is"],
)
def test_a_photo_with_broken_metadata_is_still_a_photo(exif: bytes) -> None:
    data, payload = encoded(CORNERS), b"Exif\0\0" + exif
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    assert working_copy(data, PARAMS).width == SIZE[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert taken_at(data) is None


def test_decoding_in_threads_leaves_the_warnings_of_the_program_as_they_were() -> None:
    before, data = list(warnings.filters), encoded(scene(1))
    with ThreadPoolExecutor(8) as pool:
        sizes = set(pool.map(lambda _: working_copy(data, PARAMS).width, range(300)))
    assert sizes == {64}
    assert warnings.filters == before

"""Decoding untrusted images: every kind of photo comes out upright, sRGB and alike, every broken one has its reason."""

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageCms, JpegImagePlugin

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.photos.decode import model_size, open_photo, stored_input, taken_at, working_copy
from photoqual.photos.duplicates import near_duplicates, split_units
from photoqual.photos.fingerprints import perceptual_hash, photo_id
from tests.conftest import encoded, scene

LIMITS = PhotosParams(max_side=64, max_megapixels=1.0, max_megabytes=0.2)
RED, BLUE, WHITE = (200, 30, 40), (20, 40, 190), (255, 255, 255)
SIZE = (48, 32)


def halves(left: tuple[int, ...] = RED, right: tuple[int, ...] = BLUE, mode: str = "RGB") -> Image.Image:
    """Return a picture of two colours, side by side."""
    image = Image.new(mode, SIZE, left)
    image.paste(right, (SIZE[0] // 2, 0, *SIZE))
    return image


def colours(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours in the middle of the left and of the right half."""
    pixels = np.asarray(image.convert("RGB"), dtype=float)
    high, wide = pixels.shape[:2]
    return pixels[high // 2, wide // 4], pixels[high // 2, wide * 3 // 4]


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose head claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(halves(), quality=95, exif=exif)


def palette() -> bytes:
    image = halves().quantize(4)
    clear = int(np.asarray(image)[0, -1])
    return encoded(image, "PNG", transparency=clear)


def sixteen_bits() -> bytes:
    pixels = np.full(SIZE[::-1], 65535 // 4, dtype=np.uint16)
    pixels[:, SIZE[0] // 2 :] = 65535
    return encoded(Image.fromarray(pixels), "PNG")


def floats() -> bytes:
    pixels = np.full(SIZE[::-1], 0.25, dtype=np.float32)
    pixels[:, SIZE[0] // 2 :] = np.nan
    return encoded(Image.fromarray(pixels), "TIFF")


def animated(kind: str) -> bytes:
    return encoded(halves(), kind, save_all=True, append_images=[halves(WHITE, WHITE)], duration=50)


def cmyk() -> bytes:
    return encoded(halves((0, 255, 255, 0), (255, 255, 0, 0), "CMYK"), quality=95)


def two_tones(mode: str, dark: Any, bright: Any, **options: Any) -> bytes:
    image = Image.new(mode, SIZE, dark)
    image.paste(bright, (SIZE[0] // 2, 0, *SIZE))
    return encoded(image, "PNG", **options)


@pytest.mark.parametrize(
    ("data", "left", "right", "tolerance"),
    [
        (encoded(halves(), quality=95), RED, BLUE, 6),
        (encoded(halves(), "PNG"), RED, BLUE, 0),
        (encoded(halves(), "WEBP", lossless=True), RED, BLUE, 0),
        (encoded(halves(), "BMP"), RED, BLUE, 0),
        (encoded(halves(), "TIFF"), RED, BLUE, 0),
        (encoded(halves(), "AVIF", quality=95), RED, BLUE, 12),
        (cmyk(), (255, 0, 0), (0, 0, 255), 12),
        (sixteen_bits(), (64, 64, 64), WHITE, 1),
        (floats(), (64, 64, 64), (0, 0, 0), 1),
        (palette(), RED, WHITE, 2),
        (encoded(halves((*RED, 255), (*BLUE, 0), "RGBA"), "PNG"), RED, WHITE, 0),
        (encoded(halves((*RED, 255), (*BLUE, 128), "RGBA"), "PNG"), RED, (137, 147, 222), 2),
        (two_tones("LA", (40, 255), (40, 0)), (40, 40, 40), WHITE, 0),
        (two_tones("L", 40, 200), (40, 40, 40), (200, 200, 200), 0),
        (two_tones("RGB", RED, BLUE, transparency=BLUE), RED, WHITE, 0),
        (two_tones("1", 0, 1), (0, 0, 0), WHITE, 0),
        (animated("GIF"), RED, BLUE, 6),
        (animated("PNG"), RED, BLUE, 0),
        (animated("WEBP"), RED, BLUE, 40),
    ],
    ids=lambda value: None if isinstance(value, bytes | tuple | int) else str(value),
)
def test_every_kind_of_image_shows_its_colours(
    data: bytes, left: tuple[int, ...], right: tuple[int, ...], tolerance: int
) -> None:
    image, original = open_photo(data, LIMITS)
    assert (image.mode, image.size, original) == ("RGB", SIZE, SIZE)
    for found, expected in zip(colours(image), (left, right), strict=True):
        assert np.abs(found - expected).max() <= tolerance


@pytest.mark.parametrize(
    ("orientation", "size", "left_is_red"),
    [(1, (48, 32), True), (2, (48, 32), False), (3, (48, 32), False), (4, (48, 32), True)],
)
def test_a_photo_is_turned_as_its_exif_says(orientation: int, size: tuple[int, int], left_is_red: bool) -> None:
    image, original = open_photo(oriented(orientation), LIMITS)
    assert (image.size, original) == (size, size)
    left, right = colours(image)
    assert (left[0] > left[2], right[0] > right[2]) == (left_is_red, not left_is_red)


@pytest.mark.parametrize(("orientation", "top_is_red"), [(5, True), (6, True), (7, False), (8, False)])
def test_a_photo_on_its_side_is_set_upright(orientation: int, top_is_red: bool) -> None:
    image, original = open_photo(oriented(orientation), LIMITS)
    assert (image.size, original) == ((32, 48), (32, 48))
    pixels = np.asarray(image, dtype=float)
    assert (pixels[8, 16, 0] > pixels[8, 16, 2], pixels[40, 16, 0] > pixels[40, 16, 2]) == (top_is_red, not top_is_red)


def test_a_profile_that_cannot_be_used_is_taken_as_srgb() -> None:
    plain = open_photo(encoded(halves(), "PNG"), LIMITS)[0]
    for unusable in (profile("LAB"), b"no profile"):
        assert open_photo(encoded(halves(), "PNG", icc_profile=unusable), LIMITS)[0].tobytes() == plain.tobytes()
    left, _ = colours(open_photo(encoded(halves(), "PNG", icc_profile=profile("sRGB")), LIMITS)[0])
    assert np.abs(left - RED).max() <= 2


def profile(space: Literal["LAB", "sRGB"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


def cut(kind: str, keep: float = 0.6) -> bytes:
    data = encoded(scene(3, (200, 150)), kind)
    return data[: int(len(data) * keep)]


@pytest.mark.parametrize(
    ("data", "reasons"),
    [
        (b"", {"empty"}),
        (b"<html>not found</html>", {"not_an_image"}),
        (b"\xff\xd8\xff\xe0", {"not_an_image"}),
        (b"%PDF-1.7 and more", {"not_an_image"}),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"not_an_image"}),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {"not_an_image"}),
        (bytes(300_000), {"too_many_bytes"}),
        (png_claiming(1200, 1200), {"too_many_pixels"}),
        (png_claiming(60_000, 60_000), {"too_many_pixels"}),
        (encoded(Image.new("L", (1100, 1000)), "PNG"), {"too_many_pixels"}),
        (cut("JPEG"), {"truncated"}),
        (cut("PNG"), {"truncated", "broken"}),
        (cut("WEBP"), {"truncated", "broken", "not_an_image"}),
        (cut("TIFF"), {"truncated", "broken"}),
        (cut("GIF"), {"truncated", "broken"}),
        (png_claiming(30, 30), {"truncated", "broken"}),
    ],
)
def test_an_unreadable_photo_has_its_reason(data: bytes, reasons: set[str]) -> None:
    for use in (open_photo, working_copy):
        with pytest.raises(UnreadablePhoto) as problem:
            use(data, LIMITS)
        assert problem.value.reason in reasons
        assert problem.value.message


def test_noise_in_the_middle_of_an_image_is_never_more_than_an_unreadable_photo() -> None:
    random = np.random.default_rng(5)
    outcomes = set()
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = np.frombuffer(encoded(scene(1), kind), dtype=np.uint8)
        for _ in range(40):
            data = whole.copy()
            data[random.integers(0, len(data), 12)] = random.integers(0, 256, 12)
            try:
                outcomes.add("ok" if working_copy(data.tobytes(), LIMITS).width else "no width")
            except UnreadablePhoto as problem:
                outcomes.add(problem.reason)
    assert "ok" in outcomes
    assert outcomes <= {"ok", "not_an_image", "too_many_pixels", "truncated", "broken"}


@pytest.mark.parametrize(
    ("size", "expected"),
    [((640, 320), (64, 32)), ((300, 600), (32, 64)), ((64, 64), (64, 64)), ((40, 20), (40, 20)), ((900, 3), (64, 1))],
)
def test_a_working_copy_is_a_jpeg_no_larger_than_wanted_and_never_blown_up(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    for kind in ("JPEG", "PNG"):
        copy = working_copy(encoded(scene(2, size), kind), LIMITS)
        assert (copy.width, copy.height) == expected
        assert (copy.original_width, copy.original_height) == size
        with Image.open(io.BytesIO(copy.jpeg)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", expected)


def tables(jpeg: bytes) -> object:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        return image.quantization, image.layer, sorted(image.info)


@pytest.mark.parametrize(
    "data",
    [
        encoded(scene(4), quality=30, comment=b"rated good"),
        encoded(scene(4), quality=100, subsampling=0, progressive=True),
        encoded(scene(4), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", dpi=(300, 300), xmp=b"<x/>"),
        encoded(scene(4), "PNG", icc_profile=profile("sRGB")),
        encoded(scene(4), "GIF", comment=b"rated bad"),
    ],
    ids=["comment", "progressive", "exif", "profile", "GIF comment"],
)
def test_compression_and_metadata_of_the_original_leave_no_trace(data: bytes) -> None:
    plain = working_copy(encoded(scene(4), "PNG"), LIMITS)
    copy = working_copy(data, LIMITS)
    assert tables(copy.jpeg) == tables(plain.jpeg)
    assert b"rated" not in copy.jpeg


def test_the_same_bytes_give_the_same_working_copy_and_id() -> None:
    data = encoded(scene(6, (300, 200)))
    assert working_copy(data, LIMITS) == working_copy(data, LIMITS)
    assert photo_id(data) == hashlib.sha256(data).hexdigest()
    assert photo_id(data) != photo_id(data + b"\0")


@pytest.mark.parametrize(
    ("date", "zone", "expected"),
    [
        ("2024:05:07 08:09:10", None, datetime(2024, 5, 7, 8, 9, 10, tzinfo=UTC)),
        ("2024:05:07 08:09:10", "+02:00", datetime(2024, 5, 7, 6, 9, 10, tzinfo=UTC)),
        ("0000:00:00 00:00:00", None, None),
        ("yesterday", None, None),
        ("2024:05:07 08:09:10", "+99:99", None),
    ],
)
def test_when_a_photo_was_taken_is_read_from_its_exif(date: str, zone: str | None, expected: datetime | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = date
    if zone:
        exif.get_ifd(0x8769)[0x9011] = zone
    assert taken_at(encoded(scene(1), exif=exif)) == expected


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 427), (96, 64)), ((100, 400), (32, 96)), ((50, 50), (96, 96)), ((4000, 10), (96, 32))]
)
def test_a_model_sees_a_photo_at_its_own_shape_in_steps(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert model_size(*size, 96) == expected
    pixels = stored_input(encoded(scene(1, size)), 96)
    assert (pixels.shape, pixels.dtype) == ((expected[1], expected[0], 3), np.uint8)


def test_the_hash_survives_another_size_and_compression_and_knows_other_photos_apart() -> None:
    one, smaller = scene(8, (480, 320)), scene(8, (480, 320)).resize((300, 200))
    variants: list[Callable[[], Image.Image]] = [
        lambda: one,
        lambda: Image.open(io.BytesIO(encoded(smaller, quality=60))),
        lambda: scene(9, (480, 320)),
        lambda: Image.new("RGB", (90, 60)),
        lambda: Image.new("RGB", (60, 90)),
    ]
    hashes = pd.Series([perceptual_hash(make()) for make in variants])
    assert list(hashes[3:]) == ["", ""]
    units = near_duplicates(hashes)
    assert units[0] == units[1]
    assert len(set(units)) == 4
    photos = pd.DataFrame({"photo_id": list("abcde"), "group": ["x", "y", "x", "z", "z"], "phash": hashes})
    assert [int(unit) for unit in split_units(photos)] == [0, 0, 0, 1, 1]

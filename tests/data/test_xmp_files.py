"""Metadata in files of every format, found without decoding, and in files that lie about their structure."""

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from photoqual.photos.containers import (
    JPEG_XMP,
    MAX_PACKET_BYTES,
    PNG_XMP,
    Metadata,
    find_metadata,
    picture_digest,
)
from photoqual.photos.exif import Exif, parse_date, read_exif
from photoqual.photos.xmp import read_packet
from tests.conftest import encoded, scene
from tests.data.xmp_photos import MAKE, MODEL, ORIENTATION, PERCENT, RATING, exif, photo, rated, segment, with_segments
from tests.long import times

KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"]
ZONE = timezone(timedelta(hours=2))


def found(data: bytes) -> Metadata:
    return find_metadata(io.BytesIO(data))


def ratings(data: bytes) -> list[float | None]:
    return [read_packet(packet).rating for packet in found(data).packets]


def facts(data: bytes) -> Exif:
    block = found(data).exif
    return read_exif(block) if block else Exif()


@pytest.mark.parametrize("kind", KINDS)
def test_rating_time_and_camera_are_found_in_every_format(kind: str) -> None:
    told = exif(
        {MAKE: "Canon", MODEL: "Canon EOS 5D", RATING: 2, PERCENT: 25},
        taken="2024:05:01 10:11:12",
        zone="+02:00",
        fraction="25",
    )
    data = photo(kind, rated(4), told)
    assert ratings(data) == [4.0]
    assert facts(data) == Exif(datetime(2024, 5, 1, 10, 11, 12, 250000, ZONE), "Canon EOS 5D", 2, 25, 1)


@pytest.mark.parametrize("kind", [*KINDS, "GIF", "BMP"])
def test_a_photo_without_metadata_tells_nothing(kind: str) -> None:
    data = photo(kind)
    assert (ratings(data), facts(data), found(data).too_large) == ([], Exif(), False)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_raw_file_is_read_as_the_tiff_that_it_is(order: str) -> None:
    packet = rated(3).encode()
    for start in (b"II*\0" if order == "<" else b"MM\0*", *([b"IIRO", b"IIU\0"] if order == "<" else [])):
        directory = struct.pack(order + "HHHII", 1, 700, 1, len(packet), 100)
        data = (start + struct.pack(order + "I", 8) + directory).ljust(100, b"\0") + packet
        assert ratings(data) == [3.0]


def test_packets_of_a_png_may_be_compressed_and_follow_the_picture() -> None:
    png = encoded(scene(1), "PNG")
    text = PNG_XMP + b"\1\0\0\0" + zlib.compress(rated(5).encode())
    assert ratings(png[:-12] + chunk(text) + png[-12:]) == [5.0]


def chunk(body: bytes, kind: bytes = b"iTXt") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_two_packets_and_extended_ones() -> None:
    two = with_segments(photo(), *(segment(JPEG_XMP + rated(stars).encode()) for stars in (2, 4)))
    assert ratings(two) == [2.0, 4.0]
    extension = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + struct.pack(">II", 9, 0) + b"<a/>"
    assert ratings(with_segments(photo(xmp=rated(4)), segment(extension), b"\xff\xff\xff" + segment(b"x", 0xFE))) == [
        4.0
    ]


@pytest.mark.parametrize(
    ("text", "zone", "fraction", "expected"),
    [
        ("2024:05:01 10:11:12", "", "", datetime(2024, 5, 1, 10, 11, 12)),
        ("2024:05:01 10:11:12", "+02:00", "5", datetime(2024, 5, 1, 10, 11, 12, 500000, ZONE)),
        ("2024-05-01T10:11:12Z", "", "", datetime(2024, 5, 1, 10, 11, 12, tzinfo=UTC)),
        ("2024-05-01T10:11", "", "", datetime(2024, 5, 1, 10, 11)),
        ("2024-05-01T10:11:12.1234567+0200", "", "", datetime(2024, 5, 1, 10, 11, 12, 123456, ZONE)),
        ("2024:05:01 10:11:12", "+99:00", "nine", datetime(2024, 5, 1, 10, 11, 12)),
        ("0000:00:00 00:00:00", "", "", None),
        ("2024:02:30 10:11:12", "", "", None),
        ("2024:05:01 24:00:00", "", "", None),
        ("0001:01:01 00:00:00", "+14:00", "", None),
        ("    :  :     :  :  ", "", "", None),
        ("yesterday", "", "", None),
        ("", "", "", None),
    ],
)
def test_dates_of_cameras_and_editors(text: str, zone: str, fraction: str, expected: datetime | None) -> None:
    assert parse_date(text, zone, fraction) == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_digest_follows_the_picture_and_not_its_metadata(kind: str) -> None:
    told = exif({MODEL: "X"}, taken="2024:05:01 10:11:12")
    same = [photo(kind), photo(kind, rated(4)), photo(kind, rated(2), told), photo(kind, "broken" * 500)]
    assert len({picture_digest(data, 1) for data in same}) == 1
    assert picture_digest(photo(kind, seed=2), 1) != picture_digest(photo(kind), 1)
    assert picture_digest(photo(kind), 6) != picture_digest(photo(kind), 1)
    assert picture_digest(photo(kind)[:-20], 1) != picture_digest(photo(kind), 1)


def test_other_formats_have_no_digest() -> None:
    assert [picture_digest(photo(kind, rated(4)), 1) for kind in ("TIFF", "AVIF", "GIF")] == [None] * 3


def large_tag() -> bytes:
    """Return a TIFF whose directory has 60,000 tags, all with one and the same megabytes as their value."""
    entries = [struct.pack("<HHII", 1 + number, 7, 40_000_000, 100) for number in range(60_000)]
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + b"x" * 40_000_000


def bomb() -> bytes:
    png = encoded(scene(1), "PNG")
    return png[:-12] + chunk(PNG_XMP + b"\1\0\0\0" + zlib.compress(b" " * 100_000_000)) + png[-12:]


def webp_of(size: int) -> bytes:
    return b"RIFF\0\0\0\0WEBPXMP " + struct.pack("<I", size) + b" " * size


HOSTILE: dict[str, tuple[Callable[[], bytes], bool]] = {
    "a packet of 100 MB": (lambda: webp_of(100_000_000), True),
    "a compressed packet of 100 MB": (bomb, True),
    "one large value for many tags": (large_tag, True),
    "a claim of 4 GB": (lambda: b"RIFF\0\0\0\0WEBPXMP \xff\xff\xff\xff <x/>", True),
    "a million empty segments": (lambda: b"\xff\xd8" + b"\xff\xe1\0\2" * 1_000_000, False),
    "ten million bytes of filling": (lambda: b"\xff\xd8" + b"\xff" * 10_000_000, False),
    "a million empty chunks": (lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"", b"tEXt") * 1_000_000, False),
    "a box that never ends": (lambda: b"\0\0\0\1ftypheic" + b"\0" * 100, False),
    "a box of no size": (lambda: b"\0\0\0\x10ftypheic\0\0\0\0" + b"\0\0\0\7meta" * 1000, False),
    "a directory in itself": (lambda: b"II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0", False),
    "a directory outside": (lambda: b"MM\0*\xff\xff\xff\xff", False),
    "a segment of no length": (lambda: b"\xff\xd8\xff\xe1\0\0", False),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_little_and_tells_nothing(name: str) -> None:
    make, too_large = HOSTILE[name]
    data = io.BytesIO(make())
    tracemalloc.start()
    start = time.process_time()
    try:
        metadata = find_metadata(data)
        told = read_exif(metadata.exif) if metadata.exif else Exif()
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_PACKET_BYTES
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20
    assert (told, metadata.too_large) == (Exif(), too_large)
    assert all(read_packet(packet).rating is None for packet in metadata.packets)


def test_mutated_files_never_break_the_reader() -> None:
    draw = np.random.default_rng(5)
    told = exif({MAKE: "Canon", ORIENTATION: 1}, taken="2024:05:01 10:11:12")
    originals = [photo(kind, rated(4), told) for kind in KINDS]
    survived = 0
    for turn in range(times(600, 30_000)):
        data = bytearray(originals[turn % len(originals)])
        for place in draw.integers(0, min(len(data), 1500), int(draw.integers(1, 12))):
            data[place] = draw.integers(0, 256)
        mutated = bytes(data[: int(draw.integers(1, len(data)))] if turn % 3 == 0 else data)
        given: list[Any] = [read_packet(packet) for packet in found(mutated).packets]
        given += [facts(mutated), picture_digest(mutated, 1)]
        survived += 1
    assert survived == times(600, 30_000)

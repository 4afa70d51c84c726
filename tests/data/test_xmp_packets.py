"""XMP packets: every way to state a rating, and hostile ones, which tell nothing and cost little."""

import tracemalloc
from datetime import datetime

import pytest

from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.photos.xmp import BROKEN, NOT_UNDERSTOOD, TOO_LARGE, Xmp, read_packet, stars_of_percent
from tests.data.xmp_photos import XAP, packet, rated

DARKTABLE = packet(
    'xmp:Rating="-1"', '<xmp:History><rdf:Seq><rdf:li xmp:Rating="5" rdf:parseType="Resource"/></rdf:Seq></xmp:History>'
)
ANOTHER_PHOTO = packet(
    "",
    '<xmp:Ingredients><rdf:Bag><rdf:li><rdf:Description xmp:Rating="5"><xmp:Rating>4</xmp:Rating>'
    "</rdf:Description></rdf:li></rdf:Bag></xmp:Ingredients>",
)
TWO_DESCRIPTIONS = rated(3).replace("<rdf:Desc", '<rdf:Description rdf:about=""/><rdf:Desc', 1)


@pytest.mark.parametrize(
    ("xml", "rating"),
    [
        (rated(4), 4.0),
        (rated(-1), -1.0),
        (rated(0), 0.0),
        (rated("4.0"), 4.0),
        (rated(" 3 "), 3.0),
        (rated("3.5"), 3.5),
        (rated("4,0"), 4.0),
        (rated("+2"), 2.0),
        (packet(elements="<xmp:Rating>5</xmp:Rating>"), 5.0),
        (packet(elements="<xmp:Rating>\n  -1\n</xmp:Rating>"), -1.0),
        (packet('stars:Rating="2"', names=f'xmlns:stars="{XAP}"'), 2.0),
        (packet(elements=f'<Rating xmlns="{XAP}">2</Rating>'), 2.0),
        (packet('other:Rating="2"', names='xmlns:other="http://example.org/"'), None),
        (packet('Rating="2"'), None),
        (packet(), None),
        (DARKTABLE, -1.0),
        (ANOTHER_PHOTO, None),
        (TWO_DESCRIPTIONS, 3.0),
        (packet('xmp:Rating="1"', "<xmp:Rating>5</xmp:Rating>"), 1.0),
        (packet('MicrosoftPhoto:Rating="75"'), 4.0),
        (packet(elements="<MicrosoftPhoto:Rating>99</MicrosoftPhoto:Rating>"), 5.0),
        (packet('MicrosoftPhoto:Rating="4" xmp:Rating="2"'), 2.0),
        (packet('MicrosoftPhoto:Rating="99" xmp:Rating="0"'), 0.0),
        (packet('MicrosoftPhoto:Rating="0"'), 0.0),
        (rated(4).removeprefix('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'), 4.0),
        (rated(4) + "\0" * 3000, 4.0),
        (rated(4).replace("<x:xmpmeta", "<!-- <xmp:Rating>1</xmp:Rating> --><x:xmpmeta"), 4.0),
    ],
)
def test_a_rating_however_it_is_written(xml: str, rating: float | None) -> None:
    assert read_packet(xml.encode()) == Xmp(rating=rating)


@pytest.mark.parametrize(
    "garbage",
    ["", "five", "NaN", "inf", "1e1", "6", "75", "0.5", "-0.5", "-2", "4 stars", "1_0", "٤", "0x4", "9" * 500, "&lt;5"],
)
def test_garbage_is_no_rating_and_no_other_one_takes_its_place(garbage: str) -> None:
    for xml in (
        packet(f'xmp:Rating="{garbage}" MicrosoftPhoto:Rating="99"'),
        packet(elements=f"<xmp:Rating>{garbage}</xmp:Rating>"),
    ):
        assert read_packet(xml.encode()) == Xmp(problem=NOT_UNDERSTOOD)


@pytest.mark.parametrize(
    ("percent", "stars"),
    [(0, 0), (1, 1), (12, 1), (25, 2), (50, 3), (62, 3), (75, 4), (87, 4), (88, 5), (99, 5), (100, None), (-1, None)],
)
def test_percentages_become_stars_as_in_windows(percent: int, stars: int | None) -> None:
    assert stars_of_percent(percent) == stars


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
def test_every_encoding_of_the_standard_is_read(encoding: str) -> None:
    for xml in (rated(4), '<?xml version="1.0"?>' + rated(4)):
        assert read_packet(xml.encode(encoding)) == Xmp(rating=4.0)


def test_a_declared_encoding_is_read() -> None:
    declared = '<?xml version="1.0" encoding="ISO-8859-1"?>' + packet('xmp:Rating="4" tiff:Model="Zo\xeb"').replace(
        "\ufeff", ""
    )
    assert read_packet(declared.encode("latin-1")) == Xmp(rating=4.0, camera="Zoë")


def test_time_and_camera_are_told_where_an_editor_wrote_them() -> None:
    xml = packet(
        'xmp:Rating="4" exif:DateTimeOriginal="2024-05-01T10:11:12.25" tiff:Make="NIKON CORPORATION"',
        "<tiff:Model>NIKON Z 6</tiff:Model>",
    )
    taken = datetime(2024, 5, 1, 10, 11, 12, 250000)
    assert read_packet(xml.encode()) == Xmp(rating=4.0, taken=taken, camera="NIKON Z 6")
    assert read_packet(packet('exif:DateTimeOriginal="2024-13-01T10:11:12"').encode()) == Xmp()


LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
    + packet(elements="<xmp:Rating>&i;</xmp:Rating>")
)
SECRET = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>' + packet(elements="<xmp:Rating>&a;</xmp:Rating>")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"not xml",
        b"\xff\xfe\xff",
        rated(4).encode()[:-80],
        rated(4).encode() * 2,
        rated(4).encode("latin-1", "replace").replace(b"xmpmeta", b"xmpm\xe9ta"),
        rated(4).replace('"4"', '"4').encode(),
        rated(4).replace("xmlns:rdf=", "xmlns:other=").encode(),
        rated(4).encode("utf-16")[:-1],
        ('<?xml version="1.0" encoding="klingon"?>' + rated(4)).encode(),
        LAUGHS.encode(),
        SECRET.encode(),
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">' + rated(4).encode(),
        packet(elements="<a>" * 100_000 + "</a>" * 100_000).encode(),
        packet(elements="<a>" * 3_000_000).encode(),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_a_hostile_packet_tells_nothing(data: bytes) -> None:
    assert read_packet(data) == Xmp(problem=BROKEN)


def test_a_packet_without_end_is_not_read() -> None:
    assert read_packet(b" " * (MAX_PACKET_BYTES + 1)) == Xmp(problem=TOO_LARGE)


def test_a_large_packet_costs_little_memory() -> None:
    filled = packet('xmp:Rating="4"', "<a>x</a>" * 50_000).encode()
    tracemalloc.start()
    try:
        assert read_packet(filled).rating == 4.0
        assert tracemalloc.get_traced_memory()[1] < 4 * len(filled)
    finally:
        tracemalloc.stop()

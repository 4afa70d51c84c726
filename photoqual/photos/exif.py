"""What EXIF tells of a photo: when, with which camera, which way up, and how many stars a person gave it.

Only the tags named here are read, each within a bound of its own: a directory may name the same bytes thousands of
times, and libraries that read every tag take memory for each.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import BinaryIO

XMP_TAG = 700
_MAKE, _MODEL, _ORIENTATION, _RATING, _PERCENT, _DETAILS = 0x010F, 0x0110, 0x0112, 0x4746, 0x4749, 0x8769
_TAKEN, _ZONE, _FRACTION = 0x9003, 0x9011, 0x9291
_TEXT_BYTES = 1000
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 13: 4}
_HEADERS = {
    b"II*\0": "<",
    b"MM\0*": ">",
    b"IIRO": "<",  # Olympus
    b"IIRS": "<",
    b"MMOR": ">",
    b"IIU\0": "<",  # Panasonic
}
_DATE = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?\s*(Z|[+-]\d\d:?\d\d)?")
_FIRST_YEAR = 1800


@dataclass(frozen=True)
class Exif:
    """`taken` is what the camera's clock showed, with its zone where that is stated. `stars` is 0 to 5, `percent` 0
    to 99, both of Windows. `orientation` is 1 to 8.
    """

    taken: datetime | None = None
    camera: str | None = None
    stars: int | None = None
    percent: int | None = None
    orientation: int = 1


def read_exif(file: BinaryIO) -> Exif:
    """Return what the TIFF structure in `file` tells; what it does not tell, or tells wrongly, is left out."""
    main = read_tags(
        file,
        dict.fromkeys((_MAKE, _MODEL), _TEXT_BYTES) | dict.fromkeys((_ORIENTATION, _RATING, _PERCENT, _DETAILS), 8),
    )
    texts = dict.fromkeys((_TAKEN, _ZONE, _FRACTION), _TEXT_BYTES)
    details = read_tags(file, texts, _number(main.get(_DETAILS)))
    orientation = _number(main.get(_ORIENTATION))
    return Exif(
        taken=parse_date(_text(details.get(_TAKEN)), _text(details.get(_ZONE)), _text(details.get(_FRACTION))),
        camera=camera_name(_text(main.get(_MAKE)), _text(main.get(_MODEL))),
        stars=_number(main.get(_RATING)),
        percent=_number(main.get(_PERCENT)),
        orientation=orientation if orientation and orientation <= 8 else 1,
    )


@dataclass(frozen=True)
class Value:
    """The bytes of a tag, None where it is larger than wanted, its type's size, and struct's sign of the byte order."""

    data: bytes | None
    unit: int
    order: str


def read_tags(file: BinaryIO, wanted: Mapping[int, int], offset: int | None = 0) -> dict[int, Value]:
    """Return the values of the tags `wanted` (tag → most bytes) of the directory at `offset`; 0: the first one.

    A tag that lies outside the file is left out. `offset` None gives nothing.
    """
    file.seek(0)
    header = file.read(8)
    order = _HEADERS.get(header[:4])
    if order is None or len(header) < 8 or offset is None:
        return {}
    file.seek(offset or struct.unpack(order + "I", header[4:])[0])
    count = file.read(2)
    if len(count) < 2:
        return {}
    entries = file.read(12 * struct.unpack(order + "H", count)[0])
    found: dict[int, Value] = {}
    for tag, kind, number, inline in struct.iter_unpack(order + "HHI4s", entries[: len(entries) // 12 * 12]):
        unit = _TYPE_BYTES.get(kind, 0)
        size = unit * number
        if tag not in wanted or tag in found or size == 0:
            continue
        if size > wanted[tag]:
            found[tag] = Value(None, unit, order)
            continue
        data = inline[:size]
        if size > 4:
            file.seek(struct.unpack(order + "I", inline)[0])
            data = file.read(size)
        if len(data) == size:
            found[tag] = Value(data, unit, order)
    return found


def parse_date(text: str, zone: str = "", fraction: str = "") -> datetime | None:
    """Return the date that EXIF or XMP states, None for what is none; without a zone it is a naive one."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, part, stated = match.groups()
    digits = (part or (fraction if fraction.isascii() and fraction.isdigit() else ""))[:6].ljust(6, "0")
    try:
        taken = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), int(digits))
        return None if taken.year < _FIRST_YEAR else taken.replace(tzinfo=_zone(stated or zone.strip()))
    except ValueError:
        return None


def camera_name(make: str, model: str) -> str | None:
    """Return maker and model as one name; makers that repeat themselves in the model are named once."""
    if make and model and not model.lower().startswith(make.split(maxsplit=1)[0].lower()):
        return f"{make} {model}"
    return model or make or None


def _zone(text: str) -> timezone | None:
    if text == "Z":
        return UTC
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes)) if minutes < 24 * 60 else None


def _text(value: Value | None) -> str:
    """Return a tag's text up to its first NUL, on one line, at most 100 characters."""
    if value is None or value.data is None:
        return ""
    text = value.data.split(b"\0")[0].decode(errors="replace")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:100]


def _number(value: Value | None) -> int | None:
    """Return the first whole number of a tag."""
    formats = {1: "B", 2: "H", 4: "I"}
    if value is None or value.data is None or value.unit not in formats:
        return None
    return int(struct.unpack(value.order + formats[value.unit], value.data[: value.unit])[0])

"""What an XMP packet tells: how a person rated the photo, when it was taken, and with which camera.

A packet comes from inside a photo (`containers.find_metadata`) or is a whole sidecar file. It is read as untrusted XML:
no DTD, no entities, a bound on its size and depth, and as a stream, so that memory stays small.

`xmp:Rating` is −1 for rejected, 0 for unrated, 1 to 5 stars, fractions allowed; what is absent is not stated.
`MicrosoftPhoto:Rating` is a percentage, 0 to 99, and counts only where `xmp:Rating` is absent.
Stars that photoqual wrote are no person's: a packet of ours says which it wrote, and while `xmp:Rating` is still that
number, nobody has rated the photo.
Source: XMP specification part 1 (ISO 16684-1); Windows, property System.Rating, for the percentages.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from photoqual.photos.containers import MAX_PACKET_BYTES
from photoqual.photos.exif import camera_name, parse_date

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
XMP = "{http://ns.adobe.com/xap/1.0/}"
RATING = XMP + "Rating"
NAMESPACE = "https://photoqual.org/ns/1.0/"
"""Of the properties that `photoqual rate --xmp` writes; a name, not an address."""
STARS_WRITTEN = "StarsWritten"
_OURS = f"{{{NAMESPACE}}}{STARS_WRITTEN}"
_PERCENT = ("{http://ns.microsoft.com/photo/1.0/}Rating", "{http://ns.microsoft.com/photo/1.0}Rating")
_TAKEN = ("{http://ns.adobe.com/exif/1.0/}DateTimeOriginal", "{http://ns.adobe.com/photoshop/1.0/}DateCreated")
_MAKE, _MODEL = "{http://ns.adobe.com/tiff/1.0/}Make", "{http://ns.adobe.com/tiff/1.0/}Model"
_WANTED = frozenset({RATING, _OURS, *_PERCENT, *_TAKEN, _MAKE, _MODEL})
_MAX_DEPTH = 100
_MAX_TEXT = 200
_PADDING = "\0 \t\r\n"
_NUMBER = re.compile(r"[+-]?\d{1,3}([.,]\d{1,20})?", re.ASCII)
REJECTED, UNRATED, MOST = -1.0, 0.0, 5.0
TOO_LARGE, BROKEN, NOT_UNDERSTOOD = "xmp_too_large", "xmp_broken", "xmp_rating_not_understood"


@dataclass(frozen=True)
class Xmp:
    """`rating`: −1 rejected, 0 unrated, 1 to 5 stars, None where the packet states none. `taken` is what the camera's
    clock showed. `problem`: why the packet, or its rating, could not be read. `ours`: the stars that we wrote and that
    nobody changed; `rating` is then None.
    """

    rating: float | None = None
    taken: datetime | None = None
    camera: str | None = None
    problem: str | None = None
    ours: float | None = None


def read_packet(packet: bytes) -> Xmp:
    """Return what `packet` tells. It never raises: a packet that cannot be read comes with its `problem`."""
    if len(packet) > MAX_PACKET_BYTES:
        return Xmp(problem=TOO_LARGE)
    reader = _Reader()
    try:
        parser = DefusedXMLParser(target=reader, forbid_dtd=True)
        parser.feed(_decoded(packet))
        parser.close()
    except (ET.ParseError, DefusedXmlException, ValueError, LookupError):
        return Xmp(problem=BROKEN)
    found = reader.found
    rating, problem = _rating(found)
    ours = rating if RATING in found and rating is not None and rating == parse_number(found.get(_OURS, "")) else None
    dates = (parse_date(found[name]) for name in _TAKEN if name in found)
    return Xmp(
        rating=None if ours is not None else rating,
        taken=next((date for date in dates if date), None),
        camera=camera_name(" ".join(found.get(_MAKE, "").split()), " ".join(found.get(_MODEL, "").split())),
        problem=problem,
        ours=ours,
    )


def stars_of_percent(percent: float) -> float | None:
    """Return the stars of a percentage as Windows maps them (1, 25, 50, 75, 99 are one to five); 0 is unrated."""
    if not 0 <= percent <= 99:
        return None
    return float(sum(percent >= least for least in (1, 13, 38, 63, 88)))


def stars_of_number(number: float) -> float | None:
    """Return `number` where it is a rating: −1, 0, or 1 to 5; None else."""
    return number if number in (REJECTED, UNRATED) or 1 <= number <= MOST else None


def _rating(found: Mapping[str, str]) -> tuple[float | None, str | None]:
    """Return the rating, or why there is none that can be used: both None where none is stated."""
    percent = next((found[name] for name in _PERCENT if name in found), None)
    if RATING not in found and percent is None:
        return None, None
    number = parse_number(found.get(RATING, percent or ""))
    rating = stars_of_number(number) if RATING in found else stars_of_percent(number)
    return rating, None if rating is not None else NOT_UNDERSTOOD


def parse_number(text: str) -> float:
    """Return the number that `text` is, NaN for none; some programs write decimal commas."""
    text = text.strip()
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan


def _decoded(packet: bytes) -> bytes | str:
    """Return a packet of UTF-16 or UTF-32 as text; the parser tells the other encodings itself."""
    marks = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    signs = {b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
    for start, encoding in {**marks, **signs}.items():
        if packet.startswith(start):
            return packet.decode(encoding).strip("\ufeff" + _PADDING)
    return packet.strip(_PADDING.encode())


class _Reader:
    """Takes in what a parser finds: properties of the photo itself, as attributes or as elements.

    They belong to a description directly under rdf:RDF; what lies deeper tells of other photos, or of editing steps.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._path.append(tag)
        if len(self._path) > _MAX_DEPTH:
            raise ValueError("the packet is nested too deeply")
        if self._describes(self._path):
            for name in _WANTED & attributes.keys():
                self.found.setdefault(name, attributes[name][:_MAX_TEXT])
        self._text = [] if tag in _WANTED and self._describes(self._path[:-1]) else None

    def data(self, text: str) -> None:
        if self._text is not None and len(self._text) < _MAX_TEXT:
            self._text.append(text[:_MAX_TEXT])

    def end(self, tag: str) -> None:
        if self._text is not None:
            self.found.setdefault(tag, "".join(self._text)[:_MAX_TEXT])
            self._text = None
        self._path.pop()

    def close(self) -> None:
        """Tell the parser that nothing is left to do."""

    @staticmethod
    def _describes(path: list[str]) -> bool:
        return path[-2:] == [RDF + "RDF", RDF + "Description"] and len(path) <= 3

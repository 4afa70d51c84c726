"""Which decoder a photo needs, told from its first bytes or its name, and whether that decoder is installed.

HEIC is decoded by libheif (package pillow-heif), camera RAW by LibRaw (package rawpy); both are optional. Many RAW
formats are TIFF files whose first picture is a thumbnail: what tells them from a TIFF is in their directories.
"""

import importlib.util
import struct
from collections.abc import Iterator
from functools import cache

EXTRA = "photoqual[raw]"
HEIC, RAW = "heic", "raw"
HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"}
    | {".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"}
)
HEIC_MISSING, RAW_MISSING = "heic_decoder_missing", "raw_decoder_missing"
_PACKAGES = {HEIC: "pillow_heif", RAW: "rawpy"}
_REASONS = {HEIC: HEIC_MISSING, RAW: RAW_MISSING}

_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"\0MRM", b"FOVb")
_MAX_DIRECTORIES, _MAX_ENTRIES = 16, 512
_COMPRESSION, _PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 259, 262, 330, 50706
_MOSAICS = frozenset({32803, 34892})
"""Photometric interpretation of sensor data: colour filter array, linear raw."""
_MAKERS_COMPRESSIONS = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
"""Compressions that only cameras write: Sony, Epson, Samsung, Nikon, Kodak, Pentax."""


def decoder_for(data: bytes) -> str | None:
    """Return which optional decoder `data` needs (HEIC, RAW); None: Pillow knows it, or nobody does."""
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[place : place + 4] for place in range(16, min(_box_size(data), 256), 4))}
        if data[8:12] == b"crx ":
            return RAW
        if data[8:12] in _HEIC_BRANDS and not (data[8:12] in (b"mif1", b"msf1") and brands & _AVIF_BRANDS):
            return HEIC
        return None
    return RAW if data.startswith(_RAW_STARTS) or data[6:14] == b"HEAPCCDR" or _is_raw_tiff(data) else None


def missing_decoder(suffix: str) -> str | None:
    """Return why a file whose name ends in `suffix` cannot be decoded here (`heic_decoder_missing`,
    `raw_decoder_missing`), or None.
    """
    ending = suffix.lower()
    decoder = HEIC if ending in HEIC_SUFFIXES else RAW if ending in RAW_SUFFIXES else None
    return missing(decoder) if decoder else None


def missing(decoder: str) -> str | None:
    """Return the reason that a photo is refused with when `decoder` is not installed, or None when it is."""
    return None if _installed(_PACKAGES[decoder]) else _REASONS[decoder]


def decodable() -> set[str]:
    """Return the reasons of photos that were refused for want of a decoder that is installed by now."""
    return {reason for decoder, reason in _REASONS.items() if missing(decoder) is None}


@cache
def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _box_size(data: bytes) -> int:
    return int.from_bytes(data[:4], "big")


def _is_raw_tiff(data: bytes) -> bool:
    """Tell whether `data` is a TIFF file of sensor data."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return False
    if data[8:10] == b"CR" or data[8:12] in (b"IIII", b"MMMM"):
        return True
    for tag, value in _tiff_values(data):
        if tag == _DNG_VERSION:
            return True
        if tag == _PHOTOMETRIC and value in _MOSAICS:
            return True
        if tag == _COMPRESSION and value in _MAKERS_COMPRESSIONS:
            return True
    return False


def _tiff_values(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (tag, first value) of the entries of the directories of a TIFF file, those below them included; bounded,
    whatever the file claims.
    """
    order = "<" if data[:2] == b"II" else ">"
    waiting, seen = [_number(data, 4, order + "I")], set[int]()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        place = waiting.pop(0)
        entries = _number(data, place, order + "H")
        if place < 8 or place in seen or not 0 < entries <= _MAX_ENTRIES:
            continue
        seen.add(place)
        for entry in range(place + 2, place + 2 + 12 * entries, 12):
            tag, kind = _number(data, entry, order + "H"), _number(data, entry + 2, order + "H")
            count = _number(data, entry + 4, order + "I")
            value = _number(data, entry + 8, order + ("H" if kind == 3 else "I"))
            yield tag, value
            if tag == _SUB_DIRECTORIES:
                listed = range(value, value + 4 * min(count, _MAX_DIRECTORIES), 4)
                waiting += [value] if count == 1 else [_number(data, at, order + "I") for at in listed]
        waiting.append(_number(data, place + 2 + 12 * entries, order + "I"))


def _number(data: bytes, place: int, form: str) -> int:
    """Return the number at `place` of `data`; 0 beyond its end."""
    return struct.unpack_from(form, data, place)[0] if place + struct.calcsize(form) <= len(data) else 0

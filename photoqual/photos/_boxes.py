"""XMP and EXIF of HEIC and AVIF: items of an ISO base media file, named in its box `meta` (ISO 23008-12)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_MAX_META_BYTES = 4_000_000
_MAX_BOXES = 1000
_XMP_TYPE = b"application/rdf+xml"


@dataclass(frozen=True)
class Item:
    """A piece of metadata: `exif` or `xmp`, and where its bytes lie: (offset, length) in the file, or in `inside`."""

    kind: str
    extents: tuple[tuple[int, int], ...]
    inside: bytes | None

    @property
    def size(self) -> int:
        return sum(length for _, length in self.extents)


def items(file: BinaryIO) -> Iterator[Item]:
    """Yield the metadata items of `file`. Raise struct.error or ValueError where its structure is broken."""
    meta = _meta(file)
    parts = {kind: meta[start:end] for kind, start, end in _boxes(meta, 4)}
    kinds = _kinds(parts.get(b"iinf", b""))
    for number, (inside, extents) in _places(parts.get(b"iloc", b""), set(kinds)).items():
        yield Item(kinds[number], extents, parts.get(b"idat", b"") if inside else None)


def read_item(file: BinaryIO, item: Item) -> bytes:
    """Return the bytes of `item`, short where the file is."""
    if item.inside is not None:
        return b"".join(item.inside[start : start + length] for start, length in item.extents)
    parts = []
    for start, length in item.extents:
        file.seek(start)
        parts.append(file.read(length))
    return b"".join(parts)


def _meta(file: BinaryIO) -> bytes:
    """Return the body of the box `meta` at the top of the file."""
    at = 0
    for _ in range(_MAX_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return b""
        size, kind = struct.unpack(">I4s", head[:8])
        start = 8
        if size == 1:
            size, start = struct.unpack(">Q", head[8:])[0], 16
        if size < start:
            return b""
        if kind == b"meta":
            file.seek(at + start)
            return file.read(min(size - start, _MAX_META_BYTES))
        at += size
    return b""


def _boxes(data: bytes, at: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of the boxes inside `data` from `at` on."""
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, at + 8)[0], at + 16
        end = len(data) if size == 0 else at + size
        if end <= at or end > len(data) or start > end:
            return
        yield kind, start, end
        at = end


def _kinds(iinf: bytes) -> dict[int, str]:
    """Return which items are metadata, by number."""
    found = {}
    for kind, start, end in _boxes(iinf, 8 if iinf[:1] != b"\0" else 6):
        version = iinf[start] if kind == b"infe" and end > start else 0
        if version not in (2, 3):
            continue
        number, of_type = struct.unpack_from(">H2x4s" if version == 2 else ">I2x4s", iinf, start + 4)
        names = iinf[start + (12 if version == 2 else 14) : end].split(b"\0")
        if of_type == b"Exif":
            found[number] = "exif"
        elif of_type == b"mime" and names[1:2] == [_XMP_TYPE]:
            found[number] = "xmp"
    return found


def _places(iloc: bytes, wanted: set[int]) -> dict[int, tuple[bool, tuple[tuple[int, int], ...]]]:
    """Return by number of an item whether it lies inside `meta`, and its (offset, length)s."""
    if len(iloc) < 8:
        return {}
    version, cursor = iloc[0], _Cursor(iloc, 4)
    sizes = cursor.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    found = {}
    for _ in range(cursor.take(2 if version < 2 else 4)):
        number = cursor.take(2 if version < 2 else 4)
        inside = version > 0 and cursor.take(2) & 15 == 1
        cursor.take(2)
        base, extents = cursor.take(base_size), []
        for _ in range(cursor.take(2)):
            if version > 0:
                cursor.take(index_size)
            extents.append((base + cursor.take(offset_size), cursor.take(length_size)))
        if number in wanted:
            found[number] = inside, tuple(extents)
    return found


class _Cursor:
    """Reads whole numbers of some bytes, one after the other. Raise ValueError at the end."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def take(self, size: int) -> int:
        end = self._at + size
        if end > len(self._data):
            raise ValueError("the box ends too early")
        number = int.from_bytes(self._data[self._at : end], "big")
        self._at = end
        return number

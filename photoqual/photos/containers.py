"""Where photo files keep their metadata: XMP packets and EXIF, found by seeking, without the picture being read.

JPEG, PNG, WebP, TIFF and what is built like it (DNG, NEF, CR2, ARW, ORF, RW2), HEIC and AVIF. What a file claims of
lengths is never believed: reads are bounded, and so is the number of parts that are looked at.
Not covered: GIF, CR3, RAF, BigTIFF, and extended XMP of JPEG, which holds what did not fit beside the ratings.
"""

import hashlib
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from photoqual.photos import _boxes
from photoqual.photos.exif import XMP_TAG, read_tags

MAX_PACKET_BYTES = 16_000_000
"""Masks of photo editors make packets of some megabytes; none that a person's work fills is larger."""
JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
PNG_XMP = b"XML:com.adobe.xmp\0"
_EXIF = b"Exif\0\0"
_MAX_EXIF_BYTES = 1_000_000
_MAX_PARTS = 20_000
_MAX_PACKETS = 8
_PNG_METADATA = (b"iTXt", b"tEXt", b"zTXt", b"eXIf", b"tIME")
_WEBP_METADATA = (b"EXIF", b"XMP ", b"VP8X")


@dataclass
class Metadata:
    """XMP packets in the order of the file, its EXIF as a TIFF structure, and whether a packet was too large to read."""

    packets: list[bytes] = field(default_factory=list)
    exif: BinaryIO | None = None
    too_large: bool = False

    def add_packet(self, packet: bytes | None) -> None:
        """Take in a packet, None for one that is too large."""
        if packet is None:
            self.too_large = True
        elif len(self.packets) < _MAX_PACKETS:
            self.packets.append(packet)

    def add_exif(self, data: bytes) -> None:
        """Take in an EXIF block, with or without its mark; the first one counts."""
        if self.exif is None:
            self.exif = io.BytesIO(data.removeprefix(_EXIF))


def find_metadata(file: BinaryIO) -> Metadata:
    """Return the metadata of the photo `file`, as far as its structure is sound. A file of another format has none."""
    found = Metadata()
    file.seek(0)
    head = file.read(12)
    try:
        if head.startswith(b"\xff\xd8\xff"):
            _jpeg(file, found)
        elif head.startswith(b"\x89PNG\r\n\x1a\n"):
            _png(file, found)
        elif head[:4] == b"RIFF" and head[8:] == b"WEBP":
            _webp(file, found)
        elif head[4:8] == b"ftyp":
            _heic(file, found)
        elif head[:2] in (b"II", b"MM"):
            _tiff(file, found)
    except (struct.error, ValueError, OverflowError, zlib.error):
        pass  # a structure that breaks off; what came before it is kept
    return found


def picture_digest(data: bytes, orientation: int) -> str | None:
    """Return a digest of what the photo `data` shows, in hex, which a change of its metadata leaves alone.

    `orientation` is that of its EXIF. None for formats whose picture cannot be told from the rest: all but JPEG, PNG
    and WebP.
    """
    if data.startswith(b"\xff\xd8\xff"):
        parts = _jpeg_picture(data)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        parts = (part for kind, part in _chunks(data, 8, png=True) if kind not in _PNG_METADATA)
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        parts = (part for kind, part in _chunks(data, 12, png=False) if kind not in _WEBP_METADATA)
    else:
        return None
    digest = hashlib.sha256(bytes([orientation]))
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:32]


def _segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start of its body, length of its body) of a JPEG up to its picture, then (0xDA, start, 0)."""
    at = 2
    for _ in range(_MAX_PARTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        marker = head[1]
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        elif marker in (0xD9, 0xDA):
            yield 0xDA, at, 0
            return
        else:
            length = struct.unpack(">H", head[2:])[0]
            if length < 2:
                return
            yield marker, at + 4, length - 2
            at += 2 + length


def _jpeg(file: BinaryIO, found: Metadata) -> None:
    for marker, start, length in _segments(file):
        if marker != 0xE1:
            continue
        file.seek(start)
        body = file.read(length)
        if body.startswith(JPEG_XMP):
            found.add_packet(body[len(JPEG_XMP) :])
        elif body.startswith(_EXIF):
            found.add_exif(body)


def _jpeg_picture(data: bytes) -> Iterator[bytes]:
    """Yield the parts of a JPEG that its picture depends on: all but JFIF, APP1, APP13, comments, the index of pictures."""
    view = memoryview(data)
    for marker, start, length in _segments(io.BytesIO(data)):
        body = view[start : start + length]
        if marker == 0xDA:
            yield bytes(view[start:])
        elif marker not in (0xE0, 0xE1, 0xED, 0xFE) and not (marker == 0xE2 and bytes(body[:4]) == b"MPF\0"):
            yield bytes([marker])
            yield bytes(body)


def _png(file: BinaryIO, found: Metadata) -> None:
    at = 8
    for _ in range(_MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind == b"iTXt" and file.read(len(PNG_XMP)) == PNG_XMP:
            body = _packet(file, length - len(PNG_XMP))
            found.add_packet(None if body is None else _itxt(body))
        elif kind == b"eXIf" and length <= _MAX_EXIF_BYTES:
            found.add_exif(file.read(length))
        at += 12 + length


def _itxt(body: bytes) -> bytes | None:
    """Return the text of an iTXt chunk after its keyword; None when it unpacks to more than a packet may have."""
    compressed, rest = body[:1] == b"\1", body[2:]
    text = rest.split(b"\0", 2)[-1]
    if not compressed:
        return text
    unpacked = zlib.decompressobj().decompress(text, MAX_PACKET_BYTES + 1)
    return unpacked if len(unpacked) <= MAX_PACKET_BYTES else None


def _webp(file: BinaryIO, found: Metadata) -> None:
    at = 12
    for _ in range(_MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return
        kind, length = struct.unpack("<4sI", head)
        if kind == b"XMP ":
            found.add_packet(_packet(file, length))
        elif kind == b"EXIF" and length <= _MAX_EXIF_BYTES:
            found.add_exif(file.read(length))
        at += 8 + length + length % 2


def _tiff(file: BinaryIO, found: Metadata) -> None:
    found.exif = file
    value = read_tags(file, {XMP_TAG: MAX_PACKET_BYTES}).get(XMP_TAG)
    if value is not None:
        found.add_packet(value.data)


def _heic(file: BinaryIO, found: Metadata) -> None:
    for item in _boxes.items(file):
        if item.kind == "xmp":
            found.add_packet(_boxes.read_item(file, item) if item.size <= MAX_PACKET_BYTES else None)
        elif 4 < item.size <= _MAX_EXIF_BYTES:
            data = _boxes.read_item(file, item)
            found.add_exif(data[4 + struct.unpack(">I", data[:4])[0] :])


def _packet(file: BinaryIO, size: int) -> bytes | None:
    """Return the next `size` bytes of `file`; None where that is too large for a packet."""
    return file.read(max(size, 0)) if size <= MAX_PACKET_BYTES else None


def _chunks(data: bytes, at: int, *, png: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, the whole chunk) of a PNG or WebP, and at last what follows the chunks."""
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            break
        if png:
            length, kind = struct.unpack_from(">I4s", data, at)
            end = at + 12 + length
        else:
            kind, length = struct.unpack_from("<4sI", data, at)
            end = at + 8 + length + length % 2
        yield kind, data[at:end]
        at = end
    yield b"", data[at:]

"""Photos as cameras write them: a small DNG, put together by hand, and HEIC by pillow-heif."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import pillow_heif
from PIL import Image

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_FORMS = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "2I", _SRATIONAL: "2i"}
_MAKER = b"Photoqual\0"
Entry = tuple[int, int, Sequence[int | tuple[int, int]]]


def heic(image: Image.Image, **options: object) -> bytes:
    """Return `image` as HEIC; `options` are those of pillow-heif (exif, quality, ...)."""
    buffer = io.BytesIO()
    quick = {"preset": "ultrafast", "x265:pools": "none"}
    pillow_heif.from_pillow(image).save(buffer, enc_params=quick, **options)
    return buffer.getvalue()


def dng(
    image: Image.Image,
    *,
    orientation: int = 1,
    preview: bytes | None = None,
    taken: str | None = None,
    claims: tuple[int, int] | None = None,
) -> bytes:
    """Return a DNG of 16-bit sensor data (RGGB) that shows `image` once turned by `orientation`. Its first picture is a
    thumbnail of 24×16 px, as cameras write it; `preview` is a JPEG beside it; `claims` is a size that is not true.
    """
    shown = np.asarray(image.convert("RGB"), dtype=np.float64) / 255
    pixels = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4) * 65535
    mosaic = pixels[:, :, 1].copy()
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = pixels[0::2, 0::2, 0], pixels[1::2, 1::2, 2]
    sensor = mosaic.astype("<u2").tobytes()
    width, height = claims or image.size
    thumbnail = image.convert("RGB").resize((24, 16)).tobytes()
    file = bytearray(b"II*\0\0\0\0\0")

    def put(data: bytes) -> int:
        file.extend(b"\0" * (len(file) % 2))
        file.extend(data)
        return len(file) - len(data)

    def directory(entries: list[Entry]) -> int:
        packed = []
        for tag, kind, values in sorted(entries):
            flat = [number for value in values for number in (value if isinstance(value, tuple) else (value,))]
            body = struct.pack("<" + _FORMS[kind] * len(values), *flat)
            inline = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack("<I", put(body))
            packed.append(struct.pack("<HHI", tag, kind, len(values)) + inline)
        return put(struct.pack("<H", len(packed)) + b"".join(packed) + bytes(4))

    below = [directory(_strip(width, height, [16], 32803, put(sensor), len(sensor)) + _MOSAIC)]
    if preview is not None:
        entries = _strip(*image.size, [8, 8, 8], 6, put(preview), len(preview), compression=7)
        below.append(directory([(254, _LONG, [1]), *entries]))
    more: list[Entry] = []
    if taken:
        more = [(0x8769, _LONG, [directory([(0x9003, _ASCII, list(taken.encode() + b"\0"))])])]
    first = directory(
        [
            (254, _LONG, [1]),
            *_strip(24, 16, [8, 8, 8], 2, put(thumbnail), len(thumbnail)),
            (271, _ASCII, list(_MAKER)),
            (272, _ASCII, list(_MAKER)),
            (274, _SHORT, [orientation]),
            (330, _LONG, below),
            *more,
            (50706, _BYTE, [1, 4, 0, 0]),
            (50708, _ASCII, list(_MAKER)),
            (50721, _SRATIONAL, _XYZ_TO_CAMERA),
            (50728, _RATIONAL, [(1, 1)] * 3),
            (50778, _SHORT, [21]),
        ]
    )
    file[4:8] = struct.pack("<I", first)
    return bytes(file)


def _strip(
    width: int, height: int, bits: list[int], photometric: int, offset: int, size: int, *, compression: int = 1
) -> list[Entry]:
    return [
        (256, _LONG, [width]),
        (257, _LONG, [height]),
        (258, _SHORT, bits),
        (259, _SHORT, [compression]),
        (262, _SHORT, [photometric]),
        (273, _LONG, [offset]),
        (277, _SHORT, [len(bits)]),
        (278, _LONG, [height]),
        (279, _LONG, [size]),
        (284, _SHORT, [1]),
    ]


_MOSAIC: list[Entry] = [
    (254, _LONG, [0]),
    (33421, _SHORT, [2, 2]),
    (33422, _BYTE, [0, 1, 1, 2]),
    (50714, _SHORT, [0]),
    (50717, _LONG, [65535]),
]
_XYZ_TO_CAMERA = [
    (round(value * 10000), 10000)
    for value in (3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572)
]
"""A camera whose colours are those of sRGB."""

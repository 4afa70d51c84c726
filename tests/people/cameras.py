"""Photographs as a camera would have taken them: frames cut out of demo photographs, with EXIF of our own making."""

import io
import struct
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from photoqual.starter.photos import photos

START = datetime(2026, 5, 1, 10, 0, 0)
CAMERA = ("Maker", "Maker One")
_ASCII, _SHORT, _LONG, _RATIONAL, _SIGNED = 2, 3, 4, 5, 10


@cache
def photographs() -> dict[str, Image.Image]:
    """Return the demo photographs by name."""
    return {photo.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]: photo.image for photo in photos()}


def exif(
    taken: datetime | None,
    *,
    seconds: float = 1 / 125,
    iso: int = 100,
    aperture: float = 8.0,
    bias: float | None = 0.0,
    focal: float = 35.0,
    mode: int = 0,
) -> bytes:
    """Return an EXIF block: main directory with the camera, and a second one with time and exposure."""
    stamp = taken.strftime("%Y:%m:%d %H:%M:%S") if taken else ""
    details: list[tuple[int, int, bytes]] = [
        (0x829A, _RATIONAL, _ratio(seconds, "I")),
        (0x829D, _RATIONAL, _ratio(aperture, "I")),
        (0x8827, _SHORT, struct.pack("<H", iso)),
        *([(0x9003, _ASCII, stamp.encode() + b"\0")] if taken else []),
        *([(0x9204, _SIGNED, _ratio(bias, "i"))] if bias is not None else []),
        (0x920A, _RATIONAL, _ratio(focal, "I")),
        *([(0x9291, _ASCII, f"{taken.microsecond // 1000:03d}".encode() + b"\0")] if taken else []),
        (0xA402, _SHORT, struct.pack("<H", mode)),
    ]
    main = [(0x010F, _ASCII, CAMERA[0].encode() + b"\0"), (0x0110, _ASCII, CAMERA[1].encode() + b"\0")]
    first_size = 2 + 12 * (len(main) + 1) + 4
    first_data = sum(len(value) + len(value) % 2 for _, _, value in main if len(value) > 4)
    second_at = 8 + first_size + first_data
    first = _directory([*main, (0x8769, _LONG, struct.pack("<I", second_at))], 8)
    assert len(first) == first_size + first_data
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + _directory(details, second_at)


def _ratio(value: float, kind: str) -> bytes:
    return struct.pack(f"<2{kind}", round(value * 100000), 100000)


def _directory(entries: list[tuple[int, int, bytes]], at: int) -> bytes:
    sizes = {_ASCII: 1, _SHORT: 2, _LONG: 4, _RATIONAL: 8, _SIGNED: 8}
    place, table, data = at + 2 + 12 * len(entries) + 4, b"", b""
    for tag, kind, value in entries:
        inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", place + len(data))
        data += b"" if len(value) <= 4 else value + b"\0" * (len(value) % 2)
        table += struct.pack("<HHI", tag, kind, len(value) // sizes[kind]) + inline
    return struct.pack("<H", len(entries)) + table + bytes(4) + data


def save(image: Image.Image, path: Path, block: bytes = b"", quality: int = 92) -> Path:
    """Write a JPEG with an EXIF block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=block)
    path.write_bytes(buffer.getvalue())
    return path


def frame(image: Image.Image, left: float, top: float, width: float, height: float) -> Image.Image:
    """Return a part of a photo, all given as parts of its sides."""
    w, h = image.size
    x, y = round(left * w), round(top * h)
    return image.crop((x, y, x + int(width * w), y + int(height * h)))


def burst(folder: Path, name: str, image: Image.Image, start: datetime, count: int = 4) -> list[Path]:
    """Write frames shot by hand at three a second; the second is the sharpest, the others are shaken."""
    draw = np.random.default_rng(len(name))
    paths = []
    for at in range(count):
        shot = frame(image, 0.1 + draw.uniform(-0.02, 0.02), 0.1 + draw.uniform(-0.02, 0.02), 0.75, 0.8)
        shot = shot if at == 1 else shot.filter(ImageFilter.GaussianBlur(1.5 + at / 2))
        paths.append(save(shot, folder / f"{name}_{at}.jpg", exif(start + timedelta(seconds=at / 3))))
    return paths


def bracket(folder: Path, name: str, image: Image.Image, start: datetime, steps: tuple[float, ...]) -> list[Path]:
    """Write an exposure bracket of `steps` (EV), told by compensation and by exposure time."""
    paths = []
    for at, step in enumerate(steps):
        shot = ImageEnhance.Brightness(frame(image, 0, 0, 0.9, 0.9)).enhance(2 ** (step / 2))
        block = exif(start + timedelta(seconds=at / 2), seconds=2**step / 125, bias=step)
        paths.append(save(shot, folder / f"{name}_{at}.jpg", block))
    return paths


def panorama(folder: Path, name: str, image: Image.Image, start: datetime, count: int = 4) -> list[Path]:
    """Write frames swept from left to right, each showing about a half of the one before again."""
    paths = []
    width = 2 / (count + 1)
    for at in range(count):
        shot = frame(image, at * width / 2, 0.05, width, 0.9)
        paths.append(save(shot, folder / f"{name}_{at}.jpg", exif(start + timedelta(seconds=2 * at))))
    return paths

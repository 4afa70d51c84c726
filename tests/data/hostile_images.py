"""A corpus of hostile images, each made from its number: photos of every format, and what accidents and malice make of
them. `python -m tests.data.hostile_images 0 1200` decodes them all and prints what became of them as JSON.

It runs as a program of its own, so that a crash of a decoder is seen and its memory is that of decoding alone.
"""

import io
import json
import struct
import sys
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.photos.decode import WorkingCopy, working_copy
from tests.data.camera_files import dng, heic

LIMITS = PhotosParams(max_side=160, max_megapixels=12.0, max_megabytes=20.0)
SIZE = (240, 160)
CORNERS = np.array([[200, 40, 40], [40, 160, 60], [40, 60, 200], [225, 225, 225]], dtype=float)
"""Colours of the corners of the upright photo: top left, top right, bottom left, bottom right."""
GREYS = CORNERS @ [0.299, 0.587, 0.114]
REASONS = {"too_many_bytes", "not_an_image", "too_many_pixels", "truncated", "broken"}


@dataclass(frozen=True)
class Hostile:
    """An image file. `shows`: its picture is still the upright photo; None: whatever it shows now."""

    kind: str
    change: str
    data: bytes
    shows: bool | None = True
    grey: bool = False


def photo(size: tuple[int, int] = SIZE) -> Image.Image:
    """Return the upright photo: four colours, with some texture."""
    wide, high = size
    pixels = np.repeat(np.repeat(CORNERS.reshape(2, 2, 3), high // 2, axis=0), wide // 2, axis=1)
    return Image.fromarray((pixels + np.random.default_rng(1).normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


def stored(orientation: int) -> Image.Image:
    """Return the pixels that a camera stores with `orientation` for the upright photo."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    return photo().transpose(Image.Transpose(back[orientation])) if orientation in back else photo()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def profile(space: str) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes()


@cache
def seeds() -> list[Hostile]:
    """Return the whole photos that everything else is made from."""
    plain, grey = photo(), photo().convert("L")
    second = Image.new("RGB", SIZE, "white")
    sixteen = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    made: dict[str, bytes] = {
        "JPEG": saved(plain, "JPEG", quality=92),
        "JPEG progressive": saved(plain, "JPEG", quality=92, progressive=True),
        "JPEG CMYK": saved(plain.convert("CMYK"), "JPEG", quality=95),
        "PNG": saved(plain, "PNG"),
        "PNG RGBA": saved(plain.convert("RGBA"), "PNG"),
        "PNG palette": saved(plain.quantize(64), "PNG"),
        "PNG animated": saved(plain, "PNG", save_all=True, append_images=[second]),
        "WEBP": saved(plain, "WEBP", quality=92),
        "WEBP lossless": saved(plain, "WEBP", lossless=True),
        "WEBP animated": saved(plain, "WEBP", save_all=True, append_images=[second], quality=92),
        "TIFF": saved(plain, "TIFF"),
        "TIFF LZW": saved(plain, "TIFF", compression="tiff_lzw"),
        "TIFF JPEG": saved(plain, "TIFF", compression="jpeg", quality=92),
        "TIFF CMYK": saved(plain.convert("CMYK"), "TIFF"),
        "GIF animated": saved(plain, "GIF", save_all=True, append_images=[second]),
        "AVIF": saved(plain, "AVIF", quality=90),
        "BMP": saved(plain, "BMP"),
        "HEIC": heic(plain, quality=90),
        "DNG": dng(plain),
        "DNG preview": dng(plain, preview=saved(plain, "JPEG", quality=92)),
    }
    found = [Hostile(kind, "as it is", data) for kind, data in made.items()]
    found += [
        Hostile(kind, "as it is", data, grey=True)
        for kind, data in (
            ("JPEG grey", saved(grey, "JPEG", quality=92)),
            ("PNG 16 bits", saved(sixteen, "PNG")),
            ("TIFF 16 bits", saved(sixteen, "TIFF")),
            ("TIFF float", saved(Image.fromarray(np.asarray(grey, dtype=np.float32) / 255), "TIFF")),
        )
    ]
    for orientation in range(1, 9):
        found.append(
            Hostile(
                f"JPEG turned {orientation}",
                "as it is",
                saved(stored(orientation), "JPEG", quality=92, exif=turned(orientation)),
            )
        )
    for orientation in (3, 5, 6, 8):
        exif = turned(orientation)
        found += [
            Hostile(f"{kind} turned {orientation}", "as it is", data)
            for kind, data in (
                ("TIFF", saved(stored(orientation), "TIFF", exif=exif)),
                ("PNG", saved(stored(orientation), "PNG", exif=exif)),
                ("WEBP", saved(stored(orientation), "WEBP", quality=92, exif=exif)),
                ("HEIC", heic(stored(orientation), quality=90, exif=exif)),
                ("DNG", dng(stored(orientation), orientation=orientation)),
            )
        ]
    return found


Change = Callable[[Hostile, np.random.Generator], Hostile]


def bit_flips(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Flip 1 to 30 bits, half of the times among the first 400 bytes, where headers are."""
    data = bytearray(seed.data)
    reach = min(400, len(data)) if random.random() < 0.5 else len(data)
    for place in random.integers(0, reach, int(random.integers(1, 31))):
        data[place] ^= 1 << int(random.integers(0, 8))
    return replace(seed, data=bytes(data), shows=None)


def noise(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Overwrite a stretch with noise or zeros."""
    length = int(random.integers(4, max(len(seed.data) // 3, 5)))
    start = int(random.integers(0, len(seed.data)))
    middle = random.bytes(length) if random.random() < 0.5 else bytes(length)
    return replace(seed, data=(seed.data[:start] + middle)[: len(seed.data)] + seed.data[start + length :], shows=None)


def truncation(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Keep 1 to 99 % of the bytes. What is still accepted has to show the whole photo."""
    return replace(seed, data=seed.data[: max(1, int(len(seed.data) * random.uniform(0.01, 0.99)))])


def hole(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Leave out or repeat a stretch, so that every offset after it is wrong."""
    start, end = sorted(int(place) for place in random.integers(0, len(seed.data), 2))
    middle = seed.data[start:end] * 2 if random.random() < 0.5 else b""
    return replace(seed, data=seed.data[:start] + middle + seed.data[end:], shows=None)


def swapped(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Give it the first bytes of another format, or the rest of another file."""
    other = seeds()[int(random.integers(0, len(seeds())))].data
    cut = int(random.choice([4, 8, 12, 16, 64, 200]))
    half = int(len(seed.data) * random.random())
    data = other[:cut] + seed.data[cut:] if random.random() < 0.5 else seed.data[:half] + other[half:]
    return replace(seed, data=data, shows=None)


def trailing(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Append what makes it another kind of file as well: an archive, a page, a program; the photo is whole."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.sh", "rm -rf /")
    tails = [
        buffer.getvalue(),
        b"<script>alert(1)</script>",
        b"\x7fELF" + random.bytes(400),
        seeds()[0].data,
        bytes(9000),
    ]
    return replace(seed, data=seed.data + tails[int(random.integers(0, len(tails)))])


def leading(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Put another kind of file before it."""
    heads = [
        b"%PDF-1.7\n",
        b"GIF89a/*",
        b"<?php ?>",
        b"PK\x03\x04",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0\x08\0\0\0",
        b"\0\0\0\x18ftypheic",
    ]
    return replace(seed, data=heads[int(random.integers(0, len(heads)))] + seed.data, shows=None)


def odd_profile(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Give it a colour profile that is none, of another space, cut off, noise, or very large."""
    whole = profile("sRGB")
    profiles = [
        b"",
        b"no profile",
        profile("LAB"),
        profile("XYZ"),
        whole[:100],
        whole[:200] + random.bytes(300),
        random.bytes(60_000),
    ]
    kind = ("JPEG", "PNG", "TIFF", "WEBP")[int(random.integers(0, 4))]
    icc = profiles[int(random.integers(0, len(profiles)))]
    return Hostile(kind, "", saved(photo(), kind, icc_profile=icc, quality=92))


def odd_metadata(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Give it EXIF that is noise, loops or claims gigabytes, and comments with scripts."""
    loop = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\x08\0\0\0"
    claims = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\x7f\xff\xff\xff\x7f\xff\xff\xff\0\0\0\0"
    odd_turn = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0"
    many = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + random.bytes(3000)
    exif = [loop, claims, odd_turn, many, b"Exif\0\0" + random.bytes(500), b"Exif\0\0"][int(random.integers(0, 6))]
    if random.random() < 0.5:
        return Hostile("JPEG", "", saved(photo(), "JPEG", quality=92, exif=exif, comment=b"<script>\0" * 99))
    return Hostile("WEBP", "", saved(photo(), "WEBP", quality=92, exif=exif))


def bomb(seed: Hostile, random: np.random.Generator) -> Hostile:
    """Claim up to 4 gigapixels in a few bytes, or inflate a few bytes to gigabytes."""
    kind = list(BOMBS)[int(random.integers(0, len(BOMBS)))]
    return Hostile(kind, "", BOMBS[kind](int(random.choice([4000, 16_000, 30_000, 65_535]))), shows=None)


BOMBS: dict[str, Callable[[int], bytes]] = {
    "PNG": lambda side: png(side, side, zeros(5_000_000)),
    "PNG too many rows": lambda side: png(3000, 3000, zeros(60_000_000)),
    "PNG profile": lambda side: png(*SIZE, zeros(200_000), (b"iCCP", b"x\0\0" + zeros(60_000_000))),
    "PNG text": lambda side: png(*SIZE, zeros(200_000), (b"zTXt", b"x\0\0" + zeros(60_000_000))),
    "GIF": lambda side: patched(saved(photo(), "GIF"), b"GIF8", struct.pack("<HH", side, side), 6),
    "GIF frame": lambda side: patched(saved(photo(), "GIF"), b",\0\0\0\0", struct.pack("<HH", side, side), 5),
    "BMP": lambda side: patched(saved(photo(), "BMP"), b"BM", struct.pack("<ii", side, side), 18),
    "JPEG": lambda side: patched(saved(photo(), "JPEG"), b"\xff\xc0\0\x11\x08", struct.pack(">HH", side, side), 5),
    "TIFF": lambda side: patched(saved(photo(), "TIFF"), b"\0\x01\x04\0\x01\0\0\0", struct.pack("<I", side), 8),
    "AVIF": lambda side: patched(saved(photo(), "AVIF"), b"ispe", struct.pack(">II", side, side), 8),
    "HEIC": lambda side: patched(heic(photo()), b"ispe", struct.pack(">II", side, side), 8),
    "HEIC that says it is small": lambda side: patched(
        heic(Image.new("RGB", (4400, 3000))), b"ispe", struct.pack(">II", 64, 64), 8
    ),
    "HEIC just under the limit": lambda side: patched(heic(photo()), b"ispe", struct.pack(">II", 4000, 2900), 8),
    "DNG": lambda side: dng(photo(), claims=(side, side)),
    "DNG flat": lambda side: dng(photo(), claims=(side, 2)),
    "WEBP": lambda side: patched(saved(photo(), "WEBP"), b"VP8 ", struct.pack("<HH", side & 0x3FFF, side & 0x3FFF), 14),
}


@cache
def zeros(count: int) -> bytes:
    """Return `count` zeros as a zlib stream, made in little memory."""
    packer, block = zlib.compressobj(9), bytes(1_000_000)
    parts = [packer.compress(block[: min(len(block), count - done)]) for done in range(0, count, len(block))]
    return b"".join(parts) + packer.flush()


def png(width: int, height: int, packed: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of the claimed size with the packed rows `packed`."""
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    chunks = [head, *more, (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def patched(data: bytes, mark: bytes, value: bytes, offset: int) -> bytes:
    """Return `data` with `value` put `offset` bytes after the start of `mark`."""
    place = data.index(mark) + offset
    return data[:place] + value + data[place + len(value) :]


CHANGES: dict[str, Change] = {
    "bit flips": bit_flips,
    "noise": noise,
    "truncated": truncation,
    "stretch left out or repeated": hole,
    "swapped formats": swapped,
    "polyglot, photo first": trailing,
    "polyglot, photo last": leading,
    "odd ICC profile": odd_profile,
    "odd metadata": odd_metadata,
    "bomb": bomb,
}


def hostile(number: int) -> Hostile:
    """Return image `number` of the corpus: first the whole photos, then their changes in turn."""
    whole = seeds()
    if number < len(whole):
        return whole[number]
    random = np.random.default_rng(number)
    change = list(CHANGES)[number % len(CHANGES)]
    seed = whole[int(random.integers(0, len(whole)))]
    return replace(CHANGES[change](seed, random), change=change)


def judge(image: Hostile) -> tuple[str, str | None]:
    """Return what became of `image` (`accepted`, or the reason), and what is wrong with that, or None."""
    try:
        copy = working_copy(image.data, LIMITS)
    except UnreadablePhoto as refused:
        wrong = None if refused.reason in REASONS and refused.message else f"refused as {refused.reason!r}"
        if image.shows and image.change != "truncated":
            wrong = f"a whole photo was refused: {refused.reason}: {refused.message}"
        return refused.reason, wrong
    return "accepted", next(_wrong(image, copy), None)


def _wrong(image: Hostile, copy: WorkingCopy) -> Iterator[str]:
    """Yield what is not as it should be about an accepted photo."""
    with Image.open(io.BytesIO(copy.jpeg)) as opened:
        opened.load()
    if (opened.format, opened.mode, opened.size) != ("JPEG", "RGB", (copy.width, copy.height)):
        yield f"the copy is {opened.format} {opened.mode} {opened.size}, not {(copy.width, copy.height)}"
    wide, high = copy.original_width, copy.original_height
    shrunk = min(1.0, LIMITS.max_side / max(wide, high))
    if abs(copy.width - wide * shrunk) > 1 or abs(copy.height - high * shrunk) > 1:
        yield f"{wide}×{high} became {copy.width}×{copy.height}"
    if wide * high > LIMITS.max_megapixels * 1e6:
        yield f"{wide}×{high} is over the limit"
    if not image.shows:
        return
    if (wide, high) != SIZE:
        yield f"its size is {SIZE}, not {(wide, high)}"
    pixels = np.asarray(opened, dtype=float)
    down, right = pixels.shape[0] // 8, pixels.shape[1] // 8
    found = [pixels[y - 3 : y + 4, x - 3 : x + 4].mean(axis=(0, 1)) for y in (down, -down) for x in (right, -right)]
    expected = np.repeat(GREYS[:, None], 3, axis=1) if image.grey else CORNERS
    if np.abs(np.stack(found) - expected).max() > 30:
        yield f"its corners are {np.stack(found).round().tolist()}"


def peak(*, forget: bool = False) -> int:
    """Return the most memory in MB that this process has held at once; `forget` begins anew."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def main(first: int, last: int) -> dict[str, Any]:
    """Decode the images `first` to `last`; print the number of each before it is decoded, for who sees a crash."""
    outcomes: dict[str, Counter[str]] = {}
    problems: list[str] = []
    slowest, largest = (0.0, ""), (0, "")
    for number in range(first, last):
        image = hostile(number)
        name = f"{number} {image.kind}, {image.change}"
        print(name, file=sys.stderr, flush=True)
        before = peak(forget=True)
        started = time.process_time()
        outcome, wrong = judge(image)
        slowest = max(slowest, (round(time.process_time() - started, 2), name))
        largest = max(largest, (peak() - before, name))
        outcomes.setdefault(image.change, Counter())[outcome] += 1
        if wrong:
            problems.append(f"{name}: {wrong}")
    return {"outcomes": outcomes, "problems": problems, "slowest_seconds": slowest, "most_megabytes": largest}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))

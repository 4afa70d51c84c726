"""A picture of every kind of damage at each strength: `python -m photoqual.defects.sheet PHOTO --out SHEET.jpg`."""

import argparse
import io
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from photoqual import files
from photoqual.config import PhotosParams
from photoqual.defects.damage import NAMES, STRENGTHS, damage
from photoqual.defects.kinds import KINDS
from photoqual.errors import ConfigError, PhotoqualError
from photoqual.photos.decode import open_photo

WIDTH = 260
"""Width of each photo on the sheet in px."""
_GAP, _CAPTION, _LETTERS = 8, 18, 13
_QUALITY = 75


def sheet(pixels: np.ndarray, seed: int = 0) -> Image.Image:
    """Return a row for each kind with the photo `pixels` (uint8, height, width, 3) at strengths 1, 2 and 3, captioned.

    What a kind draws is the same at each strength. Damage is done at the size of `pixels`.
    """
    height = max(1, round(WIDTH * pixels.shape[0] / pixels.shape[1]))
    across, down = WIDTH + _GAP, height + _CAPTION + _GAP
    page = Image.new("RGB", (len(STRENGTHS) * across + _GAP, (len(NAMES) + 1) * down + _GAP), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(_LETTERS)

    def put(row: int, column: int, photo: np.ndarray, caption: str) -> None:
        left, top = _GAP + column * across, _GAP + row * down
        page.paste(Image.fromarray(photo).resize((WIDTH, height), Image.Resampling.LANCZOS), (left, top + _CAPTION))
        pen.text((left, top), caption, "black", font)

    put(0, 0, pixels, "as it was")
    for row, name in enumerate(NAMES, start=1):
        kind = KINDS[name]
        for column, (strength, amount) in enumerate(zip(STRENGTHS, kind.amounts, strict=True)):
            random = np.random.default_rng((seed, zlib.crc32(name.encode())))
            put(row, column, damage(pixels, name, strength, random), f"{name} {strength}: {amount:g} {kind.unit}")
    return page


def main() -> None:
    """Draw the sheet of one photo."""
    parser = argparse.ArgumentParser(description="Show every kind of damage at each strength.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="the picture to write, a JPEG")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        if not options.photo.is_file():
            raise ConfigError(f"{options.photo} is not a file.", next_step="Name a photo.")
        photo, _ = open_photo(options.photo.read_bytes(), PhotosParams())
        drawn = io.BytesIO()
        sheet(np.asarray(photo), options.seed).save(drawn, "JPEG", quality=_QUALITY, optimize=True)
        files.write_bytes(options.out, drawn.getvalue())
    except PhotoqualError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()

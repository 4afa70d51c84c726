"""Camera RAW by LibRaw: the picture that the camera embedded where it is large enough, else the sensor data developed.

Developed at half the size, which needs no interpolation, where that suffices. Exposure stays as it was shot.
Not covered: sensor data of more than one frame (the first is taken).
"""

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto

_ON_THEIR_SIDE = frozenset({4, 5, 6, 7})
"""LibRaw's turns that swap width and height: bit 4."""
_WIDEST_PIXEL = 4.0
_SRGB = (2.4, 12.92)
"""Power and slope at the toe of sRGB's tone curve."""


@dataclass(frozen=True)
class Raw:
    """What a RAW file holds, short of developing it: the upright size in pixels, and its JPEG preview if any."""

    file: Any
    width: int
    height: int
    preview: bytes | None


def open_raw(data: bytes, limits: PhotosParams) -> Raw:
    """Open the RAW file `data` without decoding it; the caller closes `.file`. Raise UnreadablePhoto for what claims
    more pixels than the limits allow; LibRaw's errors pass.
    """
    import rawpy

    file = rawpy.imread(io.BytesIO(data))
    sizes = file.sizes
    pixels = max(sizes.raw_width * sizes.raw_height, sizes.width * sizes.height)
    if pixels > limits.max_megapixels * 1e6:
        file.close()
        raise UnreadablePhoto(
            "too_many_pixels",
            f"{sizes.raw_width}×{sizes.raw_height} is over photos.max_megapixels = {limits.max_megapixels:g}.",
        )
    if not 1 / _WIDEST_PIXEL <= sizes.pixel_aspect <= _WIDEST_PIXEL or min(sizes.width, sizes.height) < 1:
        file.close()
        raise UnreadablePhoto("broken", f"No camera has sensor data of this shape: {sizes}.")
    upright = (sizes.height, sizes.width) if sizes.flip in _ON_THEIR_SIDE else (sizes.width, sizes.height)
    return Raw(file, *upright, _preview(file))


def _preview(file: Any) -> bytes | None:
    import rawpy

    try:
        thumbnail = file.extract_thumb()
    except rawpy.LibRawError:
        return None
    return bytes(thumbnail.data) if thumbnail.format == rawpy.ThumbFormat.JPEG else None


def develop(raw: Raw, max_side: int) -> Image.Image:
    """Return the sensor data as an upright sRGB image, at least `max_side` long where it has that many pixels."""
    half = max(raw.width, raw.height) >= 2 * max_side
    pixels = raw.file.postprocess(half_size=half, use_camera_wb=True, no_auto_bright=True, gamma=_SRGB, output_bps=8)
    return Image.fromarray(pixels)


def shows_all(preview: tuple[int, int], raw: Raw, max_side: int) -> bool:
    """Tell whether a preview of the upright size `preview` shows the whole photo, large enough for `max_side`."""
    wide, high = preview
    same_shape = abs(wide * raw.height - high * raw.width) <= 0.05 * wide * raw.height
    return same_shape and max(preview) >= min(max_side, max(raw.width, raw.height))

"""Decode untrusted images safely and fast: upright, sRGB, 8 bits, bounded memory whatever the file claims.

JPEGs are decoded at a reduced size by the DCT scaling of libjpeg where the target allows it; a 12-megapixel photo
then costs a quarter of a full decode. Only the first frame of an animation is used. Transparency shows white.
Not covered: camera RAW and HEIC.
"""

import io
import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.photos.fingerprints import perceptual_hash

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".avif", ".bmp"})
MODEL_SIDE_STEP = 16
"""Sides of a model's input are multiples of this, so that photos of nearly one shape share a batch."""
MIN_MODEL_SIDE = 32
_EXIF_ORIENTATION, _EXIF_DETAILS, _EXIF_TAKEN, _EXIF_ZONE = 0x0112, 0x8769, 0x9003, 0x9011
_ON_THEIR_SIDE = (5, 6, 7, 8)

_SRGB = ImageCms.createProfile("sRGB")


class _Silence:
    """Ignores warnings while any thread is inside. Threads that each used `warnings.catch_warnings` would put back one
    another's filters, and leave the program deaf to warnings.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


_PILLOW_WARNINGS_IGNORED = _Silence()


@dataclass(frozen=True)
class WorkingCopy:
    """The re-encoded photo that is kept: JPEG bytes, its size and that of the original in pixels, and its hash."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    phash: str


def open_photo(
    data: bytes, limits: PhotosParams, *, max_side: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode `data` to an upright sRGB image whose long side is at most `max_side` (default `limits.max_side`).

    Return it with the upright size of the original. Raise UnreadablePhoto with one of the reasons `empty`,
    `too_many_bytes`, `not_an_image`, `too_many_pixels`, `truncated` or `broken`.
    """
    max_side = max_side or limits.max_side
    if not data:
        raise UnreadablePhoto("empty", "The file is empty.")
    if len(data) > limits.max_megabytes * 1e6:
        raise UnreadablePhoto(
            "too_many_bytes", f"{len(data) / 1e6:.1f} MB is over photos.max_megabytes = {limits.max_megabytes:g}."
        )
    with _PILLOW_WARNINGS_IGNORED:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > limits.max_megapixels * 1e6:
                    raise UnreadablePhoto(
                        "too_many_pixels",
                        f"{width}×{height} is over photos.max_megapixels = {limits.max_megapixels:g}.",
                    )
                # Pillow states the size of a TIFF as it is when upright, of every other format as it is stored
                on_side = opened.getexif().get(_EXIF_ORIENTATION, 1) in _ON_THEIR_SIDE
                turned = on_side and opened.format != "TIFF"
                image = _decode(opened, max_side)
        except UnreadablePhoto:
            raise
        except UnidentifiedImageError:
            raise UnreadablePhoto("not_an_image", "No decoder knows this file as an image.") from None
        except Image.DecompressionBombError as error:
            raise UnreadablePhoto("too_many_pixels", str(error)) from None
        except (OSError, EOFError) as error:
            reason = "truncated" if "truncated" in str(error).lower() or isinstance(error, EOFError) else "broken"
            raise UnreadablePhoto(reason, f"The image data is {reason}: {error}.") from None
        except Exception as error:  # decoders of hostile files raise nearly anything: SyntaxError, struct.error, …
            raise UnreadablePhoto("broken", f"The image cannot be decoded: {type(error).__name__}: {error}.") from None
    return image, ((height, width) if turned else (width, height))


def _decode(opened: Image.Image, max_side: int) -> Image.Image:
    """Draft, load, make upright, shrink, convert to sRGB, in the order that keeps the work small."""
    profile = opened.info.get("icc_profile")
    if opened.format in ("JPEG", "MPO"):
        opened.draft(None, (max_side, max_side))
    opened.seek(0)
    opened.load()
    image = ImageOps.exif_transpose(opened)
    image = _to_eight_bits(image)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _to_srgb(image, profile)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit and float modes to 8 bits and lay transparency over white; other modes pass unchanged."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, dtype=np.float32)
        top = 65535.0 if image.mode != "F" or values.max(initial=0.0) > 1.0 else 1.0
        return Image.fromarray(np.clip(np.nan_to_num(values) * (255.0 / top), 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB") if image.mode in ("P", "1", "LA", "PA") else image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB by the embedded profile; a profile that cannot be used is taken as sRGB."""
    if profile and image.mode in ("RGB", "CMYK", "L"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def working_copy(data: bytes, params: PhotosParams) -> WorkingCopy:
    """Return the working copy of the encoded photo `data`. Every photo is re-encoded alike, so that no label can
    leak through compression settings or metadata. Raise UnreadablePhoto.
    """
    image, (original_width, original_height) = open_photo(data, params)
    encoded = io.BytesIO()
    image.info = {}  # Pillow would write a comment of the original into the copy
    image.save(encoded, "JPEG", quality=params.jpeg_quality, subsampling="4:2:0", optimize=False, progressive=False)
    phash = perceptual_hash(image)
    return WorkingCopy(encoded.getvalue(), image.width, image.height, original_width, original_height, phash)


def taken_at(data: bytes) -> datetime | None:
    """Return when the photo `data` was taken, by its EXIF date and zone; a date without a zone is taken as UTC."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            details = image.getexif().get_ifd(_EXIF_DETAILS)
        date, zone = details.get(_EXIF_TAKEN, ""), details.get(_EXIF_ZONE) or "+00:00"
        taken = datetime.strptime(f"{str(date).strip()}{str(zone).strip()}", "%Y:%m:%d %H:%M:%S%z")
        return taken.astimezone(UTC)
    except Exception:  # EXIF of hostile files raises nearly anything, and a date is never worth a photo
        return None


def model_size(width: int, height: int, image_width: int, *, enlarge: bool = True) -> tuple[int, int]:
    """Return the (width, height) at which a model sees a photo: long side `image_width`, aspect kept to the step of
    16 px, no side under 32 px. Without `enlarge` a smaller photo keeps its size, but for these steps.
    """
    scale = image_width / max(width, height)
    if not enlarge:
        scale = min(1.0, scale)

    def side(pixels: int) -> int:
        return max(MIN_MODEL_SIDE, round(pixels * scale / MODEL_SIDE_STEP) * MODEL_SIDE_STEP)

    return side(width), side(height)


def model_input(image: Image.Image, image_width: int, *, enlarge: bool = True) -> np.ndarray:
    """Return the upright sRGB `image` as a model sees it: uint8 array (height, width, 3)."""
    size = model_size(image.width, image.height, image_width, enlarge=enlarge)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def stored_input(jpeg: bytes, image_width: int, *, enlarge: bool = True) -> np.ndarray:
    """Return the working copy `jpeg` (ours, so trusted) as a model sees it: uint8 array (height, width, 3)."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        return model_input(image.convert("RGB"), image_width, enlarge=enlarge)

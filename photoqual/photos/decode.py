"""Decode untrusted images safely and fast: upright, sRGB, 8 bits, bounded memory whatever the file claims.

JPEGs are decoded at a reduced size by the DCT scaling of libjpeg where the target allows it; a 12-megapixel photo
then costs a quarter of a full decode. Only the first frame of an animation is used. Transparency shows white.
HEIC and camera RAW are decoded where pillow-heif and rawpy are installed (extra `raw`), else refused by a reason.
"""

import io
import threading
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.photos import formats, raw
from photoqual.photos.containers import find_metadata
from photoqual.photos.exif import read_exif
from photoqual.photos.fingerprints import perceptual_hash
from photoqual.photos.look import Look, look

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "BMP")
SUFFIXES = (
    frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".gif", ".avif", ".bmp"})
    | formats.HEIC_SUFFIXES
    | formats.RAW_SUFFIXES
)
MODEL_SIDE_STEP = 16
"""Sides of a model's input are multiples of this, so that photos of nearly one shape share a batch."""
MIN_MODEL_SIDE = 32
_EXIF_ORIENTATION, _EXIF_DETAILS, _EXIF_TAKEN, _EXIF_ZONE = 0x0112, 0x8769, 0x9003, 0x9011
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a photo of each EXIF orientation upright; from 5 on it lies on its side."""

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
    """The re-encoded photo that is kept: JPEG bytes, its size and that of the original in pixels, its hash, its look."""

    jpeg: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    phash: str
    look: Look


def open_photo(
    data: bytes, limits: PhotosParams, *, max_side: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Decode `data` to an upright sRGB image whose long side is at most `max_side` (default `limits.max_side`).

    Return it with the upright size of the original. Raise UnreadablePhoto with one of the reasons `empty`,
    `too_many_bytes`, `not_an_image`, `too_many_pixels`, `truncated`, `broken`, `heic_decoder_missing` or
    `raw_decoder_missing`.
    """
    max_side = max_side or limits.max_side
    if not data:
        raise UnreadablePhoto("empty", "The file is empty.")
    if len(data) > limits.max_megabytes * 1e6:
        raise UnreadablePhoto(
            "too_many_bytes", f"{len(data) / 1e6:.1f} MB is over photos.max_megabytes = {limits.max_megabytes:g}."
        )
    decoder = formats.decoder_for(data)
    if decoder and (reason := formats.missing(decoder)):
        raise UnreadablePhoto(reason, f"Decoding it needs an optional package: install {formats.EXTRA}.")
    with _PILLOW_WARNINGS_IGNORED:
        try:
            if decoder == formats.RAW:
                return _open_raw(data, limits, max_side)
            return _open(data, limits, max_side, heic=decoder == formats.HEIC)
        except UnreadablePhoto:
            raise
        except UnidentifiedImageError:
            raise UnreadablePhoto("not_an_image", "No decoder knows this file as an image.") from None
        except MemoryError:
            raise UnreadablePhoto("out_of_memory", "Decoding it takes more memory than there is.") from None
        except Image.DecompressionBombError as error:
            raise UnreadablePhoto("too_many_pixels", str(error)) from None
        except (OSError, EOFError) as error:
            reason = "truncated" if "truncated" in str(error).lower() or isinstance(error, EOFError) else "broken"
            raise UnreadablePhoto(reason, f"The image data is {reason}: {error}.") from None
        except Exception as error:  # decoders of hostile files raise nearly anything: SyntaxError, struct.error, …
            raise UnreadablePhoto("broken", f"The image cannot be decoded: {type(error).__name__}: {error}.") from None


def _open(data: bytes, limits: PhotosParams, max_side: int, *, heic: bool) -> tuple[Image.Image, tuple[int, int]]:
    with _heic_file(data) if heic else Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        width, height = opened.size
        if width * height > limits.max_megapixels * 1e6:
            raise UnreadablePhoto(
                "too_many_pixels", f"{width}×{height} is over photos.max_megapixels = {limits.max_megapixels:g}."
            )
        orientation = _orientation(opened)
        image = _decode(opened, orientation, max_side, _draft_box(opened.size, max_side, limits))
        if heic:
            width, height = opened.size  # known for sure when decoded
    return image, ((height, width) if orientation >= 5 else (width, height))


def _orientation(opened: Image.Image) -> int:
    """Return how the pixels of `opened` have to be turned, 1 (not at all) to 8. Pillow sets TIFF upright by itself, and
    metadata that cannot be read turns nothing.
    """
    if opened.format == "TIFF":
        return 1
    try:
        orientation = opened.getexif().get(_EXIF_ORIENTATION)
        return orientation if orientation in _TURNS else 1
    except Exception:  # EXIF of hostile files raises nearly anything, and is never worth a photo
        return 1


def _heic_file(data: bytes) -> Image.Image:
    from pillow_heif import HeifImageFile

    return HeifImageFile(io.BytesIO(data))


def _open_raw(data: bytes, limits: PhotosParams, max_side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Show a RAW file by its embedded preview where that is whole and large enough, else by its sensor data."""
    opened = raw.open_raw(data, limits)
    with opened.file:
        image = _preview(opened, limits, max_side)
        if image is None:
            image = raw.develop(opened, max_side)
            image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image, (opened.width, opened.height)


def _preview(opened: raw.Raw, limits: PhotosParams, max_side: int) -> Image.Image | None:
    if opened.preview is None:
        return None
    try:
        image, size = _open(opened.preview, limits, max_side, heic=False)
    except Exception:  # a preview that cannot be decoded is as good as none
        return None
    return image if raw.shows_all(size, opened, max_side) else None


def _draft_box(size: tuple[int, int], max_side: int, limits: PhotosParams) -> tuple[int, int]:
    """Return what the DCT scaling of a JPEG of `size` has to leave at least: `max_side` on the long side. A working copy
    keeps as much on its short side, so that copies made over the years are alike.
    """
    if max_side >= limits.max_side:
        return max_side, max_side
    width, height = (max(1, side * max_side // max(size)) for side in size)
    return width, height


def _decode(opened: Image.Image, orientation: int, max_side: int, draft_box: tuple[int, int]) -> Image.Image:
    """Draft, load, make upright, shrink, convert to sRGB, in the order that keeps the work small."""
    profile = opened.info.get("icc_profile")
    if opened.format in ("JPEG", "MPO"):
        opened.draft(None, draft_box)
    if opened.format != "HEIF":  # which opens at its primary picture, wherever that stands
        opened.seek(0)
    opened.load()
    image = opened.transpose(_TURNS[orientation]) if orientation in _TURNS else opened.copy()
    image = _to_eight_bits(image)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _to_srgb(image, profile)


def shown_upright(image: Image.Image, max_side: int) -> tuple[Image.Image, tuple[int, int]]:
    """Return a decoded `image`, which stays as it is, as `open_photo` returns an encoded one. Raise UnreadablePhoto when
    its pixels cannot be had.
    """
    orientation = _orientation(image)
    try:
        shown = _decode(image.copy(), orientation, max_side, image.size)
    except Exception as error:  # an image that was opened and not read yet fails only now, in as many ways
        raise UnreadablePhoto("broken", f"The image cannot be decoded: {type(error).__name__}: {error}.") from None
    return shown, (image.size[::-1] if orientation >= 5 else image.size)


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
    size = (image.width, image.height, original_width, original_height)
    return WorkingCopy(encoded.getvalue(), *size, phash, look(image))


def taken_at(data: bytes) -> datetime | None:
    """Return when the photo `data` was taken, by its EXIF date and zone; a date without a zone is taken as UTC."""
    if formats.decoder_for(data):
        found = find_metadata(io.BytesIO(data)).exif
        taken = read_exif(found).taken if found else None
        return taken and (taken if taken.tzinfo else taken.replace(tzinfo=UTC)).astimezone(UTC)
    try:
        with _PILLOW_WARNINGS_IGNORED, Image.open(io.BytesIO(data), formats=FORMATS) as image:
            details = image.getexif().get_ifd(_EXIF_DETAILS)
        date, zone = details.get(_EXIF_TAKEN, ""), details.get(_EXIF_ZONE) or "+00:00"
        taken = datetime.strptime(f"{str(date).strip()}{str(zone).strip()}", "%Y:%m:%d %H:%M:%S%z")
        return taken.astimezone(UTC)
    except Exception:  # EXIF of hostile files raises nearly anything, and a date is never worth a photo
        return None


def stated_size(path: Path) -> tuple[int, int]:
    """Return the size that the header of a photo states, as it is stored; (0, 0) where Pillow cannot tell."""
    try:
        with _PILLOW_WARNINGS_IGNORED, Image.open(path, formats=FORMATS) as opened:
            return opened.size
    except Exception:  # headers of hostile files raise nearly anything
        return (0, 0)


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

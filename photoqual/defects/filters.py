"""Filters on the tones, colours and frame of photos: uint8 RGB arrays (height, width, 3) in, new ones of the same shape
out. What is random is drawn from the generator given. Blurs are in `blur`, the flare is in `flare`.
"""

import io
import math

import numpy as np
from PIL import Image, ImageEnhance, ImageStat

GAMMA = 2.2
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601)."""
_LEVELS = np.arange(256) / 255.0


def expose(pixels: np.ndarray, stops: float) -> np.ndarray:
    """Change the exposure by `stops` in linear light (gamma 2.2); what gets too bright is clipped."""
    return _exposure(stops)[pixels]


def bend(pixels: np.ndarray, stops: float) -> np.ndarray:
    """Bend the tone curve (a power) so that middle grey, level 128, moves as by `stops`, black and white not at all."""
    grey = min(max(128 / 255 * 2.0 ** (stops / GAMMA), 1 / 255), 254 / 255)
    power = math.log(grey) / math.log(128 / 255)
    return np.rint(_LEVELS**power * 255).astype(np.uint8)[pixels]


def cast(pixels: np.ndarray, stops: float, hue: float) -> np.ndarray:
    """Tint by up to `stops` in linear light towards `hue` (radians: 0 red, 2π/3 green); grey keeps its brightness."""
    gains = stops * np.cos(hue - 2 * np.pi / 3 * np.arange(3))
    gains -= gains @ np.array(LUMA)
    return np.stack([_exposure(gain)[pixels[..., channel]] for channel, gain in enumerate(gains)], axis=2)


def fade(pixels: np.ndarray, contrast: float, colour: float, level: int | None = None) -> np.ndarray:
    """Keep the parts `contrast` of the distance to the grey `level` (default: mean luma) and `colour` of saturation."""
    photo = Image.fromarray(pixels)
    if level is None:
        level = int(ImageStat.Stat(photo.convert("L")).mean[0] + 0.5)
    faded = Image.blend(Image.new("RGB", photo.size, (level, level, level)), photo, contrast)
    return np.asarray(ImageEnhance.Color(faded).enhance(colour))


def add_noise(pixels: np.ndarray, levels: float, random: np.random.Generator) -> np.ndarray:
    """Add Gaussian noise of standard deviation `levels` (of 255) to each channel of each pixel on its own."""
    values = pixels.astype(np.float32)
    return to_pixels(values + random.normal(0, levels, values.shape).astype(np.float32))


def sensor_noise(pixels: np.ndarray, levels: float, grain: float, random: np.random.Generator) -> np.ndarray:
    """Add noise as of a sensor at high gain: shot and read noise, half of its variance common to the channels.

    levels: standard deviation (of 255) on middle grey; shadows get up to 1.5 times that.
    grain: size of a grain in px. Finer than a pixel: noise is averaged within the pixel. Coarser: it is interpolated.
    """
    height, width = pixels.shape[:2]
    coarse = max(1.0, grain)
    rows, columns = max(1, round(height / coarse)), max(1, round(width / coarse))
    drawn = random.standard_normal((4, rows, columns), dtype=np.float32)
    if coarse > 1:
        drawn = np.stack([_enlarged(plane, width, height) for plane in drawn])
    mixed = (drawn[3][..., None] + np.moveaxis(drawn[:3], 0, 2)) * np.float32(math.sqrt(0.5))
    return to_pixels(pixels + mixed * (_NOISE_BY_LEVEL * np.float32(levels * min(1.0, grain)))[pixels])


def recompress(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Save as a JPEG of `quality` (1 to 95) and load it again."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    with Image.open(encoded) as image:
        return np.asarray(image.convert("RGB"))


def tilt(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Turn counter-clockwise by `degrees` (up to 45) about the middle, cropped to what the photo still fills."""
    height, width = pixels.shape[:2]
    angle = math.radians(degrees)
    zoom = math.cos(angle) + abs(math.sin(angle)) * max(width / height, height / width)
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    right, down = width / 2, height / 2
    seen_from = (
        cosine, -sine, right - cosine * right + sine * down,
        sine, cosine, down - sine * right - cosine * down,
    )  # fmt: skip
    turned = Image.fromarray(pixels).transform(
        (width, height), Image.Transform.AFFINE, seen_from, Image.Resampling.BILINEAR
    )
    return np.asarray(turned)


def resized(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale to `width` × `height` px, each at least 1."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Round floats to uint8; what lies outside 0 to 255 is clipped."""
    return np.clip(values + 0.5, 0, 255).astype(np.uint8)


def _exposure(stops: float) -> np.ndarray:
    """Return the tone curve of a change of exposure: uint8 (256,)."""
    linear = _LEVELS**GAMMA * 2.0**stops
    table = np.clip(linear, 0, 1) ** (1 / GAMMA) * 255
    return np.rint(table).astype(np.uint8)


def _enlarged(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def _noise_by_level() -> np.ndarray:
    """Return the standard deviation of sensor noise by level, 1 on middle grey: float32 (256,).

    In linear light the variance is shot noise, in proportion to the light, and read noise; the slope of the tone
    curve brings it to levels (Healey and Kondepudy, IEEE TPAMI 16 (1994), 267-276, and the gamma of the file).
    """
    light = np.maximum(_LEVELS, 8 / 255) ** GAMMA
    deviation = np.sqrt(light + 0.02) * light ** (1 / GAMMA - 1)
    return np.minimum(deviation / deviation[128], 1.5).astype(np.float32)


_NOISE_BY_LEVEL = _noise_by_level()

"""Lens flare, drawn: a light that shines into the lens, with its glow, streaks, rays, veil and ghosts."""

import numpy as np
from PIL import Image, ImageChops

_DRAWN_AT = 320
"""Long side in px at which the light is drawn; it is smooth, and enlarged onto the photo."""
_WARM, _COOL = np.array([1.0, 0.9, 0.72], np.float32), np.array([0.88, 0.95, 1.0], np.float32)


def flare(pixels: np.ndarray, power: float, random: np.random.Generator) -> np.ndarray:
    """Let a light at a drawn place shine into the lens: uint8 (height, width, 3), same shape. `power` 1 is strong.

    Light adds up as two exposures do (screen), so the photo can only get brighter.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _DRAWN_AT / max(height, width))
    drawn = _light(max(1, round(height * scale)), max(1, round(width * scale)), power, random)
    light = Image.fromarray(np.clip(drawn * 255, 0, 255).astype(np.uint8))
    light = light.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(ImageChops.screen(Image.fromarray(pixels), light))


def _light(height: int, width: int, power: float, random: np.random.Generator) -> np.ndarray:
    """Return the stray light, 0 to 1 and more: float32 (height, width, 3)."""
    place = np.array([random.uniform(0.05, 0.6) * height, random.uniform(0.1, 0.9) * width])
    tint = _WARM + (_COOL - _WARM) * np.float32(random.random())
    size = np.float32(np.hypot(height, width))
    down = ((np.arange(height) - place[0])[:, None] / size).astype(np.float32)
    right = ((np.arange(width) - place[1])[None, :] / size).astype(np.float32)
    distance = np.sqrt(down**2 + right**2)

    white = 1.8 * power * np.exp(-((distance / (0.014 + 0.01 * power)) ** 2))
    white += 0.8 * power * np.exp(-distance / 0.04)
    white += _streaks(down, right, random) * power
    tinted = 0.42 * power * np.exp(-distance / 0.45)
    tinted += _rays(down, right, distance, random) * power
    light = white[..., None] + tinted[..., None] * tint
    _add_ghosts(light, place, power, random)
    return light


def _streaks(down: np.ndarray, right: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return the star that the blades of the aperture make: lines through the light, (height, width)."""
    lines, turn = int(random.integers(3, 6)), random.uniform(0, np.pi)
    star = np.zeros((down.shape[0], right.shape[1]), np.float32)
    for angle in turn + np.pi * np.arange(lines) / lines:
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = np.abs(right * cosine + down * sine), np.abs(down * cosine - right * sine)
        length = np.float32(random.uniform(0.08, 0.2))
        star += np.exp(-along / length - across / (0.003 + 0.02 * np.exp(-along / 0.05)))
    return 0.8 * star


def _rays(down: np.ndarray, right: np.ndarray, distance: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return many fine rays of different brightness, (height, width)."""
    directions = 180
    brightness = random.random(directions).astype(np.float32) ** 3
    turns = (np.arctan2(down, right) / np.float32(2 * np.pi) + 0.5) * directions
    first = turns.astype(np.int32)
    part = turns - first
    around = brightness[first % directions] * (1 - part) + brightness[(first + 1) % directions] * part
    return 0.5 * around * np.exp(-distance / np.float32(random.uniform(0.15, 0.3)))


def _add_ghosts(light: np.ndarray, place: np.ndarray, power: float, random: np.random.Generator) -> None:
    """Add to `light` the images of the aperture between the lens's surfaces: discs on the line from the light through
    the middle, coloured, a little brighter at the rim.
    """
    height, width = light.shape[:2]
    size = np.hypot(height, width)
    axis = np.array([height, width]) / 2 - place
    for _ in range(int(random.integers(4, 8))):
        row, column = place + axis * random.uniform(0.3, 2.3)
        radius = size * random.uniform(0.012, 0.075)
        colour = (0.35 + 0.65 * random.random(3)).astype(np.float32)
        brightness = np.float32(power * random.uniform(0.12, 0.4))
        top, left = max(0, int(row - radius - 1)), max(0, int(column - radius - 1))
        rows, columns = (
            np.arange(top, min(height, int(row + radius + 2))),
            np.arange(left, min(width, int(column + radius + 2))),
        )
        if not len(rows) or not len(columns):
            continue
        away = np.hypot((rows - row)[:, None], (columns - column)[None, :]).astype(np.float32) / np.float32(radius)
        ghost = np.clip((1 - away) * np.float32(radius / 1.5), 0, 1) * (0.55 + 0.45 * away**4) * brightness
        light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += ghost[..., None] * colour

"""How a photo was exposed, as its EXIF tells it: what brackets and panoramas are known by."""

import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

from photoqual.photos.exif import Value, read_tags

_DETAILS = 0x8769
_SECONDS, _APERTURE, _ISO, _BIAS, _FOCAL, _MODE = 0x829A, 0x829D, 0x8827, 0x9204, 0x920A, 0xA402
_AUTO_BRACKET = 2
_MOST_STEPS = 20.0
"""Steps of exposure compensation beyond which a value is no such thing."""


@dataclass(frozen=True)
class Exposure:
    """Exposure time in seconds, f-number, ISO, compensation in steps, focal length in mm, and whether the camera says that
    it is bracketing; None where EXIF does not tell.
    """

    seconds: float | None = None
    aperture: float | None = None
    iso: float | None = None
    bias: float | None = None
    focal: float | None = None
    bracketing: bool = False

    @property
    def light(self) -> float | None:
        """How bright a scene comes out, in steps; None without a time. What else is not told counts as always the same."""
        if self.seconds is None:
            return None
        return math.log2(self.seconds * (self.iso or 100.0) / (self.aperture or 1.0) ** 2)

    @property
    def setting(self) -> tuple[float | None, ...]:
        """What is the same in photos that were exposed alike through the same lens."""
        return self.seconds, self.aperture, self.iso, self.focal


def read_exposure(file: BinaryIO) -> Exposure:
    """Return the exposure that the TIFF structure in `file` tells; what it does not tell, or tells wrongly, is None."""
    details = _whole(read_tags(file, {_DETAILS: 8}).get(_DETAILS))
    if details is None:
        return Exposure()
    tags = read_tags(file, dict.fromkeys((_SECONDS, _APERTURE, _ISO, _BIAS, _FOCAL, _MODE), 8), int(details))
    bias = _ratio(tags.get(_BIAS), "i")
    return Exposure(
        seconds=_positive(_ratio(tags.get(_SECONDS), "I")),
        aperture=_positive(_ratio(tags.get(_APERTURE), "I")),
        iso=_positive(_whole(tags.get(_ISO))),
        bias=bias if bias is not None and abs(bias) <= _MOST_STEPS else None,
        focal=_positive(_ratio(tags.get(_FOCAL), "I")),
        bracketing=_whole(tags.get(_MODE)) == _AUTO_BRACKET,
    )


def _ratio(value: Value | None, kind: str) -> float | None:
    if value is None or value.data is None or len(value.data) != 8 or value.unit != 8:
        return None
    above, below = struct.unpack(f"{value.order}2{kind}", value.data)
    return above / below if below else None


def _whole(value: Value | None) -> float | None:
    formats = {2: "H", 4: "I"}
    if value is None or value.data is None or value.unit not in formats:
        return None
    return float(struct.unpack(value.order + formats[value.unit], value.data[: value.unit])[0])


def _positive(value: float | None) -> float | None:
    return value if value is not None and value > 0 else None

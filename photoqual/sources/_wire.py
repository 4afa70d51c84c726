"""How the crawler's process speaks to ours: frames of a JSON head and a body of bytes, over a pipe."""

import json
import struct
from dataclasses import fields
from datetime import datetime
from typing import IO, Any

from photoqual.sources.records import Record

_LENGTHS = struct.Struct(">II")
_NAMES = [item.name for item in fields(Record)]
_DATES = ("uploaded_at", "taken_at")
_TUPLES = ("votes_histogram", "rating_scale")


def write_frame(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """Write one frame and flush it."""
    stream.write(start(head, len(body)) + body)
    stream.flush()


def start(head: dict[str, Any], length: int) -> bytes:
    """Return a frame up to its body of `length` bytes."""
    encoded = json.dumps(head).encode()
    return _LENGTHS.pack(len(encoded), length) + encoded


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the next (head, body), or None at the end of the stream or when it breaks off inside a frame."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_length, body_length = _LENGTHS.unpack(lengths)
    head, body = stream.read(head_length), stream.read(body_length)
    return (json.loads(head), body) if len(head) == head_length and len(body) == body_length else None


def pack_record(record: Record) -> dict[str, Any]:
    """Return what `record` states as JSON-able values."""
    stated = ((name, getattr(record, name)) for name in _NAMES)
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in stated if value is not None
    }


def unpack_record(values: dict[str, Any]) -> Record:
    """Undo `pack_record`."""
    dates = {name: datetime.fromisoformat(values[name]) for name in _DATES if name in values}
    tuples = {name: tuple(values[name]) for name in _TUPLES if name in values}
    return Record(**{**values, **dates, **tuples})

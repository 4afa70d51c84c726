"""How the crawler's process speaks to ours: frames of a JSON head and a body of bytes, over a pipe."""

import json
import struct
from dataclasses import asdict, fields
from datetime import datetime
from typing import IO, Any

from photoqual.sources.records import Record

_LENGTHS = struct.Struct(">II")
_DATES = ("uploaded_at", "taken_at")
_TUPLES = ("votes_histogram", "rating_scale")


def write_frame(stream: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    """Write one frame and flush it."""
    encoded = json.dumps(head).encode()
    stream.write(_LENGTHS.pack(len(encoded), len(body)) + encoded + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the next (head, body), or None at the end of the stream or when it breaks off inside a frame."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_length, body_length = _LENGTHS.unpack(lengths)
    head, body = stream.read(head_length), stream.read(body_length)
    return (json.loads(head), body) if len(head) == head_length and len(body) == body_length else None


def pack_record(record: Record) -> dict[str, Any]:
    """Return `record` as JSON-able values."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(record).items()}


def unpack_record(values: dict[str, Any]) -> Record:
    """Undo `pack_record`."""
    values = {field.name: values[field.name] for field in fields(Record)}
    for name in _DATES:
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    for name in _TUPLES:
        values[name] = tuple(values[name]) if values[name] is not None else None
    return Record(**values)

"""The process that decodes photos: `python -m photoqual.sources._decoder`. Started by `_decoding`, it ends with its input.

It reads frames with the encoded photos of a batch and answers each by a frame with their working copies. Whatever a
hostile file does to a decoder, it does it here.
"""

import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from photoqual.config import PhotosParams
from photoqual.errors import UnreadablePhoto
from photoqual.photos import decode
from photoqual.sources._wire import read_frame, write_frame


def main() -> None:
    """Answer batches until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    write_frame(answers, {"ready": True})
    with Path(os.devnull).open("wb") as nowhere:  # what decoders print must neither come between frames nor fill a disk
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    while frame := read_frame(sys.stdin.buffer):
        head, body = frame
        params, start = PhotosParams(**head["params"]), 0
        told, copies = [], []
        for size in head["sizes"]:
            facts, jpeg = _decode(body[start : start + size], params)
            told.append({**facts, "size": len(jpeg)})
            copies.append(jpeg)
            start += size
        write_frame(answers, {"photos": told}, b"".join(copies))


def _decode(data: bytes, params: PhotosParams) -> tuple[dict[str, Any], bytes]:
    """Return what is to be told of one photo, and the bytes of its working copy."""
    try:
        copy = decode.working_copy(data, params)
    except UnreadablePhoto as problem:
        return {"refused": problem.reason}, b""
    taken = decode.taken_at(data)
    told = {name: value for name, value in vars(copy).items() if name not in ("jpeg", "look")}
    return {"copy": told, "look": asdict(copy.look), "taken_at": taken and taken.isoformat()}, copy.jpeg


if __name__ == "__main__":
    main()

"""Read the files inside a Qt resource collection (.rcc), formats 1 to 3.

Header: `qres`, format, then the offsets of tree, data and names, big-endian. A node of the tree has the offset of its
name, flags, and either its children (count, first) or locale and the offset of its data, which begins with its length.
Not covered: data compressed with zstd.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from photoqual.errors import DataError

_COMPRESSED, _FOLDER = 1, 2
_MAX_DEPTH = 16


def resources(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (path inside, content) of each file in the collection. Raise DataError when it is damaged."""
    content = path.read_bytes()
    try:
        magic, form, tree, data, names = struct.unpack_from(">4s4I", content)
        if magic != b"qres" or form not in (1, 2, 3):
            raise ValueError("it does not begin like one")
        yield from _files(content, (tree, data, names), 14 if form == 1 else 22, 0, "")
    except (struct.error, ValueError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a Qt resource collection: {error}.", next_step="Install the package it belongs to again."
        ) from None


def _files(
    content: bytes, parts: tuple[int, int, int], size: int, node: int, folder: str, depth: int = 0
) -> Iterator[tuple[str, bytes]]:
    tree, data, names = parts
    if depth > _MAX_DEPTH:
        raise ValueError("its folders are nested too deep")
    at = tree + node * size
    name_at, flags, first, second = struct.unpack_from(">IHII", content, at)
    inside = f"{folder}/{_name(content, names + name_at)}" if node else ""
    if flags & _FOLDER:
        for child in range(second, second + first):
            yield from _files(content, parts, size, child, inside, depth + 1)
        return
    (length,) = struct.unpack_from(">I", content, data + second)
    start = data + second + 4
    held = content[start : start + length]
    yield inside, zlib.decompress(held[4:]) if flags & _COMPRESSED else held


def _name(content: bytes, at: int) -> str:
    (length,) = struct.unpack_from(">H", content, at)
    return content[at + 6 : at + 6 + 2 * length].decode("utf-16-be")

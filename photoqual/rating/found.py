"""Find what is to be rated: files, folders, objects of a bucket. One at a time, however many there are."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.errors import ConfigError, SourceError, UnreadablePhoto
from photoqual.models.seen import LIMITS
from photoqual.photos import formats
from photoqual.photos.decode import SUFFIXES

if TYPE_CHECKING:
    from photoqual.sources._objects import Listed, Objects

S3 = "s3://"
CONNECTIONS = 16
"""Objects of a bucket that are fetched at once."""
_SORTED = 100_000
"""Entries of a folder that are put in order together; what lies beyond in a larger one comes after, so that memory
stays bounded."""
_STORE_STEP = (
    "Check the address, AWS_ENDPOINT_URL and the keys (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)."
)


@dataclass(frozen=True)
class Skipped:
    """A photo that could not be rated, with the reason."""

    photo: str
    reason: str
    message: str


@dataclass(frozen=True, eq=False)
class InBucket:
    """An object of a bucket; `str` gives its address."""

    address: str
    objects: "Objects"
    item: "Listed"

    def __str__(self) -> str:
        return self.address


Photo = Path | InBucket


def find(paths: Iterable[str | Path]) -> Iterator[Photo | Skipped]:
    """Yield the photos among `paths`: what `find_photos` finds, and for `s3://bucket/prefix` the objects whose keys begin
    so, by the same endings. Raise ConfigError for an address without a bucket, SourceError when a store does not list.
    """
    for path in paths:
        yield from _in_bucket(str(path)) if str(path).startswith(S3) else find_photos([Path(path)])


def find_photos(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    """Yield the photos among `paths`: files as given, folders recursively by the endings we decode. In the order of
    names; the photos of a folder come before its folders.

    What does not exist or cannot be read is yielded as Skipped. Links to folders within a folder are not followed, so
    no loop can occur.
    """
    for path in paths:
        yield from _on_disk(path)


def open_bucket(name: str) -> "Objects":
    """Return what fetches objects of a bucket, with the keys of the environment. Raise SourceError or ConfigError."""
    from photoqual.sources import _objects, _s3

    with _explained():
        client = _s3.client(None, None, None, connections=CONNECTIONS)
        return _objects.Objects(client, name, LIMITS.max_megabytes * 1e6, CONNECTIONS)


def read(photo: Photo) -> bytes:
    """Return the bytes of the file. Raise UnreadablePhoto; SourceError for what every object of the bucket would meet."""
    if isinstance(photo, InBucket):
        return _fetched(photo)
    try:
        if photo.stat().st_size > LIMITS.max_megabytes * 1e6:
            raise UnreadablePhoto("too_many_bytes", f"The file is over {LIMITS.max_megabytes:g} MB.")
        return photo.read_bytes()
    except OSError as error:
        raise UnreadablePhoto("unreadable_file", f"{error.strerror or error}.") from None


def changed_at(photo: Photo) -> float:
    """Return when the file was changed last, in seconds since 1970; 0 when nobody knows."""
    try:
        if isinstance(photo, InBucket):
            return photo.item.modified.timestamp() if photo.item.modified else 0.0
        status = photo.stat()
        return max(status.st_mtime, status.st_ctime)
    except OSError:
        return 0.0


def _on_disk(path: Path) -> Iterator[Path | Skipped]:
    try:
        is_folder, there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        yield Skipped(_shown(path), "unreadable_file", f"{getattr(error, 'strerror', None) or error}.")
        return
    if is_folder:
        yield from _in_folder(path)
    elif there:
        yield _looked_at(path)
    else:
        yield Skipped(_shown(path), "not_found", "There is no such file or folder.")


def _in_folder(top: Path) -> Iterator[Path | Skipped]:
    waiting = [top]
    while waiting:
        folder, inside = waiting.pop(), list[str]()
        try:
            with os.scandir(folder) as entries:
                while some := [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(entries, _SORTED)]:
                    inside += [name for name, is_folder in some if is_folder]
                    names = sorted(name for name, is_folder in some if not is_folder and _is_photo(name))
                    yield from (_looked_at(folder / name) for name in names)
        except OSError as error:
            yield Skipped(_shown(folder), "unreadable_folder", f"{error.strerror or error}.")
        waiting += [folder / name for name in sorted(inside, reverse=True)]


def _is_photo(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _looked_at(path: Path) -> Path | Skipped:
    """Return `path`, or why it cannot be rated as its name and kind already tell."""
    shown = _shown(path)
    if reason := formats.missing_decoder(path.suffix):
        return Skipped(shown, reason, f"Decoding it needs an optional package: install {formats.EXTRA}.")
    if shown != str(path):
        return Skipped(shown, "name_is_not_utf8", "The name of the file is not UTF-8; rename it.")
    try:
        return path if path.is_file() else Skipped(shown, "not_a_file", "It is not a regular file.")
    except OSError as error:
        return Skipped(shown, "unreadable_file", f"{error.strerror or error}.")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")


def _in_bucket(address: str) -> Iterator[InBucket | Skipped]:
    from photoqual.sources import _objects

    bucket, _, prefix = address.removeprefix(S3).partition("/")
    if not bucket:
        raise ConfigError(f"{address} names no bucket.", next_step="Write s3://BUCKET or s3://BUCKET/PREFIX.")
    objects = open_bucket(bucket)
    with _explained():
        for item in _objects.listed(objects.client, bucket, prefix):
            named = f"{S3}{bucket}/{item.key}"
            if not _is_photo(item.key):
                continue
            if problem := _objects.key_problem(item.key):
                yield Skipped(named.encode(errors="replace").decode(), problem, "Its key is not one that we read.")
            elif reason := formats.missing_decoder(Path(item.key).suffix):
                yield Skipped(named, reason, f"Decoding it needs an optional package: install {formats.EXTRA}.")
            else:
                yield InBucket(named, objects, item)


def _fetched(photo: InBucket) -> bytes:
    from photoqual.sources import _objects

    if photo.item.size > photo.objects.max_bytes:
        raise UnreadablePhoto(_objects.TOO_LARGE, f"The object is over {LIMITS.max_megabytes:g} MB.")
    with _explained():
        try:
            return photo.objects.get(photo.item)[0]
        except _objects.Unfetched as problem:
            raise UnreadablePhoto(problem.reason, "The store did not give it.") from None


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what a store refuses into an error that says what to do when rating, where there is no params.yaml."""
    try:
        yield
    except SourceError as error:
        raise SourceError(error.message, next_step=_STORE_STEP, **error.details) from None

"""A folder, on a disk or in a bucket, in which files appear whole or not at all."""

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photoqual import files
from photoqual.errors import ConfigError, DataError


class Place:
    """The folder at `address`: a path, or what fsspec understands (`s3://bucket/path`); it is made when it is first
    written to. What a store refuses is a DataError with its reason.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._files, self._folder = _opened(address)

    def read(self, name: str) -> bytes | None:
        """Return the file `name`, None where there is none."""
        with _explained(self.address):
            self._files.invalidate_cache()
            try:
                return bytes(self._files.cat_file(f"{self._folder}/{name}"))
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Write the file `name`, whole or not at all."""
        with _explained(self.address):
            if is_local(self.address):
                files.write_bytes(Path(self._folder) / name, data)
            else:
                self._files.pipe_file(f"{self._folder}/{name}", data)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        with _explained(self.address), contextlib.suppress(FileNotFoundError):
            self._files.rm(self._folder, recursive=True)


@contextmanager
def written(address: str) -> Iterator[Path]:
    """Yield a temporary file that becomes the one at `address` when the block ends well."""
    store, path = _opened(address)
    with _explained(address):
        if is_local(address):
            with files.atomic(Path(path)) as temporary:
                yield temporary
        else:
            with tempfile.TemporaryDirectory(prefix="photoqual-") as scratch:
                local = Path(scratch, "file")
                yield local
                store.put_file(str(local), path)


def is_local(address: str) -> bool:
    """Tell whether `address` is a path on this machine."""
    return "://" not in address


def _opened(address: str) -> tuple[Any, str]:
    import fsspec

    try:
        place = str(Path(address).expanduser().absolute()) if is_local(address) else address
        store, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"{address} cannot be written to: {error}.", next_step="Name a path, or s3://BUCKET/KEY."
        ) from None
    return store, path.rstrip("/")


@contextmanager
def _explained(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{address} cannot be read or written: {error.strerror or error}.",
            next_step="Check the address, the room that is left, and the keys of the store (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL).",
        ) from None

"""Where a training stands, as one object in a folder or an object store, so that a killed one goes on anywhere.

The object is named by a digest of all that the training depends on (see identity.py), so a checkpoint of other data,
params or code is never taken. It is an npz archive without pickles, written under a temporary name and renamed, or put in one call.
Its address is `PHOTOQUAL_CHECKPOINTS`, a folder or what fsspec understands (`s3://bucket/path`), by default
$XDG_CACHE_HOME/photoqual/checkpoints. Two trainings of equal inputs may share it: each writes it whole, and either
one's state is a good one for both.
"""

import contextlib
import io
import json
import logging
import os
import time
import uuid
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from photoqual.errors import TrainingError
from photoqual.settings import Settings

log = logging.getLogger(__name__)

SUFFIX = ".checkpoint.npz"
_STATE = "state.json"
_STALE_SECONDS = 3600
"""Age at which an unfinished file of a killed training is removed."""
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: arrays by name, and a state that JSON can tell."""

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


def address() -> str:
    """Return where checkpoints lie."""
    named = Settings().checkpoints
    return named or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "photoqual/checkpoints")


class Checkpoints:
    """The one checkpoint of a training named `key`, at `place`."""

    def __init__(self, place: str, key: str) -> None:
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.key = key
        try:
            self._files, self._folder = fsspec.core.url_to_fs(place)
        except (ImportError, ValueError) as error:
            raise TrainingError(
                f"Checkpoints cannot be kept at {place}: {error}.", next_step="Mend PHOTOQUAL_CHECKPOINTS."
            ) from None
        self._local = isinstance(self._files, LocalFileSystem)
        self.path = f"{self._folder.rstrip('/')}/{key}{SUFFIX}"

    def read(self) -> Saved | None:
        """Return the checkpoint; None, with a line that says why, when there is none that this training can go on from.

        Raise TrainingError when the store cannot be asked: starting again would cost what it holds.
        """
        try:
            self._files.invalidate_cache()
            self._remove_stale()
            data = self._files.cat_file(self.path)
        except FileNotFoundError:
            self._tell_others()
            return None
        except Exception as error:  # each store has errors of its own
            raise TrainingError(
                f"Checkpoint {self.path} cannot be read: {type(error).__name__}: {error}.",
                next_step="Check PHOTOQUAL_CHECKPOINTS and the credentials of the store.",
            ) from None
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            state = json.loads(arrays.pop(_STATE).tobytes())
            key = state.pop("key")
        except _UNREADABLE as error:
            log.warning("Checkpoint %s is damaged (%s) and is ignored: training starts anew.", self.path, error)
            return None
        if key != self.key:
            log.warning("Checkpoint %s is of other inputs (%s) and is ignored.", self.path, str(key)[:12])
            return None
        return Saved(arrays, state)

    def write(self, saved: Saved) -> None:
        """Replace the checkpoint. A store that refuses costs the checkpoint, with a warning, never the training."""
        state = json.dumps({**saved.state, "key": self.key}).encode()
        buffer = io.BytesIO()
        arrays: dict[str, Any] = {**saved.arrays, _STATE: np.frombuffer(state, np.uint8)}
        np.savez(buffer, **arrays)
        try:
            if self._local:
                self._write_local(buffer.getvalue())
            else:
                self._files.pipe_file(self.path, buffer.getvalue())
        except Exception as error:  # each store has errors of its own
            log.warning("Checkpoint %s was not written: %s: %s", self.path, type(error).__name__, error)

    def remove(self) -> None:
        """Remove the checkpoint: its training ended well."""
        try:
            self._files.rm_file(self.path)
        except FileNotFoundError:
            pass
        except Exception as error:  # each store has errors of its own
            log.warning("Checkpoint %s was not removed: %s: %s", self.path, type(error).__name__, error)

    def _write_local(self, data: bytes) -> None:
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{self.key}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _remove_stale(self) -> None:
        if not self._local:
            return
        for path in Path(self._folder).glob(f".{self.key}.*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()

    def _tell_others(self) -> None:
        """Say that there are checkpoints, all of other inputs."""
        try:
            names = [str(name) for name in self._files.ls(self._folder, detail=False)]
        except Exception:  # a folder that is not there yet, or that may not be listed
            return
        others = [name for name in names if name.endswith(SUFFIX)]
        if others:
            log.info(
                "%d checkpoint(s) in %s are of other inputs (data, params or code) and are ignored.",
                len(others),
                self._folder,
            )

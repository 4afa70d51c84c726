"""Sidecars on disk: read with bounds, replaced whole or not at all, and only if nobody changed them meanwhile.

Photoqual's own processes wait for one another by a lock on the folder. Other programs know no such lock: a sidecar is
compared with what was read right before it is replaced.
"""

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from photoqual import files
from photoqual.errors import UnusableSidecar
from photoqual.photos.containers import MAX_PACKET_BYTES

LOCKED, UNREADABLE, NOT_A_FILE = "sidecar_locked", "sidecar_unreadable", "sidecar_not_a_file"
CHANGED, BUSY = "sidecar_changed_meanwhile", "sidecar_busy"
READ_ONLY, FULL, UNWRITABLE = "folder_not_writable", "disk_full", "sidecar_unwritable"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_PATIENCE_SECONDS = 10.0


def read(sidecar: Path) -> bytes | None:
    """Return the bytes of `sidecar`, at most one more than a packet may have; None where there is none.

    Raise UnusableSidecar where it cannot be read, or could not be replaced.
    """
    try:
        status = sidecar.stat()
    except FileNotFoundError:
        if sidecar.is_symlink():
            raise UnusableSidecar(NOT_A_FILE, "It is a link that leads nowhere.") from None
        _require_writable(sidecar.parent)
        return None
    except OSError as error:
        raise UnusableSidecar(UNREADABLE, f"It cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnusableSidecar(NOT_A_FILE, "It is not a regular file.")
    if not status.st_mode & 0o222 or not os.access(sidecar, os.W_OK):
        raise UnusableSidecar(LOCKED, "It is protected against writing.")
    try:
        with sidecar.open("rb") as file:
            data = file.read(MAX_PACKET_BYTES + 1)
    except OSError as error:
        raise UnusableSidecar(UNREADABLE, f"It cannot be read: {error.strerror}.") from None
    _require_writable(sidecar.resolve().parent)
    return data


def replace(sidecar: Path, before: bytes | None, after: bytes | None) -> None:
    """Make `sidecar` hold `after` in place of `before`; None: it does not exist. Its mode stays, links stay links.

    Raise UnusableSidecar, with the sidecar as it was, where it no longer holds `before` or cannot be written.
    """
    real = sidecar.resolve()
    try:
        if after is None:
            _require_unchanged(real, before)
            real.unlink()
            return
        with files.atomic(real) as temporary:
            temporary.write_bytes(after)
            if before is not None:
                _copy_mode(real, temporary)
            _require_unchanged(real, before)
    except OSError as error:
        raise _unwritable(error) from None


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes of ours from writing sidecars in `folder`. Raise UnusableSidecar when one does for long."""
    try:
        lock = os.open(folder.resolve(), os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(error) from None
    try:
        _lock(lock)
        yield
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise UnusableSidecar(BUSY, "Another process is writing sidecars in its folder.") from None
            time.sleep(0.01)
        except OSError:  # a file system without locks: the comparison before replacing is what is left
            return
        else:
            return


def _require_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK) or not folder.stat().st_mode & 0o222:
        raise UnusableSidecar(READ_ONLY, f"The folder {folder} is protected against writing.")


def _require_unchanged(real: Path, before: bytes | None) -> None:
    now = None
    with suppress(FileNotFoundError), real.open("rb") as file:
        now = file.read(MAX_PACKET_BYTES + 1)
    if now != before:
        raise UnusableSidecar(CHANGED, "Another program changed it meanwhile; run this again.")


def _copy_mode(old: Path, new: Path) -> None:
    status = old.stat()
    with suppress(OSError):  # only root may give files away
        os.chown(new, status.st_uid, status.st_gid)
    shutil.copymode(old, new)


def _unwritable(error: OSError) -> UnusableSidecar:
    if error.errno in _FULL:
        return UnusableSidecar(FULL, "The disk is full.")
    if error.errno in _FORBIDDEN:
        return UnusableSidecar(READ_ONLY, f"It cannot be written: {error.strerror}.")
    return UnusableSidecar(UNWRITABLE, f"It cannot be written: {error.strerror}.")

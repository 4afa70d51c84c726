"""The file that ratings are kept in while they come: OUT.partial, which one process holds, and which becomes OUT.

Whatever kills the process, OUT is whole: the earlier one, or the new one. OUT.partial holds what was rated, but for a
torn last line, and is gone on with by `--resume`.
"""

import fcntl
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from photoqual import files
from photoqual.errors import ConfigError, DataError
from photoqual.rating.output.formats import Format
from photoqual.rating.output.names import Names
from photoqual.rating.output.writer import Record
from photoqual.rating.rater import Rating

PARTIAL, SINCE = ".partial", ".since"
_OTHER = "Name another file with --out."
_COPIED = 1 << 20


class Kept:
    """Ratings on their way to the file `out`. Raise ConfigError where it cannot be written, another process writes to it,
    or a killed run's ratings are in the way; DataError where what is there cannot be gone on with.

    Of an earlier run that is gone on with: `names` are the photos it rated, `model` is which model did, and `changed_at`
    when it wrote last, in seconds since 1970.
    """

    def __init__(self, out: Path, form: Format, *, resume: bool) -> None:
        self.out, self.form = Path(os.path.realpath(out)), form
        self.partial = self.out.with_name(self.out.name + PARTIAL)
        if not self.out.parent.is_dir() or (self.out.exists() and not self.out.is_file()):
            raise ConfigError(f"{out} cannot be written.", next_step="Name a file in a folder that exists with --out.")
        if resume and form.records is None:
            raise ConfigError(
                "This format cannot be gone on with.", next_step="Leave out --resume, or use json, csv or parquet."
            )
        self.names = Names()
        self.model: str | None = None
        self.changed_at = 0.0
        self._records = form.records or _none
        self._made = self.out.with_name(f".{self.out.name}.{os.getpid()}.tmp")
        self._since = self.out.with_name(f".{self.out.name}{SINCE}")
        self._written, self._again = 0, False
        self._scratch = io.StringIO()
        self._file = _held(self.partial)
        self._end, self._copied = 0, False
        earlier = os.fstat(self._file.fileno())
        self._replaces = self.out.exists() and (not resume or earlier.st_size > 0)
        try:
            self._begin(resume, earlier)
        except BaseException:
            if not earlier.st_size:
                self.partial.unlink(missing_ok=True)
            self._file.close()
            raise
        again = form.again if resume and self._end else None
        self._writer = again(self._scratch, self.partial) if again else form.writer(self._scratch)

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        """Keep `rating`, whole or not at all. Raise DataError when that cannot be."""
        self._again = self._again or (len(self.names) > 0 and rating.photo in self.names)
        self._writer.write(rating, extra)
        self._put()
        self._written += 1

    def finish(self) -> Path:
        """Make `out` of all that was kept, and return it. Raise DataError when that cannot be; it stays kept then."""
        made = self._make()
        self._since.unlink(missing_ok=True)
        return made

    def _make(self) -> Path:
        self._writer.close()
        self._put()
        try:
            os.fsync(self._file.fileno())
            if self._again:
                self._leave_last()
            if self.form.settle is None:
                self.partial.replace(self.out)
            else:
                self.form.settle(self.partial, self._made)
                _flushed(self._made)
                self._made.replace(self.out)
                self.partial.unlink()
        except OSError as error:
            raise self._unwritten(error) from None
        finally:
            self._made.unlink(missing_ok=True)
            self._file.close()
        return self.out

    def stop(self) -> Path | None:
        """Keep what there is of a run that ends early, and return where it is; None when that is nothing. An earlier
        `out` that was to be replaced by a whole run stays.
        """
        if self._file.closed:  # it was being finished
            return self.partial if self.partial.exists() else self.out
        if not self._written:
            self.give_up()
            return None
        if not self._replaces:
            return self._make()
        self._writer.close()
        self._put()
        self._file.close()
        return self.partial

    def give_up(self) -> None:
        """Leave everything as it was before, but for a torn line."""
        if not self._end or self._copied:
            self.partial.unlink(missing_ok=True)
        self._file.close()

    def _begin(self, resume: bool, earlier: os.stat_result) -> None:
        """Find where writing begins: behind what an earlier run has left, or at the start."""
        if earlier.st_size and self.form.records and not resume:
            raise ConfigError(
                f"{self.partial} holds what a run that was ended early had rated.",
                next_step="Go on with it by --resume, or delete it.",
            )
        if resume:
            if not earlier.st_size and self.out.exists():
                earlier = self.out.stat()
                self._copy_out()
            self._scan()
            self._remember(earlier.st_mtime)
        os.ftruncate(self._file.fileno(), self._end)

    def _remember(self, written: float) -> None:
        """Keep up to when files must not have changed for their ratings to hold: when they were `written` last, or what
        an earlier run that went on with them, and did not come to its end, kept of that.
        """
        try:
            self.changed_at = min(written, float(self._since.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            self.changed_at = written
        try:
            files.write_bytes(self._since, repr(self.changed_at).encode())
        except OSError as error:
            raise self._unwritten(error) from None

    def _copy_out(self) -> None:
        """Begin with the ratings in `out`: a whole copy of them takes the place of `partial` at once."""
        try:
            with self.out.open("rb") as source, self._made.open("wb") as copy:
                if self.form.unsettle is None:
                    shutil.copyfileobj(source, copy, _COPIED)
                else:
                    self.form.unsettle(self.out, copy)
            held = _locked(self._made)
            self._made.replace(self.partial)
        except OSError as error:
            raise self._unwritten(error) from None
        finally:
            self._made.unlink(missing_ok=True)
        self._file.close()
        self._file, self._copied = held, True

    def _scan(self) -> None:
        """Read what is there, up to a torn end. Raise DataError for what is no output of ours."""
        try:
            with self.partial.open("rb") as file:
                for record in self._records(file):
                    self._end = record.end
                    if record.photo is not None:
                        self.names.add(record.photo)
                        self.model = record.model
            if self._copied and not self._end and os.fstat(self._file.fileno()).st_size:
                raise ValueError("it has none")
        except ValueError as error:
            raise DataError(f"{self.out} holds no ratings of this format: {error}.", next_step=_OTHER) from None
        self._again = not self.names.last().all()

    def _leave_last(self) -> None:
        """Leave of each photo the last rating alone."""
        names = Names()
        with self.partial.open("rb") as file:
            for record in self._records(file):
                if record.photo is not None:
                    names.add(record.photo)
        kept = iter(names.last())
        with self.partial.open("rb") as file, self.partial.open("rb") as source, self._made.open("wb") as target:
            for record in self._records(file):
                data = source.read(record.end - source.tell())
                if record.photo is None or next(kept):
                    target.write(data)
        _flushed(self._made)
        held = _locked(self._made)
        self._made.replace(self.partial)
        self._file.close()
        self._file = held

    def _put(self) -> None:
        data = memoryview(self._scratch.getvalue().encode(errors="backslashreplace"))
        self._scratch.seek(0)
        self._scratch.truncate()
        descriptor = self._file.fileno()
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], self._end + written)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(descriptor, self._end)
            raise self._unwritten(error) from None
        self._end += len(data)

    def _unwritten(self, error: OSError) -> DataError:
        step = "Make room, then go on with the same command and --resume."
        return DataError(
            f"{self.out} cannot be written: {error.strerror or error}.",
            next_step=step if self.form.records else "Make room, or name another file with --out.",
        )


def _none(_: BinaryIO) -> Iterator[Record]:
    yield from ()


def _held(path: Path) -> BinaryIO:
    """Open `path`, which is made when missing, for this process alone. Raise ConfigError when another has it."""
    while True:
        try:
            file = _locked(path)
        except BlockingIOError:
            raise ConfigError(f"Another process is writing to {path}.", next_step=f"Wait for it. {_OTHER}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror or error}.", next_step=_OTHER) from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # its owner has just renamed it


def _locked(path: Path) -> BinaryIO:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise
    except OSError:  # a file system that has no locks
        pass
    return file


def _flushed(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())

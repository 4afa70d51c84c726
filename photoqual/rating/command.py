"""`photoqual rate`: from paths to a table, JSON, CSV, Parquet, …, with progress and every skip accounted for."""

import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image
from rich.console import Console

from photoqual.errors import ConfigError, DataError, PhotoqualError
from photoqual.models.scorer import Scorer
from photoqual.photos.decode import SUFFIXES
from photoqual.rating.found import Photo, Skipped, changed_at, find
from photoqual.rating.interrupts import Interrupts
from photoqual.rating.output.formats import FORMATS, Format
from photoqual.rating.output.kept import Kept
from photoqual.rating.progress import Advance, shown
from photoqual.rating.rater import Rating, rate_with
from photoqual.starter.model import STARTER, resolve
from photoqual.terminal import plain


class Outcome(NamedTuple):
    """What a run did: how many photos it rated and skipped, how many an earlier one had rated, and whether it was ended
    early.
    """

    rated: int
    skipped: int
    before: int = 0
    stopped: bool = False


class _Sink(Protocol):
    """Where ratings go: a file (`Kept`) or standard output."""

    def write(self, rating: Rating, extra: bytes | None = None) -> None: ...


def rate_paths(
    paths: Sequence[str | Path],
    *,
    model: str | None,
    output: str,
    out: Path | None,
    resume: bool = False,
    look: Callable[[Image.Image], bytes] | None = None,
    each: Callable[[Rating], None] | None = None,
) -> Outcome:
    """Rate the photos in `paths`, files, folders and `s3://bucket/prefix`, with `model`, and write the ratings as
    `output` (see `output.formats.FORMATS`) to `out` or standard output.

    Without `model` the champion rates, or the starter where there is no champion, and standard error says so. Each skip
    is listed on standard error with its reason. With `resume` the photos whose ratings `out` has are left out, unless
    their files were changed since it was written. Ctrl-C and SIGTERM end the run early; what was rated is kept. `look`
    goes before the format's own; `each` is called with every rating after it was written.
    """
    form, errors = FORMATS[output], Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    _check(form, output, out, resume)
    run = _Run(errors, each)
    with Interrupts() as interrupts:
        kept = None
        try:
            kept = Kept(out, form, resume=resume) if out is not None else None
            name, scorer = _loaded(model, errors)
            _same_model(kept, name)
            sink = kept or _Standard(form)
            with shown(errors, lambda: sum(1 for _ in find(paths))) as advance:
                photos = run.left(_some(paths), kept, advance)
                for found in rate_with(scorer, photos, name, look or form.look or _nothing):
                    with interrupts.held():
                        run.take(found, sink, advance)
            with interrupts.held():
                _finish(sink)
        except KeyboardInterrupt:
            with interrupts.held():
                errors.print(_where_it_stopped(kept, run.rated))
            run.stopped = True
        except BrokenPipeError:  # who read standard output has read enough
            run.stopped = True
        except Exception as error:
            _end_early(kept, error, run.rated)
            raise
    run.report()
    return Outcome(run.rated, run.skipped.total(), run.before, run.stopped)


class _Run:
    """Counts what a run does, and tells of each skip as it comes."""

    def __init__(self, errors: Console, each: Callable[[Rating], None] | None) -> None:
        self._errors, self._each = errors, each
        self.rated = self.before = 0
        self.skipped = Counter[str]()
        self.stopped = False

    def left(self, found: Iterable[Photo | Skipped], kept: Kept | None, advance: Advance) -> Iterator[Photo | Skipped]:
        """Yield what has no rating yet, or one of an earlier state of the file."""
        for photo in found:
            done = kept is not None and not isinstance(photo, Skipped) and str(photo) in kept.names
            if done and kept and not isinstance(photo, Skipped) and changed_at(photo) <= kept.changed_at:
                self.before += 1
                advance(False)
            else:
                yield photo

    def take(self, found: tuple[Rating, bytes | None] | Skipped, sink: _Sink, advance: Advance) -> None:
        """Write a rating, or tell of a skip."""
        if isinstance(found, Skipped):
            self.skipped[found.reason] += 1
            self._errors.print(f"skipped {plain(found.photo)}: {found.message}")
        else:
            sink.write(*found)
            self.rated += 1
            if self._each:
                self._each(found[0])
        advance(True)

    def report(self) -> None:
        by_reason = ", ".join(f"{count} {reason}" for reason, count in self.skipped.most_common())
        self._errors.print(
            f"{self.rated} rated"
            + (f", {self.before} rated before" if self.before else "")
            + (f", {self.skipped.total()} skipped ({by_reason})" if self.skipped else "")
        )


class _Standard:
    """Standard output, to which each rating goes at once."""

    def __init__(self, form: Format) -> None:
        self._scratch = io.StringIO()
        self._writer = form.writer(self._scratch)

    def write(self, rating: Rating, extra: bytes | None = None) -> None:
        self._writer.write(rating, extra)
        self._put()

    def close(self) -> None:
        self._writer.close()
        self._put()

    def _put(self) -> None:
        try:
            sys.stdout.write(self._scratch.getvalue())
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                raise
            raise DataError(
                f"Standard output cannot be written: {error.strerror}.",
                next_step="Make room, or use --out and --resume.",
            ) from None
        self._scratch.seek(0)
        self._scratch.truncate()


def _check(form: Format, output: str, out: Path | None, resume: bool) -> None:
    if out is None and not form.stdout:
        raise ConfigError(f"{output} is written to a file only.", next_step="Name it with --out.")
    if out is None and resume:
        raise ConfigError("--resume goes on with a file.", next_step="Name it with --out.")


def _loaded(model: str | None, errors: Console) -> tuple[str, Scorer]:
    name, folder = resolve(model)
    scorer = Scorer.load(folder, threads=1)
    if model is None and name == STARTER:
        errors.print("There is no champion yet, so the starter rates: it knows technical faults, nobody's taste.")
    return name, scorer


def _same_model(kept: Kept | None, name: str) -> None:
    """Raise ConfigError when the file that is gone on with is another model's."""
    if kept is not None and kept.model not in (None, name):
        raise ConfigError(
            f"{kept.out} holds ratings by {kept.model}, not by {name}.",
            next_step=f"Go on with --model {kept.model}, or name another file with --out.",
        )


def _some(paths: Sequence[str | Path]) -> Iterator[Photo | Skipped]:
    """Yield what is found in `paths`. Raise DataError when that is nothing."""
    found = find(paths)
    first = next(found, None)
    if first is None:
        raise DataError(
            f"There is no photo in {', '.join(str(path) for path in paths)}.",
            next_step=f"Known endings: {', '.join(sorted(SUFFIXES))}.",
        )
    yield from chain([first], found)


def _finish(sink: Kept | _Standard) -> None:
    if isinstance(sink, Kept):
        sink.finish()
    else:
        sink.close()


def _where_it_stopped(kept: Kept | None, rated: int) -> str:
    """Keep what there is, and say where it is and how to go on."""
    if kept is None:
        return "Stopped. With --out FILE, a run that was stopped can be gone on with by --resume."
    place = kept.stop()
    if place is None:
        return "Stopped; nothing was rated."
    how = " Go on with the same command and --resume." if kept.form.records else ""
    return f"Stopped; {rated} rated photos are kept in {place}.{how}"


def _end_early(kept: Kept | None, error: Exception, rated: int) -> None:
    """Keep what there is of a run that an error ends, and let the error say where it is."""
    if kept is None:
        return
    try:
        place = kept.stop()
    except PhotoqualError:
        place = kept.partial
    if place is not None and isinstance(error, PhotoqualError) and error.args:
        error.args = (f"{error.message} {rated} rated photos are kept in {place}. {error.next_step}".strip(),)


def _nothing(_: Image.Image) -> None:
    return None

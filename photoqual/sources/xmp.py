"""Provider: a photographer's own library on this machine, rated in a photo editor, viewer or camera that writes XMP.
Terms: your own files; they are read, never changed.
Rate limit: none.
Rating scale: 1 to 5 stars, one vote a photo; −1 (rejected) is the lowest vote and `label_hint` `bad`; 0 and absent are
unrated: such photos are counted and left alone until they are rated.
Output: a record per rated photo, with time and camera from EXIF, the bytes of those whose picture is new or has changed.

Ratings stand in sidecars (`IMG.CR2.xmp`, `IMG.xmp`), else in the photo's XMP, else in its EXIF. A rating that changes
costs no decoding: the mark of a photo holds, beside size and time of its file, a digest of its picture without metadata
(JPEG, PNG, WebP). Of other formats a rating written into the file makes it a changed photo, under the same key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from photoqual.config import PhotosParams, XmpSource
from photoqual.photos import xmp
from photoqual.photos.containers import picture_digest
from photoqual.sources import _files
from photoqual.sources._sidecars import SUFFIX, Facts, Shot, Sidecars, bursts, facts_of
from photoqual.sources.records import FORGOTTEN, Fetched, Known, Record, Skipped

_SCALE = (1.0, 5.0)


class Library(_files.Telling):
    """Photos in folders, with ratings in XMP."""

    def __init__(self, config: XmpSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Walk the library. Raise SourceError when it is missing."""
        yield from self.tell(self._all(known), limit)

    def _all(self, known: Mapping[str, Known]) -> Iterator[Fetched | Skipped]:
        top = _files.folder(self.config.path, self.root, "path")
        groups = self._bursts(top) if self.config.group == "burst" else {}
        sidecars = Sidecars()
        for path in _files.images(top):
            if isinstance(path, Skipped):
                yield from _passed_over(path, sidecars)
                continue
            key = _files.key(path, top)
            held = known.get(key)
            if held is not None and held.forgotten:
                yield FORGOTTEN
                continue
            try:
                facts = facts_of(path, sidecars.of(path), top)
                yield from (Skipped(reason, where, key) for reason, where in facts.problems)
                yield from self._one(path, _record(key, facts, groups.get(key)), facts, held)
            except OSError:
                yield Skipped("unreadable_file", str(path), key)

    def _one(self, path: Path, record: Record, facts: Facts, held: Known | None) -> Iterator[Fetched | Skipped]:
        """Yield what becomes of the photo `path`: nothing more where its rating is hidden by a problem already told."""
        if facts.rating_lost:
            return
        if facts.rating in (None, xmp.UNRATED):
            yield Fetched(replace(record, etag=held.etag)) if held else Skipped("unrated", str(path))
            return
        state = _files.mark(path)
        if held is not None and f"{held.etag}-".startswith(f"{state}-"):
            yield Fetched(replace(record, etag=held.etag))
            return
        event = _files.fetch(path, replace(record, etag=state), {}, self.max_megabytes)
        if isinstance(event, Skipped) or event.data is None:
            yield event
            return
        digest = picture_digest(event.data, facts.orientation)
        marked = replace(record, etag=f"{state}-{digest}" if digest else state)
        same = held is not None and digest is not None and f"{held.etag}".endswith(f"-{digest}")
        yield Fetched(marked, None if same else event.data)

    def _bursts(self, top: Path) -> dict[str, str]:
        """Return by key the burst of each photo of the library that tells its time, rated or not."""
        sidecars = Sidecars()
        shots = []
        for path in _files.images(top):
            if isinstance(path, Skipped):
                continue
            try:
                facts = facts_of(path, sidecars.of(path), top)
            except OSError:
                continue
            if facts.taken:
                shots.append(Shot(_files.key(path, top), facts.camera, facts.taken))
        return bursts(shots, self.config.burst_seconds)


def _record(key: str, facts: Facts, burst: str | None) -> Record:
    """Return the record of the photo `key`. Without a time it stands alone, with its twins of the same name."""
    path = PurePosixPath(key)
    alone = path.with_suffix("").as_posix()
    day = None if facts.taken is None else f"{facts.taken:%Y-%m-%d}"
    rated = facts.rating not in (None, xmp.UNRATED)
    return Record(
        source_key=key,
        group=burst or alone if burst or facts.taken is None else day,
        title=path.stem,
        taken_at=facts.taken_at,
        camera=facts.camera,
        votes_count=1 if rated else None,
        votes_mean=max(facts.rating or 0.0, _SCALE[0]) if rated else None,
        rating_scale=_SCALE if rated else None,
        label_hint="bad" if facts.rating == xmp.REJECTED else None,
    )


def _passed_over(skipped: Skipped, sidecars: Sidecars) -> Iterator[Skipped]:
    """Yield what was no photo, but for sidecars that belong to a file beside them."""
    path = Path(skipped.where)
    if skipped.reason != "not_an_image_file" or path.suffix.lower() != SUFFIX:
        yield skipped
    elif sidecars.alone(path):
        yield Skipped("sidecar_without_photo", skipped.where)

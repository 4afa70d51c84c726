"""Provider: a bucket of an S3 store, Amazon's or any other's.
Terms: your own photos, or a store that you have keys to; objects are read, never changed.
Rate limit: none; `concurrency` objects at a time.
Rating scale: `rating_scale` for the means of a manifest; labels are judged by `good` and `bad` like folders.
Output: a record per image object, the bytes of those that are new or have changed.

The bucket is listed page by page. An object is fetched when its ETag or size is not the one that the catalog holds;
votes and labels of all others are brought up to date without their bytes. The first that judges a photo counts: its
row in the manifest, its tag, its key.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from photoqual.config import BucketSource, PhotosParams
from photoqual.errors import ConfigError, SourceError
from photoqual.sources import _objects, _s3
from photoqual.sources._files import located
from photoqual.sources._manifest import Manifest, Row
from photoqual.sources._objects import TOO_LARGE, Listed, Objects, Unfetched
from photoqual.sources._tables import shown
from photoqual.sources._window import Event, Wanted, in_order
from photoqual.sources.folders import label_hint
from photoqual.sources.records import FORGOTTEN, Fetched, Known, Record, Skipped

_IN_BUCKET = "s3:"


class Bucket:
    """Photos in a bucket; labels from a manifest, from tags of the objects, from their keys, or none."""

    def __init__(self, config: BucketSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_bytes = photos.max_megabytes * 1e6
        self.suffixes = tuple(suffix.lower() for suffix in config.suffixes)
        self.judged = bool(config.label_pattern or config.label_tag or config.manifest)

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Event]:
        """Go through the bucket. Raise SourceError when it cannot be listed or is empty, when its manifest is missing or
        wrong, or when the store fails again and again; ConfigError for a pattern or a connection that cannot be read.
        """
        config = self.config
        self._label = _compiled("label_pattern", config.label_pattern, group="label")
        self._group = _compiled("group_pattern", config.group_pattern)
        client = _s3.client(config.endpoint_url, config.region, config.connection, connections=config.concurrency)
        objects = Objects(client, config.bucket, self.max_bytes, config.concurrency)
        with ExitStack() as stack:
            manifest = None
            if config.manifest:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="photoqual-manifest-")))
                manifest = Manifest(folder, config.manifest, config.rating_scale)
                stack.callback(manifest.close)
                yield from manifest.read(self._manifest_file(config.manifest, folder, client))
                self._check(manifest)
            plans = self._plans(_objects.listed(client, config.bucket, config.prefix), known, manifest)
            whole = yield from in_order(
                plans, lambda wanted: self._ask(objects, wanted), concurrency=config.concurrency, limit=limit
            )
            if manifest and whole:
                yield from (Skipped("no_such_object", f"{config.manifest}: {shown(key)}") for key in manifest.unasked())

    def _plans(
        self, items: Iterator[Listed], known: Mapping[str, Known], manifest: Manifest | None
    ) -> Iterator[Event | Wanted]:
        """Yield what is to be done about each object of the listing. Raise SourceError when there is none."""
        found = False
        for item in items:
            found = True
            yield self._plan(item, known.get(item.key), manifest.find(item.key) if manifest else None)
        if not found:
            raise SourceError(
                f"Bucket {self.config.bucket} holds no object below prefix {self.config.prefix!r}.",
                next_step="Correct `bucket` and `prefix` in params.yaml; a prefix has no slash in front.",
            )

    def _plan(self, item: Listed, held: Known | None, row: Row | None) -> Event | Wanted:
        """Decide about one object from what the listing, the catalog and the manifest say of it."""
        if held is not None and held.forgotten:
            return FORGOTTEN
        problem = _objects.key_problem(item.key)
        if not problem and not item.key.lower().endswith(self.suffixes):
            problem = "not_an_image_file"
        problem = problem or (row.problem if row else None)
        if problem:
            return self._skipped(problem, item)
        record = self._record(item, row or Row(item.key))
        unchanged = held is not None and held.etag == item.mark
        tags = self.config.label_tag is not None and record.label_hint is None and record.votes_mean is None
        if tags and held and unchanged and not self.config.recheck_tags:
            return Fetched(replace(record, label_hint=held.label_hint))
        if tags or not unchanged:
            settled = None if tags else self._settled(item, record, None)
            if isinstance(settled, Skipped):
                return settled
            return Wanted(item, settled or record, tags=tags, data=not unchanged)
        settled = self._settled(item, record, None)
        return settled if isinstance(settled, Skipped) else Fetched(settled)

    def _ask(self, objects: Objects, wanted: Wanted) -> Event:
        """Get what is wanted of an object from the store. Called from many threads."""
        item, record = wanted.item, wanted.record
        try:
            if wanted.tags:
                settled = self._settled(item, record, objects.tags(item.key).get(self.config.label_tag or ""))
                if isinstance(settled, Skipped):
                    return settled
                record = settled
            if not wanted.data:
                return Fetched(record)
            if item.size > self.max_bytes:
                return Fetched(record, refused=TOO_LARGE)
            data, mark = objects.get(item)
        except Unfetched as problem:
            if problem.reason == TOO_LARGE:  # it has grown since it was listed
                return Fetched(record, refused=TOO_LARGE)
            return self._skipped(problem.reason, item)
        return Fetched(replace(record, etag=mark), data)

    def _record(self, item: Listed, row: Row) -> Record:
        config, key = self.config, item.key
        match = self._group.search(key) if self._group else None
        by_key = (match.group(1) if match.re.groups else match.group()) if match else None
        return Record(
            source_key=key,
            image_url=_objects.address(config.bucket, key),
            group=row.group or by_key or None,
            category=row.category,
            title=PurePosixPath(key).stem,
            uploaded_at=item.modified,
            votes_count=row.count,
            votes_mean=row.mean,
            rating_scale=config.rating_scale if row.mean is not None else None,
            label_hint=self._hint(row.label),
            etag=item.mark,
        )

    def _settled(self, item: Listed, record: Record, tag: str | None) -> Record | Skipped:
        """Return `record` with the label of its tag or key, where it has neither votes nor a label yet; or the lack of it."""
        if record.label_hint is not None or record.votes_mean is not None or not self.judged:
            return record
        match = self._label.search(item.key) if self._label else None
        by_key = match.group("label") if match else None
        hint = self._hint(tag) or self._hint(by_key)
        if hint:
            return replace(record, label_hint=hint)
        return self._skipped("label_not_named" if tag or by_key else "no_label", item)

    def _hint(self, label: str | None) -> str | None:
        return label_hint((label.strip(),), self.config.good, self.config.bad) if label and label.strip() else None

    def _skipped(self, reason: str, item: Listed) -> Skipped:
        return Skipped(reason, f"s3://{self.config.bucket}/{shown(item.key)}")

    def _manifest_file(self, name: str, folder: Path, client: Any) -> Path:
        """Return the file that holds the manifest. Raise SourceError when there is none."""
        if name.startswith(_IN_BUCKET):
            key = name.removeprefix(_IN_BUCKET)
            if key.startswith("/"):
                raise ConfigError(
                    f"manifest {name!r} is no key of the bucket.",
                    next_step=f"Write s3:KEY, with the key as it is in bucket {self.config.bucket}.",
                )
            return _objects.download(client, self.config.bucket, key, folder / "manifest")
        file = located(name, self.root)
        if not file.is_file():
            raise SourceError(
                f"The manifest {file} does not exist.",
                next_step="Correct `manifest` in params.yaml; one in the bucket is written s3:KEY.",
                path=str(file),
            )
        return file

    def _check(self, manifest: Manifest) -> None:
        """Raise SourceError when nothing says what is good: neither the manifest nor a tag nor the key."""
        if {"label", "mean"}.isdisjoint(manifest.columns) and not (self.config.label_pattern or self.config.label_tag):
            raise SourceError(
                f"The manifest {manifest.name} has neither a column 'label' nor 'mean'.",
                next_step="Name the column of labels or votes so, or set `label_pattern` or `label_tag`.",
            )


def _compiled(option: str, pattern: str | None, group: str | None = None) -> re.Pattern[str] | None:
    """Return `pattern` compiled. Raise ConfigError when it cannot be, or lacks the named `group`."""
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise ConfigError(
            f"{option} {pattern!r} is not a regular expression: {error}.", next_step="Mend it in params.yaml."
        ) from None
    if compiled and group and group not in compiled.groupindex:
        raise ConfigError(
            f"{option} {pattern!r} has no group called {group}.",
            next_step=f"Mark the part of the key that counts as (?P<{group}>…), for example ^(?P<{group}>[^/]+)/.",
        )
    return compiled

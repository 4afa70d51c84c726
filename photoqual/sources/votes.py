"""Provider: a folder of photos on this machine and a table of votes: CSV, Parquet or AVA's own text format.
Terms: your own files; they are read, never changed. AVA's photos belong to their photographers.
Rate limit: none.
Rating scale: `rating_scale`, 1 to 10 for AVA; a vote or mean outside it is skipped and counted.
Output: a record per photo of the table, the bytes of those photos that are new or have changed.

A table has a row per photo with its mean or its number of votes of each grade, or (`format: single_votes`) a row per
vote. Raters who vote at random are weighed down there, and `report` says how far raters agree.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from photoqual.config import PhotosParams, VotesSource
from photoqual.sources import _ava, _files, _judgements, _tables
from photoqual.sources._judgements import Judgement
from photoqual.sources.records import Fetched, Known, Record, Skipped

logger = logging.getLogger(__name__)


class Votes(_files.Telling):
    """Photos in a folder, their votes in a table."""

    def __init__(self, config: VotesSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_megabytes = photos.max_megabytes
        self._findings: dict[str, Any] = {}

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Go through the table. Raise SourceError when folder, table or a column is missing."""
        yield from self.tell(self._all(known), limit)

    def report(self) -> dict[str, Any]:
        """Return what single votes say about their raters, once harvested; {} for other tables."""
        return self._findings

    def _all(self, known: Mapping[str, Known]) -> Iterator[Fetched | Skipped]:
        top = _files.folder(self.config.path, self.root, "path")
        seen: set[str] = set()
        for found in self._judgements():
            if isinstance(found, Skipped):
                yield Skipped(
                    found.reason, f"{self.config.csv}: {_tables.shown(found.where) or 'a row without a name'}"
                )
                continue
            path = top / found.image
            problem = _files.unsafe(path, top)
            if problem is None and _files.key(path.resolve(), top) in seen:
                problem = "duplicate_row"
            if problem:
                yield Skipped(problem, f"{self.config.csv}: {_tables.shown(found.image)}")
                continue
            try:
                record = self._record(found, path, top)
            except OSError:
                yield Skipped("unreadable_file", str(path))
                continue
            seen.add(record.source_key)
            yield _files.fetch(path, record, known, self.max_megabytes)

    def _judgements(self) -> Iterator[Judgement | Skipped]:
        config = self.config
        if config.format == "single_votes":
            table = self._table({"rater": config.rater, "vote": config.vote})
            found, passed, self._findings = _judgements.of_single_votes(table.frame, config)
            logger.info("%s: %s", config.csv, self._findings)
            yield from table.skipped
            yield from passed
            yield from found
            return
        if config.format == "ava":
            lines = _tables.lines(config.csv, self.root)
            table = _ava.table(lines, config.csv, group=config.group, category=config.category)
            judged = _judgements.of_histograms(table.frame, _ava.GRADES, _ava.SCALE)
        elif config.histogram:
            table = self._table({f"grade_{grade}": column for grade, column in enumerate(config.histogram)})
            judged = _judgements.of_histograms(table.frame, len(config.histogram), config.rating_scale)
        else:
            table = self._table({"mean": config.mean, "count": config.count})
            judged = _judgements.of_means(table.frame, config.rating_scale)
        yield from table.skipped
        yield from judged

    def _table(self, columns: dict[str, str | None]) -> _tables.Table:
        config = self.config
        named = {"image": config.image, **columns, "group": config.group, "category": config.category}
        return _tables.read(config.csv, self.root, named)

    def _record(self, found: Judgement, path: Path, top: Path) -> Record:
        return Record(
            source_key=_files.key(path.resolve(), top),
            group=found.group,
            category=found.category,
            title=path.stem,
            votes_count=found.count,
            votes_mean=found.mean,
            votes_spread=found.spread,
            votes_histogram=found.histogram,
            rating_scale=_ava.SCALE if self.config.format == "ava" else self.config.rating_scale,
            etag=_files.mark(path),
        )

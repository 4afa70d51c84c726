"""Provider: a folder of photos on this machine and a table of votes: a row per photo with its mean and number of votes.
Terms: your own files; they are read, never changed.
Rate limit: none.
Rating scale: `rating_scale`; a mean outside it is skipped and counted.
Output: a record per row of the table, the bytes of those photos that are new or have changed.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from photoqual.config import PhotosParams, VotesSource
from photoqual.sources import _files
from photoqual.sources.records import Fetched, Known, Record, Skipped

_MAX_VOTES = 2**62
"""More votes than this fit no column and no world."""


class Votes:
    """Photos in a folder, their votes in a CSV file."""

    def __init__(self, config: VotesSource, photos: PhotosParams, root: Path) -> None:
        self.config, self.root = config, root
        self.max_megabytes = photos.max_megabytes

    def harvest(self, known: Mapping[str, Known], *, limit: int | None = None) -> Iterator[Fetched | Skipped]:
        """Go through the table. Raise SourceError when folder, table or a column is missing."""
        yield from _files.limited(self._all(known), limit)

    def _all(self, known: Mapping[str, Known]) -> Iterator[Fetched | Skipped]:
        config = self.config
        top = _files.folder(config.path, self.root, "path")
        columns = {
            "image": config.image,
            "mean": config.mean,
            "count": config.count,
            "group": config.group,
            "category": config.category,
        }
        seen: set[str] = set()
        for row in _files.table(config.csv, self.root, columns):
            path = top / row[config.image]
            problem = self._problem(row, path, top)
            if problem is None and _files.key(path.resolve(), top) in seen:
                problem = "duplicate_row"
            if problem:
                yield Skipped(problem, f"{config.csv}: {row[config.image] or 'a row without a name'}")
                continue
            record = self._record(row, path, top)
            seen.add(record.source_key)
            yield _files.fetch(path, record, known, self.max_megabytes)

    def _problem(self, row: dict[str, str], path: Path, top: Path) -> str | None:
        mean = _number(row[self.config.mean])
        votes = _number(row[self.config.count]) if self.config.count else 1.0
        low, high = self.config.rating_scale
        if not row[self.config.image]:
            return "row_without_name"
        if mean is None or votes is None or votes != int(votes) or votes > _MAX_VOTES:
            return "not_a_number"
        if not low <= mean <= high:
            return "vote_outside_scale"
        if votes < 1:
            return "no_votes"
        return _files.unsafe(path, top)

    def _record(self, row: dict[str, str], path: Path, top: Path) -> Record:
        config = self.config
        return Record(
            source_key=_files.key(path.resolve(), top),
            group=row[config.group] or None if config.group else None,
            category=row[config.category] or None if config.category else None,
            title=path.stem,
            votes_count=int(_number(row[config.count]) or 0) if config.count else 1,
            votes_mean=_number(row[config.mean]),
            rating_scale=config.rating_scale,
            etag=_files.mark(path),
        )


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None

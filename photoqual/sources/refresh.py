"""The refresh stage: go through every source, fetch what is new, update the votes of what is known."""

import logging
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from photoqual import config as kinds
from photoqual.config import Params, PhotosParams
from photoqual.errors import ConfigError, EmptySource, MissingData, SourceError
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import journal, parts, removal, shards
from photoqual.photos.forgotten import read_forgotten
from photoqual.sources._counts import Counts
from photoqual.sources._ingest import Ingest
from photoqual.sources.bucket import Bucket
from photoqual.sources.demo import Demo
from photoqual.sources.filetree import Filetree
from photoqual.sources.folders import Folders
from photoqual.sources.gallery import Gallery
from photoqual.sources.records import Reports, Source, Tells
from photoqual.sources.votes import Votes
from photoqual.sources.xmp import Library

logger = logging.getLogger(__name__)


def open_source(  # noqa: PLR0911 - a return for each kind
    config: kinds.Source, photos: PhotosParams, root: Path
) -> Source:
    """Return the source that `config` describes; its relative paths start at `root`."""
    match config:
        case kinds.GallerySource():
            return Gallery(config, photos)
        case kinds.FiletreeSource():
            return Filetree(config, photos)
        case kinds.BucketSource():
            return Bucket(config, photos, root)
        case kinds.FoldersSource():
            return Folders(config, photos, root)
        case kinds.VotesSource():
            return Votes(config, photos, root)
        case kinds.XmpSource():
            return Library(config, photos, root)
        case kinds.DemoSource():
            return Demo(config, photos)


def refresh(layout: Layout, params: Params, *, limit: int | None = None) -> dict[str, Any]:
    """Run the refresh stage: sources → shards and catalog. `limit`: new photos of each source, at most.

    Every source is tried and what it gave is kept. Raise SourceError afterwards when one gave nothing, EmptySource
    when no usable photo is left in the catalog. Return what became of every photo, by source.
    """
    now = datetime.now(UTC)
    if journal.fold(layout):
        logger.warning("took over what a refresh that was interrupted had found")
    forgotten = removal.remove(layout, read_forgotten(layout.forgotten))
    orphans = _remove_orphans(layout)
    ingest = Ingest(layout, params.photos, now)
    summary: dict[str, Any] = {}
    failures: list[SourceError | ConfigError] = []
    with closing(ingest):
        removed = ingest.set_aside(set(params.sources))
        for name, config in params.sources.items():
            counts = Counts(name)
            report: dict[str, Any] = {}
            try:
                source = open_source(config, params.photos, layout.root)
                ingest.take(counts, source.harvest(ingest.known(name), limit=limit))
                report = source.report() if isinstance(source, Reports) else {}
            except (SourceError, ConfigError) as error:
                logger.error("%s: %s", name, error)
                failures.append(error)
            else:
                if not counts.photos:
                    logger.error("%s: gave no photo", name)
                    failures.append(_empty(counts))
                elif isinstance(source, Tells) and source.told_all():
                    ingest.set_gone(counts)
            summary[name] = counts.summary() | ({"report": report} if report else {})
            logger.info("%s: %s", name, summary[name])
    photos, votes = _totals(layout)
    _raise_for(failures, summary, photos, list(params.sources))
    return {
        "sources": summary,
        "photos": photos,
        "votes": votes,
        "orphan_shards_removed": orphans,
        "of_removed_sources": removed,
        "forgotten_removed": forgotten.copies + forgotten.catalog_rows,
    }


def _remove_orphans(layout: Layout) -> int:
    """Remove what an interrupted refresh left and nothing names: shards, and files half written. Return how many shards."""
    try:
        named = catalogs.read_catalog(layout.catalog, ["shard"])
    except MissingData:
        named = catalogs.empty_catalog()
    orphans = shards.orphans(layout.photos, named)
    for path in orphans:
        logger.warning("removed %s: a refresh that was interrupted left it, no catalog row names it", path)
        path.unlink()
    for path in layout.votes.rglob(".*.parquet.*.tmp"):
        path.unlink()
    if catalogs.is_there(layout.catalog):
        parts.remove_orphans(layout.catalog)
    return len(orphans)


def _totals(layout: Layout) -> tuple[int, int]:
    """Return how many usable photos the catalog holds, and their votes."""
    usable = catalogs.usable(catalogs.read_catalog(layout.catalog, ["photo_id", "status", "votes_count"]))
    return len(usable), int(usable["votes_count"].fillna(0).sum())


def _empty(counts: Counts) -> EmptySource:
    passed = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.skipped.items()))
    return EmptySource(
        f"Source {counts.source} gave no usable photo; passed over: {passed or 'nothing'}.",
        next_step=f"Check the paths and options of `sources.{counts.source}` in params.yaml, or remove it there.",
    )


def _raise_for(
    failures: list[SourceError | ConfigError], summary: dict[str, Any], usable: int, names: list[str]
) -> None:
    """Raise what a refresh ends with when a source failed or nothing is usable."""
    if failures:
        first = failures[0]
        more = f" ({len(failures) - 1} more sources failed, see the log)" if len(failures) > 1 else ""
        raise type(first)(first.message + more, next_step=first.next_step, **{**first.details, "sources": summary})
    if not usable:
        raise EmptySource(
            f"The catalog holds no usable photo after the refresh of {', '.join(names)}: {summary}.",
            next_step="Check the paths and addresses of `sources` in params.yaml, and the reasons above.",
            sources=summary,
        )

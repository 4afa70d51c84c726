"""The refresh stage: go through every source, fetch what is new, update the votes of what is known."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from photoqual import config as kinds
from photoqual.config import Params, PhotosParams
from photoqual.errors import ConfigError, EmptySource, MissingData, SourceError
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs
from photoqual.photos import shards
from photoqual.sources._ingest import Counts, Ingest
from photoqual.sources.demo import Demo
from photoqual.sources.folders import Folders
from photoqual.sources.gallery import Gallery
from photoqual.sources.records import Source
from photoqual.sources.votes import Votes

logger = logging.getLogger(__name__)


def open_source(config: kinds.Source, photos: PhotosParams, root: Path) -> Source:
    """Return the source that `config` describes; its relative paths start at `root`."""
    match config:
        case kinds.GallerySource():
            return Gallery(config, photos)
        case kinds.FoldersSource():
            return Folders(config, photos, root)
        case kinds.VotesSource():
            return Votes(config, photos, root)
        case kinds.DemoSource():
            return Demo(config, photos)


def refresh(layout: Layout, params: Params, *, limit: int | None = None) -> dict[str, Any]:
    """Run the refresh stage: sources → shards and catalog. `limit`: new photos of each source, at most.

    Every source is tried and what it gave is kept. Raise SourceError afterwards when one gave nothing, EmptySource
    when no usable photo is left in the catalog. Return what became of every photo, by source.
    """
    now = datetime.now(UTC)
    try:
        catalog = catalogs.read_catalog(layout.catalog)
    except MissingData:
        catalog = catalogs.empty_catalog()
    orphans = shards.orphans(layout.photos, catalog)
    for path in orphans:
        logger.warning("removed %s: a refresh that was interrupted left it, no catalog row names it", path)
        path.unlink()
    for path in layout.catalog.parent.glob(f".{layout.catalog.name}.*.tmp"):
        path.unlink()
    ingest = Ingest(layout, params.photos, catalog, now)
    removed = mark_removed(ingest, set(params.sources))
    summary: dict[str, Any] = {}
    failures: list[SourceError | ConfigError] = []
    for name, config in params.sources.items():
        counts = Counts()
        try:
            ingest.take(
                name, open_source(config, params.photos, layout.root).harvest(ingest.known(name), limit=limit), counts
            )
        except (SourceError, ConfigError) as error:
            logger.error("%s: %s", name, error)
            failures.append(error)
        else:
            if not counts.photos:
                logger.error("%s: gave no photo", name)
                failures.append(_empty(name, counts))
        summary[name] = counts.summary()
        logger.info("%s: %s", name, summary[name])
    usable = catalogs.usable(ingest.frame())
    _raise_for(failures, summary, len(usable), list(params.sources))
    return {
        "sources": summary,
        "photos": len(usable),
        "votes": int(usable["votes_count"].fillna(0).sum()),
        "orphan_shards_removed": len(orphans),
        "of_removed_sources": removed,
    }


def mark_removed(ingest: Ingest, sources: set[str]) -> int:
    """Set aside the photos of sources that params.yaml no longer names; take back those of one that it names again."""
    removed = 0
    for row in ingest.rows.values():
        gone = row["source"] not in sources
        removed += gone
        if gone and row["status"] == catalogs.OK:
            row["status"], ingest.changed = catalogs.REMOVED, True
        elif not gone and row["status"] == catalogs.REMOVED:
            row["status"], ingest.changed = catalogs.OK, True
    return removed


def _empty(name: str, counts: Counts) -> EmptySource:
    passed = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.skipped.items()))
    return EmptySource(
        f"Source {name} gave no usable photo; passed over: {passed or 'nothing'}.",
        next_step=f"Check the paths and options of `sources.{name}` in params.yaml, or remove it there.",
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

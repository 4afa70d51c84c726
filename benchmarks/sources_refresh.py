"""What it takes to keep a large catalog up to date: peak memory, time of later refreshes, bytes that they move."""

import argparse
import statistics
from pathlib import Path

from benchmarks.sources_harvest import BULK_CONNECTIONS, GALLERY_CONNECTIONS, served_site
from benchmarks.sources_project import Project, filetree, gallery, refreshed_outs, stored_bytes, versioned
from benchmarks.sources_site import SITE_PHOTOS
from benchmarks.table import Row

FEW_PHOTOS = 10_000
MOST_MEGABYTES, MOST_GROWTH = 600, 1.15
NEW_SHARE = 0.01
MOST_FOR_NOTHING, MOST_FOR_NEW, MOST_BYTES = 0.05, 0.08, 0.015


def memory_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Harvest few photos and all, as a gallery and as a file tree; compare the peaks of memory."""
    few, many = min(FEW_PHOTOS, options.photos * FEW_PHOTOS // SITE_PHOTOS), options.photos
    kinds = {"gallery": (gallery, GALLERY_CONNECTIONS), "filetree": (filetree, BULK_CONNECTIONS)}
    held: dict[tuple[str, int], tuple[float, float]] = {}
    for photos in (few, many):
        with served_site(folder / str(photos), photos) as (_, url):
            for kind, (source, connections) in kinds.items():
                project = Project(folder / f"{kind}-{photos}").write(sources={"site": source(url, connections)})
                run = project.run("refresh")
                project.assert_photos(photos)
                held[kind, photos] = run.tree_megabytes, run.largest_megabytes
    rows = []
    for kind in kinds:
        (small, _), (large, largest) = held[kind, few], held[kind, many]
        rows += [
            Row(
                f"peak memory of the refresh, {kind}, {many:,} photos",
                f"< {MOST_MEGABYTES} MB",
                f"{large:.0f} MB with all child processes, {largest:.0f} MB the largest of them",
                large < MOST_MEGABYTES,
            ),
            Row(
                f"the same against {few:,} photos",
                f"≤ {MOST_GROWTH} times",
                f"{small:.0f} MB with all child processes; {large / small:.2f} times",
                large <= MOST_GROWTH * small,
            ),
        ]
    return rows


def refresh_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Harvest a gallery whole, find nothing new, then 1 % new, as often as `runs`; push each state to a DVC remote."""
    few = max(1, round(options.photos * NEW_SHARE))
    nothing: list[float] = []
    new: list[float] = []
    moved: list[float] = []
    with served_site(folder, options.photos) as (site, url):
        project = Project(folder / "project").write(sources={"site": gallery(url, GALLERY_CONNECTIONS)})
        store = folder / "store"
        versioned(project, str(store))
        full = project.run("refresh").seconds
        project.assert_photos(site.photos)
        _push(project)
        whole = stored_bytes(store)
        for _ in range(options.runs):
            nothing.append(project.run("refresh").seconds)
            project.assert_photos(site.photos)
            site.grow(site.photos + few)
            new.append(project.run("refresh").seconds)
            project.assert_photos(site.photos)
            before = stored_bytes(store)
            _push(project)
            moved.append(stored_bytes(store) - before)
    share = statistics.median(moved) / whole
    return [
        Row(
            f"first refresh of a gallery of {options.photos:,} photos",
            "",
            f"{full:.0f} s, {options.photos / full:,.0f} photos/s",
        ),
        Row(f"its first `dvc push` ({', '.join(refreshed_outs())})", "", f"{whole / 1e6:,.1f} MB"),
        _share("refresh that finds nothing new", nothing, full, MOST_FOR_NOTHING),
        _share(f"refresh that finds {NEW_SHARE:.0%} new ({few:,} photos)", new, full, MOST_FOR_NEW),
        Row(
            f"bytes that `dvc push` moves after {NEW_SHARE:.0%} new",
            f"≤ {MOST_BYTES:.1%} of the first push",
            f"{statistics.median(moved) / 1e6:,.2f} MB, {share:.2%}",
            share <= MOST_BYTES,
        ),
    ]


def _push(project: Project) -> None:
    project.dvc("add", *(out for out in refreshed_outs() if (project.root / out).exists()))
    project.dvc("push")


def _share(name: str, seconds: list[float], full: float, most: float) -> Row:
    share = statistics.median(seconds) / full
    figure = f"{statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f}), {share:.1%}"
    return Row(name, f"< {most:.0%} of the first", figure, share < most)

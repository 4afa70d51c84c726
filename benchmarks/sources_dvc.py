"""What shards are for: `dvc add` and `dvc push` of the same photos as shards and as single files."""

import argparse
import shutil
import statistics
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sources_project import Project, versioned
from benchmarks.sources_site import SIZE, picture
from benchmarks.table import Row
from photoqual.photos.fingerprints import photo_id
from photoqual.photos.shards import write_shard
from tests.object_store import object_store

LEAST_FASTER = 20
_KINDS = ("shards", "files", "one")
_SHARD = 1000
_BUCKET = "versions"
Took = dict[str, list[tuple[float, float]]]
"""Seconds of `dvc add` and of `dvc push`, of each run of a kind."""


def dvc_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Take `photos` thumbnails into DVC both ways, and one file alone to see what two calls of `dvc` cost; with a folder
    as remote as often as `runs`, with SeaweedFS once, since that takes long.
    """
    _write(folder / "made", options.photos)
    local: Took = {kind: [] for kind in _KINDS}
    for number in range(options.runs):
        for kind, found in local.items():
            remote = folder / f"store-{kind}-{number}"
            found.append(_took(folder, kind, Project(folder / "project"), str(remote)))
            shutil.rmtree(remote)
    far: Took = {}
    with object_store(folder / "weed") as store:
        store.owner.create_bucket(Bucket=_BUCKET)
        for kind in _KINDS:
            project = Project(folder / "project", store.environment)
            address = f"s3://{_BUCKET}/{kind}"
            far[kind] = [_took(folder, kind, project, address, endpointurl=store.endpoint_url)]
    return [*_rows("a folder", options.photos, local), *_rows("SeaweedFS", options.photos, far)]


def _took(folder: Path, kind: str, project: Project, remote: str, **options: str) -> tuple[float, float]:
    """Return the seconds of `dvc add` and of `dvc push` in a fresh project, which is removed again."""
    versioned(project.write(), remote, **options)
    shutil.copytree(folder / "made" / kind, project.root / "data/photos")
    seconds = project.dvc("add", "data/photos"), project.dvc("push")
    shutil.rmtree(project.root)
    return seconds


def _rows(remote: str, photos: int, seconds: Took) -> list[Row]:
    took = {kind: statistics.median(map(sum, found)) for kind, found in seconds.items()}
    faster = took["files"] / took["shards"]
    return [
        Row(f"`dvc add` and `dvc push` to {remote}, {photos:,} photos as single files", "", _told(seconds["files"])),
        Row(f"the same of one file to {remote}: what two calls of `dvc` cost", "", _told(seconds["one"])),
        Row(
            f"the same of {photos:,} photos in {-(-photos // _SHARD)} shards to {remote}",
            f"≥ {LEAST_FASTER} times faster than single files",
            f"{_told(seconds['shards'])}; {faster:.1f} times faster",
            faster >= LEAST_FASTER,
        ),
    ]


def _write(folder: Path, photos: int) -> None:
    """Write the same photos as `shards` and as `files`, and the first of them as `one`."""
    stored = []
    at = datetime(2026, 11, 1, tzinfo=UTC)
    for kind in _KINDS:
        (folder / kind).mkdir(parents=True)
    for number in range(1, photos + 1):
        data = picture(number)
        name = photo_id(data)
        (folder / "files" / f"{name}.jpg").write_bytes(data)
        facts = {"width": SIZE[0], "height": SIZE[1], "phash": name[:16], "source": "made", "source_key": str(number)}
        stored.append({"photo_id": name, "image": {"bytes": data, "path": f"{name}.jpg"}, **facts, "fetched_at": at})
        if len(stored) == _SHARD or number == photos:
            write_shard(folder / "shards" / f"{(number - 1) // _SHARD:05d}.parquet", stored)
            stored.clear()
    (folder / "one/1.jpg").write_bytes(picture(1))


def _told(seconds: list[tuple[float, float]]) -> str:
    add, push = (statistics.median(values) for values in zip(*seconds, strict=True))
    return f"{add:.1f} s and {push:.1f} s"

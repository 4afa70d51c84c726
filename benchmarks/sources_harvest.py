"""How fast photos come in: the gallery against a bare Scrapy spider, known addresses against img2dataset."""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.sources_meter import spent
from benchmarks.sources_project import REPOSITORY, Project, bucket, filetree, gallery
from benchmarks.sources_site import Site
from benchmarks.table import Row
from tests.object_store import ObjectStore, object_store
from tests.web import caddy

GALLERY_CONNECTIONS = 16
PROCESSES, THREADS = 2, 16
BULK_CONNECTIONS = PROCESSES * THREADS
PEER = "img2dataset==1.47.0"
LEAST_OF_BARE, LEAST_OF_PEER = 0.9, 1.0
_MOST_PER_SHARD = 10_000
"""What img2dataset takes unless told otherwise; it starts a process anew after five shards."""
_BUCKET = "thumbnails"


@contextmanager
def served_site(folder: Path, photos: int) -> Iterator[tuple[Site, str]]:
    """Make a site of `photos` photos and serve it by Caddy; yield it with its address."""
    site = Site(folder / "site")
    site.grow(photos)
    with caddy(site.root, folder / "caddy") as url:
        yield site, url


def gallery_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Harvest a gallery with `photoqual refresh` and with the bare spider, by turns."""
    ours: list[float] = []
    bare: list[float] = []
    with served_site(folder, options.photos) as (_, url):
        command = [sys.executable, "-m", "benchmarks.sources_bare", f"{url}/listing/1.html", str(GALLERY_CONNECTIONS)]
        for number in range(options.runs):
            found = spent(command, REPOSITORY)
            _assert_all(int(found.output.splitlines()[-1]), options.photos, "the bare spider")
            bare.append(options.photos / found.seconds)
            ours.append(_refreshed(folder / f"gallery-{number}", gallery(url, GALLERY_CONNECTIONS), options.photos))
    name = f"gallery, {options.photos:,} photos, {GALLERY_CONNECTIONS} connections"
    return [Row(f"{name}: bare Scrapy spider", "", _rates(bare)), _against(name, ours, bare, LEAST_OF_BARE)]


def bulk_rows(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Harvest a file tree and a bucket with `photoqual refresh`, and the same files with img2dataset, by turns."""
    rates: dict[str, list[float]] = {"filetree": [], "bucket": [], "Caddy": [], "SeaweedFS": []}
    with (
        served_site(folder, options.photos) as (site, url),
        object_store(folder / "weed") as store,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        store.owner.create_bucket(Bucket=_BUCKET)
        for _ in pool.map(lambda path: _put(store, site, path), site.thumbnails()):
            pass
        lists = {
            "Caddy": _list(folder / "caddy.txt", [f"{url}/{path}" for path in site.thumbnails()]),
            "SeaweedFS": _list(folder / "weed.txt", [_signed(store, path) for path in site.thumbnails()]),
        }
        sources = {
            "filetree": filetree(url, BULK_CONNECTIONS),
            "bucket": bucket(_BUCKET, store.endpoint_url, BULK_CONNECTIONS),
        }
        _peer("--help")
        for number in range(options.runs):
            for kind, source in sources.items():
                project = folder / f"{kind}-{number}"
                rates[kind].append(_refreshed(project, source, options.photos, store.environment))
            for server, addresses in lists.items():
                rates[server].append(_downloaded(addresses, folder / f"{server}-{number}", options.photos))
    name = f"{options.photos:,} photos, {BULK_CONNECTIONS} connections"
    return [
        *(Row(f"{name}: {PEER} from {server}", "", _rates(rates[server])) for server in lists),
        _against(f"filetree, {name}, to img2dataset from Caddy", rates["filetree"], rates["Caddy"], LEAST_OF_PEER),
        _against(f"bucket, {name}, to img2dataset from Caddy", rates["bucket"], rates["Caddy"], LEAST_OF_PEER),
        _against(
            f"bucket, {name}, to img2dataset from the same SeaweedFS",
            rates["bucket"],
            rates["SeaweedFS"],
            LEAST_OF_PEER,
        ),
    ]


def _refreshed(root: Path, source: dict[str, Any], photos: int, environment: dict[str, str] | None = None) -> float:
    """Return the photos per second of the first refresh of a project with one source."""
    project = Project(root, environment or {}).write(sources={"site": source})
    seconds = project.run("refresh").seconds
    project.assert_photos(photos)
    return photos / seconds


def _downloaded(addresses: Path, folder: Path, photos: int) -> float:
    """Return the photos per second of img2dataset."""
    per_shard = min(_MOST_PER_SHARD, -(-photos // PROCESSES))
    found = json.loads(_peer(addresses, folder, PROCESSES, THREADS, per_shard).splitlines()[-1])
    _assert_all(found["images"], photos, PEER)
    return photos / float(found["seconds"])


def _peer(*arguments: object) -> str:
    """Run img2dataset in an environment of its own; return what it said. With `--help` the environment is made."""
    command = ["uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with", PEER]
    script = (
        ["img2dataset"] if arguments == ("--help",) else ["python", str(Path(__file__).with_name("sources_peer.py"))]
    )
    return spent([*command, *script, *map(str, arguments)], REPOSITORY, {"NO_ALBUMENTATIONS_UPDATE": "1"}).output


def _put(store: ObjectStore, site: Site, path: str) -> None:
    body = (site.root / path).read_bytes()
    store.owner.put_object(Bucket=_BUCKET, Key=path, Body=body, ContentType="image/jpeg")


def _signed(store: ObjectStore, path: str) -> str:
    given = {"Bucket": _BUCKET, "Key": path}
    return str(store.owner.generate_presigned_url("get_object", Params=given, ExpiresIn=24 * 3600))


def _list(path: Path, addresses: Sequence[str]) -> Path:
    path.write_text("\n".join(addresses) + "\n", encoding="utf-8")
    return path


def _assert_all(came: int, photos: int, who: str) -> None:
    if came != photos:
        raise RuntimeError(f"{who} brought {came} of {photos} photos")


def _against(name: str, ours: Sequence[float], theirs: Sequence[float], least: float) -> Row:
    """Return the row that holds the median of `ours` to `least` times that of `theirs`."""
    ratio = statistics.median(ours) / statistics.median(theirs)
    return Row(f"{name}: photoqual refresh", f"≥ {least:g} of it", f"{_rates(ours)}; {ratio:.2f} of it", ratio >= least)


def _rates(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} photos/s ({min(values):,.0f} to {max(values):,.0f})"

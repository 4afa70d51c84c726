"""A scratch project for the benchmarks of sources: params.yaml of this repository with one source; git and DVC over it."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import yaml

from benchmarks.sources_meter import Spent, spent
from photoqual.layout import Layout
from photoqual.photos.catalog import OK, read_rows
from photoqual.pipeline.dvc import LINK_TYPES

REPOSITORY = Path(__file__).resolve().parents[1]
_HASTY = {"delay_seconds": 0.0, "adaptive": False, "obey_robots": False, "allow_private_addresses": True}


@dataclass(frozen=True)
class Project:
    """A folder with a params.yaml, and the environment its commands run in."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def write(self, **changes: Any) -> "Project":
        """Write params.yaml: this repository's with `changes` (whole sections)."""
        values = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
        (self.root / "data").mkdir(parents=True)
        (self.root / "params.yaml").write_text(yaml.safe_dump({**values, **changes}), encoding="utf-8")
        return self

    def run(self, verb: str) -> Spent:
        """Run `photoqual VERB` here, start of Python and all."""
        return spent([sys.executable, "-m", "photoqual", verb], self.root, self.environment)

    def dvc(self, *arguments: str) -> float:
        """Run `dvc` here; return the seconds it took."""
        return spent([sys.executable, "-m", "dvc", *arguments, "--quiet"], self.root, self.environment).seconds

    def photos(self) -> int:
        """Return how many usable photos the catalog holds."""
        return int(
            pc.sum(
                pc.equal(read_rows(Layout(self.root).catalog, ["source", "source_key", "status"])["status"], OK)
            ).as_py()
        )

    def assert_photos(self, photos: int) -> None:
        """Raise RuntimeError unless the catalog holds `photos` usable photos: a figure over others says nothing."""
        if self.photos() != photos:
            raise RuntimeError(f"{self.root} holds {self.photos()} usable photos, expected {photos}")


def versioned(project: Project, remote: str, **options: str) -> None:
    """Make `project` a repository of git and DVC with this remote, with links as in our workspaces."""
    subprocess.run(["git", "init", "--quiet"], cwd=project.root, check=True)
    project.dvc("init")
    settings = {"cache.type": LINK_TYPES, "core.analytics": "false", "core.check_update": "false"}
    for name, value in {**settings, "core.remote": "store"}.items():
        project.dvc("config", name, value)
    project.dvc("remote", "add", "store", remote)
    for name, value in options.items():
        project.dvc("remote", "modify", "store", name, value)


def stored_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def refreshed_outs() -> list[str]:
    """Return what the refresh stage of dvc.yaml writes."""
    stage = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]["refresh"]
    return [out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]]


def gallery(url: str, connections: int) -> dict[str, Any]:
    """Return the site of `benchmarks.sources_site` as a gallery, for params.yaml, politeness off."""
    return {
        "kind": "gallery",
        "profile": "numbered_microdata",
        "start": [f"{url}/listing/1.html"],
        "politeness": {**_HASTY, "concurrency": connections},
    }


def filetree(url: str, connections: int) -> dict[str, Any]:
    """Return its thumbnails as a file tree."""
    return {
        "kind": "filetree",
        "start": [f"{url}/thumbs/"],
        "pattern": "*/*.jpg",
        "date_pattern": r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)/",
        "politeness": {**_HASTY, "concurrency": connections},
    }


def bucket(name: str, endpoint: str, connections: int) -> dict[str, Any]:
    """Return its thumbnails as objects of a bucket."""
    return {"kind": "bucket", "bucket": name, "endpoint_url": endpoint, "concurrency": connections}

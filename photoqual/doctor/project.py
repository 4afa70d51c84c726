"""The project in the folder you stand in: params, pipeline, git, data, and where its sources lie."""

from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.config import FoldersSource, Params, VotesSource, XmpSource, load_params
from photoqual.doctor.findings import Check, Finding, State
from photoqual.errors import PipelineError
from photoqual.layout import Layout
from photoqual.photos.catalog import is_there, read_rows
from photoqual.pipeline.git import git
from photoqual.pipeline.stages import read_stages

if TYPE_CHECKING:
    from pydantic import BaseModel

AREA = "project"


def checks(layout: Layout) -> list[tuple[str, str, Check]]:
    """Return the checks of the project of `layout`; one that says so where there is none."""
    if not layout.params.exists():
        return [(AREA, "params.yaml", lambda: [_no_project(layout)])]
    return [
        (AREA, "params.yaml", lambda: _params(layout)),
        (AREA, "dvc.yaml", lambda: _stages(layout)),
        (AREA, "git", lambda: _git(layout)),
        (AREA, "data", lambda: _data(layout)),
    ]


def store_of(root: Path) -> dict[str, str]:
    """Return what .dvc/config says of the project's default remote, its `url` among it; nothing where it names none."""
    config = ConfigParser(strict=False, interpolation=None)
    config.read([root / ".dvc/config", root / ".dvc/config.local"], encoding="utf-8")
    name = config.get("core", "remote", fallback="")
    section = f"'remote \"{name}\"'"
    remote = dict(config[section]) if config.has_section(section) else {}
    if "://" not in remote.get("url", "://"):
        remote["url"] = str((root / ".dvc" / Path(remote["url"]).expanduser()).resolve())
    return remote


def _no_project(layout: Layout) -> Finding:
    seen = f"{layout.root.absolute()} holds no project"
    return Finding(AREA, "params.yaml", State.absent, seen, "To train models, run this in a clone of photoqual.")


def _params(layout: Layout) -> Iterator[Finding]:
    params = load_params(layout.params)
    sources = ", ".join(f"{name} ({source.kind})" for name, source in params.sources.items())
    yield Finding(AREA, "params.yaml", State.ok, f"sources: {sources}; model: {params.model.kind}")
    yield from _sources(params)


def _sources(params: Params) -> Iterator[Finding]:
    """Look for what local sources read; the web is left to `photoqual refresh`."""
    for name, source in params.sources.items():
        missing = [path for path in _local_paths(source) if not Path(path).expanduser().exists()]
        if missing:
            seen, step = f"{', '.join(missing)} does not exist", "Mend the path in params.yaml, or mount the disk."
            yield Finding(AREA, f"source {name}", State.problem, seen, step)
        elif _local_paths(source):
            yield Finding(AREA, f"source {name}", State.ok, ", ".join(_local_paths(source)))


def _local_paths(source: "BaseModel") -> list[str]:
    match source:
        case FoldersSource():
            return [source.path, *source.also_good, *([source.groups_csv] if source.groups_csv else [])]
        case XmpSource():
            return [source.path]
        case VotesSource():
            return [source.path, source.csv]
        case _:
            return []


def _stages(layout: Layout) -> Iterator[Finding]:
    names = ", ".join(stage.name for stage in read_stages(layout.root / "dvc.yaml"))
    yield Finding(AREA, "dvc.yaml", State.ok, names)


def _git(layout: Layout) -> Iterator[Finding]:
    try:
        branch = git("rev-parse", "--abbrev-ref", "HEAD", cwd=layout.root)
    except PipelineError as error:
        step = "git init, add and commit: lineage of models needs it. Photos can be rated without."
        yield Finding(AREA, "git", State.warning, error.message, step)
        return
    changed = [line for line in git("status", "--porcelain", cwd=layout.root).splitlines() if line]
    seen = f"branch {branch}" + (f", {len(changed)} uncommitted changes" if changed else "")
    yield Finding(AREA, "git", State.ok, seen)


def _data(layout: Layout) -> Iterator[Finding]:
    if not is_there(layout.catalog):
        yield Finding(AREA, "data", State.absent, "no photos yet", "dvc repro (or dvc pull)")
        return
    rows = len(read_rows(layout.catalog, ["status"]))
    steps = {"labels": layout.labels, "frozen test set": layout.frozen_test, "challenger": layout.challenger}
    missing = [name for name, path in steps.items() if not path.exists()]
    seen = f"{rows} rows in the catalog" + (f"; no {', no '.join(missing)} yet" if missing else "")
    yield Finding(AREA, "data", State.ok, seen, "dvc repro makes what is missing." if missing else "")

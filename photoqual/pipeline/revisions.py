"""A revision of the past, with its data: found in the repository you stand in or at the project's address.

Versions that were registered by a DAG run are commits of the project that tasks push to; those registered on a laptop
are commits of its own repository. A commit id names the same content in both, so either will do. Data comes from the
cache and the remotes of the folder you stand in, unless `PHOTOQUAL_…` variables name others.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoqual.errors import PipelineError
from photoqual.pipeline import clones, dvc, git
from photoqual.registry.store import sqlite_file, tracking_uri
from photoqual.settings import Settings


def project_settings(root: Path) -> Settings:
    """Return where the project and its data are: by the environment, else beside the demo's registry if that is used."""
    settings = Settings()
    registry = sqlite_file(tracking_uri(root))
    if settings.project_url is None and registry is not None:
        home = registry.absolute().parent.parent
        if (home / "origin.git").is_dir() and (home / "dvc-store").is_dir():
            places = {
                "project_url": str(home / "origin.git"),
                "dvc_remote_url": str(home / "dvc-store"),
                "dvc_cache": home / "dvc-cache",
                "workspaces": home / "workspaces",
            }
            return settings.model_copy(update=places)
    return settings


@contextmanager
def checked_out(
    revision: str, what: str, *, root: Path, settings: Settings | None = None, keep: bool = False
) -> Iterator[Path]:
    """Yield a fresh clone with the files of `revision` and DVC set up for its data; nothing is fetched yet.

    `what` names the clone's folder. Raise PipelineError when no repository has the revision any more.
    """
    settings = settings or project_settings(root)
    name = f"{what}.{clones.safe(revision[:12])}"
    asked: list[str] = []
    for address in _addresses(root, revision, settings):
        with clones.fresh(address, settings.workspaces, name, keep=keep) as clone:
            if _has(clone, revision):
                clones.check_out(clone, revision)
                dvc.configure(clone, settings, beside=root if (root / ".dvc").is_dir() else None)
                yield clone
                return
            shutil.rmtree(clone)
        asked.append(git.masked(address))
    raise PipelineError(
        f"Revision {revision[:12]} is in no repository that was asked ({', '.join(asked) or 'none is known'}).",
        next_step="Stand in the clone that the version was registered from, or set PHOTOQUAL_PROJECT_URL; a commit that "
        "no branch holds goes away when git cleans up.",
        revision=revision,
    )


def _addresses(root: Path, revision: str, settings: Settings) -> list[str]:
    here = [str(root.absolute())] if (root / ".git").exists() and git.find(root, revision) else []
    return here + ([settings.project_url] if settings.project_url else [])


def _has(clone: Path, revision: str) -> bool:
    try:
        git.resolve(clone, revision)
    except PipelineError:
        return False
    return True

"""Clones: each piece of work has a fresh one to itself, deleted when the work ends well, kept to look at otherwise."""

import fcntl
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photoqual import errors
from photoqual.errors import PipelineError, StageFailed
from photoqual.pipeline import dvc, git
from photoqual.pipeline.environment import check_environment
from photoqual.settings import Settings

KEPT_CLONES = 3


@contextmanager
def fresh(address: str, folder: Path, name: str, *, keep: bool = False) -> Iterator[Path]:
    """Yield a new clone of `address` in `folder`, without files; delete it if the block ends well and not `keep`.

    A PipelineError that leaves the block carries the clone's path in `details["workspace"]`. Clones that failed or
    killed work left behind go when newer ones come, those of `keep` never.
    """
    folder = folder.expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    clone = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=folder))
    with clone.with_suffix(f"{clone.suffix}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _sweep(folder)
        try:
            git.clone(address, clone)
            yield clone
        except PipelineError as error:
            error.details.setdefault("workspace", str(clone))
            raise
        if not keep:
            shutil.rmtree(clone, ignore_errors=True)
        Path(held.name).unlink(missing_ok=True)


def prepare(clone: Path, revision: str, settings: Settings) -> None:
    """Make a clone ready to run stages at a revision. Raise EnvironmentDiffers, PipelineError."""
    check_out(clone, revision)
    check_environment(clone)
    dvc.configure(clone, settings)


def check_out(clone: Path, revision: str) -> None:
    """Write the files of a revision into a clone."""
    git.git("checkout", "--quiet", "--force", "--detach", git.resolve(clone, revision), cwd=clone)


def work(clone: Path, run_id: str, *, extra: Mapping[str, str] | None = None, **job: Any) -> dict[str, Any]:
    """Do DVC's work in a clone (see `dvc.run`); return the result that the command left, {} if it left none."""
    outcome = dvc.outcome_file(clone)
    try:
        dvc.run(clone, **job, environment=dvc.environment(clone, run_id, dict(extra or {})))
    except StageFailed as failed:
        raise _told(failed, _read(outcome), clone) from None
    return _read(outcome).get("result") or {}


def safe(run_id: str) -> str:
    """Write a run id so that git, a file system and a person can use it; distinct ids stay distinct."""
    text = re.sub(r"[^A-Za-z0-9_-]+", "-", run_id).strip("-_")[:80]
    if text == run_id:
        return text
    return f"{text or 'run'}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


def _sweep(folder: Path) -> None:
    """Delete the clones of failed and killed work but the newest few; those in use hold their lock."""
    for held in sorted(folder.glob("*.lock"), key=_age)[KEPT_CLONES:]:
        try:
            with held.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(held.with_suffix(""), ignore_errors=True)
                held.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            continue


def _age(path: Path) -> float:
    try:
        return -path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(outcome: Path) -> dict[str, Any]:
    try:
        value = json.loads(outcome.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return value if isinstance(value, dict) else {}


def _told(failed: StageFailed, outcome: dict[str, Any], clone: Path) -> StageFailed:
    """Return the failure with the command's own words, if it left any, and where to look."""
    message = str(outcome.get("message") or failed.message)
    step = str(outcome.get("next_step") or failed.next_step)
    kind = str(outcome.get("error") or "")
    return StageFailed(
        message,
        next_step=f"{step} What it left is in {clone}.".strip(),
        error=kind if hasattr(errors, kind) else "",
        **{
            key: value
            for key, value in (outcome.get("details") or {}).items()
            if key not in ("message", "next_step", "error")
        },
    )

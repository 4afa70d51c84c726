"""What a model version was made of: git revision, data revision, frozen test set, environment."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from photoqual.config import Params
from photoqual.errors import DataError, MissingData
from photoqual.layout import Layout

DATA = ("data/catalog", "data/labels.parquet", "data/photos")
"""The outputs that tell one state of the data from another."""
_CHECKED = (
    "data/frozen_test.parquet",
    "data/labels.parquet",
    "reports/evaluation/predictions.parquet",
)


def git_revision(root: Path) -> str:
    """Return the commit that is checked out in `root`."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise DataError(
            f"{root.absolute()} is not a git repository with a commit: {found.stderr.strip()}.",
            next_step="Register from a clone of the project, or name the revision with --revision.",
        )
    return found.stdout.strip()


def committed_revision(layout: Layout, revision: str | None) -> str:
    """Return the commit (`revision`, default HEAD) that holds the params.yaml and dvc.lock that are here.

    Raise DataError when it does not exist or holds others: a version must not name a state that it was not made of. In
    a folder that is no git repository, a given revision is taken as it is.
    """
    if revision is not None and not (layout.root / ".git").exists():
        return revision
    if revision is None:
        commit = git_revision(layout.root)
    else:
        found = _git(layout.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        if found is None:
            raise DataError(f"There is no commit {revision}.", next_step="Leave --revision out to name HEAD.")
        commit = found.decode().strip()
    for file in (layout.lock, layout.params):
        if file.is_file() and _git(layout.root, "show", f"{commit}:./{file.name}") != file.read_bytes():
            raise DataError(
                f"{file.name} is not the one that commit {commit[:12]} holds, so that commit would not tell what the model was made of.",
                next_step="Commit it (`git add dvc.lock params.yaml && git commit`), then register.",
            )
    return commit


def _git(root: Path, *arguments: str) -> bytes | None:
    """Return what git prints, None when it fails."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def locked_outputs(lock: Path) -> dict[str, str]:
    """Return the MD5 of every output in a dvc.lock, by path."""
    if not lock.is_file():
        raise MissingData(
            f"{lock} does not exist, so nothing says which data the model was made of.",
            next_step="Run `dvc repro`, then register.",
        )
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{lock} is not a lock file of this DVC.", next_step="Restore it with git, or run `dvc repro`."
        ) from None


def data_revision(outputs: dict[str, str]) -> str:
    """Return one SHA-256, in hex, over the hashes of photos, catalog and labels in a dvc.lock."""
    missing = [path for path in DATA if path not in outputs]
    if missing:
        raise DataError(
            f"dvc.lock does not name {', '.join(missing)}.", next_step="Run `dvc repro` to the end, then register."
        )
    return hashlib.sha256("\n".join(f"{path} {outputs[path]}" for path in DATA).encode()).hexdigest()


def assert_locked(layout: Layout, outputs: dict[str, str]) -> None:
    """Raise DataError when a file that is here is not the one that dvc.lock names: the lock is of another revision."""
    for path in _CHECKED:
        file = layout.root / path
        if (
            path in outputs
            and file.is_file()
            and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != outputs[path]
        ):
            raise DataError(
                f"{file} is not the one that dvc.lock names: they are of different revisions.",
                next_step="Run `dvc checkout` to get the data of this lock, or `dvc repro` to bring the lock up to date.",
            )


def environment_digest(root: Path) -> str | None:
    """Return the SHA-256 of uv.lock, in hex; None where there is none."""
    lock = root / "uv.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None


def flat_params(params: Params) -> dict[str, str]:
    """Return the params by dotted name, as text; passwords in addresses are masked."""
    return {
        name: re.sub(r"//[^/@\s\"]+@", "//***@", text)[:500]
        for name, text in _flatten(params.model_dump(mode="json"), "").items()
    }


def _flatten(value: Any, name: str) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {
            key: text
            for part, inner in value.items()
            for key, text in _flatten(inner, f"{name}.{part}" if name else str(part)).items()
        }
    return {name: value if isinstance(value, str) else json.dumps(value)}

"""Reproduce a registered version: its revision in a clean workspace, its data, every stage again, then the comparison.

The refresh is not run again, because a source answers otherwise today: what it had fetched comes from DVC. All later
stages really run; nothing is taken from DVC's run cache, and nothing is pushed or put into a cache. Hashes are taken
of the files themselves, so data that was changed in the store is found, too.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from photoqual.errors import DataError, EnvironmentDiffers, PipelineError, RegistryError, StageFailed
from photoqual.pipeline import clones, dvc, locks, revisions
from photoqual.pipeline.environment import check_environment
from photoqual.pipeline.stages import Stage, makers, read_stages
from photoqual.pipeline.workspace import LOCK
from photoqual.registry.facts import Facts, version_facts
from photoqual.registry.lineage import data_revision
from photoqual.settings import Settings

log = logging.getLogger(__name__)

AUC_TOLERANCE = 1e-3
_DATA = "data/"
_METRICS = "reports/evaluation/metrics.json"
_CHUNK = 1 << 20

Outcome = Literal["equal", "differs", "not made", "not known"]
"""`not made`: there is nothing here; `not known`: the registry does not tell."""


@dataclass(frozen=True)
class Row:
    """One thing that was compared. `counts`: whether a difference means that the version was not reproduced."""

    what: str
    registered: str
    here: str
    outcome: Outcome
    counts: bool = True


def reproduce(
    version: str,
    *,
    root: Path = Path(),
    settings: Settings | None = None,
    keep: bool = False,
    any_environment: bool = False,
) -> dict[str, Any]:
    """Rebuild `version` (a number, an alias or a registry address) and return what was compared, as a JSON-able value:
    `same`, `rows`, `stages`, `failed` (None, or why the rebuilding stopped), `seconds`, `workspace` (with `keep`, or
    when something differs).

    Raise RegistryError without the version, PipelineError when its revision or data is gone, EnvironmentDiffers when
    the packages here are not those of its lock file and `any_environment` is not set.
    """
    started = time.monotonic()
    facts = version_facts(version, root=root)
    revision = facts.tags.get("git_rev")
    if not revision:
        raise RegistryError(
            f"Version {facts.version} names no git revision, so it cannot be rebuilt.",
            next_step="Register it with `photoqual register`; versions made otherwise have no lineage.",
        )
    told: dict[str, Any] = {"version": facts.version, "revision": revision}
    name = f"reproduce-{facts.version}"
    try:
        with revisions.checked_out(revision, name, root=root, settings=settings, keep=keep) as clone:
            told |= _again(clone, facts, name, any_environment)
            told |= {"seconds": round(time.monotonic() - started, 1), "workspace": str(clone) if keep else None}
            if not told["same"]:
                raise _NotReproduced("Something differs.", workspace=str(clone))
    except _NotReproduced as different:
        told["workspace"] = different.details["workspace"]
    return told


class _NotReproduced(PipelineError):
    """Leaves the workspace behind, to be looked at."""


def _again(clone: Path, facts: Facts, run_id: str, any_environment: bool) -> dict[str, Any]:
    """Rebuild the version in a clone at its revision and compare."""
    environment = _environment_rows(clone, facts, any_environment)
    stages = read_stages(clone / "dvc.yaml")
    again = [stage for stage in stages if makers(stage, stages)]
    locked = _locked(clone, facts.tags["git_rev"])
    inputs = _inputs(stages, again, locked)
    _fetch(clone, inputs)
    ran: list[str] = []
    failed: str | None = "the stored data is not what dvc.lock names, so nothing was rebuilt from it"
    if all(content_hash(clone / path) == locked[path] for path in inputs):
        ran, failed = _rebuild(clone, again, run_id)
    here = {path: content_hash(clone / path) for path in locked if path.startswith(_DATA)}
    rows = [
        *compared(locked, here),
        _data_row(facts, here),
        _auc_row(clone, facts, done=failed is None),
        _model_row(clone, facts, done=failed is None),
        *environment,
    ]
    return {
        "same": failed is None and reproduced(rows),
        "rows": [asdict(row) for row in rows],
        "stages": ran,
        "not_run": [stage.name for stage in stages if stage not in again],
        "failed": failed,
    }


def reproduced(rows: Iterable[Row]) -> bool:
    """Tell whether everything that counts is equal."""
    return all(row.outcome == "equal" for row in rows if row.counts)


def compared(locked: Mapping[str, str], here: Mapping[str, str | None]) -> list[Row]:
    """Return a row for each path of `here`: the hash in dvc.lock and that of the file, None if there is no file."""
    return [
        Row(path, locked[path], found or "", _outcome(found is not None, found == locked[path]))
        for path, found in here.items()
    ]


def auc_row(registered: float | None, here: float | None) -> Row:
    """Return the row of the AUC: equal within AUC_TOLERANCE."""
    known = registered is not None and here is not None
    near = known and abs(float(registered or 0) - float(here or 0)) <= AUC_TOLERANCE
    shown = ["" if value is None else f"{value:.5f}" for value in (registered, here)]
    outcome = "not known" if registered is None else _outcome(here is not None, near)
    return Row("AUC on the frozen test set", shown[0], shown[1], outcome)


def content_hash(path: Path) -> str | None:
    """Return the MD5 of a file, or of a folder as DVC takes it; None when there is nothing."""
    if path.is_file():
        return _md5(path)
    if not path.is_dir():
        return None
    listed = [
        {"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()
    ]
    text = json.dumps(sorted(listed, key=lambda entry: entry["relpath"]), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() + ".dir"


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _outcome(made: bool, equal: bool) -> Outcome:
    return "equal" if equal else "differs" if made else "not made"


def _environment_rows(clone: Path, facts: Facts, any_environment: bool) -> list[Row]:
    """Compare the lock file with the version's, and the packages here with the lock file."""
    lock = clone / "uv.lock"
    here = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""
    stated = facts.tags.get("environment_lock", "")
    differing: list[str] = []
    try:
        check_environment(clone)
    except EnvironmentDiffers as error:
        if not any_environment:
            raise EnvironmentDiffers(
                error.message,
                next_step=f"Install the packages of that revision (`git show {facts.tags['git_rev'][:12]}:uv.lock`), or "
                "add --any-environment: then the comparison tells whether it matters.",
                **error.details,
            ) from None
        differing = error.details["differences"]
    packages = f"{len(differing)} differ: {', '.join(differing[:5])}" if differing else "as locked"
    return [
        Row("environment lock", stated, here, _outcome(bool(here), here == stated), counts=False),
        Row("installed packages", "as locked", packages, _outcome(True, not differing), counts=False),
    ]


def _locked(clone: Path, revision: str) -> dict[str, str]:
    lock = clone / LOCK
    if not lock.is_file():
        raise PipelineError(
            f"Revision {revision[:12]} has no {LOCK}, so nothing says what its data was.",
            next_step="Register versions at a commit that holds dvc.lock.",
        )
    return locks.hashes(locks.parse_lock(lock.read_text(encoding="utf-8")))


def _inputs(stages: Iterable[Stage], again: list[Stage], locked: Mapping[str, str]) -> list[str]:
    """Return what must be fetched: all that stages made which do not run again, and what outlives a run."""
    wanted = [path for stage in stages for path in (stage.persist_outs if stage in again else stage.outs)]
    return [path for path in wanted if path in locked]


def _fetch(clone: Path, paths: list[str]) -> None:
    gone = dvc.fetch(clone, paths, environment=dvc.environment(clone, "reproduce"))
    if gone:
        reasons = "; ".join(f"{path} ({reason})" if reason else path for path, reason in gone.items())
        raise PipelineError(
            f"The DVC store does not have {len(gone)} of the {len(paths)} inputs of this version: {reasons}.",
            next_step="Check PHOTOQUAL_DVC_REMOTE_URL, or push them from a machine that has them (`dvc push --all-commits`).",
            paths=sorted(gone),
        )


def _rebuild(clone: Path, stages: Iterable[Stage], run_id: str) -> tuple[list[str], str | None]:
    """Run the stages; return those that ended well, and why the next one did not."""
    ran: list[str] = []
    for stage in stages:
        log.info("%s …", stage.name)
        try:
            clones.work(clone, run_id, stage=stage.name, force=True, run_cache=False, keep=False)
        except StageFailed as error:
            return ran, f"stage {stage.name} failed: {error.message.rstrip('.')}"
        ran.append(stage.name)
    return ran, None


def _data_row(facts: Facts, here: Mapping[str, str | None]) -> Row:
    stated = facts.tags.get("data_rev", "")
    try:
        found = data_revision({path: md5 for path, md5 in here.items() if md5})
    except DataError:
        found = ""
    return Row("data revision", stated, found, _outcome(bool(found), found == stated))


def _auc_row(clone: Path, facts: Facts, *, done: bool) -> Row:
    path = clone / _METRICS
    here = json.loads(path.read_text(encoding="utf-8")).get("auc") if done and path.is_file() else None
    return auc_row(facts.metrics.get("auc"), here)


def _model_row(clone: Path, facts: Facts, *, done: bool) -> Row:
    from photoqual.evaluation.evaluate import model_digest

    stated = facts.tags.get("model_digest", "")
    try:
        here = model_digest(clone / "models/challenger") if done else ""
    except OSError:
        here = ""
    return Row("model file", stated, here, _outcome(bool(here), here == stated), counts=False)

"""Lineage: everything that a registered version came from, read from registry, git and DVC alone.

No file of the working tree is looked at. The version's tags name a revision; its code, params and dvc.lock are asked of
git, its small data outs of DVC at that revision. Where DVC does not have one any more, what the stage said of it in
its commit's message stands in. What cannot be found is named in `missing`, and the rest is told all the same.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from photoqual.config import parse_params
from photoqual.errors import ConfigError, DataError, PipelineError
from photoqual.pipeline import dvc, git, locks, outs, revisions
from photoqual.pipeline.environment import differences, installed, pinned
from photoqual.pipeline.workspace import LOCK, PARAMS, summaries
from photoqual.registry.facts import Facts, version_facts
from photoqual.registry.lineage import data_revision, flat_params
from photoqual.registry.store import MODEL_NAME
from photoqual.settings import Settings

Did = dict[str, Any]

_EVALUATED = ("auc", "auc_low", "auc_high", "photos")


@dataclass(frozen=True)
class _Out:
    """One small out: what it is called, where it is, what it tells, and what `stage`, which made it, says instead."""

    what: str
    path: str
    tell: Callable[[Any], Did]
    stage: str
    said: Callable[[Did], Did]


def _validated(did: Did) -> Did:
    return {
        "accepted": True,
        "held": did["expectations"] - len(did["warnings"]),
        "expectations": did["expectations"],
    }


_OUTS = {
    "data": _Out(
        "catalog",
        "data/catalog",
        outs.of_catalog,
        "refresh",
        lambda did: {name: did[name] for name in ("photos", "votes")},
    ),
    "labels": _Out(
        "labels",
        "data/labels.parquet",
        outs.of_labels,
        "label",
        lambda did: {name: did[name] for name in ("good", "bad")},
    ),
    "validation": _Out(
        "validation report", "reports/validation/summary.json", outs.of_validation, "validate", _validated
    ),
    "splits": _Out("splits", "data/splits.parquet", outs.of_splits, "split", lambda did: dict(did["photos"])),
    "frozen": _Out(
        "frozen test set",
        "data/frozen_test.parquet",
        outs.of_frozen,
        "split",
        lambda did: {"photos": did["frozen_photos"]},
    ),
    "training": _Out("model.json", "models/challenger/model.json", outs.of_model, "train", outs.of_model),
}
"""By section of the lineage."""


def lineage(
    model: str, *, root: Path = Path(), settings: Settings | None = None, all_params: bool = False
) -> dict[str, Any]:
    """Return the lineage of a registered version as a JSON-able value; with `all_params` every param, too.

    Raise NoChampion, RegistryError, ConfigError when there is no such version.
    """
    facts = version_facts(model, root=root)
    told = _from_registry(facts)
    missing: list[str] = told["missing"]
    params, revision = facts.params, facts.tags.get("git_rev")
    if not revision:
        missing.append("code and data: the version names no commit (tag git_rev)")
    else:
        try:
            with revisions.checked_out(revision, "lineage", root=root, settings=settings) as clone:
                told["code"] |= _code(clone, revision)
                told["environment"] |= _environment(clone, facts, missing)
                _check_lock(clone, facts, missing)
                params = params or _params_at(clone, revision, missing)
                for section, found in _from_dvc(clone, revision, missing).items():
                    told[section] |= found
        except PipelineError as error:
            missing.append(f"code and data: {error.message.rstrip('.')}")
    params = params or {}
    told["labels"]["rule"] = outs.label_rule(params)
    told["training"]["settings"] = {
        name: text for name, text in params.items() if name.startswith(("model.", "train."))
    }
    if all_params:
        told["params"]["all"] = params
    stated, held = told["frozen"]["digest"], told["frozen"].pop("digest_of_content", None)
    if held not in (None, stated):
        missing.append(f"frozen test set: the one at the revision has another digest, {held[:12]}")
    return told


def _from_registry(facts: Facts) -> dict[str, Any]:
    tags = facts.tags
    dag, _, run = tags.get("run_id", "").partition(".")
    differ = None
    if facts.before_params is not None and facts.params is not None:
        differ = outs.differing(facts.before_params, facts.params)
    return {
        "model": f"models:/{MODEL_NAME}/{facts.version}",
        "version": facts.version,
        "aliases": facts.aliases,
        "registered": {"at": facts.registered_at, "by": facts.registered_by or None},
        "data": {"revision": tags.get("data_rev")},
        "labels": {},
        "validation": {},
        "splits": {},
        "frozen": {"digest": tags.get("frozen_test_digest")},
        "params": {"before": facts.before, "differ": differ},
        "training": {},
        "evaluation": {name: facts.metrics[name] for name in _EVALUATED if name in facts.metrics},
        "verdict": facts.verdict,
        "champion": [asdict(change) for change in facts.changes],
        "code": {"revision": tags.get("git_rev"), "photoqual": tags.get("photoqual")},
        "environment": {"lock": tags.get("environment_lock")},
        "run": {"dag": dag or None, "run": run or None, "mlflow": facts.mlflow_run or None},
        "model_digest": tags.get("model_digest"),
        "missing": list(facts.missing),
    }


def _code(clone: Path, revision: str) -> dict[str, str]:
    """Return the commit that the code came from: for a run of the pipeline, that of `main`."""
    source = code_commit(clone, revision)
    return {
        "source": source,
        "committed": git.git("show", "--no-patch", "--format=%cI", source, cwd=clone),
        "subject": git.subject(clone, source),
    }


def code_commit(clone: Path, revision: str) -> str:
    """Return the commit whose code a revision has: past the pipeline's own commits, which change dvc.lock alone."""
    for commit in git.first_parents(clone, revision):
        subject = git.subject(clone, commit)
        if subject.startswith("Open run "):
            return git.git("show", "--no-patch", "--format=%P", commit, cwd=clone).split()[-1]
        if not subject.startswith(("Run ", "Merge run ")):
            return commit
    return revision


def _environment(clone: Path, facts: Facts, missing: list[str]) -> dict[str, Any]:
    """Tell whether the lock file at the revision is the version's, and what this Python has otherwise."""
    lock = clone / "uv.lock"
    if not lock.is_file():
        missing.append("environment lock: the revision has no uv.lock")
        return {}
    text = lock.read_bytes()
    differ = differences(pinned(text.decode()), installed())
    return {
        "at_revision": hashlib.sha256(text).hexdigest() == facts.tags.get("environment_lock"),
        "differs_here": [name for name, _, _ in differ],
    }


def _check_lock(clone: Path, facts: Facts, missing: list[str]) -> None:
    """Say when dvc.lock at the revision is not of the data that the version names."""
    lock = clone / LOCK
    if not lock.is_file():
        missing.append(f"{LOCK}: the revision has none, so its data cannot be found")
        return
    try:
        found = data_revision(locks.hashes(locks.parse_lock(lock.read_text(encoding="utf-8"))))
    except (DataError, PipelineError) as error:
        missing.append(f"{LOCK}: {error.message.rstrip('.')}")
        return
    if found != facts.tags.get("data_rev"):
        missing.append(f"data revision: {LOCK} at the revision is of other data, {found[:12]}")


def _params_at(clone: Path, revision: str, missing: list[str]) -> dict[str, str] | None:
    text = git.read(clone, revision, PARAMS)
    try:
        if text is not None:
            return flat_params(parse_params(yaml.safe_load(text), origin=PARAMS))
        missing.append(f"params: the revision has no {PARAMS}")
    except (ConfigError, yaml.YAMLError):
        missing.append(f"params: {PARAMS} at the revision is not of this version of photoqual")
    return None


def _from_dvc(clone: Path, revision: str, missing: list[str]) -> dict[str, Did]:
    """Return by section what its data out tells, else what the stage that made it said."""
    gone = dvc.fetch(clone, [out.path for out in _OUTS.values()], environment=dvc.environment(clone, "lineage"))
    said: dict[str, Did] = {}
    for stage, did in summaries(clone, revision):
        said.setdefault(stage, did)
    found: dict[str, Did] = {}
    for section, out in _OUTS.items():
        reason = absent(gone[out.path]) if out.path in gone else None
        try:
            if reason is None:
                found[section] = out.tell(_load(clone / out.path))
        except (DataError, ValueError, KeyError, TypeError, OSError) as error:
            reason = f"cannot be read ({type(error).__name__}: {' '.join(str(error).split())})"
        if reason is not None:
            found[section] = _said(said, out)
            instead = f"; told by the commit of stage {out.stage} instead" if found[section] else ""
            missing.append(f"{out.what}: {reason}{instead}")
    return found


def absent(reason: str) -> str:
    """Say that DVC does not have something, with DVC's reason if it gave one."""
    return f"not in the DVC store ({reason})" if reason else "not in the DVC store"


def _said(said: Mapping[str, Did], out: _Out) -> Did:
    try:
        return out.said(said[out.stage])
    except (KeyError, TypeError):
        return {}


def _load(path: Path) -> Any:
    from photoqual import files
    from photoqual.photos import catalog as catalogs
    from photoqual.photos import parts

    if path.is_dir():
        read = parts.read(parts.listed(path))
        return (catalogs.SCHEMA.empty_table() if read is None else read).to_pandas()
    return files.read_json(path) if path.suffix == ".json" else files.read_table(path).to_pandas()

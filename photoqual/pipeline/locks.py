"""dvc.lock as values: what each stage read and made last. Pure functions; a missing file is an empty lock."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from photoqual.errors import DataBranchMoved, PipelineError
from photoqual.pipeline.stages import Stage, covering

Lock = Mapping[str, Any]
SCHEMA = "2.0"


def parse_lock(text: str) -> Lock:
    """Read the text of a dvc.lock."""
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise PipelineError(
            f"dvc.lock is not valid YAML: {error}.", next_step="Restore it from branch `data`."
        ) from None
    if not isinstance(values, dict):
        raise PipelineError("dvc.lock is not a mapping.", next_step="Restore it from branch `data`.")
    return values


def render_lock(lock: Lock) -> str:
    """Write a lock as DVC writes it, so that equal locks are equal bytes."""
    return yaml.safe_dump(
        {"schema": SCHEMA, "stages": dict(lock.get("stages") or {})}, sort_keys=False, allow_unicode=True
    )


def hashes(lock: Lock) -> dict[str, str]:
    """Return {path of an out: its hash}."""
    return {out["path"]: out.get("md5", "") for stage in _stages(lock).values() for out in stage.get("outs") or ()}


def inputs_moved(lock: Lock, stage: Stage) -> bool:
    """Tell whether an input that another stage makes differs from what `stage` read last (or it never ran)."""
    if stage.name not in _stages(lock):
        return True
    made = hashes(lock)
    read = {dep["path"]: dep.get("md5", "") for dep in _stages(lock)[stage.name].get("deps") or ()}
    return any(read.get(path) != made[path] for path in covering(stage.deps, made) if path in stage.deps)


def changed(before: Lock, after: Lock, paths: Iterable[str]) -> list[str]:
    """Return those outs at or under `paths` whose content differs between two locks."""
    old, new = hashes(before), hashes(after)
    return [path for path in sorted(covering(paths, {*old, *new})) if old.get(path) != new.get(path)]


def merge_locks(base: Lock, ours: Lock, theirs: Lock) -> Lock:
    """Merge two locks that both grew from `base`, stage by stage.

    A stage that one side changed comes from that side; one that both changed alike is kept; one that both changed
    differently raises DataBranchMoved, because one of the two results would be lost.
    """
    old, mine, yours = _stages(base), _stages(ours), _stages(theirs)
    merged: dict[str, Any] = {}
    torn: list[str] = []
    for name in dict.fromkeys([*yours, *mine]):
        if mine.get(name) == yours.get(name) or yours.get(name) == old.get(name):
            choice = mine.get(name)
        elif mine.get(name) == old.get(name):
            choice = yours.get(name)
        else:
            torn.append(name)
            continue
        if choice is not None:
            merged[name] = choice
    if torn:
        raise DataBranchMoved(
            f"Another run advanced branch `data` meanwhile and made {', '.join(sorted(torn))} differently.",
            next_step="Start this run again; it will build on the newer data.",
            stages=sorted(torn),
        )
    return {"schema": SCHEMA, "stages": merged}


def _stages(lock: Lock) -> dict[str, Any]:
    return lock.get("stages") or {}

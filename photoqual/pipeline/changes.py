"""What changed since the champion's data: gathered from registry, git and DVC for `registry.due.due`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from photoqual import files
from photoqual.config import Params
from photoqual.errors import DataError, PipelineError
from photoqual.labels.rules import read_labels
from photoqual.layout import Layout
from photoqual.photos.forgotten import read_entries
from photoqual.pipeline import dvc, git, locks
from photoqual.pipeline.stages import covering, read_stages
from photoqual.registry.due import Changes, due
from photoqual.registry.store import CHAMPION, connected, sqlite_file, tracking_uri, version_of
from photoqual.registry.watch_series import last_alarm

LABELS, FORGOTTEN = "data/labels.parquet", "data/forgotten.jsonl"
CODE_OF = ("split", "train", "evaluate")
"""Stages whose code makes another model or another verdict; what the label rule does shows in the labels."""
SECTIONS = ("model", "train", "labels", "split")


@dataclass(frozen=True)
class Champion:
    """What the registry says of the champion: `alarm` is what its last watch said, if that raised one."""

    version: str
    git_rev: str | None
    registered_at: datetime
    alarm: str | None


def retrain_due(layout: Layout, params: Params) -> dict[str, Any]:
    """Tell whether a training is worth it, at the revision that is checked out in `layout.root`.

    Return `retrain`, `reasons`, `champion` and the `changes` behind them. Labels must be up to date. Raise
    PipelineError outside a git repository, RegistryError when the registry does not answer.
    """
    champion = _champion(layout.root)
    changes = Changes(None) if champion is None else gather(layout, params, champion)
    found = due(changes, params.retrain)
    return {
        "retrain": found.retrain,
        "reasons": found.reasons,
        "champion": changes.champion,
        "changes": asdict(changes),
    }


def gather(layout: Layout, params: Params, champion: Champion) -> Changes:
    """Return what changed since the champion; what cannot be told any more is said in `unknown`."""
    age = (datetime.now(UTC) - champion.registered_at).total_seconds() / 86400
    known: dict[str, Any] = {"champion": champion.version, "age_days": max(0.0, age), "alarm": champion.alarm}
    if champion.git_rev is None:
        return Changes(**known, unknown="the version names no git revision")
    git.git("rev-parse", "--git-dir", cwd=layout.root)
    try:
        revision = git.resolve(layout.root, champion.git_rev)
    except PipelineError:
        return Changes(**known, unknown=f"its revision {champion.git_rev[:12]} is not in this repository")
    try:
        before = _labels_then(layout, revision)
    except (PipelineError, DataError) as error:
        return Changes(**known, unknown=error.message.rstrip("."))
    return Changes(
        **known,
        **({} if before is None else label_changes(before, read_labels(layout))),
        code=changed_code(layout.root, revision),
        params=changed_params(git.read(layout.root, revision, "params.yaml") or "", params),
        forgotten=max(
            0, len(read_entries(layout.forgotten)) - (git.read(layout.root, revision, FORGOTTEN) or "").count("\n")
        ),
    )


def label_changes(before: pd.DataFrame, after: pd.DataFrame) -> dict[str, Any]:
    """Count photos by what became of their label. Both have `photo_id` and `good` (1, 0 or missing)."""
    old, new = (frame.dropna(subset=["good"]).set_index("photo_id")["good"].astype(int) for frame in (before, after))
    both = old.index.intersection(new.index)
    return {
        "new_labels": len(new) - len(both),
        "changed_labels": int((old[both] != new[both]).sum()),
        "removed_labels": len(old) - len(both),
    }


def changed_code(root: Path, revision: str) -> list[str]:
    """Return the code that CODE_OF stages depend on and that differs from a revision, uncommitted changes included."""
    stages = read_stages(root / "dvc.yaml")
    made = [FORGOTTEN, *(out for stage in stages for out in stage.outs)]
    wanted = sorted(
        {dep for stage in stages if stage.name in CODE_OF for dep in stage.deps if not covering([dep], made)}
    )
    if not wanted:
        return []
    listed = git.git("diff", "--name-only", "-z", revision, "--", *wanted, cwd=root)
    untracked = git.git("ls-files", "--others", "--exclude-standard", "-z", "--", *wanted, cwd=root)
    changed = [path for path in (listed + "\0" + untracked).split("\0") if path]
    return [dep for dep in wanted if any(path == dep or path.startswith(f"{dep}/") for path in changed)]


def changed_params(before: str, params: Params) -> list[str]:
    """Return the dotted keys of SECTIONS that differ between the text of a params.yaml and `params`.

    Keys are compared as this version reads them, so that one that was left out equals its default.
    """
    then = _section_values(before)
    now = {section: params.model_dump(mode="json")[section] for section in SECTIONS}
    old, new = _flat(then), _flat(now)
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def _section_values(text: str) -> dict[str, Any]:
    values = yaml.safe_load(text) or {}
    read: dict[str, Any] = {}
    for section in SECTIONS:
        model = Params.model_fields[section].annotation
        try:
            read[section] = model.model_validate_json(json.dumps(values[section])).model_dump(mode="json")  # type: ignore[union-attr]
        except (KeyError, ValueError):  # a version that read other keys
            read[section] = values.get(section) or {}
    return read


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {
            key: inner
            for part, of_part in value.items()
            for key, inner in _flat(of_part, f"{name}.{part}" if name else str(part)).items()
        }
    return {name: value}


def _champion(root: Path) -> Champion | None:
    """Return the champion, None when there is none or no registry yet."""
    file = sqlite_file(tracking_uri(root))
    if file is not None and not file.exists():
        return None
    with connected(root) as client:
        version = version_of(client, CHAMPION)
        if version is None:
            return None
        number = str(version.version)
        point = last_alarm(client, number)
        alarm = None if point is None else f"The watch of {point.at} raised an alarm: {', '.join(point.crossed)}."
        made = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC)
        return Champion(number, version.tags.get("git_rev"), made, alarm)


def _labels_then(layout: Layout, revision: str) -> pd.DataFrame | None:
    """Return the labels at a revision, None when they are those that dvc.lock names now."""
    then = _locked_labels(git.read(layout.root, revision, "dvc.lock"))
    if then is None:
        raise PipelineError(f"dvc.lock of revision {revision[:12]} names no {LABELS}.")
    now = _locked_labels(layout.lock.read_text(encoding="utf-8") if layout.lock.is_file() else None)
    if then == now:
        return None
    return files.read_table(_fetched(layout.root, revision, then)).to_pandas()


def _locked_labels(text: str | None) -> str | None:
    return locks.hashes(locks.parse_lock(text or "")).get(LABELS)


def _fetched(root: Path, revision: str, digest: str) -> Path:
    """Return the file of the cache that holds the labels of a revision, fetched from the remote if need be."""
    cached = dvc.object_file(root, digest)
    if cached is None:
        raise PipelineError(f"The labels of revision {revision[:12]} are in neither cache nor remote.")
    return cached

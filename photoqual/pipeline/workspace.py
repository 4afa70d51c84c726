"""The workspace: a git revision goes in, a git revision comes out.

    open_run ──▶ revision ──▶ run_stage … run_stage ──▶ run_verb … ──▶ close_run

`open_run` starts branch `run/<id>` with the code and params of `main` and the dvc.lock of branch `data`. Each
`run_stage` works in a fresh clone at the revision it was given and commits the new dvc.lock to the run's branch.
`close_run` advances `data`. So `data` moves only when a whole run was good, and its first parents are the history of
the data alone. Bytes travel through DVC's store; between tasks only the revision does.

Any of these may be killed at any instant and called again with the same arguments: clones are thrown away, commits
get their date from their parent, so that the same work gives the same revision.
"""

import io
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photoqual.config import parse_params
from photoqual.errors import ConfigError, DataBranchMoved, PipelineError
from photoqual.pipeline import clones, git, locks
from photoqual.pipeline.clones import safe
from photoqual.pipeline.stages import Stage, covering, read_stages
from photoqual.settings import Settings

log = logging.getLogger(__name__)

MAIN, DATA = "main", "data"
LOCK, PARAMS = "dvc.lock", "params.yaml"


def open_run(run_id: str, overrides: Mapping[str, Any] | None = None, *, settings: Settings | None = None) -> str:
    """Start a run: return the revision its first stage works on.

    `overrides` ({"train.epochs": 3}) go into params.yaml of this run's branch only. Called again, it returns the same
    revision unless `main` or `data` moved in between.
    """
    settings = settings or Settings()
    with _clone(settings, run_id, "open") as clone:
        code, parents, files = _joined(clone)
        if overrides:
            files[PARAMS] = overridden(git.read(clone, code, PARAMS) or "", overrides)
        message = f"Open run {run_id}"
        earlier = _opened(clone, branch(run_id), message)
        date = git.seconds(clone, earlier) if earlier else int(time.time())
        revision = git.commit_with(clone, code, files, parents=parents, message=message, date=f"{date} +0000")
        if revision != earlier:
            _push(clone, revision, branch(run_id))
    log.info("Run %s opens at revision %s.", run_id, revision[:12])
    return revision


def run_stage(
    revision: str,
    stage: str,
    *,
    run_id: str,
    force: bool = False,
    environment: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> str:
    """Run one stage of dvc.yaml at a revision; return the revision that holds its result (the same if up to date).

    `environment` reaches the stage's command. Raise StageFailed with the stage's own message; branch `data` is not
    touched, and the clone with what the stage left behind is kept for inspection.
    """
    settings = settings or Settings()
    with _clone(settings, run_id, stage, revision) as clone:
        found = _stage(clone, stage)
        lock = _lock(clone)
        summary = clones.work(
            clone,
            run_id,
            extra=environment,
            stage=stage,
            check=not locks.inputs_moved(lock, found),
            pull=_pullable(lock, [*found.deps, *found.persist_outs]),
            force=force,
            run_cache=not found.persist_outs,
        )
        head = git.resolve(clone, revision)
        written = (clone / LOCK).read_text(encoding="utf-8") if (clone / LOCK).exists() else ""
        if locks.parse_lock(written) == lock:
            log.info("%s is up to date.", stage)
            return head
        after = git.commit_with(
            clone,
            head,
            {LOCK: written},
            parents=[head],
            message=_message(stage, run_id, summary),
            date=f"{git.seconds(clone, head) + 1} +0000",
        )
        _push(clone, after, branch(run_id))
    log.info("%s is done: revision %s.", stage, after[:12])
    return after


def run_verb(
    revision: str | None,
    verb: Sequence[str],
    *,
    needs: Iterable[str] = (),
    run_id: str,
    environment: Mapping[str, str] | None = None,
    settings: Settings | None = None,
) -> dict[str, Any]:
    """Run `photoqual <verb>` at a revision with the outs in `needs` fetched; return the verb's result.

    With None it runs where `open_run` would start, the code of `main` with the data of branch `data`, and no branch is
    made; the verb finds the revision of the data in PHOTOQUAL_REVISION.
    """
    settings = settings or Settings()
    with _clone(settings, run_id, verb[0], revision) as clone:
        extra = dict(environment or {})
        if revision is None:
            code, parents, files = _joined(clone)
            date = f"{git.seconds(clone, parents[0])} +0000"
            joined = git.commit_with(clone, code, files, parents=parents, message=f"Run {verb[0]}", date=date)
            clones.prepare(clone, joined, settings)
            extra.setdefault("PHOTOQUAL_REVISION", parents[0])
        return clones.work(
            clone,
            run_id,
            extra=extra,
            pull=_pullable(_lock(clone), needs),
            command=["-m", "photoqual", *verb],
        )


def close_run(run_id: str, revision: str, *, settings: Settings | None = None) -> str:
    """Advance branch `data` to a finished run's revision, delete the run's branch, return where `data` stands.

    If another run advanced `data` meanwhile, both results are merged stage by stage; if both made the same stage
    differently, raise DataBranchMoved. Called again after it succeeded, it changes nothing.
    """
    settings = settings or Settings()
    with _clone(settings, run_id, "close") as clone:
        revision = git.resolve(clone, revision)
        for _ in range(5):
            git.git("fetch", "--quiet", "--no-tags", "--prune", "origin", cwd=clone)
            data = git.find(clone, f"origin/{DATA}")
            target = _advanced(clone, run_id, data, revision)
            if target == data or _swap(clone, DATA, data, target):
                break
        else:
            raise DataBranchMoved("Branch `data` keeps moving.", next_step="Clear this task; the run's result is kept.")
        _delete(clone, branch(run_id))
    log.info("Branch `data` stands at revision %s.", target[:12])
    return target


def drop_run(run_id: str, *, settings: Settings | None = None) -> None:
    """Delete the branch of a run that comes to nothing; branch `data` stays as it is."""
    settings = settings or Settings()
    with _clone(settings, run_id, "drop") as clone:
        _delete(clone, branch(run_id))


def changed_outs(before: str, after: str, paths: Iterable[str], *, settings: Settings | None = None) -> list[str]:
    """Return those outs at or under `paths` that differ between two revisions."""
    settings = settings or Settings()
    with _clone(settings, "compare", after[:12]) as clone:
        old, new = (git.read(clone, git.resolve(clone, revision), LOCK) or "" for revision in (before, after))
        return locks.changed(locks.parse_lock(old), locks.parse_lock(new), paths)


def _message(stage: str, run_id: str, summary: Mapping[str, Any]) -> str:
    """Return the message of a stage's commit; `git log data` then tells what each stage did."""
    subject = f"Run {stage} ({run_id})"
    return f"{subject}\n\n{json.dumps(summary, indent=2)}" if summary else subject


def summaries(clone: Path, revision: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (stage, what it did) from the commits of a revision's history, newest first."""
    for text in git.git("log", "--first-parent", "-z", "--format=%B", revision, cwd=clone).split("\0"):
        subject, _, body = text.partition("\n\n")
        if (match := re.match(r"Run (\S+) \(", subject)) and body.strip():
            yield match[1], json.loads(body)


def branch(run_id: str) -> str:
    """Return the name of a run's branch."""
    return f"run/{safe(run_id)}"


def overridden(text: str, overrides: Mapping[str, Any]) -> str:
    """Return the text of params.yaml with dotted keys set anew, comments kept. Raise ConfigError if it is not valid then."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    values = yaml.load(text)
    for dotted, value in overrides.items():
        *path, key = dotted.split(".")
        place = values
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or key not in place:
            raise ConfigError(
                f"params.yaml has no {dotted}.", next_step="Only keys that are there can be set for a run."
            )
        place[key] = value
    written = io.StringIO()
    yaml.dump(values, written)
    parse_params(
        json.loads(json.dumps(YAML(typ="safe", pure=True).load(written.getvalue()))), origin="params.yaml of this run"
    )
    return written.getvalue()


@contextmanager
def _clone(settings: Settings, run_id: str, what: str, revision: str | None = None) -> Iterator[Path]:
    """Yield a fresh clone of the project, ready to run stages at `revision` if one is given."""
    if not settings.project_url:
        raise ConfigError(
            "PHOTOQUAL_PROJECT_URL is not set, so tasks do not know which project to work on.",
            next_step="Set it to the git address of the project, for each Airflow component that runs tasks.",
        )
    with clones.fresh(settings.project_url, settings.workspaces, f"{safe(run_id)}.{safe(what)}") as clone:
        if revision is not None:
            clones.prepare(clone, revision, settings)
        yield clone


def _joined(clone: Path) -> tuple[str, list[str], dict[str, str]]:
    """Return what a run starts from: the tip of `main`, the parents of its first commit, and the dvc.lock of `data`."""
    code = git.find(clone, f"origin/{MAIN}")
    if code is None:
        raise PipelineError(f"The project has no branch `{MAIN}`.", next_step="Push the project's code to it.")
    data = git.find(clone, f"origin/{DATA}")
    if data is None:
        return code, [code], {}
    lock = git.read(clone, data, LOCK)
    return code, [data, code], {} if lock is None else {LOCK: lock}


def _opened(clone: Path, name: str, message: str) -> str | None:
    """Return the commit with which an earlier try opened the run."""
    tip = git.find(clone, f"origin/{name}")
    commits = git.first_parents(clone, tip) if tip else []
    return next((commit for commit in commits if git.subject(clone, commit) == message), None)


def _stage(clone: Path, name: str) -> Stage:
    stages = {stage.name: stage for stage in read_stages(clone / "dvc.yaml")}
    if name not in stages:
        raise PipelineError(
            f"dvc.yaml of this revision has no stage {name}.",
            next_step="Start a new run; the DAG was read from another dvc.yaml than that of the run.",
        )
    return stages[name]


def _lock(clone: Path) -> locks.Lock:
    path = clone / LOCK
    return locks.parse_lock(path.read_text(encoding="utf-8")) if path.exists() else {}


def _pullable(lock: locks.Lock, paths: Iterable[str]) -> list[str]:
    """Return the outs at or under `paths` that some earlier run made."""
    return covering(paths, locks.hashes(lock))


def _advanced(clone: Path, run_id: str, data: str | None, revision: str) -> str:
    """Return the commit that `data` should stand at once it holds `revision`."""
    if data is None or git.is_ancestor(clone, data, revision):
        return revision
    if git.is_ancestor(clone, revision, data):
        return data
    mine = git.first_parents(clone, revision)
    shared = set(git.first_parents(clone, data))
    base = next((commit for commit in mine if commit in shared), None)
    before, ours, theirs = (
        locks.parse_lock((git.read(clone, commit, LOCK) or "") if commit else "") for commit in (base, revision, data)
    )
    merged = locks.render_lock(locks.merge_locks(before, ours, theirs))
    date = max(git.seconds(clone, data), git.seconds(clone, revision)) + 1
    return git.commit_with(
        clone, data, {LOCK: merged}, parents=[data, revision], message=f"Merge run {run_id}", date=f"{date} +0000"
    )


def _push(clone: Path, revision: str, name: str) -> None:
    """Put a run's branch at a revision. Only its own run writes it, and a task that runs again may go back."""
    try:
        git.git("push", "--quiet", "--force", "origin", f"{revision}:refs/heads/{name}", cwd=clone)
    except git.GitFailed as error:
        raise PipelineError(
            f"Branch {name} cannot be pushed to {git.masked(git.remote(clone))}: {error.details['stderr']}.",
            next_step="Check that this machine may write to that repository.",
        ) from None


def _swap(clone: Path, name: str, old: str | None, new: str) -> bool:
    """Move a branch from `old` (None: it does not exist) to `new`; return False if it stands elsewhere by now."""
    lease = f"--force-with-lease=refs/heads/{name}:{old or ''}"
    try:
        git.git("push", "--quiet", lease, "origin", f"{new}:refs/heads/{name}", cwd=clone)
    except git.GitFailed as error:
        if any(
            word in error.details["stderr"]
            for word in ("stale info", "cannot lock ref", "fetch first", "already exists")
        ):
            return False
        raise PipelineError(
            f"Branch {name} cannot be pushed: {error.details['stderr']}.",
            next_step="Check that this machine may write to that repository, then run the task again.",
        ) from None
    return True


def _delete(clone: Path, name: str) -> None:
    try:
        git.git("push", "--quiet", "origin", f":refs/heads/{name}", cwd=clone)
    except git.GitFailed as error:
        if "does not exist" not in error.details["stderr"]:
            log.warning("Branch %s was not deleted: %s", name, error.details["stderr"])

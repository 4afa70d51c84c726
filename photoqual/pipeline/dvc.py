"""DVC: every call that the pipeline makes to it.

One process per task does all of a stage's DVC work (pull, reproduce, push), because starting DVC costs more than
most of what it does. That process is ours, apart from the task's own: DVC keeps locks, threads and event loops that
must not meet Airflow's, and it dies with the task, whatever kills it, and takes the stage's command with it.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from configparser import ConfigParser
from pathlib import Path
from typing import Any, NoReturn

from photoqual.errors import PipelineError, StageFailed
from photoqual.pipeline.stages import covering
from photoqual.settings import Settings

log = logging.getLogger(__name__)

LINK_TYPES = "reflink,hardlink,symlink,copy"
_HINTS = (
    "To track the changes",
    "\tgit add",
    "To enable auto staging",
    "\tdvc config",
    "Use `dvc push`",
    "Updating lock file",
    "Generating lock",
)


def configure(clone: Path, settings: Settings, *, beside: Path | None = None) -> None:
    """Write the clone's .dvc/config.local: shared cache, linked files, this machine's store. Raise PipelineError.

    `beside`: a project on this machine whose cache and remotes serve where `settings` names none. With it, no remote
    at all will do, for what is in the cache.
    """
    if not (clone / ".dvc").is_dir():
        raise PipelineError(
            "The project has no .dvc folder.", next_step="Run `dvc init` in it and commit what that made."
        )
    config = ConfigParser(interpolation=None)
    config.read_dict(_sections_of(beside) if beside is not None else {})
    config["cache"] = {**(config["cache"] if config.has_section("cache") else {}), "type": LINK_TYPES}
    if settings.dvc_cache is not None:
        config["cache"]["dir"] = str(settings.dvc_cache.expanduser().absolute())
    if settings.dvc_remote_url is not None:
        config["core"] = {"remote": "photoqual"}
        config["'remote \"photoqual\"'"] = {"url": settings.dvc_remote_url}
    elif beside is None and not _has_remote(clone):
        raise PipelineError(
            "The project names no DVC remote, so nothing could pass from one task to the next.",
            next_step="Set PHOTOQUAL_DVC_REMOTE_URL, or run `dvc remote add --default` in the project and commit .dvc/config.",
        )
    with (clone / ".dvc/config.local").open("w", encoding="utf-8") as file:
        config.write(file)


def _has_remote(clone: Path) -> bool:
    config = ConfigParser(strict=False, interpolation=None)
    config.read([clone / ".dvc/config"], encoding="utf-8")
    return config.has_option("core", "remote")


def _sections_of(project: Path) -> dict[str, dict[str, str]]:
    """Return the cache and the remotes of a project, as configuration that holds in any folder."""
    folder = project.absolute() / ".dvc"
    config = ConfigParser(strict=False, interpolation=None)
    config.read([folder / "config", folder / "config.local"], encoding="utf-8")
    sections = {"cache": {"dir": str(folder / config.get("cache", "dir", fallback="cache"))}}
    for section in config.sections():
        if section.startswith("'remote "):
            sections[section] = dict(config[section])
            url = sections[section].get("url", "")
            if "://" not in url:
                sections[section]["url"] = str(folder / Path(url).expanduser())
    if config.has_option("core", "remote"):
        sections["core"] = {"remote": config["core"]["remote"]}
    return sections


def environment(clone: Path, run_id: str, extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return the environment in which commands of the clone run: this Python first, only the clone's own code."""
    folder = str(Path(sys.executable).parent)
    return {
        **os.environ,
        "PATH": os.pathsep.join(
            [folder, *(part for part in os.environ.get("PATH", os.defpath).split(os.pathsep) if part != folder)]
        ),
        "PYTHONPATH": "",
        "PYTHONUNBUFFERED": "1",
        "SHELL": "/bin/sh",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(clone / ".dvc/tmp/site"),
        "GX_ANALYTICS_ENABLED": "false",
        "PHOTOQUAL_RUN_ID": run_id,
        "PHOTOQUAL_OUTCOME_FILE": str(outcome_file(clone)),
        **(extra or {}),
    }


def outcome_file(clone: Path) -> Path:
    """Where a command that runs in the clone leaves its result or error; outside the working tree."""
    return clone / ".git/photoqual-outcome.json"


def run(
    clone: Path,
    *,
    pull: Iterable[str] = (),
    stage: str | None = None,
    check: bool = False,
    force: bool = False,
    run_cache: bool = True,
    keep: bool = True,
    command: Iterable[str] = (),
    environment: dict[str, str],
) -> bool:
    """Do one task's work in a clone; return False if the stage was up to date, True otherwise.

    In this order: with `check`, stop if `stage` is up to date; fetch the outs in `pull`; reproduce `stage` (`force`:
    even if nothing changed; without `run_cache`: never from an earlier result) and push what it made (without `keep`:
    leave it in the clone alone, in neither cache nor store); run `command` with this Python. What is printed goes to
    the log, line by line. Raise PipelineError; StageFailed if it was the stage or the command that failed.
    """
    job: dict[str, Any] = {
        "pull": list(pull),
        "stage": stage,
        "check": check,
        "force": force,
        "run_cache": run_cache,
        "keep": keep,
        "command": list(command),
    }
    answer = _ask(clone, job, environment)
    _raise_for(answer, stage or " ".join(job["command"]))
    return bool(answer["worked"])


def fetch(clone: Path, paths: Iterable[str], *, environment: dict[str, str]) -> dict[str, str]:
    """Fetch outs, or files in them, one by one; return {path: why not} of those that cannot be had. The reason is empty
    where cache and store just do not have it.
    """
    answer = _ask(clone, {"each": list(paths)}, environment)
    _raise_for(answer, "fetch")
    return dict(answer["missing"])


def record(project: Path, *, outs: Iterable[str], deps: Iterable[str]) -> None:
    """Take `outs` as they are now into the cache and dvc.lock of a project, and `deps` of the stages that make them.

    All else that dvc.lock says of these stages stays, so what was due to run again still is. Raise PipelineError.
    """
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    answer = _ask(
        project,
        {"outs": list(outs), "deps": list(deps), "answer": str(project.absolute() / ".dvc/tmp/photoqual-answer.json")},
        {**os.environ, "DVC_NO_ANALYTICS": "1"},
    )
    _raise_for(answer, "record the new data in dvc.lock")


def busy(project: Path, paths: Iterable[str]) -> str | None:
    """Return which running DVC command reads or writes one of `paths`; None when there is none."""
    try:
        held = json.loads((project / ".dvc/tmp/rwlock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    wanted = [str((project / path).resolve()) for path in paths]
    holders = [(path, info) for path, info in held.get("write", {}).items()]
    holders += [(path, info) for path, infos in held.get("read", {}).items() for info in infos]
    for path, info in holders:
        if covering([path], wanted) and Path(f"/proc/{info['pid']}").exists():
            return f"{info['cmd']} (process {info['pid']})"
    return None


def object_file(project: Path, digest: str) -> Path | None:
    """Return the file of the cache that holds the content with this MD5, fetched from the remote if need be; None where
    neither has it. Raise PipelineError when DVC cannot tell.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    try:
        with Repo(str(project)) as repo:
            cached = Path(repo.cache.local.oid_to_path(digest))
            if not cached.is_file():
                repo.cloud.pull([HashInfo("md5", digest)])
    except (DvcException, OSError) as error:
        raise PipelineError(f"DVC cannot fetch {digest}: {_cause(error)}.") from None
    return cached if cached.is_file() else None


def _ask(clone: Path, job: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """Do a job in a process of its own and return its answer."""
    job = {"answer": str(clone / ".git/photoqual-answer.json"), **job, "clone": str(clone)}
    Path(job["answer"]).unlink(missing_ok=True)
    here = str(Path(__file__).parents[2])
    program = f"import sys; sys.path.append({here!r}); from photoqual.pipeline.dvc import _main; _main()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, json.dumps(job)],
        cwd=clone,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            for line in process.stdout or ():
                if line.strip() and not line.startswith(_HINTS):
                    log.info("%s", line.rstrip())
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    try:
        answer: dict[str, Any] = json.loads(Path(job["answer"]).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        raise PipelineError(
            f"The process that runs DVC ended with code {code} and no answer.",
            next_step="If it was killed (code -9), give the worker more memory; then run the task again.",
        ) from None
    return answer


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and all it started."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
            process.wait(timeout=5)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _raise_for(answer: dict[str, Any], what: str) -> None:
    problem, message = answer.get("problem"), answer.get("message", "")
    if problem == "missing":
        raise PipelineError(
            f"The DVC store does not have what dvc.lock names: {message}.",
            next_step="Check PHOTOQUAL_DVC_REMOTE_URL, push the data from a machine that has it (`dvc push`), or start a new run.",
        )
    if problem == "remote":
        raise PipelineError(
            f"The DVC store did not answer or refused: {message}.",
            next_step="Check PHOTOQUAL_DVC_REMOTE_URL and this worker's credentials, then run the task again.",
        )
    if problem == "command":
        raise StageFailed(f"{what} failed: {message}.", next_step="See the lines above.")
    if problem:
        raise PipelineError(f"DVC could not do {what}: {message}.", next_step="See the lines above.")


def _main() -> NoReturn:
    """Run as a process of its own: do the job named on the command line, leave the answer in its file."""
    _die_with_parent()
    job = json.loads(sys.argv[1])
    try:
        answer = _work(job)
    except Exception as error:
        logging.getLogger(__name__).debug("failed", exc_info=True)
        answer = {"problem": "other", "message": _cause(error)}
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    sys.stdout.flush()
    os._exit(0)


def _die_with_parent() -> None:
    """End this whole process group as soon as the other end of standard input is gone."""
    line = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def wait() -> None:
        while os.read(line, 1024):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _work(job: dict[str, Any]) -> dict[str, Any]:
    from dvc.repo import Repo

    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
    logging.getLogger("dvc").setLevel(logging.INFO)
    with Repo(job["clone"]) as repo:
        if "outs" in job:
            _record(repo, set(job["outs"]), set(job["deps"]))
            return {}
        if "each" in job:
            told = {path: _pull(repo, [path]) for path in job["each"]}
            return {"missing": {path: answer["reason"] for path, answer in told.items() if answer}}
        if job["check"] and not job["force"] and not _due(repo, job["stage"]):
            return {"worked": False}
        problem = _pull(repo, job["pull"])
        if job["stage"] and not problem:
            problem = _reproduce(repo, job)
    if job["command"] and not problem:
        done = subprocess.run([sys.executable, *job["command"]], cwd=job["clone"], check=False)
        if done.returncode != 0:
            problem = {"problem": "command", "message": f"exit code {done.returncode}"}
    return {"worked": True, **problem}


def _record(repo: Any, outs: set[str], deps: set[str]) -> None:
    """Save `outs`, and those `deps` that belong to a stage with one of them; a stage that never ran is left alone."""
    with repo.lock:
        for stage in repo.index.stages:
            made = [out for out in stage.outs if out.def_path in outs]
            if not made or not any(out.hash_info for out in stage.outs):
                continue
            for out in made:
                out.save()
                out.commit()
            for dep in stage.deps:
                if dep.def_path in deps:
                    dep.save()
            stage.dump(update_pipeline=False)


def _due(repo: Any, stage: str) -> bool:
    """Tell whether code, params or inputs of a stage differ from its last run, without any of its data at hand."""
    with repo.lock:
        return any(found.changed(allow_missing=True) for found in repo.stage.collect(stage))


def _pull(repo: Any, paths: list[str]) -> dict[str, str]:
    from dvc.exceptions import CheckoutError, DvcException

    try:
        if paths:
            repo.pull(targets=paths)
    except CheckoutError as error:
        return {"problem": "missing", "message": _cause(error), "reason": ""}
    except DvcException as error:
        return {"problem": "missing", "message": _cause(error), "reason": _cause(error)}
    except OSError as error:
        return {"problem": "remote", "message": _cause(error), "reason": _cause(error)}
    return {}


def _reproduce(repo: Any, job: dict[str, Any]) -> dict[str, str]:
    from dvc.exceptions import DvcException
    from dvc.stage.exceptions import StageCmdFailedError

    try:
        repo.reproduce(
            job["stage"],
            single_item=True,
            force=job["force"],
            run_cache=job["run_cache"],
            no_commit=not job["keep"],
        )
    except DvcException as error:
        kind = "command" if isinstance(error.__cause__, StageCmdFailedError) else "other"
        return {"problem": kind, "message": _cause(error)}
    if not job["keep"]:
        return {}
    try:
        repo.push(targets=[job["stage"]])
    except (DvcException, OSError) as error:
        return {"problem": "remote", "message": _cause(error)}
    return {}


def _cause(error: BaseException) -> str:
    """Return the messages of an error and of what caused it, in one line."""
    parts: list[str] = []
    link: BaseException | None = error
    while link is not None:
        text = " ".join(str(link).split()).rstrip(".") or type(link).__name__
        if text not in parts:
            parts.append(text)
        link = link.__cause__
    return ": ".join(parts)

"""Git, through its command line: the few calls that the workspace needs, with errors for people.

Nothing of the caller's leaks in: no prompt, no hook, no signature, a fixed author. Commit dates are given, so that the
same work on the same parent makes the same commit id, however often it is done.
"""

import getpass
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from photoqual.errors import PipelineError

AUTHOR = "photoqual"
EMAIL = "pipeline@photoqual.invalid"
TIMEOUT_SECONDS = 600
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRETS = re.compile(r"(?i)((?:password|passwd|token|secret|signature|key)=)[^&\s]+")
_KEPT = ("GIT_SSH", "GIT_ASKPASS", "GIT_CONFIG", "GIT_SSL")
_OPTIONS = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "commit.gpgSign=false",
    "-c",
    "gc.auto=0",
    "-c",
    "advice.detachedHead=false",
)


class GitFailed(PipelineError):
    """A git command ended with an error; `details["stderr"]` is what it said."""


def masked(text: str) -> str:
    """Hide credentials in addresses."""
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def git(
    *arguments: str, cwd: Path | None = None, stdin: str | None = None, date: str | None = None, keep: bool = False
) -> str:
    """Run git; return what it printed, without the last line break unless `keep`. Raise GitFailed."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("GIT_") or key.startswith(_KEPT)
    }
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": AUTHOR,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": AUTHOR,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "LC_ALL": "C",
    }
    if date is not None:
        environment |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    given = None if stdin is None else stdin.encode()
    command = ["git", *_OPTIONS, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            env=environment,
            capture_output=True,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
    except FileNotFoundError:
        raise PipelineError(
            "git is not installed.", next_step="Install git; the pipeline keeps its versions with it."
        ) from None
    except subprocess.TimeoutExpired:
        raise GitFailed(
            f"git {arguments[0]} did not end within {TIMEOUT_SECONDS} s.",
            next_step="Check that the git server answers.",
            stderr="",
        ) from None
    if done.returncode != 0:
        said = masked(done.stderr.decode(errors="replace").strip())
        raise GitFailed(
            f"git {arguments[0]} failed: {said or f'exit code {done.returncode}'}.",
            next_step="Run it by hand to see more.",
            stderr=said,
            command=[masked(word) for word in command],
        )
    said = done.stdout.decode(errors="surrogateescape")
    return said if keep else said.removesuffix("\n")


def clone(address: str, folder: Path) -> None:
    """Clone `address` into `folder` without files."""
    try:
        git("clone", "--quiet", "--no-checkout", "--no-tags", address, str(folder))
    except GitFailed as error:
        raise PipelineError(
            f"The project at {masked(address)} cannot be cloned: {error.details['stderr']}.",
            next_step="Check PHOTOQUAL_PROJECT_URL, and that this machine may read that repository.",
        ) from None


def resolve(folder: Path, revision: str) -> str:
    """Return the full commit id of `revision`, fetching it if the clone lacks it. Raise PipelineError."""
    found = find(folder, revision)
    if found:
        return found
    try:
        git("fetch", "--quiet", "--no-tags", "origin", revision, cwd=folder)
        return git("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}", cwd=folder)
    except GitFailed:
        raise PipelineError(
            f"Revision {revision} does not exist in {masked(remote(folder))}.",
            next_step="Start a new run; a run's own branch goes away when it is deleted by hand.",
            revision=revision,
        ) from None


def find(folder: Path, revision: str) -> str | None:
    """Return the commit id of `revision` if the clone has it."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", cwd=folder)
    except GitFailed:
        return None


def remote(folder: Path) -> str:
    """Return the address that the clone came from."""
    return git("config", "remote.origin.url", cwd=folder)


def read(folder: Path, revision: str, path: str) -> str | None:
    """Return the text of a file at a revision, None if that revision has no such file."""
    try:
        return git("show", f"{revision}:{path}", cwd=folder, keep=True)
    except GitFailed:
        return None


def first_parents(folder: Path, revision: str) -> list[str]:
    """Return the commits of a branch without what was merged into it, newest first."""
    return git("rev-list", "--first-parent", revision, cwd=folder).split()


def is_ancestor(folder: Path, older: str, newer: str) -> bool:
    """Tell whether `newer` builds on `older`."""
    try:
        git("merge-base", "--is-ancestor", older, newer, cwd=folder)
    except GitFailed:
        return False
    return True


def commit_with(
    folder: Path, base: str, files: dict[str, str], *, parents: Sequence[str], message: str, date: str
) -> str:
    """Make a commit with the tree of `base` and `files` in their place; return its id. Touches no working file.

    `date` is "<seconds since 1970> +0000".
    """
    git("read-tree", base, cwd=folder)
    for path, text in files.items():
        blob = git("hash-object", "-w", "--stdin", cwd=folder, stdin=text)
        git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", cwd=folder)
    tree = git("write-tree", cwd=folder)
    given = [word for parent in parents for word in ("-p", parent)]
    return git("commit-tree", tree, *given, "-m", message, cwd=folder, date=date)


def seconds(folder: Path, revision: str) -> int:
    """Return when a commit was made, in seconds since 1970."""
    return int(git("show", "--no-patch", "--format=%ct", revision, cwd=folder))


def subject(folder: Path, revision: str) -> str:
    """Return the first line of a commit's message."""
    return git("show", "--no-patch", "--format=%s", revision, cwd=folder)


def person() -> str:
    """Return who works here: name and address as git knows them, else the name of the account."""
    known = []
    for key in ("user.name", "user.email"):
        try:
            known.append(git("config", key).strip())
        except PipelineError:  # no such setting, or no git
            known.append("")
    name, address = known
    if not name:
        try:
            name = getpass.getuser()
        except (KeyError, OSError):  # a container without a user entry
            name = "unknown"
    return f"{name} <{address}>" if address else name

"""The services that this machine is told to use: model registry, DVC store, checkpoints, the project's repository."""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from photoqual.doctor.findings import Check, Finding, State
from photoqual.doctor.project import store_of
from photoqual.errors import PipelineError
from photoqual.layout import Layout
from photoqual.pipeline.git import git, masked
from photoqual.registry.store import CHAMPION, MODEL_NAME, connected, sqlite_file, tracking_uri, version_of
from photoqual.settings import Settings
from photoqual.training.checkpoints import address as checkpoints_address

AREA = "services"


def checks(layout: Layout) -> list[tuple[str, str, Check]]:
    """Return the checks of the services."""
    settings = Settings()
    return [
        (AREA, "registry", lambda: _registry(layout.root)),
        (AREA, "DVC store", lambda: _dvc_store(settings, layout.root)),
        (AREA, "checkpoints", lambda: _checkpoints(checkpoints_address())),
        (AREA, "repository", lambda: _repository(settings.project_url)),
    ]


def _registry(root: Path) -> Iterator[Finding]:
    uri = tracking_uri(root)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        yield Finding(AREA, "registry", State.absent, f"none at {file}", "`photoqual register` makes it.")
        return
    with connected(root) as client:
        champion = version_of(client, CHAMPION)
        where = masked(uri)
        if champion is None:
            step = "`photoqual register && photoqual promote` makes one."
            yield Finding(AREA, "registry", State.warning, f"{where} answers; it has no champion", step)
            return
        made = datetime.fromtimestamp(int(champion.creation_timestamp) / 1000, UTC)
        age = (datetime.now(UTC) - made).days
        seen = f"{where} answers; champion: {MODEL_NAME} version {champion.version}, registered {age} days ago"
        yield Finding(AREA, "registry", State.ok, seen)


def _store(address: str | None, *, configured: bool) -> Iterator[Finding]:
    """`configured`: .dvc/config says more of the remote than its address, which DVC alone can make use of."""
    if address is None:
        step = "One machine needs none; for the DAGs: dvc remote add --default, or PHOTOQUAL_DVC_REMOTE_URL."
        yield Finding(AREA, "DVC store", State.absent, "no DVC remote is configured", step)
        return
    if configured:
        seen = f"{masked(address)}: not tried, .dvc/config has options of its own for it"
        yield Finding(AREA, "DVC store", State.ok, seen, "`dvc push` tries it.")
        return
    yield from _writable("DVC store", address, "Check the address and the keys of the DVC remote.")


def _dvc_store(settings: Settings, root: Path) -> Iterator[Finding]:
    if settings.dvc_remote_url:
        return _store(settings.dvc_remote_url, configured=False)
    remote = store_of(root)
    return _store(remote.get("url"), configured=len(remote) > 1)


def _checkpoints(address: str) -> Iterator[Finding]:
    yield from _writable("checkpoints", address, "Mend PHOTOQUAL_CHECKPOINTS, or the keys of that store.", make=True)


def _writable(name: str, address: str, next_step: str, *, make: bool = False) -> Iterator[Finding]:
    """Write, read and remove a few bytes at `address`, a folder or an address that fsspec knows. Only with `make` is a
    folder made that is not there: it may be a disk that is not mounted, and a bucket is never made.
    """
    try:
        import fsspec
    except ImportError:
        step = "pip install 'photoqual[pipeline]'"
        yield Finding(AREA, name, State.absent, f"{masked(address)}: not tried, fsspec is not installed", step)
        return
    probe, said, local = f".doctor-{uuid.uuid4().hex}", b"photoqual doctor", "://" not in address
    try:
        files, folder = fsspec.core.url_to_fs(str(Path(address).expanduser()) if local else address)
        if local and make:
            Path(folder).mkdir(parents=True, exist_ok=True)
        path = f"{folder.rstrip('/')}/{probe}"
        try:
            files.pipe_file(path, said)
            read = files.cat_file(path)
        finally:
            with contextlib.suppress(Exception):
                files.rm_file(path)
    except Exception as error:  # each store has errors of its own
        seen = masked(f"{address} cannot be used: {type(error).__name__}: {error}")
        yield Finding(AREA, name, State.problem, seen, next_step)
        return
    if read == said:
        yield Finding(AREA, name, State.ok, f"{masked(address)} takes, gives and removes a file")
    else:
        yield Finding(AREA, name, State.problem, f"{masked(address)} gave back other bytes than it took", next_step)


def _repository(address: str | None) -> Iterator[Finding]:
    if address is None:
        step = "One machine needs none; the DAGs need PHOTOQUAL_PROJECT_URL."
        yield Finding(AREA, "repository", State.absent, "PHOTOQUAL_PROJECT_URL is not set", step)
        return
    try:
        heads = {line.partition("refs/heads/")[2] for line in git("ls-remote", "--heads", address).splitlines()}
    except PipelineError as error:
        yield Finding(AREA, "repository", State.problem, error.message, "Mend PHOTOQUAL_PROJECT_URL, or its key.")
        return
    missing = {"main"} - heads
    if missing:
        yield Finding(AREA, "repository", State.problem, f"{masked(address)} has no branch main", "Push it there.")
        return
    seen = f"{masked(address)} answers; branch data {'is there' if 'data' in heads else 'comes with the first run'}"
    yield Finding(AREA, "repository", State.ok, seen)

"""Where the model registry is, and how it is reached: MLflow on SQLite for one machine, on a server for a team."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from photoqual.errors import ConfigError, NoChampion, RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

log = logging.getLogger(__name__)

MODEL_NAME = "photoqual"
EXPERIMENT = "photoqual"
JOURNAL = f"{MODEL_NAME}-journal"
CHAMPION, CHALLENGER, PREVIOUS_CHAMPION = "champion", "challenger", "previous_champion"
_PROFILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")

_URI = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""How long a registry that does not answer is waited for, and less chatter; the environment may say otherwise."""
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}


def tracking_uri(root: Path = Path()) -> str:
    """Return the address of the registry: `MLFLOW_TRACKING_URI`, else mlflow.db in `root`, else that of the demo."""
    if named := os.environ.get(_URI):
        return named
    own, demo = root / "mlflow.db", root / ".demo/mlflow/mlflow.db"
    if not own.exists() and demo.exists():
        _say_whose(demo)
        own = demo
    return f"{_SQLITE}{own.absolute()}"


@cache
def _say_whose(demo: Path) -> None:
    log.info("using the demo's registry, %s", demo)


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite registry, None for any other."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def masked(uri: str) -> str:
    """Return `uri` without the user and password it may hold."""
    return re.sub(r"(?i)((?:password|token|secret)=)[^&]+", r"\1***", re.sub(r"//[^/@]+@", "//***@", uri))


@contextmanager
def connected(root: Path = Path(), *, create: bool = False) -> "Iterator[MlflowClient]":
    """Yield a client of the registry; MLflow's own functions use the same registry within the block.

    Raise RegistryError with the address when it cannot be reached or refuses, and when there is none yet, unless
    `create`. Not safe in two threads of one process at once: MLflow keeps the address per process.
    """
    uri = tracking_uri(root)
    file = sqlite_file(uri)
    if file is not None and not create and not file.exists():
        raise RegistryError(
            f"There is no model registry at {file} yet.",
            next_step="Register a model with `photoqual register`, or set MLFLOW_TRACKING_URI.",
        )
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(
                f"The folder of the registry {file} cannot be made: {error.strerror}.",
                next_step="Set MLFLOW_TRACKING_URI to a place that you may write to.",
            ) from None
    with _environment():
        import mlflow
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        except (MlflowException, SQLAlchemyError, requests.RequestException) as error:
            first_line = masked(str(error).strip().splitlines()[0])[:400]
            raise RegistryError(
                f"The model registry at {masked(uri)} did not do as asked: {first_line}",
                next_step="Check that it runs and that MLFLOW_TRACKING_URI is right, then run this again.",
                uri=masked(uri),
            ) from error
        finally:
            mlflow.set_registry_uri("")  # falls back to the environment, which is put back below
            mlflow.set_tracking_uri(None)


@contextmanager
def _environment() -> Iterator[None]:
    """Set MLflow's variables for the block where they are unset; put the environment back after it."""
    before = {name: os.environ.get(name) for name in (*_DEFAULTS, _URI, "MLFLOW_REGISTRY_URI")}
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, old in before.items():
            if old is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = old


def experiment_id(client: "MlflowClient", root: Path = Path(), name: str = EXPERIMENT) -> str:
    """Return the id of the experiment `name`, made on first use; beside an SQLite file, artifacts go to mlartifacts/."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = sqlite_file(tracking_uri(root))
        location = (file.absolute().parent / "mlartifacts").as_uri() if file else None
        try:
            return str(client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another process made it in between; anything else fails again below
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise RegistryError(
            f"The experiment {name} was deleted in MLflow.",
            next_step=f"Restore it: `mlflow experiments restore --experiment-id {found.experiment_id}`.",
        )
    return str(found.experiment_id)


def ensure_model(client: "MlflowClient", name: str, description: str) -> None:
    """Make the registered model `name` unless it exists."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def version_of(client: "MlflowClient", alias_or_version: str, name: str = MODEL_NAME) -> "ModelVersion | None":
    """Return the version of `name` with that number or alias, None when there is none."""
    from mlflow.exceptions import MlflowException

    if not re.fullmatch(r"[0-9]{1,9}|[A-Za-z][A-Za-z0-9_-]*", alias_or_version):
        return None
    try:
        if alias_or_version.isdigit():
            return client.get_model_version(name, alias_or_version)
        return client.get_model_version_by_alias(name, alias_or_version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def profile_model(profile: str) -> str:
    """Return the name of the registered model of one person. Raise ConfigError for a name that it cannot have."""
    name = f"{MODEL_NAME}-{profile}"
    if not _PROFILE.fullmatch(profile) or name == JOURNAL:
        raise ConfigError(
            f"{profile!r} cannot be the name of a profile.",
            next_step="Use up to 40 of a-z, 0-9, - and _, a letter or a digit first, and not `journal`.",
        )
    return name


def champion_of(client: "MlflowClient") -> "ModelVersion":
    """Return the champion. Raise NoChampion when there is none yet."""
    champion = version_of(client, CHAMPION)
    if champion is None:
        raise no_champion(tracking_uri())
    return champion


def no_champion(uri: str) -> NoChampion:
    """Return the error for a registry without a champion."""
    return NoChampion(
        f"The registry at {masked(uri)} has no champion yet.",
        next_step="Make one with `photoqual register` and `photoqual promote`; `photoqual history` tells why "
        "versions that were judged are none. `photoqual rate --model FOLDER` needs none.",
    )

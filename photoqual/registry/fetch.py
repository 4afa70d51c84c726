"""Bring a model to this machine: `models:/photoqual@champion`, `models:/photoqual/3`, a person's model
(`models:/photoqual-anna@champion`), or a folder.

Versions never change, so each is downloaded once, to ~/.cache/photoqual/models. Which version an alias means is asked
each time, and without loading MLflow where that is possible: rating one photo should not wait for it.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import urllib.request
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

from photoqual.errors import ConfigError, ModelError, NoChampion, RegistryError
from photoqual.models.info import INFO, ONNX
from photoqual.registry.store import (
    CHAMPION,
    MODEL_NAME,
    connected,
    masked,
    no_champion,
    profile_model,
    sqlite_file,
    tracking_uri,
    version_of,
)

_ADDRESS = re.compile(
    rf"models:/(?P<name>{MODEL_NAME}(?:-(?P<profile>[^@/]+))?)(?:@(?P<alias>[A-Za-z0-9_-]+)|/(?P<version>\d+))"
)
_QUICK_SECONDS = 5
_BY_ALIAS = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
_SOURCE = "SELECT source, current_stage FROM model_versions WHERE name = ? AND version = ?"


def fetch_model(uri: str, *, root: Path = Path()) -> Path:
    """Return the local folder (with model.json) of the model at `uri`.

    Raise NoChampion when the alias is not set, RegistryError when the registry or the version is missing,
    ConfigError for an address of another kind.
    """
    if not uri.startswith("models:"):
        folder = Path(uri).expanduser()
        if not (folder / INFO).is_file():
            raise ModelError(
                f"{folder} is not a model folder: it has no {INFO}.",
                next_step="Name models/challenger, or an address such as models:/photoqual@champion.",
            )
        return folder
    name, wanted = parse_address(uri)
    registry = tracking_uri(root)
    quick = _ask_quickly(registry, name, wanted)
    if quick and (cached := _cached(registry, *quick)).is_dir():
        return _model_folder(cached)
    return _download(root, registry, name, wanted)


def version_meant(uri: str, *, root: Path = Path()) -> str | None:
    """Return the number of the version that the address `uri` means now, without MLflow; None when only MLflow can tell."""
    name, wanted = parse_address(uri)
    found = _ask_quickly(tracking_uri(root), name, wanted)
    return found[0] if found else None


def parse_address(uri: str) -> tuple[str, str]:
    """Return the registered model's name and the alias or version that `uri` names. Raise ConfigError for others."""
    match = _ADDRESS.fullmatch(uri)
    if match is None:
        raise ConfigError(
            f"{uri} is not the address of a model.",
            next_step=f"Write models:/{MODEL_NAME}@champion, models:/{MODEL_NAME}/3, or a folder.",
        )
    if match["profile"]:
        profile_model(match["profile"])
    return match["name"], match["alias"] or match["version"]


def pinned(address: str, *, root: Path = Path()) -> str:
    """Return `address` with the number of the version that its alias means now; a folder as it is."""
    if not address.startswith("models:"):
        return address
    name, wanted = parse_address(address)
    if wanted.isdigit():
        return address
    try:
        with connected(root) as client:
            version = version_of(client, wanted, name)
    except RegistryError:  # fetch_model says what is missing
        return address
    return f"models:/{name}/{version.version}" if version is not None else address


def fetch_version(version: str, source: str, *, registry: str, name: str = MODEL_NAME) -> Path:
    """Return the local folder of `version` of the registered model `name`, whose artifacts are at `source`; call it within `connected`."""
    import mlflow

    place = _cached(registry, version, source)
    if not place.is_dir():
        making = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        making.mkdir(parents=True, exist_ok=True)
        try:
            mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(making))
            for file in (INFO, ONNX):
                if not any(making.rglob(file)):
                    raise FileNotFoundError(f"no {file} in the artifact store")
            _take_place(making, place)
        except OSError as error:
            raise ModelError(
                f"The files of version {version} cannot be read: {error}.",
                next_step="Check the artifact store of the registry; register the model again if they are lost.",
            ) from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return _model_folder(place)


def _take_place(making: Path, place: Path) -> None:
    """Rename `making` to `place`; another process may have been quicker, with the same files."""
    try:
        making.rename(place)
    except OSError:
        if not place.is_dir():
            raise


def _download(root: Path, registry: str, name: str, wanted: str) -> Path:
    file = sqlite_file(registry)
    if name == MODEL_NAME and wanted == CHAMPION and file is not None and not file.exists():
        raise no_champion(registry)
    with connected(root) as client:
        version = version_of(client, wanted, name)
        if version is None:
            raise _missing(registry, name, wanted)
        return fetch_version(str(version.version), str(version.source), registry=registry, name=name)


def _missing(registry: str, name: str, wanted: str) -> RegistryError:
    """Return the error for an alias or a version that the registry does not have."""
    where = f"in the registry at {masked(registry)}"
    if name != MODEL_NAME:
        profile = name.removeprefix(f"{MODEL_NAME}-")
        what = f"version {wanted}" if wanted.isdigit() else wanted
        return NoChampion(
            f"There is no {what} of {name} {where}.",
            next_step=f"Make one with `photoqual taste RATINGS --profile {profile}`.",
        )
    if wanted == CHAMPION:
        return no_champion(registry)
    if not wanted.isdigit():
        return NoChampion(
            f"No version has the alias {wanted} {where}.",
            next_step="`photoqual history` lists the versions and their aliases.",
        )
    return RegistryError(
        f"There is no version {wanted} {where}.", next_step="`photoqual history` lists the versions there are."
    )


def _cached(registry: str, version: str, source: str) -> Path:
    """Return where a version is kept. `source` holds an id that a registry made anew at the same address never
    repeats.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return (
        home
        / "photoqual/models"
        / hashlib.sha256(registry.encode()).hexdigest()[:12]
        / f"{version}-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    )


def _model_folder(place: Path) -> Path:
    found = sorted(place.rglob(INFO))
    if not found:
        raise ModelError(
            f"The registered model in {place} holds no {INFO}.",
            next_step="Register it with `photoqual register`; versions made otherwise cannot be used.",
        )
    return found[0].parent


def _ask_quickly(registry: str, name: str, wanted: str) -> tuple[str, str] | None:
    """Return (version, source) of an alias or a version without MLflow; None when only MLflow can tell."""
    try:
        file = sqlite_file(registry)
        if file is not None:
            return _ask_sqlite(file, name, wanted)
        if registry.startswith(("http://", "https://")):
            return _ask_server(registry, name, wanted)
    except (sqlite3.Error, OSError, ValueError, KeyError):
        pass  # MLflow asks again, and says what is wrong
    return None


def _ask_sqlite(file: Path, name: str, wanted: str) -> tuple[str, str] | None:
    if not file.exists():
        return None
    database = sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=_QUICK_SECONDS)
    try:
        if not wanted.isdigit():
            row = database.execute(_BY_ALIAS, (name, wanted)).fetchone()
            if row is None:
                return None
            wanted = str(row[0])
        row = database.execute(_SOURCE, (name, int(wanted))).fetchone()
        return (wanted, str(row[0])) if row else None
    finally:
        database.close()


def _ask_server(registry: str, name: str, wanted: str) -> tuple[str, str]:
    """Ask MLflow's REST interface, signing in as MLflow would by its environment variables."""
    path, key = ("model-versions/get", "version") if wanted.isdigit() else ("registered-models/alias", "alias")
    url = f"{registry.rstrip('/')}/api/2.0/mlflow/{path}?name={quote(name)}&{key}={quote(wanted)}"
    request = urllib.request.Request(url)  # noqa: S310 - the caller has checked that it is http or https
    user, password, token = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD", "TOKEN"))
    if user and password:
        request.add_header("Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode())
    elif token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=_QUICK_SECONDS) as response:  # noqa: S310
        found = json.load(response)["model_version"]
    return str(found["version"]), str(found["source"])

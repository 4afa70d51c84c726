"""Are the installed packages those that the project's lock file names? A stage made elsewhere must be the same here."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from photoqual.errors import EnvironmentDiffers, PipelineError

SHOWN = 5


def check_environment(root: Path) -> None:
    """Compare installed packages with the pins of `root`/uv.lock. Raise EnvironmentDiffers.

    Only packages that are both installed and pinned count, so that a light installation passes. A name may be pinned
    several times, once a platform: any of those versions is right. A project without uv.lock is not checked.
    """
    lock = root / "uv.lock"
    if not lock.is_file():
        return
    differing = differences(pinned(lock.read_text(encoding="utf-8")), installed())
    if differing:
        shown = ", ".join(f"{name} {here} (lock file: {' or '.join(there)})" for name, here, there in differing[:SHOWN])
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise EnvironmentDiffers(
            f"{len(differing)} installed package(s) are not those of the project's lock file: {shown}{more}.",
            next_step="Run `make install` on this worker, or rebuild its image from the same revision.",
            differences=[name for name, _, _ in differing],
        )


def differences(pins: dict[str, set[str]], here: dict[str, str]) -> list[tuple[str, str, list[str]]]:
    """Return (name, installed version, pinned versions) of every package whose version is not pinned."""
    return [
        (name, here[name], sorted(pins[name]))
        for name in sorted(pins.keys() & here.keys())
        if here[name] not in pins[name]
    ]


def pinned(text: str) -> dict[str, set[str]]:
    """Return {normal name: versions} of the packages in a uv.lock, the project itself left out."""
    try:
        packages = tomllib.loads(text).get("package", [])
    except tomllib.TOMLDecodeError as error:
        raise PipelineError(f"uv.lock is not valid TOML: {error}.", next_step="Make it again with `uv lock`.") from None
    pins: dict[str, set[str]] = {}
    for package in packages:
        if "version" in package and not package.get("source", {}).keys() & {"editable", "virtual", "directory"}:
            pins.setdefault(normal(package["name"]), set()).add(package["version"])
    return pins


def installed() -> dict[str, str]:
    """Return {normal name: version} of what this Python has; the first on the path counts, as in an import."""
    here: dict[str, str] = {}
    for distribution in distributions():
        here.setdefault(normal(distribution.name), distribution.version)
    return here


def normal(name: str) -> str:
    """Write a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()

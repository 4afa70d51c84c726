"""dvc.yaml as values: which stages there are, what feeds what, and how each runs as an Airflow task.

Read whenever a DAG file is parsed, so it needs YAML alone and never loads DVC. `dvc.yaml` stays the one place that
describes the pipeline; what it cannot say to Airflow (queue, pool, retries, time limit) stands in `meta.airflow`.
Not covered: `foreach`, `matrix` and `${…}`, which no stage of ours uses; they are refused, never guessed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from photoqual.errors import ConfigError

OUTPUTS = ("outs", "metrics", "plots")


@dataclass(frozen=True)
class Stage:
    """One stage. Paths are relative to the project's root; `outs` holds metrics and plots too."""

    name: str
    desc: str = ""
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    persist_outs: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    queue: str = "default"
    pool: str = "default_pool"
    retries: int = 0
    execution_timeout_minutes: int | None = None


AIRFLOW_KEYS: dict[str, type] = {"queue": str, "pool": str, "retries": int, "execution_timeout_minutes": int}


def read_stages(path: Path) -> tuple[Stage, ...]:
    """Read a dvc.yaml; return its stages in an order in which they can run. Raise ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist.", next_step="Put dvc.yaml there; it describes the pipeline."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", next_step="Mend that line.") from None
    return parse_stages(values, origin=str(path))


def parse_stages(values: Any, *, origin: str = "dvc.yaml") -> tuple[Stage, ...]:
    """Turn what YAML gave into stages, in an order in which they can run (else that of the file)."""
    if not isinstance(values, Mapping) or not isinstance(values.get("stages"), Mapping) or not values["stages"]:
        raise ConfigError(f"{origin} names no stages.", next_step="Add a `stages:` section.")
    return in_order([_stage(str(name), body, origin) for name, body in values["stages"].items()], origin=origin)


def in_order(stages: Iterable[Stage], *, origin: str = "dvc.yaml") -> tuple[Stage, ...]:
    """Sort stages so that each comes after those that make what it reads. Raise ConfigError for a circle."""
    known = {stage.name: stage for stage in stages}
    graph = {name: [maker.name for maker in makers(stage, known.values())] for name, stage in known.items()}
    try:
        return tuple(known[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise ConfigError(
            f"{origin} runs in a circle: {circle}.", next_step="Break it: remove one of these deps."
        ) from None


def makers(stage: Stage, stages: Iterable[Stage]) -> list[Stage]:
    """Return the stages that make something that `stage` reads."""
    return [other for other in stages if other.name != stage.name and covering(stage.deps, other.outs)]


def covering(wanted: Iterable[str], outs: Iterable[str]) -> list[str]:
    """Return those of `outs` that are, hold, or lie in a wanted path."""
    wanted = list(wanted)
    return [out for out in outs if any(_overlap(out, path) for path in wanted)]


def _overlap(one: str, other: str) -> bool:
    first, second = PurePosixPath(one), PurePosixPath(other)
    return first.is_relative_to(second) or second.is_relative_to(first)


def _stage(name: str, body: Any, origin: str) -> Stage:
    if not isinstance(body, Mapping) or "cmd" not in body:
        raise ConfigError(
            f"{origin}: stage {name} is not a plain stage with a `cmd`.",
            next_step="Write it out, without foreach or matrix.",
        )
    outs: list[str] = []
    persist: list[str] = []
    for section in OUTPUTS:
        for entry in body.get(section) or ():
            path, options = next(iter(entry.items())) if isinstance(entry, Mapping) else (entry, {})
            outs.append(_plain(path, name, origin))
            if isinstance(options, Mapping) and options.get("persist"):
                persist.append(path)
    deps = tuple(_plain(path, name, origin) for path in body.get("deps") or ())
    return Stage(
        name=name,
        desc=str(body.get("desc", "")),
        deps=deps,
        outs=tuple(outs),
        persist_outs=tuple(persist),
        params=_params(body.get("params") or ()),
        **_airflow(body, name, origin),
    )


def _plain(path: Any, name: str, origin: str) -> str:
    text = str(path)
    if "${" in text:
        raise ConfigError(f"{origin}: stage {name} uses ${{…}} in {text}.", next_step="Write the path out.")
    return text.rstrip("/")


def _params(entries: Iterable[Any]) -> tuple[str, ...]:
    keys: list[str] = []
    for entry in entries:
        if isinstance(entry, Mapping):
            keys += [f"{file}:{key}" for file, names in entry.items() for key in names or ("",)]
        else:
            keys.append(str(entry))
    return tuple(keys)


def _airflow(body: Mapping[str, Any], name: str, origin: str) -> dict[str, Any]:
    arguments = (body.get("meta") or {}).get("airflow") or {}
    for key, value in arguments.items():
        wanted = AIRFLOW_KEYS.get(key)
        if wanted is None:
            raise ConfigError(
                f"{origin}: stage {name} has an unknown key in meta.airflow: {key}.",
                next_step=f"Known keys: {', '.join(AIRFLOW_KEYS)}.",
            )
        if type(value) is not wanted or (isinstance(value, int) and value < 0):
            kind = "a number of 0 or more" if wanted is int else "text"
            raise ConfigError(
                f"{origin}: stage {name}: meta.airflow.{key} is {value!r}.", next_step=f"It has to be {kind}."
            )
    return dict(arguments)

"""Trainings that leave the project alone: where their files go, and their params."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from photoqual import files
from photoqual.config import Params, parse_params
from photoqual.errors import ConfigError, FrozenTestLeak, MissingData, PhotoqualError, TooFewPhotos
from photoqual.layout import Layout

OF_ALL = (MissingData, TooFewPhotos, FrozenTestLeak)
"""Errors that the data cause, so that every further training would end the same way."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class ScratchLayout(Layout):
    """The project in `root`, but what is trained and reported goes under `into`."""

    into: Path = field(default_factory=Path)

    @property
    def challenger(self) -> Path:
        return self.into / "challenger"

    @property
    def evaluation(self) -> Path:
        return self.into / "evaluation"


def changed(params: Params, values: Mapping[str, Any], *, origin: str) -> Params:
    """Return `params` with `values` by dotted name. Raise ConfigError, naming `origin`, when one does not fit."""
    dump = params.model_dump(mode="json")
    for name, value in values.items():
        *path, last = name.split(".")
        place: Any = dump
        for part in path:
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ConfigError(f"{origin}: params have no key {name}.", next_step="`photoqual schema` prints every key.")
        place[last] = value
    return parse_params(dump, origin=origin)


def present(params: Params, name: str) -> Any:
    """Return the value of `params` at a dotted name that exists."""
    value: Any = params.model_dump(mode="json")
    for part in name.split("."):
        value = value[part]
    return value


def read_splits(layout: Layout) -> pd.DataFrame:
    """Return data/splits.parquet. Raise MissingData when there is none."""
    if not layout.splits.is_file():
        raise MissingData(
            f"{layout.splits} does not exist.", next_step="Run `photoqual split` (or `dvc repro split`) first."
        )
    return files.read_table(layout.splits).to_pandas()


def reason_of(error: Exception) -> str:
    """Return in one line why a training failed."""
    if isinstance(error, PhotoqualError):
        return " ".join(str(error).split())
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:_LONGEST_REASON] or 'no message'}"

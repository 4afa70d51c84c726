"""Which model answers now: asked anew at every interaction, so that a new champion needs no restart."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from photoqual.models.scorer import Scorer
from photoqual.registry.fetch import fetch_model, parse_address, pinned, version_meant
from photoqual.registry.store import CHAMPION, MODEL_NAME
from photoqual.starter.model import STARTER, resolve

CHAMPION_ADDRESS = f"models:/{MODEL_NAME}@{CHAMPION}"
_KNOWN_SECONDS = 1.0
"""How long an answer of the registry is used again: one interaction asks more than once."""
_registry = threading.Lock()


@dataclass(frozen=True)
class Answering:
    """The model that answers: what ratings call it, and its folder."""

    name: str
    folder: Path

    @property
    def version(self) -> str | None:
        """Return the version of the registry, None for a model of another kind."""
        if not self.name.startswith("models:"):
            return None
        wanted = parse_address(self.name)[1]
        return wanted if wanted.isdigit() else None

    @property
    def words(self) -> str:
        """Return its name as it is said: `version 3 of photoqual`, `the starter`, or the name of its folder."""
        if self.name == STARTER:
            return "the starter"
        if not self.name.startswith("models:"):
            return f"the model folder {Path(self.name).absolute().name}"
        name, wanted = parse_address(self.name)
        return f"version {wanted} of {name}" if wanted.isdigit() else f"{wanted} of {name}"


@contextmanager
def registry_alone() -> Iterator[None]:
    """Hold the registry for the block: MLflow keeps its address per process, and sessions are threads of one."""
    with _registry:
        yield


@st.cache_data(ttl=_KNOWN_SECONDS, max_entries=8, show_spinner=False)
def answering(wanted: str | None) -> Answering:
    """Return the model that `wanted` (None: the champion, else the starter) means now. Raise PhotoqualError."""
    address = wanted or CHAMPION_ADDRESS
    with registry_alone():
        if address.startswith("models:") and (version := version_meant(address)):
            address = f"models:/{parse_address(address)[0]}/{version}"
            return Answering(address, fetch_model(address))
        return Answering(*_asked_slowly(wanted, address))


def _asked_slowly(wanted: str | None, address: str) -> tuple[str, Path]:
    """Ask by MLflow: a registry of another kind, or one without a champion."""
    name, folder = resolve(wanted)
    if name != address or not address.startswith("models:"):
        return name, folder
    exact = pinned(address)
    return exact, fetch_model(exact)


@st.cache_resource(max_entries=2, show_spinner="Loading the model …")
def loaded(folder: Path) -> Scorer:
    """Return the model in `folder`, which never changes; the two used last stay in memory."""
    return Scorer.load(folder)

"""New values in params.yaml: its comments, order and layout stay, and the change is a unified diff."""

import difflib
import io
from collections.abc import Mapping
from typing import Any

import yaml

from photoqual.config import Params, parse_params
from photoqual.errors import ConfigError
from photoqual.selection.scratch import changed, present

_WIDTH = 4096


def differing(params: Params, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `values`, by dotted name, that `params` do not have already."""
    return {name: value for name, value in values.items() if present(params, name) != value}


def rewritten(text: str, values: Mapping[str, Any]) -> str:
    """Return `text`, that of a params.yaml, with `values` by dotted name. Raise ConfigError when the new text would say
    anything else than the old one with these values.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes real numbers as YAML 1.1 reads them, 1.0e-05 where 1e-05 would be a text, and null as it was written."""

    Representer.add_representer(
        float, lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:float", yaml_float(value))
    )
    Representer.add_representer(
        type(None), lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    round_trip = YAML()
    round_trip.Representer = Representer
    round_trip.preserve_quotes = True
    round_trip.width = _WIDTH
    document = round_trip.load(text)
    for name, value in values.items():
        *path, last = name.split(".")
        section = document
        for part in path:
            if not isinstance(section.get(part), dict):
                _add(section, part, CommentedMap())
            section = section[part]
        _add(section, last, value)
    buffer = io.StringIO()
    round_trip.dump(document, buffer)
    new = buffer.getvalue()
    wanted = changed(parse_params(yaml.safe_load(text)), values, origin="The winner")
    if parse_params(yaml.safe_load(new)) != wanted:
        raise ConfigError(
            "params.yaml could not be rewritten without changing more than was chosen.",
            next_step=f"Write these values into it by hand: {dict(values)}.",
        )
    return new


def yaml_float(value: float) -> str:
    """Return a finite number as YAML 1.1 and 1.2 read it."""
    text = repr(value)
    return text if "." in text else text.replace("e", ".0e")


def _add(section: Any, name: str, value: Any) -> None:
    """Set a key; a new one goes before the last, because what follows a section's last key belongs to that key."""
    if name in section or not len(section):
        section[name] = value
    else:
        section.insert(len(section) - 1, name, value)


def unified_diff(old: str, new: str, name: str = "params.yaml") -> str:
    """Return what `git apply` and `patch -p1` understand; empty for equal texts."""
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)

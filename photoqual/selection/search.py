"""What a search may try: a strict YAML file of choices and ranges per kind of model, checked before anything trains."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import yaml
from pydantic import Field, ValidationError, model_validator

from photoqual.config import ModelParams, Params, Positive, Strict
from photoqual.errors import ConfigError
from photoqual.selection.scratch import changed, present

if TYPE_CHECKING:
    from optuna import Trial

SHIPPED = Path(__file__).with_name("search.yaml")
KIND = "model.kind"
_OPTIMIZER, _DECAY, _DECAYING = "train.optimizer.name", "train.optimizer.weight_decay", "adamw"
"""The decay is a setting of one optimizer alone; every other one is tried without."""
_DIGITS = 3
"""Significant digits of a real number that is tried, so that params.yaml can say exactly what was trained."""
_CHANGES_MEANING = {KIND, "train.seed", "model.head", "model.heads"}

Scalar = bool | int | float | str | None


class Range(Strict):
    """From `low` to `high`, both included; whole numbers where both are whole."""

    low: int | float
    high: int | float
    log: bool = False
    step: Annotated[int | float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low has to be smaller than high, not {self.low:g} and {self.high:g}")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("a range with log starts above 0 and has no step")
        if self.whole and isinstance(self.step, float):
            raise ValueError("a range of whole numbers has a whole step")
        return self

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


Choices = Annotated[list[Scalar], Field(min_length=1)]
Space = dict[str, Range | Choices]
"""What may be tried, by dotted name of params."""


class Search(Strict):
    """A search file. `startup_trials`: complete trials before the sampler learns from them and anything is pruned."""

    kinds: dict[str, Annotated[Space, Field(min_length=1)]]
    startup_trials: Positive = 5
    pruner: Literal["median", "halving", "none"] = "median"
    warmup_epochs: Annotated[int, Field(ge=0)] = 2


def read_search(path: Path) -> Search:
    """Read a search file. Raise ConfigError that names each bad key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", next_step="Name a search file with --search, or leave it out."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}.", next_step="Mend that line.") from None
    try:
        return Search.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        problems = dict.fromkeys(f"  {_place(item['loc'])}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            f"{path} has {len(problems)} problem(s):\n" + "\n".join(problems) + "\n",
            next_step=f"Mend these keys; {SHIPPED.name} beside photoqual's code shows the form.",
        ) from None


def spaces(search: Search, kinds: list[str], params: Params, origin: str) -> dict[str, Space]:
    """Return what may be tried by kind. Raise ConfigError when a kind has no entry, a key is not one that may be
    searched, or `params` refuse a choice or an end of a range; every problem is named.
    """
    known = get_args(ModelParams.model_fields["kind"].annotation)
    problems = [f"kinds.{kind}: there is no such kind of model" for kind in search.kinds if kind not in known]
    problems += [f"kinds.{kind}: missing; it is to be searched" for kind in kinds if kind not in search.kinds]
    for kind, space in search.kinds.items():
        if kind in known:
            problems += [problem for name, tried in space.items() for problem in _problems(kind, name, tried, params)]
            if _DECAY in space and _DECAYING not in _optimizers(space, params):
                problems.append(f"kinds.{kind}.{_DECAY}: is that of {_DECAYING}, which {_OPTIMIZER} never is")
    if problems:
        raise ConfigError(
            f"{origin} has {len(problems)} problem(s):\n" + "\n".join(f"  {problem}" for problem in problems) + "\n",
            next_step="Mend these keys; `photoqual schema` prints every key of params.yaml.",
        )
    return {kind: search.kinds[kind] for kind in kinds}


def _problems(kind: str, name: str, tried: Range | Choices, params: Params) -> list[str]:
    place = f"kinds.{kind}.{name}"
    if name in _CHANGES_MEANING:
        return [f"{place}: cannot be searched; trials would not be comparable"]
    if name.partition(".")[0] not in {"model", "train"}:
        return [f"{place}: only keys under model and train can be searched"]
    values = [tried.low, tried.high] if isinstance(tried, Range) else tried
    if len({repr(value) for value in values}) < len(values):
        return [f"{place}: a choice is there twice"]
    problems = []
    for value in values:
        try:
            changed(params, {KIND: kind, name: value}, origin="it")
        except ConfigError as error:
            lines = error.message.splitlines()
            problems.append(f"{place}: {value!r} does not fit: {(lines[1] if len(lines) > 1 else lines[0]).strip()}")
    return problems


def suggest(trial: "Trial", by_kind: dict[str, Space], params: Params) -> dict[str, Any]:
    """Return what `trial` tries in place of `params`, by dotted name, the kind among them. Weight decay is drawn for
    adamw alone, and 0 for every other optimizer.
    """
    kinds = list(by_kind)
    kind = trial.suggest_categorical(KIND, kinds) if len(kinds) > 1 else kinds[0]
    space = by_kind[kind]
    drawn: dict[str, Any] = {KIND: kind}
    drawn |= {name: _suggested(trial, f"{kind}:{name}", tried) for name, tried in space.items() if name != _DECAY}
    if drawn.get(_OPTIMIZER, params.train.optimizer.name) != _DECAYING:
        return drawn | ({_DECAY: 0.0} if _DECAY in space or present(params, _DECAY) else {})
    return drawn | ({_DECAY: _suggested(trial, f"{kind}:{_DECAY}", space[_DECAY])} if _DECAY in space else {})


def _optimizers(space: Space, params: Params) -> list[Scalar]:
    tried = space.get(_OPTIMIZER)
    return tried if isinstance(tried, list) else [params.train.optimizer.name]


def _suggested(trial: "Trial", name: str, tried: Range | Choices) -> Scalar:
    if not isinstance(tried, Range):
        return trial.suggest_categorical(name, tried)
    if tried.whole:
        return trial.suggest_int(name, int(tried.low), int(tried.high), log=tried.log, step=int(tried.step or 1))
    value = trial.suggest_float(name, tried.low, tried.high, log=tried.log, step=tried.step)
    return min(max(float(f"{value:.{_DIGITS}g}"), tried.low), tried.high)


def _place(parts: tuple[int | str, ...]) -> str:
    """Return where a problem lies, without the names that pydantic gives to the members of a union."""
    shown = [str(part) for part in parts if not str(part).startswith(("Range", "list[", "bool", "int", "float", "str"))]
    return ".".join(shown) or "(top)"

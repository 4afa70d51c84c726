"""What a search draws can be trained: every combination is one that params and optimizers accept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from photoqual.config import Params
from photoqual.errors import ConfigError
from photoqual.selection.scratch import changed
from photoqual.selection.search import SHIPPED, read_search, spaces, suggest
from photoqual.training import optimizers

MakeParams = Callable[..., Params]
OPTIMIZER = "train.optimizer.name"
DECAY = "train.optimizer.weight_decay"
DRAWS = 50


def draws(params: Params, kinds: list[str]) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    by_kind = spaces(read_search(SHIPPED), kinds, params, "it")
    return [suggest(study.ask(), by_kind, params) for _ in range(DRAWS)]


@pytest.mark.parametrize("present", [{}, {OPTIMIZER: "adamw", DECAY: 0.05}], ids=["adam", "adamw"])
@pytest.mark.parametrize("kind", list(read_search(SHIPPED).kinds))
def test_whatever_the_shipped_search_draws_can_be_trained(
    make_params: MakeParams, kind: str, present: dict[str, Any]
) -> None:
    params = make_params(**present)
    drawn = draws(params, [kind])
    assert len({repr(values) for values in drawn}) == DRAWS
    for values in drawn:
        made = changed(params, values, origin="a draw")
        optimizers.check(made.train.optimizer)
        assert made.model.kind == kind
        assert (made.train.optimizer.weight_decay > 0) == (made.train.optimizer.name == "adamw")


def test_every_optimizer_and_kind_is_drawn(make_params: MakeParams) -> None:
    drawn = draws(make_params(), ["logistic", "hidden"])
    assert {(values["model.kind"], values[OPTIMIZER]) for values in drawn} == {
        ("logistic", "adam"),
        ("logistic", "sgd"),
        ("hidden", "adam"),
        ("hidden", "adamw"),
    }


def test_a_decay_that_no_optimizer_would_use_is_named(make_params: MakeParams, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"kinds: {{hidden: {{{OPTIMIZER}: [adam, sgd], {DECAY}: {{low: 0.1, high: 0.2}}}}}}")
    with pytest.raises(ConfigError, match=r"hidden\.train\.optimizer\.weight_decay: is that of adamw"):
        spaces(read_search(path), ["hidden"], make_params(), str(path))

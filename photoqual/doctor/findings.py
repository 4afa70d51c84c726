"""What a check finds: a name, a state, what was seen, and what to do next."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from photoqual.errors import PhotoqualError
from photoqual.pipeline.git import masked

log = logging.getLogger(__name__)


class State(StrEnum):
    """`absent`: not set up here, which is fine unless you want it. Only a `problem` makes the doctor's exit code 1."""

    ok = "ok"
    absent = "absent"
    warning = "warning"
    problem = "problem"


@dataclass(frozen=True)
class Finding:
    """What one check found; `next_step` is what to do where the state is not ok."""

    area: str
    name: str
    state: State
    seen: str
    next_step: str = ""


Check = Callable[[], Iterable[Finding]]


def examine(checks: Iterable[tuple[str, str, Check]]) -> Iterator[Finding]:
    """Yield what each of `checks`, (area, name, check), finds. A check that fails is a finding too: the next one runs."""
    for area, name, check in checks:
        try:
            yield from check()
        except PhotoqualError as error:
            yield Finding(area, name, State.problem, error.message, error.next_step)
        except Exception as error:  # whatever is broken here is what a person asked the doctor about
            log.debug("%s: %s", area, name, exc_info=True)
            seen = masked(f"{type(error).__name__}: {error}")
            yield Finding(area, name, State.problem, seen, "See it with --verbose.")

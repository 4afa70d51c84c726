"""What became of each rule, in plain sentences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from photoqual.validation.drift import Comparison, biggest_moves
from photoqual.validation.offenders import Offending
from photoqual.validation.rules import Rule

MOVES = 6
"""Categories of a distribution that a sentence names."""


@dataclass(frozen=True)
class Outcome:
    """One expectation: what it is about, what was observed and expected, and whether it holds.

    `broken` says why it could not be checked at all; that is a failure too, but no drift of the data. `warning`: a
    failure is reported and does not stop anything.
    """

    name: str
    title: str
    table: str
    column: str
    observed: str
    expected: str
    ok: bool
    warning: bool = False
    broken: str = ""

    @property
    def stops(self) -> bool:
        return not self.ok and not self.warning

    def sentence(self) -> str:
        """Return the outcome in words, with the expectation's name for a search in summary.json."""
        seen = f"could not be checked ({self.broken})" if self.broken else f"observed {self.observed}"
        return f"{self.title} [{self.name}]: {seen}, expected {self.expected}"


def outcome(rule: Rule, result: Any, offending: Offending | None, comparison: Comparison | None) -> Outcome:
    """Turn the result that Great Expectations gave for a rule into an Outcome."""
    config = result.expectation_config
    broken = _exception(result.exception_info)
    return Outcome(
        name=rule.name,
        title=config.meta["title"],
        table=rule.table,
        column=", ".join(rule.shown or rule.columns),
        observed="" if broken else _observed(result.result, offending, comparison),
        expected=config.meta["expected"],
        ok=bool(result.success) and not broken,
        warning=str(getattr(config.severity, "value", config.severity)) != "critical",
        broken=broken,
    )


def exception_of(result: Any) -> str:
    """Return why a result is none, "" if it is one."""
    return _exception(result.exception_info)


def _exception(info: Mapping[str, Any] | None) -> str:
    """Return the message of the exception behind a result, "" if none. Results carry either one record or one per
    metric, keyed by the metric's id.
    """
    records = [info] if info and "raised_exception" in info else list((info or {}).values())
    messages = [
        str(record.get("exception_message") or "unknown error") for record in records if record.get("raised_exception")
    ]
    return "; ".join(dict.fromkeys(messages))


def _observed(result: Mapping[str, Any], offending: Offending | None, comparison: Comparison | None) -> str:
    if comparison is not None:
        return described(comparison)
    if result.get("partial_missing_list"):
        return f"no {_text(result['partial_missing_list'])}"
    if "element_count" in result:
        wrong = int(result["unexpected_count"])
        examples = offending.examples() if offending and wrong else ""
        return f"{wrong} of {result['element_count']} otherwise" + (f", for example {examples}" if examples else "")
    return _text(result.get("observed_value"))


def described(comparison: Comparison) -> str:
    """Return "0.31 (good 0.97 (was 0.50), …; chi-square 12.1, p 0.0005)"."""
    moves = ", ".join(
        f"{name} {_text(now)} (was {_text(before)})" for name, now, before in biggest_moves(comparison, MOVES)
    )
    chance = f"chi-square {_text(comparison.chi_square)}, p {_text(comparison.p_value)}"
    return f"{_text(comparison.divergence)} ({moves}; {chance})"


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, list | tuple | set):
        return ", ".join(_text(part) for part in value) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)

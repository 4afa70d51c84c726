"""What the path of a photo tells: when it was taken, and how a person judged it."""

import re
from datetime import UTC, datetime

from photoqual.errors import ConfigError

_DATE = ("year", "month", "day")
_TIME = ("hour", "minute", "second")


class Untold(Exception):
    """A path that does not tell what its pattern looks for; `reason` is a short stable key."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def date_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """Return `pattern` compiled. Raise ConfigError when it cannot be, or lacks the groups year, month and day."""
    return _compiled("date_pattern", pattern, _DATE, r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)")


def label_pattern(pattern: str | None) -> re.Pattern[str] | None:
    """Return `pattern` compiled. Raise ConfigError when it cannot be, or lacks the group label."""
    return _compiled("label_pattern", pattern, ("label",), "^(?P<label>[^/]+)/")


def date(pattern: re.Pattern[str] | None, path: str) -> datetime | None:
    """Return the time in `path`, taken as UTC; None without a pattern. Raise Untold (`no_date`, `impossible_date`).

    A year of two digits is of this century; parts of the time that the path lacks are 0.
    """
    if pattern is None:
        return None
    match = pattern.search(path)
    if match is None:
        raise Untold("no_date")
    groups = match.groupdict()
    try:
        year, month, day, hour, minute, second = (int(groups.get(part) or 0) for part in _DATE + _TIME)
        return datetime(year + 2000 if year < 100 else year, month, day, hour, minute, second, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Untold("impossible_date") from None


def label(pattern: re.Pattern[str] | None, path: str) -> str | None:
    """Return the label in `path`; None without a pattern. Raise Untold (`no_label`)."""
    if pattern is None:
        return None
    match = pattern.search(path)
    if not match or not match.group("label"):
        raise Untold("no_label")
    return match.group("label")


def _compiled(option: str, pattern: str | None, groups: tuple[str, ...], example: str) -> re.Pattern[str] | None:
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise ConfigError(
            f"{option} {pattern!r} is not a regular expression: {error}.", next_step="Mend it in params.yaml."
        ) from None
    missing = [group for group in groups if compiled and group not in compiled.groupindex]
    if missing:
        raise ConfigError(
            f"{option} {pattern!r} has no group called {' or '.join(missing)}.",
            next_step=f"Mark by name the parts of the path that count, for example {example}",
        )
    return compiled

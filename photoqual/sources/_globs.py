"""Globs over paths, followed name by name: so that a walk knows which folders cannot hold what it looks for."""

import fnmatch
import re

from photoqual.errors import ConfigError

States = frozenset[int]
"""How far into the pattern the names so far may have led; empty: nothing below can match."""


class Glob:
    """A pattern such as `*/2024-*/**/*.jpg`: `**` stands for any folders, also none. Upper and lower case are alike."""

    def __init__(self, pattern: str) -> None:
        """Raise ConfigError for a pattern that no path can match."""
        names = pattern.split("/")
        if not {"", ".", ".."}.isdisjoint(names):
            raise ConfigError(
                f"pattern {pattern!r} matches no path below `start`.",
                next_step="Write it without / at its ends and without . and .., for example */*.jpg.",
            )
        self._parts = [
            None if name == "**" else re.compile(fnmatch.translate(name), re.IGNORECASE).match for name in names
        ]
        self.start = self._with_skips({0})

    def step(self, states: States, name: str) -> States:
        """Return how far the pattern is met after one more name of the path."""
        found: set[int] = set()
        for state in states:
            if state < len(self._parts):
                match = self._parts[state]
                if match is None:
                    found.add(state)
                elif match(name):
                    found.add(state + 1)
        return self._with_skips(found)

    def picks(self, states: States) -> bool:
        """Tell whether a path that led here is one of those looked for."""
        return len(self._parts) in states

    def _with_skips(self, states: set[int]) -> States:
        for state in sorted(states):
            step = state
            while step < len(self._parts) and self._parts[step] is None:
                step += 1
                states.add(step)
        return frozenset(states)

"""What became of everything that a source gave."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger(__name__)
EXAMPLES = 3
"""Skipped and quarantined things that the log names, per reason; all are counted."""


@dataclass
class Counts:
    """What became of everything that the source of this name gave."""

    source: str
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    same_photo: int = 0
    not_due: int = 0
    gone: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def photos(self) -> int:
        """Photos that the source gave, usable or not."""
        return self.new + self.updated + self.unchanged + self.not_due + self.quarantined.total()

    def summary(self) -> dict[str, Any]:
        return {
            "new": self.new,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "not_due": self.not_due,
            "gone": self.gone,
            "same_photo_again": self.same_photo,
            "quarantined": dict(sorted(self.quarantined.items())),
            "skipped": dict(sorted(self.skipped.items())),
        }

    def skip(self, reason: str, where: str) -> None:
        self._count(self.skipped, reason, where)

    def quarantine(self, reason: str, where: str) -> None:
        self._count(self.quarantined, reason, where)

    def _count(self, counter: Counter[str], reason: str, where: str) -> None:
        counter[reason] += 1
        if counter[reason] <= EXAMPLES:
            more = " (more of these are only counted)" if counter[reason] == EXAMPLES else ""
            logger.warning("%s: %s: %s%s", self.source, reason, where, more)

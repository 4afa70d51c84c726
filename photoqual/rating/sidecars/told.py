"""What became of sidecars, counted: for a person on one line, and for machines."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from photoqual.rating.found import Skipped


@dataclass
class Told:
    """How many sidecars became each of `kinds`, or in a dry run would; what became of stars; which were skipped."""

    kinds: tuple[str, ...]
    written: bool
    sidecars: Counter[str] = field(default_factory=Counter)
    stars: Counter[str] = field(default_factory=Counter)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, where: str, reason: str, message: str) -> None:
        """Count a sidecar that was left as it is."""
        self.skipped.append(Skipped(where, reason, message))

    def summary(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        stars = {"stars": dict(self.stars)} if self.stars else {}
        skipped = dict(Counter(skip.reason for skip in self.skipped))
        return {
            "written": self.written,
            **{kind: self.sidecars[kind] for kind in self.kinds},
            **stars,
            "skipped": skipped,
        }

    def sentence(self) -> str:
        """Return it for a person, on one line."""
        counts = [f"{self.sidecars[kind]} {kind.replace('_', ' ')}" for kind in self.kinds]
        if self.skipped:
            reasons = Counter(skip.reason for skip in self.skipped).most_common()
            counts.append(
                f"{len(self.skipped)} skipped ({', '.join(f'{count} {reason}' for reason, count in reasons)})"
            )
        stars = ", ".join(f"{count} {kind}" for kind, count in sorted(self.stars.items()))
        end = "" if self.written else " Nothing was written: this was a dry run, add --write."
        return f"Sidecars: {', '.join(counts)}." + (f" Stars: {stars}." if stars else "") + end

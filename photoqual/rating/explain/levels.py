"""A rating in words: as a sentence, and as a panel on a terminal."""

import io
import re

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from photoqual.models.answer import STARS, likely
from photoqual.rating.rater import Rating
from photoqual.rating.reasons import UNFAMILIAR, how_sure, spoken
from photoqual.terminal import plain

_NUMBERS = re.compile(r" \([a-z_]+ [^()]*\)$")
_DEFECT = re.compile(r": [01]\.\d\d$")
_ASIDE = " than most good photos"
_SAID = 2
"""Points for and against that a sentence has room for."""
_WIDTH = 88


def sentence(rating: Rating) -> str:
    """Return the rating as one sentence, such as `4 of 5 stars, good (score 0.78, sure): well exposed, sharp; but noise.`

    Numbers behind the points are left out, and of each side the two that weigh most are named.
    """
    praise = [brief(point) for point in rating.strengths if not point.startswith("no sign of")][:_SAID]
    blame = [brief(point) for point in rating.reasons if point != UNFAMILIAR][:_SAID]
    sure = "sure" if rating.sure else "not sure"
    start = f"{stars_in_words(rating.stars)}, {rating.label} (score {rating.score:.2f}, {sure})"
    first, second = (praise, blame) if rating.stars > STARS // 2 else (blame, praise)
    points = "; but ".join(", ".join(side) for side in (first, second) if side)
    unfamiliar = f" It is {UNFAMILIAR}." if rating.familiar is False else ""
    return f"{start}{f': {points}' if points else ''}.{unfamiliar}"


def brief(point: str) -> str:
    """Return a point for or against without its numbers."""
    return _DEFECT.sub("", _NUMBERS.sub("", point)).replace(_ASIDE, "")


def stars_in_words(stars: int) -> str:
    """Return `4 of 5 stars`."""
    return f"{stars} of {STARS} stars"


def panel(rating: Rating, *, margin_known: bool = True, width: int | None = None) -> str:
    """Return the rating as a panel for a terminal: score, stars, how sure, defects, what speaks for and against with
    numbers, and the measures.
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    bar = "█" * round(20 * rating.score)
    facts.add_row("stars", f"{'★' * rating.stars}{'☆' * (STARS - rating.stars)}  {rating.label}")
    facts.add_row("score", f"{bar}{'░' * (20 - len(bar))} {rating.score:.3f}")
    facts.add_row("how sure", how_sure(rating.sure, rating.familiar, margin_known=margin_known))
    if rating.defects:
        facts.add_row("defects", _defects(rating))
    facts.add_row("for", _points("+", rating.strengths, "green"))
    facts.add_row("against", _points("–", rating.reasons, "red"))
    facts.add_row("measures", ", ".join(f"{name} {value:.3g}" for name, value in rating.measures.items()))
    facts.add_row("model", rating.model)
    written = Console(
        file=io.StringIO(), width=width or _WIDTH, markup=False, highlight=False, force_terminal=width is not None
    )
    written.print(Panel(facts, title=Text(plain(rating.photo)), title_align="left"))
    return written.file.getvalue()  # type: ignore[attr-defined]


def named_model(model: str) -> str:
    """Return how a page that may be shared names a model: an address as it is, of a path the last part alone."""
    return plain(model if model.startswith("models:") else model.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def _defects(rating: Rating) -> str:
    named = [f"{spoken(name)} {probability:.2f}" for name, probability in likely(rating.defects)]
    least = max((value for value in rating.defects.values() if value < 0.5), default=None)
    rest = f"the other {len(rating.defects) - len(named)} at most {least:.2f}" if least is not None else ""
    if not named:
        return f"none likely: all {len(rating.defects)} at most {least:.2f}"
    return ", ".join(named) + (f"; {rest}" if rest else "")


def _points(sign: str, points: list[str], style: str) -> Group:
    lines = [Text.assemble((f"{sign} ", style), point) for point in points] or [Text("nothing")]
    return Group(*lines)

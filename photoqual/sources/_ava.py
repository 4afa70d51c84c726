"""AVA's own text file: lines of 15 whole numbers between spaces. They are a running number, the image's id, how many
people voted 1, 2, … 10, two tags (0: none) and the challenge (Murray, Marchesotti and Perronnin, CVPR 2012).
"""

import pandas as pd

from photoqual.errors import SourceError
from photoqual.sources._tables import Table, shown
from photoqual.sources.records import Skipped

GRADES = 10
SCALE = (1.0, 10.0)
_FACTS = ("tag_1", "tag_2", "challenge")
_COLUMNS = ("number", "id", *(f"grade_{grade}" for grade in range(GRADES)), *_FACTS)


def table(lines: list[list[str]], where: str, *, group: str | None, category: str | None) -> Table:
    """Return the words of `lines` as a table: image (`<id>.jpg`), grade_0 to grade_9, and the facts that `group` and
    `category` name (tag_1, tag_2, challenge). Raise SourceError when no line has AVA's form or there is no such fact.
    """
    for option, fact in (("group", group), ("category", category)):
        if fact is not None and fact not in _FACTS:
            raise SourceError(
                f"AVA says nothing named {fact!r} of a photo; it has {', '.join(_FACTS)}.",
                next_step=f"Set `{option}` of the source in params.yaml to one of them, or leave it out.",
            )
    rows = [line for line in lines if _is_row(line)]
    if not rows:
        raise SourceError(
            f"{where} has no line of AVA's form: 15 whole numbers between spaces.",
            next_step="Name AVA.txt in `csv`, or set `format` of the source in params.yaml to `table`.",
        )
    frame = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=object)
    facts = {
        option: frame[fact].where(frame[fact] != "0", "")
        for option, fact in (("group", group), ("category", category))
        if fact is not None
    }
    skipped = [Skipped("not_a_line_of_ava", shown(" ".join(line))) for line in lines if not _is_row(line)]
    return Table(frame.assign(image=frame["id"] + ".jpg", **facts), skipped)


def _is_row(words: list[str]) -> bool:
    return len(words) == len(_COLUMNS) and all(word.isascii() and word.isdigit() for word in words)

"""The rows that break a rule: which, how many, and what stands there, made harmless for terminals and pages."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from photoqual.validation.rules import Rule, bound
from photoqual.validation.words import printable

EXAMPLES = 3
"""Values that a sentence names."""


@dataclass(frozen=True)
class Offender:
    """One row that breaks a rule: where its photo comes from, and the values that a person has to see."""

    source: str
    source_key: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Offending:
    """The rows that break a rule: how many there are, and the first of them."""

    count: int
    rows: tuple[Offender, ...]

    def examples(self) -> str:
        """Return some distinct values for a sentence; "" where no value explains a row."""
        texts = [" / ".join(text for _, text in row.values) for row in self.rows]
        return ", ".join(list(dict.fromkeys(text for text in texts if text not in ("", "none")))[:EXAMPLES])


def broken(rule: Rule, frame: pd.DataFrame, known: Mapping[str, Any]) -> np.ndarray | None:
    """Return True for each row of the checked frame that breaks the rule; None when the rule is not about rows."""
    low, high = bound(rule.low, known), bound(rule.high, known)
    columns = [frame[name].to_numpy() for name in rule.columns]
    match rule.check:
        case "holds":
            return ~columns[0].astype(bool)
        case "between":
            return np.asarray(
                (columns[0] < (-math.inf if low is None else low)) | (columns[0] > (math.inf if high is None else high))
            )
        case "at_least":
            return np.asarray(columns[0] < columns[1])
        case "above":
            return np.asarray(columns[0] <= columns[1])
        case "mean" if rule.shown:
            return np.asarray(columns[0] > 0)
    return None


def offending(rule: Rule, wrong: np.ndarray, tables: Mapping[str, pd.DataFrame], most: int) -> Offending:
    """Return the rows of `tables` ("catalog", "labels", as they were read) at which `wrong` is True, the first
    max(`most`, 3) in full.
    """
    rows = np.flatnonzero(wrong)
    first = rows[: max(most, EXAMPLES)]
    table = tables[rule.table].iloc[first]
    if rule.table == "labels":
        ids = table["photo_id"].tolist()
        places = _places(ids, tables["catalog"])
        found = [Offender(*places.get(photo, ("", "")), (("photo_id", printable(photo)),)) for photo in ids]
    else:
        found = [
            Offender(
                printable(row["source"]),
                printable(row["source_key"]),
                tuple((name, printable(row[name])) for name in rule.shown),
            )
            for row in table[list(dict.fromkeys(["source", "source_key", *rule.shown]))].to_dict("records")
        ]
    return Offending(len(rows), tuple(found))


def _places(ids: Sequence[str | None], catalog: pd.DataFrame) -> dict[str | None, tuple[str, str]]:
    """Return (source, key) of the first catalog row of each photo id."""
    matches = np.flatnonzero(
        pc.is_in(pa.array(catalog["photo_id"], from_pandas=True), value_set=pa.array(ids, pa.string())).to_numpy(
            zero_copy_only=False
        )
    )
    rows = catalog.iloc[matches][["photo_id", "source", "source_key"]].to_dict("records")
    return {row["photo_id"]: (printable(row["source"]), printable(row["source_key"])) for row in reversed(rows)}

"""The rules that catalog and labels are held to, as data: one row of a table each.

`suites.py` makes expectations of Great Expectations from them, `offenders.py` finds the rows that break them. A bound
is a number or the name of one in `bounds`, where the thresholds of params.yaml come in. Not covered: whether votes are
honest, and whether photos show what their category says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from photoqual.config import ValidationParams
from photoqual.errors import ConfigError
from photoqual.validation.distribution import SHAPES
from photoqual.validation.frames import DATES, latest_date

LONGEST_SIDE = 100_000
"""Pixels; no camera and no stitched panorama of a photo site comes near it."""
Table = Literal["catalog", "labels"]
Check = Literal["rows", "holds", "between", "at_least", "above", "mean", "sum", "contains", "divergence"]
"""rows: number of rows. holds: the column is True. between: each value within the bounds. at_least, above: the first
column against the second, row by row. mean, sum: of the column, within the bounds. contains: bad and good occur.
divergence: the column is distributed as in the reference. Missing values break no rule but `holds`."""


@dataclass(frozen=True)
class Rule:
    """One rule. `expected` is a format of `low` and `high`; `shown`: columns of the table whose values explain an
    offending row to a person.
    """

    name: str
    table: Table
    columns: tuple[str, ...]
    check: Check
    title: str
    expected: str
    low: float | str | None = None
    high: float | str | None = None
    severity: Literal["critical", "warning"] = "critical"
    shown: tuple[str, ...] = ()


_CATALOG = (
    Rule("catalog_rows", "catalog", (), "rows", "photos in the catalog", "at least {low}", low=1),
    Rule(
        "source_given",
        "catalog",
        ("source_given",),
        "holds",
        "source of each photo",
        "given in every row",
        shown=("source",),
    ),
    Rule(
        "source_key_given",
        "catalog",
        ("key_given",),
        "holds",
        "source key of each photo",
        "given in every row",
        shown=("source_key",),
    ),
    Rule(
        "keys_unique",
        "catalog",
        ("key_unique",),
        "holds",
        "source and source key",
        "unique together",
        shown=("source", "source_key"),
    ),
    Rule("photo_id_form", "catalog", ("id_form",), "holds", "photo id", "64 hex digits", shown=("photo_id",)),
    Rule(
        "photo_stored",
        "catalog",
        ("stored",),
        "holds",
        "photos with status ok",
        "an id, a place in a shard and a size for each",
        shown=("photo_id", "shard", "row", "original_width", "original_height"),
    ),
    Rule(
        "quarantined_share",
        "catalog",
        ("quarantined",),
        "mean",
        "share of quarantined photos",
        "at most {high:g}",
        low=0,
        high="max_quarantined_share",
        shown=("status",),
    ),
    Rule(
        "votes_count",
        "catalog",
        ("votes_count",),
        "between",
        "number of votes",
        "0 or more",
        low=0,
        shown=("votes_count",),
    ),
    Rule(
        "votes_mean_given",
        "catalog",
        ("mean_given",),
        "holds",
        "photos with votes",
        "a mean vote for each",
        shown=("votes_count", "votes_mean"),
    ),
    Rule(
        "votes_histogram",
        "catalog",
        ("histogram_sound",),
        "holds",
        "votes per star",
        "0 or more",
        shown=("votes_histogram",),
    ),
    Rule(
        "rating_scale",
        "catalog",
        ("rating_max", "rating_min"),
        "above",
        "rating scale",
        "highest vote over lowest vote",
        shown=("rating_min", "rating_max"),
    ),
    Rule(
        "votes_not_under_scale",
        "catalog",
        ("votes_mean", "rating_min"),
        "at_least",
        "mean vote",
        "at least the lowest vote of its scale",
        shown=("votes_mean", "rating_min"),
    ),
    Rule(
        "votes_not_over_scale",
        "catalog",
        ("rating_max", "votes_mean"),
        "at_least",
        "mean vote",
        "at most the highest vote of its scale",
        shown=("votes_mean", "rating_max"),
    ),
    *(
        Rule(
            column,
            "catalog",
            (column,),
            "between",
            column.replace("_", " "),
            "{low} to {high} pixels",
            low=1,
            high=LONGEST_SIDE,
            shown=(column,),
        )
        for column in ("original_width", "original_height")
    ),
    *(
        Rule(
            f"{column}_not_in_future",
            "catalog",
            (f"{column}_past",),
            "holds",
            f"date {column}",
            "not after {high:%Y-%m-%d %H:%M} UTC",
            high="latest",
            severity="warning" if column == "taken_at" else "critical",  # a camera's clock is nobody's promise
            shown=(column,),
        )
        for column in DATES
    ),
)
_LABELS = (
    Rule(
        "label_photo_id_given",
        "labels",
        ("id_given",),
        "holds",
        "photo id of each label",
        "given in every row",
        shown=("photo_id",),
    ),
    Rule(
        "label_photo_id_unique",
        "labels",
        ("id_unique",),
        "holds",
        "photo id of each label",
        "unique",
        shown=("photo_id",),
    ),
    Rule(
        "label_in_catalog",
        "labels",
        ("in_catalog",),
        "holds",
        "labelled photos",
        "all in the catalog and not quarantined",
        shown=("photo_id",),
    ),
    Rule(
        "labelled_photos", "labels", ("labelled",), "sum", "photos with a label", "at least {low:g}", low="min_photos"
    ),
    Rule("both_classes", "labels", ("label",), "contains", "classes among the labels", "bad and good"),
    Rule(
        "good_share",
        "labels",
        ("is_good",),
        "mean",
        "share of good photos",
        "{low:g} to {high:g}",
        low="good_share_low",
        high="good_share_high",
    ),
)
_DISTRIBUTIONS = tuple(
    Rule(
        shape.rule,
        shape.table,
        (shape.column,),
        "divergence",
        f"change of the {shape.kind} since the last accepted data (KL divergence)",
        "at most {high:g}",
        high=f"kl_{shape.kind}",
    )
    for shape in SHAPES
)
RULES: tuple[Rule, ...] = (*_CATALOG, *_LABELS, *_DISTRIBUTIONS)


def bounds(params: ValidationParams, now: datetime) -> dict[str, Any]:
    """Return every named bound: the thresholds of `params`, and the latest date at the instant `now`."""
    return {
        "min_photos": params.min_photos,
        "max_quarantined_share": params.max_quarantined_share,
        "good_share_low": params.good_share[0],
        "good_share_high": params.good_share[1],
        "latest": latest_date(now),
        **{f"kl_{shape.kind}": getattr(params.max_kl_divergence, shape.kind) for shape in SHAPES},
    }


def bound(value: float | str | None, known: Mapping[str, Any]) -> Any:
    """Return the bound itself: a number stays, a name is looked up."""
    return known[value] if isinstance(value, str) else value


def expected(rule: Rule, known: Mapping[str, Any]) -> str:
    """Return in words what a rule expects."""
    return rule.expected.format(low=bound(rule.low, known), high=bound(rule.high, known))


def severity(rule: Rule, params: ValidationParams) -> str:
    """Return "critical" or "warning": what a failure of the rule comes to."""
    return "warning" if rule.name in params.only_warn else rule.severity


def assert_known(names: list[str]) -> None:
    """Raise ConfigError when a name in `validation.only_warn` is that of no rule."""
    unknown = [name for name in names if name not in {rule.name for rule in RULES}]
    if unknown:
        raise ConfigError(
            f"validation.only_warn names no rule: {', '.join(unknown)}.",
            next_step=f"The rules are {', '.join(rule.name for rule in RULES)}.",
        )

"""From rules to expectations of Great Expectations.

Each expectation carries in its `meta` the rule's name and what a person needs to read its outcome. Great Expectations
is imported inside, because that takes seconds.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from photoqual.config import ValidationParams
from photoqual.validation import rules
from photoqual.validation.distribution import CLASSES
from photoqual.validation.drift import HOLDOUT, Comparison, shares
from photoqual.validation.rules import Rule, Table

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation


def in_force(table: Table, comparisons: Sequence[Comparison], labelled: int) -> list[Rule]:
    """Return the rules of `table` that can be checked: without any label there is no share of good ones, and only
    distributions with a reference and a limit are held to it.
    """
    compared = {found.rule for found in comparisons if found.divergence is not None and found.limit is not None}
    return [
        rule
        for rule in rules.RULES
        if rule.table == table
        and (rule.check != "divergence" or rule.name in compared)
        and (rule.name != "good_share" or labelled)
    ]


def suite(
    chosen: Sequence[Rule], params: ValidationParams, known: Mapping[str, Any], comparisons: Sequence[Comparison]
) -> "list[Expectation]":
    """Return an expectation per rule, in their order."""
    references = {found.rule: found.before or {} for found in comparisons}
    return [_expectation(rule, params, known, references.get(rule.name, {})) for rule in chosen]


def _expectation(
    rule: Rule, params: ValidationParams, known: Mapping[str, Any], reference: Mapping[str, int]
) -> "Expectation":
    import great_expectations.expectations as gxe

    low, high = rules.bound(rule.low, known), rules.bound(rule.high, known)
    stated: dict[str, Any] = {
        "meta": {"name": rule.name, "title": rule.title, "expected": rules.expected(rule, known)},
        "severity": rules.severity(rule, params),
    }
    column = {"column": rule.columns[0]} if rule.columns else {}
    limits = {"min_value": low, "max_value": high}
    match rule.check:
        case "rows":
            kind, said = gxe.ExpectTableRowCountToBeBetween, limits
        case "holds":
            kind, said = gxe.ExpectColumnValuesToBeInSet, {**column, "value_set": [True]}
        case "between":
            kind, said = gxe.ExpectColumnValuesToBeBetween, {**column, **limits}
        case "mean":
            kind, said = gxe.ExpectColumnMeanToBeBetween, {**column, **limits}
        case "sum":
            kind, said = gxe.ExpectColumnSumToBeBetween, {**column, **limits}
        case "contains":
            kind, said = gxe.ExpectColumnDistinctValuesToContainSet, {**column, "value_set": list(CLASSES)}
        case "at_least" | "above":
            kind = gxe.ExpectColumnPairValuesAToBeGreaterThanB
            said = {
                "column_A": rule.columns[0],
                "column_B": rule.columns[1],
                "or_equal": rule.check == "at_least",
                "ignore_row_if": "either_value_is_missing",
            }
        case "divergence":
            kind = gxe.ExpectColumnKLDivergenceToBeLessThan
            weights = shares(reference)
            said = {
                **column,
                "partition_object": {"values": list(weights), "weights": list(weights.values())},
                "threshold": high,
                "tail_weight_holdout": HOLDOUT,
            }
    return kind(**said, **stated)

"""How a frozen test set wears out: each verdict on it spends a part of the chance of error it has. Pure functions.

The chance that equal models are ever called better on one set is to stay within alpha = 1 − confidence, however many
are judged. Verdict k may use alpha / (k (k + 1)); these parts add up to alpha, so the union bound holds whatever the
verdicts have in common. A verdict is one pair of champion and challenger, judged in earnest or as a dry run: looking
is what wears. A pair that is judged again keeps the number of its first time. What is guaranteed when challengers
depend on earlier verdicts, and what is not: docs/promotion.md.
"""


def level(look: int, confidence: float) -> float:
    """Return the chance of error that verdict number `look` (from 1) on a set may use."""
    _check_number(look, 1)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence has to lie between 0 and 1, not at {confidence}")
    return (1 - confidence) / (look * (look + 1))


def confidence_at(look: int, confidence: float) -> float:
    """Return the confidence that verdict number `look` (from 1) on a set has to reach."""
    return 1 - level(look, confidence)


def left(looks: int) -> float:
    """Return the share, 0 to 1, of the set's chance of error that is left after `looks` verdicts (from 0)."""
    _check_number(looks, 0)
    return 1 / (looks + 1)


def _check_number(number: int, least: int) -> None:
    if number < least:
        raise ValueError(f"a frozen test set cannot have verdict number {number}; the least is {least}")

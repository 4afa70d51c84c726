"""Alpha spending over the verdicts on one frozen set: the arithmetic, and that it holds on simulated series."""

import numpy as np
import pytest

from photoqual.evaluation.significance import paired_difference
from photoqual.evaluation.wear import confidence_at, left, level


@pytest.mark.parametrize(
    ("look", "confidence", "expected"),
    [(1, 0.95, 0.025), (2, 0.95, 0.05 / 6), (3, 0.95, 0.05 / 12), (10, 0.9, 0.1 / 110), (200, 0.95, 0.05 / 40_200)],
)
def test_each_verdict_has_its_part(look: int, confidence: float, expected: float) -> None:
    assert level(look, confidence) == pytest.approx(expected)
    assert confidence_at(look, confidence) == pytest.approx(1 - expected, abs=1e-15)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("looks", [0, 1, 2, 7, 200, 10_000])
def test_what_is_spent_and_what_is_left_make_the_whole(looks: int, confidence: float) -> None:
    spent = sum(level(look, confidence) for look in range(1, looks + 1))
    assert spent + left(looks) * (1 - confidence) == pytest.approx(1 - confidence)
    assert spent < 1 - confidence


def test_confidence_rises_and_stays_below_certainty() -> None:
    asked = [confidence_at(look, 0.95) for look in (1, 2, 3, 10, 100, 1000, 100_000, 1_000_000)]
    assert asked == sorted(set(asked))
    assert asked[-1] < 1


@pytest.mark.parametrize(
    ("look", "confidence", "says"), [(0, 0.95, "least is 1"), (-3, 0.95, "least is 1"), (1, 1.0, "between 0 and 1")]
)
def test_impossible_numbers_are_refused(look: int, confidence: float, says: str) -> None:
    for rule in (level, confidence_at):
        with pytest.raises(ValueError, match=says):
            rule(look, confidence)


def test_negative_numbers_of_verdicts_are_refused() -> None:
    with pytest.raises(ValueError, match="least is 0"):
        left(-1)


def test_many_equal_retrains_on_one_set_are_rarely_promoted() -> None:
    """Retrains share what they make of each photo, so their verdicts depend on one another."""
    draw = np.random.default_rng(3)
    good = np.arange(200) % 5 < 2
    spending = fixed = 0
    for _ in range(100):
        shared = 1.35 * good + 0.8 * draw.normal(size=200)
        champion = shared + 0.6 * draw.normal(size=200)
        chances = [
            paired_difference(good, champion, shared + 0.6 * draw.normal(size=200), 0.95).p_value for _ in range(40)
        ]
        spending += any(chance < level(look, 0.95) for look, chance in enumerate(chances, start=1))
        fixed += min(chances) < 0.05
    assert spending <= 12  # 5 expected at most; more than 12 would happen once in 700
    assert fixed > 25

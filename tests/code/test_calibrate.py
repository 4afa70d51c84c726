"""Calibration: probabilities that mean what they say, in the order of the evidence, and a margin that keeps its word."""

import logging

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from photoqual.training.calibrate import KINDS, Curve, cross_fitted, errors, expected_error, fit, sure_margin


def simulated(photos: int, seed: int, share: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels, and log odds (for equally frequent classes) that are right by construction."""
    draw = np.random.default_rng(seed)
    good = (draw.random(photos) < share).astype(int)
    return good, 2.0 * (draw.normal(size=photos) + (2 * good - 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.15])
def test_overconfident_evidence_is_mended_whatever_the_share_of_good_photos(kind: str, share: float) -> None:
    good, log_odds = simulated(4000, 3, share)
    evidence = 3 * log_odds
    curve = fit(kind, good, evidence)  # type: ignore[arg-type]
    assert curve.kind == kind
    fresh_good, fresh = simulated(20_000, 4, share)
    mended = curve.apply(3 * fresh)
    assert np.abs(mended - expit(fresh)).mean() < 0.03
    assert expected_error(fresh_good, mended) < 0.03
    assert expected_error(fresh_good, expit(3 * fresh)) > 0.05


def test_an_offset_is_what_platt_finds_and_temperature_leaves() -> None:
    good, log_odds = simulated(4000, 5)
    shifted = log_odds + 2
    assert fit("platt", good, shifted).offset == pytest.approx(-2, abs=0.2)
    temperature = fit("temperature", good, shifted)
    assert (temperature.offset, temperature.knots) == (0.0, ())


def test_isotonic_follows_a_bent_curve_that_platt_cannot() -> None:
    good, log_odds = simulated(3000, 6)
    bent = np.where(log_odds > 0, log_odds**2, log_odds / 4)
    errors_by_kind = {kind: expected_error(good, cross_fitted(kind, good, bent)) for kind in KINDS}
    assert errors_by_kind["isotonic"] < 0.6 * errors_by_kind["platt"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_evidence_stays(kind: str) -> None:
    good, evidence = simulated(500, 7)
    evidence = np.append(evidence, [-30, 30, 30.5])
    curve = fit(kind, good, evidence[:-3])  # type: ignore[arg-type]
    scores = curve.apply(evidence)
    assert (np.diff(scores[np.argsort(evidence)]) >= 0).all()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert roc_auc_score(good, scores[:-3]) == pytest.approx(roc_auc_score(good, evidence[:-3]), abs=1e-12)
    assert len(curve.knots) <= 16


def test_isotonic_becomes_platt_where_photos_are_too_few(caplog: pytest.LogCaptureFixture) -> None:
    good, evidence = simulated(60, 8)
    with caplog.at_level(logging.WARNING):
        curve = fit("isotonic", good, evidence)
    assert curve == fit("platt", good, evidence)
    assert "too few for isotonic calibration: platt is used" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_classes_that_are_told_apart_without_error_and_evidence_without_any_meaning(kind: str) -> None:
    good = np.arange(200) % 2
    perfect = fit(kind, good, 2.0 * good - 1).apply(np.array([-1.0, 1.0]))
    assert 0 < perfect[0] < 0.1
    assert 0.9 < perfect[1] < 1
    assert fit(kind, good, np.zeros(200)).apply(np.zeros(1)) == pytest.approx([0.5], abs=0.01)


def test_errors_are_of_curves_that_have_not_seen_the_photo(caplog: pytest.LogCaptureFixture) -> None:
    good, log_odds = simulated(2000, 9)
    with caplog.at_level(logging.INFO):
        found = errors("platt", good, 4 * log_odds)
    assert found["calibration_error_after"] < 0.04
    assert found["calibration_error_before"] > 0.06
    assert "before" in caplog.text
    draw = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    luck = np.repeat(draw.normal(size=40), 5)  # evidence that only tells which group it is
    labels = np.repeat(draw.random(40) < 0.5, 5).astype(int)
    apart = cross_fitted("isotonic", labels, luck, groups)
    assert all(len(np.unique(np.round(apart[groups == group], 9))) == 1 for group in range(40))
    assert errors("platt", np.array([0, 1, 1]), np.array([0.0, 1, 2]))["calibration_error_after"] is None


def test_expected_error_by_hand_counts_both_classes_alike() -> None:
    good = np.array([1, 1, 1, 0])
    assert expected_error(good, np.array([0.95, 0.95, 0.95, 0.05])) == pytest.approx(0.05)
    assert expected_error(good, np.full(4, 0.5)) == pytest.approx(0)
    assert expected_error(good, np.full(4, 1.0)) == pytest.approx(0.5)


def test_sure_margin_keeps_its_error_rate_in_nine_of_ten_trainings() -> None:
    rates, shares = [], []
    test_good, test_evidence = simulated(20_000, 10)
    for seed in range(40):
        good, evidence = simulated(300, 100 + seed)
        margin = sure_margin(good, cross_fitted("platt", good, evidence), 0.5)
        assert margin is not None
        scores = fit("platt", good, evidence).apply(test_evidence)
        sure = np.abs(scores - 0.5) >= margin
        rates.append(((scores >= 0.5) != (test_good == 1))[sure].mean())
        shares.append(sure.mean())
    assert np.mean(np.array(rates) <= 0.1) >= 0.85
    assert np.mean(shares) > 0.5


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [(22, 0, 0.4), (21, 0, None), (37, 1, 0.4), (36, 1, None), (0, 0, None)],
)
def test_sure_margin_needs_as_many_photos_as_the_exact_bound(right: int, wrong: int, expected: float | None) -> None:
    good = np.array([1] * right + [0] * wrong + [0, 1] * 10)
    scores = np.array([0.9] * (right + wrong) + [0.6] * 20)
    found = sure_margin(good, scores, 0.5)
    assert found == (None if expected is None else pytest.approx(expected))


def test_a_curve_without_knots_is_the_sigmoid() -> None:
    np.testing.assert_allclose(Curve("platt", 2.0, -1.0).apply(np.array([0.5, 1.0])), expit([0.0, 1.0]))

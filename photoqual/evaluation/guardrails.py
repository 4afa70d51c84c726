"""What a challenger must not break, whatever its AUC. Pure functions; the limits are `promote.guardrails` in params.

Why each limit is what it is: docs/how-to/guardrails.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import stats

from photoqual.config import GuardrailParams
from photoqual.evaluation.calibration import calibration_interval
from photoqual.evaluation.metrics import auc
from photoqual.evaluation.significance import careful_difference, careful_interval

MIN_OF_A_CLASS = 5
"""Good and bad photos that a slice needs to be judged."""
QUANTILE = 0.9
"""Of the absolute changes of the score under a harmless change, which one is held against the limit."""
_NAMED = 6

Outcome = Literal["holds", "broken", "not_evaluable", "reported"]


@dataclass(frozen=True)
class Guardrail:
    """One guardrail's number against its limit. `low` and `high` are bounds of `value` where it has any; `text` says
    in one sentence what was found. `reported` is a number that is not judged: a slice without a champion to compare
    with, or too small; a limit that cannot be broken.
    """

    name: str
    outcome: Outcome
    value: float | None
    limit: float | None
    text: str
    low: float | None = None
    high: float | None = None

    @property
    def blocks(self) -> bool:
        """Tell whether this alone keeps the challenger from being promoted."""
        return self.outcome in ("broken", "not_evaluable")


@dataclass(frozen=True)
class Behaviour:
    """What a model did on the frozen photos beside its scores.

    `sure`: (n,) of booleans. `photos_per_second`: through the model alone, decoding left out. `model_bytes`: size of
    model.onnx. `changes`: by check (`darkened`, …, `flipped`, `cropped`), score of the changed photo minus score of the
    original, (k,), over the photos that the check was made on.
    """

    sure: np.ndarray
    photos_per_second: float
    model_bytes: int
    changes: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Frozen:
    """The frozen photos and what the models said of them, all (n,); `champion` is None when there is none."""

    good: np.ndarray
    groups: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray | None


def judge(
    good: np.ndarray,
    groups: np.ndarray,
    challenger_scores: np.ndarray,
    champion_scores: np.ndarray | None,
    challenger: Behaviour,
    champion: Behaviour | None,
    slices: Mapping[str, np.ndarray],
    params: GuardrailParams,
    confidence: float,
) -> tuple[Guardrail, ...]:
    """Return every guardrail in a stable order: calibration, sureness, speed, size, slices, damages, harmless changes.

    `slices` is what evaluation.slices.slices gives; those that `params.slices` names are judged. Without a champion
    (None for both its arguments) slices are reported and the slowdown is left out. Raise DataError when the scores
    cannot be judged at all (see metrics.checked).
    """
    frozen = _Frozen(np.asarray(good), groups, challenger_scores, champion_scores)
    found = [_calibration(frozen, params, confidence), _unsure(challenger, params), _speed(challenger, params)]
    if champion is not None:
        found.append(_slowdown(challenger, champion, params))
    found.append(_size(challenger, params))
    found += _slices(frozen, {name: slices[name] for name in params.slices}, params, confidence)
    for name, most in params.max_rises.model_dump().items():
        found.append(_damage(name, challenger.changes.get(name), most, confidence))
    for name, most in params.max_changes.model_dump().items():
        found.append(_harmless(name, challenger.changes.get(name), most))
    return tuple(found)


def _held(holds: bool, *, share_limit: float = 0.0) -> Outcome:
    """Return the outcome; a limit of the whole of a share cannot be broken, so its number is reported only."""
    if share_limit >= 1:
        return "reported"
    return "holds" if holds else "broken"


def _calibration(frozen: _Frozen, params: GuardrailParams, confidence: float) -> Guardrail:
    value, low, high = calibration_interval(frozen.good, frozen.challenger, frozen.groups, confidence)
    limit = params.max_calibration_error
    text = f"Scores lie {value:.3f} from the share of good photos on average (limit {limit:g}); on {len(frozen.good)} photos this tells that the true figure is {low:.3f} to {high:.3f}."
    return Guardrail("calibration error", _held(value <= limit), value, limit, text, low, high)


def _unsure(challenger: Behaviour, params: GuardrailParams) -> Guardrail:
    unsure = int((~challenger.sure).sum())
    share = unsure / len(challenger.sure)
    limit = params.max_unsure_share
    text = f"{unsure} of {len(challenger.sure)} answers are unsure ({share:.0%}, limit {limit:.0%})."
    return Guardrail("unsure share", _held(share <= limit, share_limit=limit), share, limit, text)


def _speed(challenger: Behaviour, params: GuardrailParams) -> Guardrail:
    value, limit = challenger.photos_per_second, params.min_photos_per_second
    if not np.isfinite(value):
        return Guardrail("photos per second", "not_evaluable", None, limit, "The model's speed could not be measured.")
    text = f"{value:.1f} photos a second, decoding left out (at least {limit:g})."
    return Guardrail("photos per second", _held(value >= limit), value, limit, text)


def _slowdown(challenger: Behaviour, champion: Behaviour, params: GuardrailParams) -> Guardrail:
    ours, theirs, limit = challenger.photos_per_second, champion.photos_per_second, params.max_slowdown
    if not (np.isfinite(ours) and np.isfinite(theirs) and ours > 0):
        return Guardrail("slowdown", "not_evaluable", None, limit, "The speed of a model could not be measured.")
    value = theirs / ours
    text = f"A photo takes {value:.2f} times as long as with the champion ({ours:.1f} against {theirs:.1f} photos a second, limit {limit:g} times)."
    return Guardrail("slowdown", _held(value <= limit), value, limit, text)


def _size(challenger: Behaviour, params: GuardrailParams) -> Guardrail:
    value, limit = challenger.model_bytes / 1e6, params.max_model_megabytes
    text = f"The model takes {value:.2f} MB (limit {limit:g})."
    return Guardrail("model size", _held(value <= limit), value, limit, text)


def _slices(
    frozen: _Frozen, slices: Mapping[str, np.ndarray], params: GuardrailParams, confidence: float
) -> list[Guardrail]:
    """Judge every slice that is large enough, at a confidence shared among them; list the rest of each slicing."""
    large = {slicing: _large(frozen.good, names, params.min_slice_photos) for slicing, names in slices.items()}
    judged = sum(len(names) for names in large.values())
    level = 1 - (1 - confidence) / max(1, judged)
    found = []
    for slicing, names in slices.items():
        found += [
            _reported(f"{slicing}={name}", frozen, names == name, confidence)
            if frozen.champion is None
            else _slice(f"{slicing}={name}", frozen, frozen.champion, names == name, params.max_slice_loss, level)
            for name in large[slicing]
        ]
        rest = _rest(slicing, frozen.good, names, large[slicing], params.min_slice_photos)
        found += [rest] if rest else []
    return found


def _large(good: np.ndarray, names: np.ndarray, least: int) -> list[str]:
    """Return the slices that can be judged; none when there is one slice only, which is the whole set."""
    every = sorted(set(names))
    if len(every) < 2:
        return []
    return [
        name
        for name in every
        if (names == name).sum() >= least
        and min((good[names == name] == 1).sum(), (good[names == name] == 0).sum()) >= MIN_OF_A_CLASS
    ]


def _reported(name: str, frozen: _Frozen, here: np.ndarray, confidence: float) -> Guardrail:
    """State the AUC on one slice when there is no champion to compare with."""
    good, groups, ours = frozen.good[here], frozen.groups[here], frozen.challenger[here]
    value = auc(good, ours)
    low, high = careful_interval(good, ours, confidence, groups)
    text = f"AUC {value:.3f} ({low:.3f} to {high:.3f}) on {_photos(good)}; no champion to compare with."
    return Guardrail(f"slice {name}", "reported", value, None, text, low, high)


def _slice(name: str, frozen: _Frozen, champion: np.ndarray, here: np.ndarray, most: float, level: float) -> Guardrail:
    """Compare the models on one slice: broken when the challenger is worse by more than `most` and beyond chance."""
    good, groups, ours, theirs = frozen.good[here], frozen.groups[here], frozen.challenger[here], champion[here]
    # asked the other way round, so that the careful bound is the one that shows harm
    loss = careful_difference(good, ours, theirs, level, groups)
    delta, low, high = (0.0 - value for value in (loss.delta, loss.high, loss.low))
    text = f"AUC {auc(good, ours):.3f} against {auc(good, theirs):.3f} on {_photos(good)}: difference {delta:+.3f} ({low:+.3f} to {high:+.3f}, each bound at {level:.1%}); broken when more than {most:g} worse and beyond chance."
    return Guardrail(f"slice {name}", _held(loss.delta <= most or loss.low <= 0), delta, -most, text, low, high)


def _photos(good: np.ndarray) -> str:
    return f"{len(good)} photos, {int((good == 1).sum())} of them good"


def _rest(slicing: str, good: np.ndarray, names: np.ndarray, large: list[str], least: int) -> Guardrail | None:
    """Report the slices that cannot be judged, None when all are; `value` counts the photos in them."""
    small = {name: int((names == name).sum()) for name in sorted(set(names) - set(large))}
    if not small:
        return None
    photos = sum(small.values())
    if len(small) == 1 and not large:
        text = f"All {photos} photos are {slicing}={next(iter(small))}; there is nothing to compare."
        return Guardrail(f"slices by {slicing}", "reported", float(photos), None, text)
    named = ", ".join(f"{name} ({count})" for name, count in list(small.items())[:_NAMED])
    more = f" and {len(small) - _NAMED} more" if len(small) > _NAMED else ""
    start = "" if large else "No slice can be judged. "
    text = f"{start}Too small (under {least} photos, or under {MIN_OF_A_CLASS} of a class), with {photos} of {len(good)} photos: {named}{more}."
    return Guardrail(f"slices by {slicing}", "reported", float(photos), None, text)


def _damage(name: str, changes: np.ndarray | None, most: float, confidence: float) -> Guardrail:
    flaw = _flaw(changes)
    if flaw or changes is None:
        return Guardrail(f"damage {name}", "not_evaluable", None, most, f"Not evaluable: {flaw}.")
    rises = int((changes > 0).sum())
    value = rises / len(changes)
    low, high = stats.binomtest(rises, len(changes)).proportion_ci(confidence)
    text = f"{rises} of {len(changes)} good photos score higher when {name} ({value:.1%}, limit {most:.1%})."
    return Guardrail(
        f"damage {name}", _held(value <= most, share_limit=most), value, most, text, float(low), float(high)
    )


def _harmless(name: str, changes: np.ndarray | None, most: float) -> Guardrail:
    flaw = _flaw(changes)
    if flaw or changes is None:
        return Guardrail(f"change {name}", "not_evaluable", None, most, f"Not evaluable: {flaw}.")
    value = float(np.quantile(np.abs(changes), QUANTILE))
    text = f"The score of {QUANTILE:.0%} of {len(changes)} good photos moves by at most {value:.3f} when {name} (limit {most:g})."
    return Guardrail(f"change {name}", _held(value <= most, share_limit=most), value, most, text)


def _flaw(changes: np.ndarray | None) -> str | None:
    """Return why a check says nothing, None when it does."""
    if changes is None or len(changes) == 0:
        return "the check was made on no photo"
    odd = int((~np.isfinite(changes)).sum())
    return f"{odd} of {len(changes)} changed photos have a score that is not a number" if odd else None

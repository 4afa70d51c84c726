"""The page of a verdict: the decision and why, with all it rests on. One HTML file that can be sent on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from photoqual.errors import DataError
from photoqual.evaluation import verdict_plots as plots
from photoqual.evaluation.curves import Bin, reliability, roc_band
from photoqual.evaluation.guardrails import Guardrail
from photoqual.evaluation.metrics import auc, calibration_error, checked
from photoqual.pages.render import compact, decimal, inline_png, percent, render, signed, when
from photoqual.registry.disagreements import Names, Thumbnails, disagreements
from photoqual.registry.forest import forest

_CONFIDENCE = 0.95
_CHANCE = 0.5
_SLICE, _SLICES, _CHECKS = "slice ", "slices by ", ("damage ", "change ")
_HEADLINES = {
    "promoted": ("good", "✓", "Promoted"),
    "refused": ("bad", "✗", "Refused"),
    "not_evaluable": ("wait", "?", "Not evaluable"),
    "awaiting_approval": ("wait", "…", "Awaiting approval"),
    "rejected": ("bad", "✗", "Rejected by a person"),
}


def verdict_page(
    verdict: Mapping[str, Any],
    frozen: pd.DataFrame,
    challenger_scores: np.ndarray | None,
    champion_scores: np.ndarray | None,
    guardrails: Sequence[Guardrail],
    thumbnails: Thumbnails,
    names: Names,
) -> str:
    """Return the page of `verdict` (see promote.promote) as HTML. `names`: versions of challenger and champion.

    `frozen` has the columns `photo_id`, `good` and `group`; scores are (n,) in its order, None where a model could not
    be scored or there is no champion. Raise DataError when scores and photos do not match.
    """
    good, groups = frozen["good"].to_numpy(), frozen["group"].to_numpy(dtype=object)
    ours, flaw = _usable(good, challenger_scores, f"version {names[0]}")
    theirs, other_flaw = _usable(good, champion_scores, f"version {names[1]}")
    numbers = verdict.get("numbers") or {}
    confidence = float(numbers.get("confidence", _CONFIDENCE))
    models = [] if ours is None else [_model(names[0], good, ours, groups, confidence)]
    if models and theirs is not None:
        models.append(_model(str(names[1]), good, theirs, groups, confidence))
    return render(
        "verdict.html",
        verdict={"reason": verdict["reason"], "at": verdict.get("at")},
        challenger=names[0],
        champion=names[1],
        confidence=confidence,
        headline=_headline(verdict, names),
        plainly=_plainly(numbers, names),
        measures=_measures(numbers, names, good, ours, theirs),
        facts=_facts(numbers, frozen),
        difference=_difference(numbers),
        curves=_curves(models, other_flaw),
        calibration=_calibration(models),
        no_curves=f"Nothing can be drawn: {flaw}",
        guardrails=_guardrails(guardrails),
        forest=forest([rail for rail in guardrails if rail.name.startswith(_SLICE)]),
        disagreements=disagreements(frozen, ours, theirs, names, thumbnails),
        wear=_wear(numbers, confidence),
        provenance=_provenance(verdict, names),
    )


def _usable(good: np.ndarray, scores: np.ndarray | None, whose: str) -> tuple[np.ndarray | None, str]:
    """Return `scores` when curves can be drawn of them, else None and why not."""
    if scores is None:
        return None, f"{whose} was not scored."
    scores = np.asarray(scores, dtype=float)
    if scores.shape != good.shape:
        raise DataError(
            f"{whose} has {scores.size} scores for {len(good)} frozen photos.",
            next_step="Give the scores in the order of the frozen test set.",
        )
    try:
        checked(good, scores)
    except DataError as error:
        return None, f"of {whose}: {error.message}"
    return scores, ""


def _model(version: str, good: np.ndarray, scores: np.ndarray, groups: np.ndarray, confidence: float) -> plots.Model:
    return plots.Model(
        version,
        auc(good, scores),
        roc_band(good, scores, confidence, groups=groups),
        reliability(good, np.clip(scores, 0, 1), confidence, groups=groups),
    )


def _headline(verdict: Mapping[str, Any], names: Names) -> dict[str, Any]:
    decision, (ours, theirs) = str(verdict["decision"]), names
    kind, sign, word = _HEADLINES.get(decision, ("info", "", decision.replace("_", " ").capitalize()))
    dry = bool(verdict.get("dry_run"))
    place = f"replaces version {theirs}" if theirs else "becomes the first champion"
    plain_place = place.replace("replaces", "replace").replace("becomes", "become")
    sentence = {
        "promoted": f"Version {ours} would {plain_place}" if dry else f"Version {ours} {place}",
        "refused": f"Version {ours} does not {plain_place.replace('the first', '')}".replace("  ", " "),
        "not_evaluable": f"Version {ours} could not be judged" + (f" against version {theirs}" if theirs else ""),
        "awaiting_approval": f"Version {ours} may {plain_place} once a person agrees",
        "rejected": f"Version {ours} was turned down by a person"
        + (f"; version {theirs} stays champion" if theirs else ""),
    }.get(decision, f"Version {ours}: {decision.replace('_', ' ')}")
    notes = ["This was a dry run: it was judged, and nothing was changed."] if dry else []
    return {"kind": kind, "sign": sign, "word": word, "sentence": sentence, "notes": notes}


def _plainly(numbers: Mapping[str, Any], names: Names) -> str:
    """Say what the AUCs mean."""
    ours, theirs = numbers.get("challenger_auc"), numbers.get("champion_auc")
    if ours is None:
        return ""
    start = f"Of a good and a bad photo, version {names[0]} gives the good one the higher score {percent(ours, 1)} of the time"
    return (
        f"{start}; chance does so half the time."
        if theirs is None
        else f"{start}, version {names[1]} {percent(theirs, 1)}."
    )


def _bound(numbers: Mapping[str, Any], confidence: float) -> str:
    """Return the confidence of this verdict's bounds, with as many digits as tell it from 100 %."""
    level = float(numbers.get("level", 1 - confidence))
    digits = max(1, math.ceil(-math.log10(level)) - 1)
    return f"{100 * (1 - level):.{digits}f}".rstrip("0").rstrip(".") + "%"


def _measures(
    numbers: Mapping[str, Any], names: Names, good: np.ndarray, ours: np.ndarray | None, theirs: np.ndarray | None
) -> dict[str, Any] | None:
    """Return the table of what each model reaches, the difference in the last row."""
    if numbers.get("challenger_auc") is None:
        return None
    errors = [None if scores is None else calibration_error(good, np.clip(scores, 0, 1)) for scores in (ours, theirs)]
    rows = [[f"Challenger, version {names[0]}", decimal(numbers["challenger_auc"], 4), decimal(errors[0])]]
    if numbers.get("champion_auc") is not None:
        apart = None if errors[0] is None or errors[1] is None else errors[0] - errors[1]
        rows += [
            [f"Champion, version {names[1]}", decimal(numbers["champion_auc"], 4), decimal(errors[1])],
            ["Difference", signed(numbers.get("delta_auc"), 4), signed(apart)],
        ]
    return {"headers": ["", "AUC", "Calibration error"], "rows": rows}


def _facts(numbers: Mapping[str, Any], frozen: pd.DataFrame) -> list[tuple[str, str]]:
    photos = int(numbers.get("photos", len(frozen)))
    good = int(numbers.get("good_photos", (frozen["good"] == 1).sum()))
    groups = int(numbers.get("groups", frozen["group"].nunique()))
    facts = [("Frozen photos", f"{photos:,}, {good:,} of them good, in {groups:,} group{'' if groups == 1 else 's'}")]
    confidence = float(numbers.get("confidence", _CONFIDENCE))
    bound = _bound(numbers, confidence)
    if numbers.get("delta_auc_low") is not None:
        facts += [
            ("Lower bound of the difference", f"{signed(numbers['delta_auc_low'], 4)} at {bound}"),
            ("It has to be over", compact(numbers.get("min_delta_auc"))),
        ]
    elif numbers.get("challenger_auc_low") is not None:
        facts += [
            ("Lower bound of the AUC", f"{decimal(numbers['challenger_auc_low'], 4)} at {bound}"),
            ("It has to be over", f"{_CHANCE}, which is chance"),
        ]
    if numbers.get("p_value") is not None:
        facts.append(("p, one-sided, of no difference", _p(float(numbers["p_value"]))))
    if numbers.get("method"):
        facts.append(("Method", str(numbers["method"])))
    return facts


def _p(value: float) -> str:
    return "under 0.0001" if value < 1e-4 else f"{value:.4f}"


def _difference(numbers: Mapping[str, Any]) -> dict[str, str] | None:
    """Draw what decides: the difference, or a first champion's AUC, with its bounds against what is required."""
    bound = _bound(numbers, float(numbers.get("confidence", _CONFIDENCE)))
    if _finite(numbers, "delta_auc", "delta_auc_low", "delta_auc_high"):
        value, low, high = (float(numbers[name]) for name in ("delta_auc", "delta_auc_low", "delta_auc_high"))
        required = float(numbers.get("min_delta_auc", 0.0))
        picture = plots.interval(
            value,
            low,
            high,
            required,
            measure="AUC of the challenger minus AUC of the champion",
            requirement=f"required: over {signed(required)}",
            form="+.3f",
        )
        reached = "over" if low > required else "not over"
        alt = f"Difference {signed(value)}, bounds {signed(low)} to {signed(high)}; the lower one is {reached} the required {signed(required)}."
        caption = f"Promoted when the whole line lies in the shaded part. Each end is a one-sided bound at {bound}."
    elif _finite(numbers, "challenger_auc", "challenger_auc_low"):
        value, low = float(numbers["challenger_auc"]), float(numbers["challenger_auc_low"])
        picture = plots.interval(
            value, low, None, _CHANCE, measure="AUC of the challenger", requirement="chance: 0.500", form=".3f"
        )
        reached = "over" if low > _CHANCE else "not over"
        alt = f"AUC {decimal(value)}, lower bound {decimal(low)}, which is {reached} chance."
        caption = f"A first champion has to beat chance. The left end is a one-sided bound at {bound}."
    else:
        return None
    return _shown(picture, alt) | {"caption": caption}


def _finite(numbers: Mapping[str, Any], *names: str) -> bool:
    return all(numbers.get(name) is not None and math.isfinite(numbers[name]) for name in names)


def _shown(picture: plots.Picture, alt: str) -> dict[str, Any]:
    return {"light": inline_png(picture.light), "dark": inline_png(picture.dark), "alt": alt}


def _curves(models: Sequence[plots.Model], other_flaw: str) -> dict[str, Any] | None:
    if not models:
        return None
    alt = "ROC curves: " + ", ".join(f"version {model.version} with AUC {model.auc:.3f}" for model in models) + "."
    notes = [f"One curve only: {other_flaw}"] if len(models) == 1 and "None" not in other_flaw else []
    return _shown(plots.roc_curves(models), alt) | {"notes": notes, "paired": len(models) == 2}


def _calibration(models: Sequence[plots.Model]) -> dict[str, Any] | None:
    if not models:
        return None
    tables = [(f"Version {model.version}", [_bin_row(found) for found in model.bins]) for model in models]
    alt = "Share of good photos over the score that they were given; the table has the same numbers."
    return _shown(plots.reliability_diagram(models), alt) | {"tables": tables}


def _bin_row(found: Bin) -> list[str]:
    return [
        f"{found.start:.1f} to {found.end:.1f}",
        f"{found.photos:,}",
        decimal(found.mean_score, 2),
        percent(found.good_share),
        f"{percent(found.low)} to {percent(found.high)}",
    ]


def _guardrails(found: Sequence[Guardrail]) -> dict[str, Any]:
    """Sort guardrails by what they are about, those that block first, and count their outcomes."""
    general = [rail for rail in found if not rail.name.startswith((_SLICE, _SLICES, *_CHECKS))]
    checks = [rail for rail in found if rail.name.startswith(_CHECKS)]
    counts = [
        f"{number} {word}"
        for outcome, word in (
            ("holds", "hold"),
            ("broken", "broken"),
            ("not_evaluable", "not evaluable"),
            ("reported", "reported only"),
        )
        if (number := sum(rail.outcome == outcome for rail in found))
    ]
    return {
        "summary": f"{len(found)} in all: {', '.join(counts)}." if found else "None was measured.",
        "blocking": [
            (word, [rail.name.replace("_", " ") for rail in found if rail.outcome == outcome])
            for outcome, word in (("broken", "Broken"), ("not_evaluable", "Not evaluable"))
            if any(rail.outcome == outcome for rail in found)
        ],
        "general": [(rail.name, rail) for rail in sorted(general, key=lambda rail: not rail.blocks)],
        "metamorphic": [
            (rail.name.split(" ", 1)[1], rail) for rail in sorted(checks, key=lambda rail: not rail.blocks)
        ],
        "notes": [(rail.name.replace("_", " "), rail.text) for rail in found if rail.name.startswith(_SLICES)],
    }


def _wear(numbers: Mapping[str, Any], confidence: float) -> dict[str, Any] | None:
    """Say how much of its chance of error the frozen set has spent, in words and as parts of a bar in per cent."""
    if not _finite(numbers, "look", "level", "alpha_left"):
        return None
    alpha = 1 - confidence
    left, now = float(numbers["alpha_left"]), min(1.0, float(numbers["level"]) / alpha)
    before = max(0.0, 1 - left - now)
    number = int(numbers["look"])
    sentence = (
        f"This is verdict number {number} on these photos. Over all verdicts on them, an equal model may be promoted "
        f"by chance with a probability of {percent(alpha, 1)}; this verdict may use {percent(float(numbers['level']), 2)}, "
        f"and {percent(left)} of the whole is left for later ones."
    )
    alt = f"{percent(before)} spent by earlier verdicts, {percent(now)} by this one, {percent(left)} left."
    return {"sentence": sentence, "alt": alt, "before": round(100 * before, 2), "now": round(100 * now, 2)}


def _provenance(verdict: Mapping[str, Any], names: Names) -> list[tuple[str, str]]:
    told = [
        ("Challenger", f"version {names[0]}"),
        ("Champion", f"version {names[1]}" if names[1] else "none yet"),
        ("Frozen test set", str(verdict.get("frozen_test_digest") or decimal(None))),
        ("Judged", when(verdict.get("at"))),
        ("Mode", "dry run" if verdict.get("dry_run") else "on"),
    ]
    if verdict.get("approved_by"):
        told.append(("Approved by", str(verdict["approved_by"])))
    if verdict.get("entry"):
        told.append(("Entry of the journal", str(verdict["entry"])))
    return told

"""Is a retrain worth it? Decided from what changed since the champion's data; pure, values in and a value out."""

from collections.abc import Sequence
from dataclasses import dataclass

from photoqual.config import RetrainParams


@dataclass(frozen=True)
class Changes:
    """What changed since the champion was made.

    `champion`: its version, None without one. `new_labels`, `changed_labels`, `removed_labels`: photos that have a
    label now and had none, another, or that lost it. `code`: dependencies of split, train and evaluate that differ.
    `params`: dotted keys that differ. `forgotten`: entries that were added to data/forgotten.jsonl. `alarm`: what the last watch said, if it raised an alarm. `unknown`: why the rest
    cannot be told, for instance because the champion's revision is gone.
    """

    champion: str | None
    new_labels: int = 0
    changed_labels: int = 0
    removed_labels: int = 0
    code: Sequence[str] = ()
    params: Sequence[str] = ()
    forgotten: int = 0
    age_days: float = 0.0
    alarm: str | None = None
    unknown: str | None = None

    @property
    def labels(self) -> int:
        return self.new_labels + self.changed_labels + self.removed_labels


@dataclass(frozen=True)
class Due:
    """Whether to train again; `reasons` for it, or what was found short of one."""

    retrain: bool
    reasons: list[str]


def due(changes: Changes, policy: RetrainParams) -> Due:
    """Return whether a training is worth it; any one reason is enough."""
    if changes.champion is None:
        return Due(True, ["There is no champion yet."])
    found = [reason for reason in _reasons(changes, policy) if reason]
    return Due(True, found) if found else Due(False, _short_of_it(changes, policy))


def _reasons(changes: Changes, policy: RetrainParams) -> list[str]:
    whose = f"version {changes.champion}"
    return [
        f"What changed since {whose} cannot be told: {changes.unknown}." if changes.unknown else "",
        f"{_labels(changes)} since {whose}, {policy.min_new_labels} are enough."
        if changes.labels >= policy.min_new_labels
        else "",
        f"Code changed since {whose}: {', '.join(changes.code)}." if changes.code and policy.on_code_change else "",
        f"Params differ from those of {whose}: {', '.join(changes.params)}."
        if changes.params and policy.on_params_change
        else "",
        f"Photos were forgotten since {whose}: {changes.forgotten}." if changes.forgotten else "",
        f"{whose.capitalize()} is {changes.age_days:.0f} days old, more than {policy.max_age_days:g}."
        if changes.age_days > policy.max_age_days
        else "",
        changes.alarm or "",
    ]


def _short_of_it(changes: Changes, policy: RetrainParams) -> list[str]:
    """Return what was looked at; changes that the policy passes over are named."""
    passed_over = [
        f"{what} changed ({', '.join(names)}), which `retrain.{key}` passes over."
        for what, names, key in (
            ("Code", changes.code, "on_code_change"),
            ("Params", changes.params, "on_params_change"),
        )
        if names
    ]
    return [
        f"{_labels(changes)} since version {changes.champion}; {policy.min_new_labels} make a training worth it.",
        f"It is {changes.age_days:.1f} of {policy.max_age_days:g} days old.",
        *(passed_over or ["Code and params are those it was made with."]),
        "No watch has raised an alarm.",
    ]


def _labels(changes: Changes) -> str:
    if not changes.labels:
        return "No new or changed labels"
    return f"{changes.labels} new or changed label{'s' if changes.labels > 1 else ''}"

"""What each small data out tells of itself, in numbers: pure functions over the tables that the stages write.

They read outs of any earlier revision, so they ask for the columns they need and no more. A missing one is a KeyError.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from photoqual.photos.catalog import OK, PAGE

if TYPE_CHECKING:
    import pandas as pd

_MODEL_KEYS = (
    "kind",
    "head",
    "image_width",
    "parameters",
    "train_photos",
    "validation_photos",
    "best_epoch",
    "validation_auc",
    "seed",
)


def of_catalog(catalog: "pd.DataFrame") -> dict[str, Any]:
    """Return photos by source, those set aside by reason, votes, and the time span of uploads and fetches."""
    catalog = catalog[~catalog["status"].astype(str).str.startswith(PAGE)]  # pages that show no photo
    ok = catalog[catalog["status"] == OK].drop_duplicates("photo_id")
    votes = ok["votes_count"].fillna(0)
    return {
        "photos": len(ok),
        "by_source": _counts(ok["source"]),
        "quarantined": _counts(catalog.loc[catalog["status"] != OK, "status"]),
        "votes": int(votes.sum()),
        "photos_with_votes": int((votes > 0).sum()),
        "uploaded": _span(ok["uploaded_at"]),
        "fetched": _span(ok["first_seen"]),
    }


def of_labels(labels: "pd.DataFrame") -> dict[str, Any]:
    """Return how many photos are good, bad and neither (rated, but left out by the rule)."""
    good = labels["good"]
    return {"good": int((good == 1).sum()), "bad": int((good == 0).sum()), "unlabelled": int(good.isna().sum())}


def of_validation(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether the data was accepted, how many expectations held, and which did not."""
    expectations = summary["expectations"]
    return {
        "accepted": bool(summary["ok"]),
        "held": sum(bool(item["ok"]) for item in expectations),
        "expectations": len(expectations),
        "failed": [item["name"] for item in expectations if not item["ok"]],
    }


def of_splits(splits: "pd.DataFrame") -> dict[str, int]:
    """Return the photos of each split."""
    return {name: int((splits["split"] == name).sum()) for name in ("train", "validation", "test", "held_out")}


def of_frozen(frozen: "pd.DataFrame") -> dict[str, Any]:
    """Return the frozen photos by class, and the digest of what the table holds."""
    from photoqual.labels.splits import frozen_digest

    good = int((frozen["good"] == 1).sum())
    return {"photos": len(frozen), "good": good, "bad": len(frozen) - good, "digest_of_content": frozen_digest(frozen)}


def of_model(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return what model.json says of the training."""
    return {name: info[name] for name in _MODEL_KEYS if name in info}


def label_rule(params: Mapping[str, str]) -> str | None:
    """Return the label rule in words, from params by dotted name."""
    rule = params.get("labels.rule")
    if rule in (None, "folders", "defects"):
        return rule
    bad = f"up to {_number(params.get('labels.bad_at_most'))}" if rule in ("extremes", "threshold") else "below"
    excluded = params.get("labels.exclude_categories", "[]").strip("[]").replace('"', "")
    return (
        f"{rule}: good from {_number(params.get('labels.good_at_least'))} stars, bad {bad}, "
        f"at least {params.get('labels.min_votes', '?')} vote(s)" + (f", without {excluded}" if excluded else "")
    )


def differing(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, list[str | None]]:
    """Return {name: [before, now]} of the params that are not the same; None where one side has no such param."""
    return {
        name: [before.get(name), now.get(name)] for name in sorted({*before, *now}) if before.get(name) != now.get(name)
    }


def _counts(values: "pd.Series") -> dict[str, int]:
    return {str(name): int(number) for name, number in values.value_counts().sort_index().items()}


def _span(instants: "pd.Series") -> list[str] | None:
    known = instants.dropna()
    return [str(known.min().date()), str(known.max().date())] if len(known) else None


def _number(text: str | None) -> str:
    return "?" if text is None else f"{float(text):g}"

"""The model card: mlflow/model_card.md filled in with what is known of one version."""

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import photoqual
from photoqual.config import Params
from photoqual.errors import MissingData
from photoqual.models.info import ModelInfo

TEMPLATE = "mlflow/model_card.md"
UNKNOWN = "–"
"""Stands for a figure that this version does not have."""
_PERCENT = tuple(f"gallery_reduction{end}" for end in ("", "_low", "_high"))


def model_card(
    root: Path, params: Params, info: ModelInfo, metrics: Mapping[str, Any], lineage: Mapping[str, str]
) -> str:
    """Return the card as Markdown. `lineage` holds git_rev, data_rev, frozen_test_digest and model_digest.

    The template is that of the project in `root`, else the one beside the installed code. Raise MissingData without.
    What the template names and nobody knows becomes a dash.
    """
    places = [root / TEMPLATE, Path(photoqual.__file__).parents[1] / TEMPLATE]
    template = next((place for place in places if place.is_file()), None)
    if template is None:
        raise MissingData(
            f"{places[0]} does not exist.", next_step="Restore it with git: it is the template of the model card."
        )
    figures = {name: f"{value:.3f}" if isinstance(value, float) else str(value) for name, value in metrics.items()}
    labels = params.labels
    bad = f"up to {labels.bad_at_most:g}" if labels.rule in ("extremes", "threshold") else "below"
    rule = (
        labels.rule
        if labels.rule in ("folders", "defects")
        else f"{labels.rule}: good from {labels.good_at_least:g} stars, bad {bad}, at least {labels.min_votes} vote(s)"
    )
    sure = (
        f"A rating is sure from {info.sure_margin:.2f} off the threshold."
        if info.sure_margin is not None
        else "Validation could not tell from where on a rating is sure, so none is."
    )
    values = {
        **figures,
        **{
            name: str(value)
            for name, value in info.model_dump(
                include={"kind", "head", "parameters", "image_width", "train_photos", "validation_photos", "best_epoch"}
            ).items()
        },
        "validation_auc": f"{info.validation_auc:.3f}",
        "threshold": f"{info.threshold:.2f}",
        "bad_label": info.labels[0],
        "good_label": info.labels[1],
        "sure_sentence": sure,
        "label_rule": rule,
        "sources": ", ".join(f"{name} ({source.kind})" for name, source in params.sources.items()),
        **{name: f"{metrics[name]:.0%}" for name in _PERCENT if name in metrics},
        "confidence": f"{params.evaluate.confidence:.0%}",
        "keep_share": f"{params.evaluate.keep_share:.0%}",
        "seconds_per_photo": f"{params.evaluate.seconds_per_photo:g}",
        "git_rev": lineage["git_rev"][:12],
        "data_rev": lineage["data_rev"][:12],
        "frozen_digest": lineage["frozen_test_digest"][:12],
        "model_digest": lineage["model_digest"][:12],
    }
    text = Template(template.read_text(encoding="utf-8"))
    return text.safe_substitute({**dict.fromkeys(text.get_identifiers(), UNKNOWN), **values})

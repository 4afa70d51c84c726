"""The label stage: catalog → data/labels.parquet."""

from typing import Any

from photoqual.config import Params
from photoqual.errors import TooFewPhotos
from photoqual.labels.rules.judgements import COLUMNS
from photoqual.labels.rules.photos import label_photos
from photoqual.labels.rules.table import write_labels
from photoqual.layout import Layout
from photoqual.photos import catalog as catalogs


def label(layout: Layout, params: Params) -> dict[str, Any]:
    """Run the label stage: catalog → labels. Raise TooFewPhotos when the rule labels nothing."""
    catalog = catalogs.read_catalog(layout.catalog, COLUMNS)
    labels, left_out = label_photos(catalog, params.labels)
    good, bad = int((labels["good"] == 1).sum()), int((labels["good"] == 0).sum())
    if good + bad == 0:
        raise TooFewPhotos(
            f"Rule `{params.labels.rule}` labels none of the {len(catalog)} photos of the catalog (left out: {left_out or 'none'}).",
            next_step="Check `labels` in params.yaml: folder sources want rule `folders` or `defects`, sources with vote "
            "histograms may have `distribution`, voted ones `extremes`, `threshold` or `ordinal`.",
        )
    write_labels(layout.labels, labels)
    return {"rule": params.labels.rule, "good": good, "bad": bad, "left_out": left_out}

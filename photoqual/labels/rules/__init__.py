"""Label rules: from votes and hints in the catalog to labels, by the rule that params choose.

The data's way: `judgements` (what people judged of each photo), `kinds` (the rules), `weights`, `photos` (all three
together, one pure function), `table` (data/labels.parquet) and `stage`.
"""

from photoqual.labels.rules.judgements import STARS, stars
from photoqual.labels.rules.photos import label_photos
from photoqual.labels.rules.stage import label
from photoqual.labels.rules.table import SCHEMA, read_labels

__all__ = ["SCHEMA", "STARS", "label", "label_photos", "read_labels", "stars"]

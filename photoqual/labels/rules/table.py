"""data/labels.parquet: a row per photo, in the order of `photo_id`."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from photoqual import files
from photoqual.errors import DataError, MissingData
from photoqual.layout import Layout

SCHEMA = pa.schema(
    [
        ("photo_id", pa.string()),
        ("good", pa.int8()),  # 1 good, 0 bad, null: the middle, or without a judgement
        ("ordinal", pa.float64()),  # rule `ordinal`: the class, 1 to labels.ordinal_levels; else as `stars`
        ("stars", pa.float64()),
        ("vote_mean", pa.float64()),  # on the scale of the source
        ("vote_distribution", pa.list_(pa.float64())),
        ("defects", pa.list_(pa.string())),
        ("weight", pa.float64()),
        ("rule", pa.string()),
    ]
)


def write_labels(path: Path, labels: pd.DataFrame) -> None:
    """Write `labels` whole or not at all. Equal labels give equal bytes."""
    table = pa.Table.from_pandas(labels, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
    with files.atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_labels(layout: Layout, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read data/labels.parquet, or only some `columns` of it: lists cost memory."""
    if not layout.labels.is_file():
        raise MissingData(
            f"{layout.labels} does not exist.", next_step="Run `photoqual label` (or `dvc repro label`) first."
        )
    table = files.read_table(layout.labels)
    if table.schema.names != SCHEMA.names:
        raise DataError(
            f"{layout.labels} has other columns than this version writes.", next_step="Run `photoqual label` again."
        )
    wanted = SCHEMA.names if columns is None else list(columns)
    return table.select(wanted).to_pandas().astype({"good": "Int8"} if "good" in wanted else {})

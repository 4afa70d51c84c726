"""The formats of `photoqual rate`, by name: who writes them, and which of them can be gone on with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from PIL import Image

from photoqual.rating.gallery.thumbnail import thumbnail
from photoqual.rating.gallery.writer import GalleryWriter
from photoqual.rating.output import csv_rows, json_lines, parquet
from photoqual.rating.output.csv_rows import CsvRows
from photoqual.rating.output.json_lines import JsonLines
from photoqual.rating.output.table import RatingTable
from photoqual.rating.output.writer import Record, Writer


@dataclass(frozen=True)
class Format:
    """How a format is written.

    `records` reads back what is there, for formats that can be gone on with; `again` makes the writer that does so, where
    it has to know the file. `settle` makes the last form of a file from what was kept, `unsettle` the other way.
    `look` makes the writer's `extra` of the upright image of a photo. `stdout`: whether it may go to standard output.
    """

    writer: Callable[[TextIO], Writer]
    records: Callable[[BinaryIO], Iterator[Record]] | None = None
    again: Callable[[TextIO, Path], Writer] | None = None
    settle: Callable[[Path, Path], None] | None = None
    unsettle: Callable[[Path, BinaryIO], None] | None = None
    look: Callable[[Image.Image], bytes] | None = None
    stdout: bool = True


FORMATS: dict[str, Format] = {
    "table": Format(RatingTable),
    "json": Format(JsonLines, records=json_lines.records),
    "csv": Format(CsvRows, records=csv_rows.records, again=CsvRows.again),
    "parquet": Format(
        JsonLines,
        records=json_lines.records,
        settle=parquet.from_lines,
        unsettle=parquet.to_lines,
        stdout=False,
    ),
    "html": Format(GalleryWriter, look=thumbnail),
}
ENDINGS = {".html": "html", ".csv": "csv", ".parquet": "parquet", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
"""By the ending of --out: the format that is meant when none is named."""

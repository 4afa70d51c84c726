"""Size and speed of sources: `python -m benchmarks.sources [--part NAME] [--photos N] [--runs N] [--dry]`.

Parts: `gallery` (refresh of a gallery against a bare Scrapy spider), `bulk` (file tree and bucket against img2dataset),
`memory` (peak over few photos and many), `refresh` (nothing new, 1 % new, bytes pushed), `dvc` (shards against single
files), `tables` (label, validate and split). Sites are made by a generator; servers and stores run on this machine.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.sources_dvc import dvc_rows
from benchmarks.sources_harvest import bulk_rows, gallery_rows
from benchmarks.sources_refresh import memory_rows, refresh_rows
from benchmarks.sources_site import SITE_PHOTOS
from benchmarks.sources_tables import table_rows
from benchmarks.table import Row, exit_code, markdown, plain, update_results

PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "gallery": gallery_rows,
    "bulk": bulk_rows,
    "memory": memory_rows,
    "refresh": refresh_rows,
    "dvc": dvc_rows,
    "tables": table_rows,
}
PHOTOS = {
    "gallery": 20_000,
    "bulk": 40_000,
    "memory": SITE_PHOTOS,
    "refresh": SITE_PHOTOS,
    "dvc": SITE_PHOTOS,
    "tables": 1_000_000,
}
"""How many photos each part takes unless told otherwise."""
_REFRESH = (
    "The time of `photoqual refresh` is that of the whole command, start of Python and end of the catalog included."
)
NOTES = {
    "gallery": "Both fetch the page and the thumbnail (150×105 px, about 4.5 kB) of each photo from a local Caddy, politeness "
    "off, by turns. Ours also reads the microdata, decodes, measures, hashes, encodes anew and writes shards and catalog; "
    f"the spider keeps nothing. {_REFRESH} Figures are medians of the runs, with lowest and highest.",
    "bulk": "All fetch the same thumbnails, by turns. img2dataset decodes, encodes anew (quality 90, no change of size), "
    "hashes and writes Parquet; it is given the list of addresses, and its time is without the start of Python. Ours "
    "finds the addresses itself, and also measures, computes the perceptual hash and writes the catalog. From SeaweedFS, "
    f"img2dataset fetches by presigned addresses. {_REFRESH} Figures are medians of the runs, with lowest and highest.",
    "memory": "Resident memory of `photoqual refresh` and all its child processes together, looked at ten times a second; "
    "what processes share counts for each of them.",
    "refresh": "A gallery whose listing shows the newest first; the photos that are new stand on top of it. "
    f"{_REFRESH} Bytes are those by which the folder of the DVC remote grows; medians of the runs.",
    "dvc": "Two calls of `dvc` on an empty cache and remote: seconds of `dvc add` and of `dvc push`, start of Python included, "
    "medians of the runs with a folder as remote, of one run with SeaweedFS.",
    "tables": "Each stage is a command of its own, start of Python included. The rule labels every photo; 2 % of the rows "
    "are the same photo on another source, 2 % near duplicates. Resident memory of the command and its children.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--photos", type=int, help="photos of the site, or rows of the tables; each part has a default")
    parser.add_argument("--runs", type=int, default=3, help="runs of the parts that compare times; the median counts")
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args(arguments)
    every: list[Row] = []
    for part, run in PARTS.items():
        if options.part not in (part, "all"):
            continue
        started = time.monotonic()
        told = argparse.Namespace(photos=options.photos or PHOTOS[part], runs=options.runs)
        with tempfile.TemporaryDirectory(prefix="photoqual-sources-") as folder:
            rows = run(Path(folder), told)
        took = f"{(time.monotonic() - started) / 60:.1f} minutes"
        print(f"\nSources: {part} ({took})\n{plain(rows)}", flush=True)
        if not options.dry:
            command = " ".join(arguments if arguments is not None else sys.argv[1:]) or f"--part {part}"
            stamp = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, no GPU, {took}: `python -m benchmarks.sources {command}`"
            update_results(f"Sources: {part}", "\n\n".join([stamp, NOTES[part], markdown(rows)]))
        every += rows
    return exit_code(every)


if __name__ == "__main__":
    sys.exit(main())

"""How fast training is fed: `python -m benchmarks.training_speed [--part NAME] [--photos N] [--runs N] …`.

Parts: `pipeline` (photos to batches, against Keras' own loader), `waiting` (does a CPU training step wait for its
batch), `features` (head on a frozen backbone with and without the cache of features), `memory` (peak over very many
thumbnails). All but `memory` read PHOTOQUAL_BENCH_DATA, whose `defects/train` has 4,800 photos of 288 px.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.speed_features import feature_rows
from benchmarks.speed_pipeline import PEER_SIZE, pipeline_rows, waiting_rows
from benchmarks.table import Row, exit_code, markdown, plain, update_results
from benchmarks.thumbnails import memory_rows

PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "pipeline": pipeline_rows,
    "waiting": waiting_rows,
    "features": feature_rows,
    "memory": memory_rows,
}
NOTES = {
    "pipeline": "Both read the same JPEGs (working copies of quality 90) and give float32 batches of 32 photos in random "
    f"order; Keras brings all of them to {PEER_SIZE[0]}×{PEER_SIZE[1]} px, ours keep their aspect. Ours decodes once and "
    "keeps pixels as bytes within `train.cache_megabytes`, the rest on disk; the time for that is counted. Keras decodes "
    "in each epoch, unless it is told to cache: the last row. Figures are medians of the runs, with lowest and highest.",
    "waiting": "Share of the time of all steps, after the first few, that passes between asking for a batch and having it.",
    "features": "Both sides train on the same batches, without augmentation. With the cache, the time of computing the "
    "features is counted; decoding the photos is left out without it.",
    "memory": "Most resident memory of the process, as the operating system counts it.",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--photos", type=int, default=4800, help="photos of 288 px")
    parser.add_argument("--runs", type=int, default=3, help="runs of the pipeline, of which the median counts")
    parser.add_argument("--measured-epochs", type=int, default=2, help="epochs run without the cache of features")
    parser.add_argument("--thumbnails", type=int, default=135_264)
    parser.add_argument("--kind", default="hidden", help="what is trained on the thumbnails")
    parser.add_argument("--cache-megabytes", type=int, default=1024, help="train.cache_megabytes for the thumbnails")
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args(arguments)
    every: list[Row] = []
    for part, run in PARTS.items():
        if options.part not in (part, "all"):
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="photoqual-speed-") as folder:
            rows = run(Path(folder), options)
        if not rows:
            return 2
        took = f"{(time.monotonic() - started) / 60:.1f} minutes"
        print(f"\nTraining speed: {part} ({took})\n{plain(rows)}", flush=True)
        if not options.dry:
            told = " ".join(arguments if arguments is not None else sys.argv[1:]) or f"--part {part}"
            stamp = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, no GPU, {took}: `python -m benchmarks.training_speed {told}`"
            update_results(f"Training speed: {part}", "\n\n".join([stamp, NOTES[part], markdown(rows)]))
        every += rows
    return exit_code(every)


if __name__ == "__main__":
    sys.exit(main())

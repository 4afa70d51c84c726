"""How fast photos are rated: `python -m benchmarks.rating [--part NAME] [--photos N] [--rounds N] [--many N] [--dry]`.

Parts: `large` (JPEGs of 12 megapixels, against decoding alone, a loop of Keras and CleanVision), `small` (photos of
288 px, against the network alone), `cold` (one photo in a process of its own), `memory` (peak over 100 and very many).
The photos are made of the demo's photographs in a temporary folder.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks import rating_limits as limits
from benchmarks.rating_photos import (
    WIDTH,
    Model,
    large_photos,
    many_photos,
    small_photos,
    small_starter,
    starter,
)
from benchmarks.sources_meter import spent
from benchmarks.table import Row, exit_code, markdown, plain, update_results

TITLE = "Rating"
NOTE = (
    "Ratios are medians of rounds in which both sides take turns. Ours goes from files to a file of JSON lines; nobody's "
    "loading of a model counts. Photos of 12 megapixels have 4 to 4.5 MB. Decoding alone: files read and decoded on all cores by the smallest DCT scaling that leaves the "
    "width of the model. gap_cnn is the network of the shipped params.yaml. Where scoring costs more than decoding, "
    "the first ratio cannot be reached by any order of work: both use all cores."
)
_DECODE_SHARE, _KERAS_TIMES, _PEER_TIMES, _NETWORK_SHARE = 0.7, 5.0, 3.0, 0.8
_COLD_SECONDS, _PEAK_MEGABYTES, _FLAT = 2.0, 500.0, 1.1
_SMALL_TIMES = 6
"""Photos of 288 px for each of 12 megapixels: they are rated faster."""
_LARGE_IN_MEMORY = 24


def large(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the rows of photos of 12 megapixels."""
    photos = large_photos(folder / "large", options.photos)
    lite = small_starter(folder / "lite0")
    rows = []
    for model in (limits.keras_model(folder / "gap"), lite, starter()):
        ours = partial(limits.rated, photos, model, folder)
        ratio, first, second = limits.median_ratio(ours, partial(limits.decoded, photos, model), options.rounds)
        told = f"{ratio:.2f} ({first:.1f} of {second:.1f} photos/s){_share_of_network(photos, model, second)}"
        rows.append(Row(f"12 MP, {model.name}: of decoding alone", f"≥ {_DECODE_SHARE}", told, ratio >= _DECODE_SHARE))
    few = photos[: options.predicted]
    for model, width in ((lite, WIDTH), (starter(), 640)):
        ours = partial(limits.rated, photos, model, folder)
        keras = partial(limits.keras_loop, few, width)
        rows.append(
            _times(f"12 MP, {model.name}: over full decode + predict", ours, keras, _KERAS_TIMES, options.rounds)
        )
    for model in (lite, starter()):
        ours = partial(limits.rated, photos, model, folder)
        name = f"12 MP, {model.name}: over CleanVision"
        try:
            rows.append(_times(name, ours, partial(limits.cleanvision, photos), _PEER_TIMES, options.rounds))
        except (RuntimeError, OSError) as error:
            rows.append(Row(name, f"≥ {_PEER_TIMES:g}×", f"CleanVision cannot be had here: {str(error)[-120:]}"))
    return rows


def small(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the rows of photos of 288 px."""
    photos = small_photos(folder / "small", options.photos * _SMALL_TIMES, WIDTH)
    rows = []
    for model in (starter(), limits.keras_model(folder / "gap")):
        hows: list[str] = []

        def alone(model: Model = model, hows: list[str] = hows) -> float:
            speed, how = limits.network(photos, model)
            hows.append(how)
            return speed

        ours = partial(limits.rated, photos, model, folder)
        ratio, first, second = limits.median_ratio(ours, alone, options.rounds)
        told = f"{ratio:.2f} ({first:.1f} of {second:.1f} photos/s, {statistics.mode(hows)})"
        rows.append(
            Row(
                f"{WIDTH} px, {model.name}: of ONNX Runtime alone", f"≥ {_NETWORK_SHARE}", told, ratio >= _NETWORK_SHARE
            )
        )
    return rows


def cold(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the row of one photo in a process of its own."""
    (photo,) = large_photos(folder / "one", 1)
    code = (
        "import sys; from photoqual.cli import app\n"
        f"try: app(['rate', {str(photo)!r}, '--model', 'starter', '--format', 'json'])\n"
        "except SystemExit: print(*{'tensorflow', 'keras'} & set(sys.modules), file=sys.stderr)"
    )
    seconds, heavy = [], ""
    for _ in range(max(3, options.rounds)):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
        heavy = done.stderr.splitlines()[-1]
    median = statistics.median(seconds)
    told = f"{median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}), {heavy or 'no TensorFlow'}"
    name, goal = "one photo of 12 MP, cold process, starter", f"< {_COLD_SECONDS:g} s, no TensorFlow"
    return [Row(name, goal, told, median < _COLD_SECONDS and not heavy)]


def memory(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Return the rows of the peak of memory over few and many photos, and over large ones."""
    peaks = {}
    for count in (100, options.many):
        photos = many_photos(folder / f"{count}", count)
        command = [sys.executable, "-m", "photoqual", "rate", str(photos), "--model", "starter"]
        peaks[count] = spent([*command, "--out", str(folder / f"{count}.json")], folder).largest_megabytes
    few, many = peaks[100], peaks[options.many]
    told = f"{few:.0f} MB for 100 photos, {many:.0f} MB for {options.many:,}"
    large_photos(folder / "large", _LARGE_IN_MEMORY)
    command = [sys.executable, "-m", "photoqual", "rate", str(folder / "large"), "--model", "starter"]
    peak = spent([*command, "--out", str(folder / "large.json")], folder).largest_megabytes
    goal = f"< {_PEAK_MEGABYTES:g} MB"
    return [
        Row("peak memory, starter", f"{goal}, flat", told, max(few, many) < _PEAK_MEGABYTES and many < few * _FLAT),
        Row(f"the same, {_LARGE_IN_MEMORY} photos of 12 MP", goal, f"{peak:.0f} MB", peak < _PEAK_MEGABYTES),
    ]


PARTS: dict[str, Callable[[Path, argparse.Namespace], list[Row]]] = {
    "large": large,
    "small": small,
    "cold": cold,
    "memory": memory,
}


def _times(name: str, ours: Callable[[], float], theirs: Callable[[], float], least: float, rounds: int) -> Row:
    ratio, first, second = limits.median_ratio(ours, theirs, rounds)
    return Row(name, f"≥ {least:g}×", f"{ratio:.1f}× ({first:.1f} against {second:.2f} photos/s)", ratio >= least)


def _share_of_network(photos: Sequence[Path], model: Model, decoding: float) -> str:
    """Return what scoring alone allows beside decoding alone, where both share the cores: the best that there is."""
    alone, _ = limits.network(photos[: max(1, len(photos) // 4)], model)
    return f"; network alone {alone:.1f}, so {1 / (1 + decoding / alone):.2f} at best"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--photos", type=int, default=100, help="photos of 12 megapixels")
    parser.add_argument("--predicted", type=int, default=20, help="of them in the loop of Keras")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--many", type=int, default=10_000, help="photos over which memory has to stay flat")
    parser.add_argument("--dry", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args(arguments)
    started, rows = time.monotonic(), list[Row]()
    for part, run in PARTS.items():
        if options.part in (part, "all"):
            with tempfile.TemporaryDirectory(prefix="photoqual-rating-") as folder:
                made = run(Path(folder), options)
            print(f"\nRating: {part}\n{plain(made)}", flush=True)
            rows += made
    if not options.dry:
        took = f"{(time.monotonic() - started) / 60:.1f} minutes"
        told = " ".join(["python -m benchmarks.rating", *(sys.argv[1:] if arguments is None else arguments)])
        stamp = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} CPU cores, no GPU, {took}: `{told}`"
        title = TITLE if options.part == "all" else f"{TITLE}: {options.part}"
        update_results(title, "\n\n".join([stamp, NOTE, markdown(rows)]))
    return exit_code(rows)


if __name__ == "__main__":
    sys.exit(main())
